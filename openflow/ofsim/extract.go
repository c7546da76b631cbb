package ofsim

import "encoding/binary"

var be = binary.BigEndian

// Ethertypes, IP protocols and fragment flags that matter here.
const (
	etherIPv4  = 0x0800
	etherARP   = 0x0806
	etherRARP  = 0x8035
	etherVLAN  = 0x8100
	etherQinQ  = 0x88a8
	etherIPv6  = 0x86dd
	etherNone  = 0x05ff // what OpenFlow matches for a frame without an Ethertype
	protoICMP  = 1
	protoIGMP  = 2
	protoTCP   = 6
	protoUDP   = 17
	protoSCTP  = 132
	protoICMP6 = 58
	fragAny    = 1
	fragLater  = 2
	tagPresent = 0x1000
)

// A layout says where the headers of a frame are. Offsets are zero for headers that are not there.
type layout struct {
	tpid   uint16 // of the tag, zero without
	l3     int    // network header
	l4     int    // transport header
	end    int    // end of what the network header covers; padding follows
	proto6 uint8
	// route says that an IPv6 routing header is not yet at its end.
	route bool
}

// extract reads the header fields of a frame into k, whose other fields stay as they are. It
// stops where Open vSwitch 3.1's miniflow_extract stops, with the later fields left zero: one
// 802.1Q tag (its default vlan-limit), nothing of a network header whose lengths do not fit.
func extract(b []byte, k *key) layout {
	var l layout
	l.end = len(b)
	if len(b) < 14 {
		return l
	}
	k.put(atEthDst, uint64(be.Uint16(b))<<32|uint64(be.Uint32(b[2:])))
	k.put(atEthSrc, uint64(be.Uint16(b[6:]))<<32|uint64(be.Uint32(b[8:])))
	at := 12
	if t := be.Uint16(b[at:]); (t == etherVLAN || t == etherQinQ) && len(b) >= at+6 {
		l.tpid = t
		k.put(atTCI, uint64(be.Uint16(b[at+2:])|tagPresent))
		at += 4
	}
	etherType := uint64(be.Uint16(b[at:]))
	at += 2
	if etherType < 0x600 {
		etherType = etherNone
		if len(b) >= at+8 && string(b[at:at+6]) == "\xaa\xaa\x03\x00\x00\x00" {
			if t := be.Uint16(b[at+6:]); t >= 0x600 {
				etherType = uint64(t)
			}
			at += 8
		}
	}
	k.put(atEthType, etherType)
	l.l3 = at
	switch etherType {
	case etherIPv4:
		extractIPv4(b, k, &l)
	case etherIPv6:
		extractIPv6(b, k, &l)
	case etherARP, etherRARP:
		extractARP(b[at:], k)
	}
	return l
}

func extractARP(a []byte, k *key) {
	if len(a) < 28 || string(a[:6]) != "\x00\x01\x08\x00\x06\x04" {
		return
	}
	if op := be.Uint16(a[6:]); op <= 0xff {
		k.put(atProto, uint64(op))
	}
	k.put(atSHA, uint64(be.Uint16(a[8:]))<<32|uint64(be.Uint32(a[10:])))
	k.put(atIPSrc, uint64(be.Uint32(a[14:])))
	k.put(atTHA, uint64(be.Uint16(a[18:]))<<32|uint64(be.Uint32(a[20:])))
	k.put(atIPDst, uint64(be.Uint32(a[24:])))
}

func extractIPv4(b []byte, k *key, l *layout) {
	h := b[l.l3:]
	if len(h) < 20 {
		return
	}
	hlen, total := int(h[0]&15)*4, int(be.Uint16(h[2:]))
	if hlen < 20 || hlen > len(h) || total > len(h) || hlen > total || len(h)-total > 0xffff {
		return
	}
	l.end = l.l3 + total
	k.put(atIPSrc, uint64(be.Uint32(h[12:])))
	k.put(atIPDst, uint64(be.Uint32(h[16:])))
	k.put(atTOS, uint64(h[1]))
	k.put(atTTL, uint64(h[8]))
	k.put(atProto, uint64(h[9]))
	var frag uint64
	if off := be.Uint16(h[6:]); off&0x3fff != 0 {
		frag = fragAny
		if off&0x1fff != 0 {
			frag |= fragLater
		}
	}
	k.put(atFrag, frag)
	l.l4 = l.l3 + hlen
	extractL4(b[l.l4:l.end], k)
}

