package ofsim

import (
	"encoding/binary"
	"slices"
)

// The words of a key that are in the frame, in pairs of first and after the last.
const wFirstHeader, wEnd = wEthDst, len(key{})

// render commits what the actions changed and gives a copy of the frame as it is now. Like Open
// vSwitch it writes only what differs from the last commit, and updates checksums by the difference
// (RFC 1624), so that a wrong one stays wrong.
func (x *exec) render() []byte {
	x.commit()
	return append([]byte(nil), x.frame...)
}

func (x *exec) commit() {
	same := x.cur.tpid == x.base.tpid && x.cur.tci1 == x.base.tci1
	for w := wFirstHeader; same && w < wEnd; w++ {
		same = x.cur.key[w] == x.base.key[w]
	}
	if same || len(x.frame) < 14 {
		return
	}
	if !x.owned {
		x.frame, x.owned = append(make([]byte, 0, len(x.frame)+8), x.frame...), true
	}
	r := renderer{x.frame, x.layout, &x.base.key, &x.cur.key}
	r.ether()
	if r.new.get(atProto) != 0 {
		switch r.old.get(atEthType) {
		case etherIPv4:
			r.ipv4()
		case etherIPv6:
			r.ipv6()
		case etherARP: // not RARP
			r.arp()
		}
	}
	x.retag()
	x.base = x.cur
}

// retag pops the tags that changed, from the outside, and pushes new ones. A tag that stays is
// left bit for bit; a pushed one has no drop-eligible bit.
func (x *exec) retag() {
	have, want := x.base.tags(), x.cur.tags()
	for len(have) > 0 && len(want) > 0 && have[len(have)-1] == want[len(want)-1] {
		have, want = have[:len(have)-1], want[:len(want)-1]
	}
	if len(have)+len(want) == 0 {
		return
	}
	var pushed []byte
	for _, t := range want {
		pushed = be.AppendUint32(pushed, t&^tagPresent)
	}
	x.frame = slices.Replace(x.frame, 12, 12+4*len(have), pushed...)
	grown := 4 * (len(want) - len(have))
	x.layout.l3 += grown
	x.layout.end += grown
	if x.layout.l4 > 0 {
		x.layout.l4 += grown
	}
}

type renderer struct {
	b        []byte
	l        layout
	old, new *key
}

func put48(b []byte, v uint64) {
	be.PutUint16(b, uint16(v>>32))
	be.PutUint32(b[2:], uint32(v))
}

func (r *renderer) ether() {
	put48(r.b, r.new.get(atEthDst))
	put48(r.b[6:], r.new.get(atEthSrc))
}

func (r *renderer) changed(p place) bool { return r.old.get(p) != r.new.get(p) }

func (r *renderer) arp() {
	a := r.b[r.l.l3:]
	if len(a) < 28 {
		return
	}
	be.PutUint16(a[6:], uint16(r.new.get(atProto)))
	put48(a[8:], r.new.get(atSHA))
	be.PutUint32(a[14:], uint32(r.new.get(atIPSrc)))
	put48(a[18:], r.new.get(atTHA))
	be.PutUint32(a[24:], uint32(r.new.get(atIPDst)))
}

// adjust updates the checksum at b for a change of 16-bit words.
func adjust(b []byte, old, new uint16) {
	sum := uint32(^be.Uint16(b)) + uint32(^old) + uint32(new)
	sum = sum&0xffff + sum>>16
	sum = sum&0xffff + sum>>16
	be.PutUint16(b, ^uint16(sum))
}

func adjustBytes(b, old, new []byte) {
	for i := 0; i+1 < len(old); i += 2 {
		adjust(b, be.Uint16(old[i:]), be.Uint16(new[i:]))
	}
}

// l4 is the transport header and its payload.
func (r *renderer) l4() []byte {
	if r.l.l4 == 0 {
		return nil
	}
	return r.b[r.l.l4:r.l.end]
}

// pseudo is where the checksum is that covers the addresses; nil where there is none.
func (r *renderer) pseudo(proto uint64) []byte {
	t := r.l4()
	switch {
	case proto == protoTCP && len(t) >= 20:
		return t[16:]
	case proto == protoUDP && len(t) >= 8 && be.Uint16(t[6:]) != 0:
		return t[6:]
	case proto == protoICMP6 && len(t) >= 8 && r.old.get(atEthType) == etherIPv6:
		return t[2:]
	}
	return nil
}

// address replaces an address, old and new of equal length, and what covers it.
func (r *renderer) address(at []byte, new []byte, sums ...[]byte) {
	for _, s := range sums {
		if s == nil {
			continue
		}
		adjustBytes(s, at[:len(new)], new)
		r.udpZero(s)
	}
	copy(at, new)
}

// udpZero: a UDP checksum of zero means none, so it is sent as all ones (RFC 768).
func (r *renderer) udpZero(sum []byte) {
	if t := r.l4(); r.old.get(atProto) == protoUDP && len(t) >= 8 && &sum[0] == &t[6] && be.Uint16(sum) == 0 {
		be.PutUint16(sum, 0xffff)
	}
}

