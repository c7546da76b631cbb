package ofsim

import (
	"encoding/binary"
	"hash/crc32"
	"net/netip"
)

// A Frame describes a frame to build. Set L3 and L4 by the helpers below; Bytes has right lengths
// and checksums.
type Frame struct {
	Dst, Src [6]byte
	// Tag is the 802.1Q tag control information, Tagged says that there is one.
	Tagged bool
	Tag    uint16
	// EtherType goes before Payload unless an address says IPv4 or IPv6.
	EtherType uint16
	Payload   []byte

	// IPSrc and IPDst, both IPv4 or both IPv6, put an IP header before Payload.
	IPSrc, IPDst netip.Addr
	Proto        uint8
	// TTL is the hop limit too; zero means 64.
	TTL   uint8
	TOS   uint8
	Label uint32 // IPv6
	// Extensions are IPv6 extension headers, the chain without its first type, which is First.
	Extensions []byte
	First      uint8
	// Fragment is the offset in 8-byte units, More the flag. Either makes the frame a fragment,
	// whose Payload is sent as it is.
	Fragment uint16
	More     bool
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func crc32c(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// TCP gives a TCP segment with the flag bits given; the checksum comes with the Frame.
func TCP(src, dst uint16, flags uint8, data []byte) []byte {
	b := be.AppendUint16(be.AppendUint16(nil, src), dst)
	b = append(b, 0, 0, 0, 1, 0, 0, 0, 0, 5<<4, flags, 0xff, 0xff, 0, 0, 0, 0)
	return append(b, data...)
}

// UDP gives a UDP datagram; the checksum comes with the Frame.
func UDP(src, dst uint16, data []byte) []byte {
	b := be.AppendUint16(be.AppendUint16(nil, src), dst)
	b = be.AppendUint16(b, uint16(8+len(data)))
	return append(append(b, 0, 0), data...)
}

// SCTP gives an SCTP packet with its checksum.
func SCTP(src, dst uint16, chunks []byte) []byte {
	b := be.AppendUint16(be.AppendUint16(nil, src), dst)
	b = append(append(b, 0, 0, 0, 1, 0, 0, 0, 0), chunks...)
	binary.LittleEndian.PutUint32(b[8:], crc32c(b))
	return b
}

// ICMP gives an ICMP or ICMPv6 message; the checksum comes with the Frame.
func ICMP(typ, code uint8, rest []byte) []byte { return append([]byte{typ, code, 0, 0}, rest...) }

// ND gives a neighbour solicitation (135) or advertisement (136) with a link-layer address option:
// of the source (1) or the target (2); none for option 0.
func ND(typ uint8, target netip.Addr, option uint8, mac [6]byte) []byte {
	t := target.As16()
	b := append(make([]byte, 4), t[:]...)
	if option != 0 {
		b = append(append(b, option, 1), mac[:]...)
	}
	return ICMP(typ, 0, b)
}

// ARP gives an ARP packet for IPv4: the Payload of EtherType 0x0806.
func ARP(op uint16, sha [6]byte, spa netip.Addr, tha [6]byte, tpa netip.Addr) []byte {
	b := be.AppendUint16([]byte{0, 1, 8, 0, 6, 4}, op)
	s, t := spa.As4(), tpa.As4()
	b = append(append(b, sha[:]...), s[:]...)
	return append(append(b, tha[:]...), t[:]...)
}

// Bytes is the frame without padding and frame check sequence.
func (f Frame) Bytes() []byte {
	b := append(append([]byte(nil), f.Dst[:]...), f.Src[:]...)
	if f.Tagged {
		b = be.AppendUint16(be.AppendUint16(b, etherVLAN), f.Tag)
	}
	switch {
	case f.IPSrc.Is4():
		return f.ipv4(be.AppendUint16(b, etherIPv4))
	case f.IPSrc.IsValid():
		return f.ipv6(be.AppendUint16(b, etherIPv6))
	}
	return append(be.AppendUint16(b, f.EtherType), f.Payload...)
}

func (f Frame) ttl() uint8 {
	if f.TTL == 0 {
		return 64
	}
	return f.TTL
}

func (f Frame) ipv4(b []byte) []byte {
	at := len(b)
	b = append(b, 0x45, f.TOS)
	b = be.AppendUint16(b, uint16(20+len(f.Payload)))
	b = be.AppendUint16(b, 1)
	off := f.Fragment
	if f.More {
		off |= 0x2000
	}
	b = be.AppendUint16(b, off)
	b = append(b, f.ttl(), f.Proto, 0, 0)
	s, d := f.IPSrc.As4(), f.IPDst.As4()
	b = append(append(b, s[:]...), d[:]...)
	be.PutUint16(b[at+10:], checksum(0, b[at:]))
	return f.transport(b, s[:], d[:])
}

func (f Frame) ipv6(b []byte) []byte {
	ext, first := f.Extensions, f.First
	if len(ext) == 0 {
		first = f.Proto
	}
	if f.Fragment != 0 || f.More {
		off := f.Fragment << 3
		if f.More {
			off |= 1
		}
		h := be.AppendUint16([]byte{first, 0}, off)
		ext, first = append(append(h, 0, 0, 0, 1), ext...), 44
	}
	b = be.AppendUint32(b, 6<<28|uint32(f.TOS)<<20|f.Label&0xfffff)
	b = be.AppendUint16(b, uint16(len(ext)+len(f.Payload)))
	b = append(b, first, f.ttl())
	s, d := f.IPSrc.As16(), f.IPDst.As16()
	b = append(append(b, s[:]...), d[:]...)
	return f.transport(append(b, ext...), s[:], d[:])
}

// transport appends the payload and fills in its checksum.
func (f Frame) transport(b, src, dst []byte) []byte {
	at := len(b)
	b = append(b, f.Payload...)
	p := b[at:]
	if f.Fragment != 0 || f.More {
		return b
	}
	sum := uint32(f.Proto) + uint32(len(p))
	for i := 0; i < len(src); i += 2 {
		sum += uint32(be.Uint16(src[i:])) + uint32(be.Uint16(dst[i:]))
	}
	switch {
	case f.Proto == protoTCP && len(p) >= 20:
		be.PutUint16(p[16:], checksum(sum, p))
	case f.Proto == protoUDP && len(p) >= 8:
		c := checksum(sum, p)
		if c == 0 {
			c = 0xffff
		}
		be.PutUint16(p[6:], c)
	case f.Proto == protoICMP && len(p) >= 4:
		be.PutUint16(p[2:], checksum(0, p))
	case f.Proto == protoICMP6 && len(p) >= 4:
		be.PutUint16(p[2:], checksum(sum, p))
	}
	return b
}

// checksum is the Internet checksum (RFC 1071), starting from sum.
func checksum(sum uint32, b []byte) uint16 {
	for i := 0; i < len(b); i += 2 {
		v := uint32(b[i]) << 8
		if i+1 < len(b) {
			v |= uint32(b[i+1])
		}
		sum += v
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}