func extractIPv6(b []byte, k *key, l *layout) {
	h := b[l.l3:]
	if len(h) < 40 {
		return
	}
	plen := int(be.Uint16(h[4:]))
	if 40+plen > len(h) || len(h)-40-plen > 0xffff {
		return
	}
	l.end = l.l3 + 40 + plen
	for i := range 2 {
		k[wSrc6+i] = be.Uint64(h[8+8*i:])
		k[wDst6+i] = be.Uint64(h[24+8*i:])
	}
	proto, frag, skip, ok := skipExtensions(h[40:40+plen], h[6], &l.route)
	if !ok {
		return
	}
	flow := be.Uint32(h)
	k.put(atLabel, uint64(flow&0xfffff))
	k.put(atTOS, uint64(flow>>20&0xff))
	k.put(atTTL, uint64(h[7]))
	k.put(atProto, uint64(proto))
	k.put(atFrag, uint64(frag))
	l.proto6 = proto
	l.l4 = l.l3 + 40 + skip
	extractL4(b[l.l4:l.end], k)
}

// skipExtensions walks the extension headers (RFC 8200 §4). Of a later fragment Open vSwitch says
// that its protocol is 44, the fragment header itself.
func skipExtensions(b []byte, next uint8, route *bool) (proto, frag uint8, skip int, ok bool) {
	for {
		n := 0
		switch next {
		case 0, 43, 60, 51, 44:
			if len(b)-skip < 8 {
				return 0, 0, 0, false
			}
		default:
			return next, frag, skip, true
		}
		h := b[skip:]
		switch next {
		case 51:
			n = (int(h[1]) + 2) * 4
		case 44:
			n = 8
			if off := be.Uint16(h[2:]); off != 0 {
				frag = fragAny
				if off&0xfff8 != 0 {
					return 44, fragAny | fragLater, skip + n, true
				}
			}
		default:
			n = (int(h[1]) + 1) * 8
			if next == 43 && h[3] > 0 {
				*route = true
			}
		}
		if n > len(h) {
			return 0, 0, 0, false
		}
		next = h[0]
		skip += n
	}
}

// extractL4 reads the transport header, b, which ends where the network header says.
func extractL4(b []byte, k *key) {
	if k.get(atFrag)&fragLater != 0 {
		return
	}
	ports := func(least int) {
		if len(b) >= least {
			k.put(atSport, uint64(be.Uint16(b)))
			k.put(atDport, uint64(be.Uint16(b[2:])))
		}
	}
	switch k.get(atProto) {
	case protoTCP:
		if len(b) >= 20 {
			if n := int(b[12]>>4) * 4; n >= 20 && n <= len(b) {
				ports(20)
			}
		}
	case protoUDP:
		ports(8)
	case protoSCTP:
		ports(12)
	case protoICMP, protoIGMP:
		if len(b) >= 8 {
			k.put(atSport, uint64(b[0]))
			k.put(atDport, uint64(b[1]))
		}
	case protoICMP6:
		if len(b) >= 8 {
			k.put(atSport, uint64(b[0]))
			k.put(atDport, uint64(b[1]))
			extractND(b, k)
		}
	}
}

// extractND reads target and link-layer addresses of a neighbour solicitation or advertisement
// (RFC 4861 §4.3, §4.4). The same option twice makes all of them unknown.
func extractND(b []byte, k *key) {
	if b[0] != 135 && b[0] != 136 || b[1] != 0 || len(b) < 24 {
		return
	}
	var lla [2]uint64
	for o := b[24:]; len(o) >= 8; {
		n := int(o[1]) * 8
		if n == 0 || n > len(o) {
			break
		}
		if t := o[0]; (t == 1 || t == 2) && n == 8 {
			if lla[t-1] != 0 {
				return
			}
			lla[t-1] = uint64(be.Uint16(o[2:]))<<32 | uint64(be.Uint32(o[4:]))
		}
		o = o[n:]
	}
	k[wTarget], k[wTarget+1] = be.Uint64(b[8:]), be.Uint64(b[16:])
	k.put(atSHA, lla[0])
	k.put(atTHA, lla[1])
}