func (r *renderer) ipv4() {
	if r.l.l4 == 0 {
		return
	}
	h := r.b[r.l.l3:]
	sum := h[10:]
	pseudo := r.pseudo(r.old.get(atProto))
	var v [4]byte
	if r.changed(atIPSrc) {
		be.PutUint32(v[:], uint32(r.new.get(atIPSrc)))
		r.address(h[12:], v[:], sum, pseudo)
	}
	if r.changed(atIPDst) {
		be.PutUint32(v[:], uint32(r.new.get(atIPDst)))
		r.address(h[16:], v[:], sum, pseudo)
	}
	if r.changed(atTOS) {
		tos := uint8(r.new.get(atTOS))
		adjust(sum, uint16(h[1]), uint16(tos))
		h[1] = tos
	}
	if r.changed(atTTL) {
		ttl := uint8(r.new.get(atTTL))
		adjust(sum, uint16(h[8])<<8, uint16(ttl)<<8)
		h[8] = ttl
	}
	r.transport()
}

func (r *renderer) ipv6() {
	if r.l.l4 == 0 {
		return
	}
	h := r.b[r.l.l3:]
	pseudo := r.pseudo(uint64(r.l.proto6))
	if r.l.route {
		pseudo = nil // Open vSwitch updates no checksum then, for ipv6_src either
	}
	var v [16]byte
	if r.old[wSrc6] != r.new[wSrc6] || r.old[wSrc6+1] != r.new[wSrc6+1] {
		be.PutUint64(v[:], r.new[wSrc6])
		be.PutUint64(v[8:], r.new[wSrc6+1])
		r.address(h[8:], v[:], pseudo)
	}
	if r.old[wDst6] != r.new[wDst6] || r.old[wDst6+1] != r.new[wDst6+1] {
		be.PutUint64(v[:], r.new[wDst6])
		be.PutUint64(v[8:], r.new[wDst6+1])
		r.address(h[24:], v[:], pseudo)
	}
	be.PutUint32(h, be.Uint32(h)&0xf0000000|uint32(r.new.get(atTOS))<<20|uint32(r.new.get(atLabel)))
	h[7] = uint8(r.new.get(atTTL))
	r.transport()
}

// transport writes ports and ICMP fields where the whole header is there.
func (r *renderer) transport() {
	t := r.l4()
	ports := func(sum []byte) {
		for i, p := range [...]place{atSport, atDport} {
			if !r.changed(p) {
				continue
			}
			v := binary.BigEndian.AppendUint16(nil, uint16(r.new.get(p)))
			r.address(t[2*i:], v, sum)
		}
	}
	switch r.old.get(atProto) {
	case protoTCP:
		if n := 0; len(t) >= 20 {
			if n = int(t[12]>>4) * 4; n >= 20 && n <= len(t) {
				ports(t[16:])
			}
		}
	case protoUDP:
		if len(t) >= 8 {
			if be.Uint16(t[6:]) != 0 {
				ports(t[6:])
			} else {
				ports(nil)
			}
		}
	case protoSCTP:
		if len(t) >= 12 && (r.changed(atSport) || r.changed(atDport)) {
			r.sctp(t)
		}
	case protoICMP, protoICMP6:
		if len(t) >= 8 {
			r.icmp(t)
		}
	}
}

func (r *renderer) icmp(t []byte) {
	v := [2]byte{byte(r.new.get(atSport)), byte(r.new.get(atDport))}
	if r.changed(atSport) || r.changed(atDport) {
		r.address(t, v[:], t[2:])
	}
	if r.old.get(atProto) != protoICMP6 || v[0] != 135 && v[0] != 136 || v[1] != 0 || len(t) < 24 {
		return
	}
	var target [16]byte
	be.PutUint64(target[:], r.new[wTarget])
	be.PutUint64(target[8:], r.new[wTarget+1])
	if r.old[wTarget] != r.new[wTarget] || r.old[wTarget+1] != r.new[wTarget+1] {
		r.address(t[8:], target[:], t[2:])
	}
	for o := t[24:]; len(o) >= 8; {
		n := int(o[1]) * 8
		if n == 0 || n > len(o) {
			break
		}
		p := atSHA
		if o[0] == 2 {
			p = atTHA
		}
		if (o[0] == 1 || o[0] == 2) && n == 8 && r.changed(p) {
			var mac [6]byte
			put48(mac[:], r.new.get(p))
			r.address(o[2:], mac[:], t[2:])
		}
		o = o[n:]
	}
}

// sctp keeps the difference between the old checksum and the right one, as Open vSwitch does.
func (r *renderer) sctp(t []byte) {
	le := binary.LittleEndian
	old := le.Uint32(t[8:])
	le.PutUint32(t[8:], 0)
	right := crc32c(t)
	be.PutUint16(t, uint16(r.new.get(atSport)))
	be.PutUint16(t[2:], uint16(r.new.get(atDport)))
	le.PutUint32(t[8:], old^right^crc32c(t))
}
