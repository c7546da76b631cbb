package ofsim

import (
	"math/rand/v2"
	"net/netip"
	"slices"
)

// gen draws random frames and flows from small pools, so that flows often match.
type gen struct{ *rand.Rand }

func newGen(seed uint64) gen { return gen{rand.New(rand.NewPCG(seed, 1))} }

func (g gen) chance(percent int) bool { return g.IntN(100) < percent }

func pick[T any](g gen, from ...T) T { return from[g.IntN(len(from))] }

func (g gen) mac() [6]byte {
	return pick(g, [6]byte{2, 0, 0, 0, 0, 1}, [6]byte{2, 0, 0, 0, 0, 2}, [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, [6]byte{0x33, 0x33, 0, 0, 0, 1})
}

func (g gen) ip4() netip.Addr {
	return netip.MustParseAddr(pick(g, "10.0.0.1", "10.0.0.2", "192.168.255.7", "0.0.0.0", "224.0.0.251"))
}

func (g gen) ip6() netip.Addr {
	return netip.MustParseAddr(pick(g, "2001:db8::1", "2001:db8::2", "fe80::1:2", "ff02::1", "::"))
}

func (g gen) port() uint16 { return pick[uint16](g, 0, 1, 80, 443, 53, 65535) }

func (g gen) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(g.Uint32())
	}
	return b
}

// frame draws a frame: mostly proper ones, some with something wrong.
func (g gen) frame() []byte {
	f := Frame{Dst: g.mac(), Src: g.mac()}
	if g.chance(25) {
		f.Tagged, f.Tag = true, pick[uint16](g, 0, 5, 0x6005, 0x1fff, 0xa064)
	}
	switch g.IntN(12) {
	case 0:
		f.EtherType = pick[uint16](g, 0x0806, 0x0806, 0x0806, 0x8035)
		f.Payload = ARP(pick[uint16](g, 1, 2, 3, 0, 256, 257), g.mac(), g.ip4(), g.mac(), g.ip4())
	case 1:
		f.EtherType = pick[uint16](g, 0x88cc, 0x8847, 0x0026, 0x8100, 0x88a8)
		f.Payload = g.bytes(g.IntN(40))
		if g.chance(30) {
			f.Payload = append([]byte{0xaa, 0xaa, 3, 0, 0, 0, 8, 0}, f.Payload...)
		}
	default:
		g.ip(&f)
	}
	b := f.Bytes()
	if g.chance(8) { // a second tag
		b = slices.Insert(b, 12, pick(g, []byte{0x81, 0}, []byte{0x88, 0xa8})...)
		b = slices.Insert(b, 14, pick(g, []byte{0, 7}, []byte{0x60, 5})...)
	}
	switch {
	case g.chance(4):
		b = b[:14+g.IntN(len(b)-13)]
	case g.chance(4):
		b = append(b, g.bytes(1+g.IntN(20))...)
	case g.chance(4) && len(b) > 14:
		b[14+g.IntN(min(len(b)-14, 60))] = byte(g.Uint32())
	}
	return b
}

func (g gen) ip(f *Frame) {
	v6 := g.chance(45)
	f.IPSrc, f.IPDst = g.ip4(), g.ip4()
	if v6 {
		f.IPSrc, f.IPDst = g.ip6(), g.ip6()
		f.Label = pick[uint32](g, 0, 7, 0xfffff)
		if g.chance(15) {
			f.First, f.Extensions = g.extensions(&f.Proto)
		}
	}
	f.TTL, f.TOS = pick[uint8](g, 64, 1, 255), pick[uint8](g, 0, 1, 0xb8, 0xff)
	data := g.bytes(g.IntN(30))
	switch g.IntN(6) {
	case 0, 1:
		f.Proto, f.Payload = protoTCP, TCP(g.port(), g.port(), 2, data)
	case 2:
		f.Proto, f.Payload = protoUDP, UDP(g.port(), g.port(), data)
	case 3:
		f.Proto, f.Payload = protoSCTP, SCTP(g.port(), g.port(), data)
	case 4:
		f.Proto, f.Payload = protoICMP, ICMP(pick[uint8](g, 0, 8, 3), pick[uint8](g, 0, 1), append(make([]byte, 4), data...))
		if v6 {
			f.Proto = protoICMP6
			f.Payload = ND(pick[uint8](g, 135, 136), g.ip6(), pick[uint8](g, 0, 1, 2), g.mac())
			switch g.IntN(4) {
			case 0:
				f.Payload = ICMP(128, 0, append(make([]byte, 4), data...))
			case 1:
				f.Payload = append(f.Payload, pick(g, []byte{1, 1, 2, 0, 0, 0, 0, 9}, []byte{2, 1, 2, 0, 0, 0, 0, 8}, []byte{14, 0, 0, 0, 0, 0, 0, 0})...)
			}
		}
	default:
		f.Proto, f.Payload = pick[uint8](g, 2, 47, 59, 0, 255), data
	}
	if g.chance(20) {
		f.Fragment, f.More = pick[uint16](g, 0, 0, 1, 185), g.chance(70)
	}
}

// extensions draws an IPv6 extension header chain; the last header's type is the caller's *proto
// later, so the chain is made for TCP.
func (g gen) extensions(*uint8) (uint8, []byte) {
	first := pick[uint8](g, 0, 60, 43, 51)
	h := []byte{protoTCP, 0, 0, byte(g.IntN(2)), 0, 0, 0, 0}
	if first == 51 {
		h[1] = 1
		h = append(h, 0, 0, 0, 0)
	}
	return first, h
}
