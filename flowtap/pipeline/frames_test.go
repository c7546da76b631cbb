package pipeline

import (
	"fmt"
	"net/netip"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/openflow/ofsim"
	"github.com/flowtap/flowtap/topology"
)

// A frame in two forms: as bytes for switches, and as fields for the oracle, whose context (ports,
// metadata, tunnel) is filled in where it is looked at.
type frame struct {
	bytes []byte
	view  flowtap.Frame
}

func (f frame) String() string {
	v := f.view
	return fmt.Sprintf("%v -> %v type %#04x tci %#x, ip %v -> %v proto %d ports %d -> %d icmp %d, arp op %d sha %v spa %v tpa %v, nd %v %v %v\n%x", v.EthSrc, v.EthDst,
		v.EthType, v.TCI, v.IPSrc, v.IPDst, v.Proto, v.SrcPort, v.DstPort, v.ICMPType, v.ARPOp, v.ARPSHA, v.ARPSPA, v.ARPTPA, v.NDTarget, v.NDSLL, v.NDTLL, f.bytes)
}

func (f frame) multicast() bool { return f.view.EthDst.Multicast() }

// Addresses of the lab's ports: the same in every network.
func macOf(i int) topology.MAC { return topology.MAC{2, 0, 0, 0, 0, byte(i)} }
func ip4Of(i int) netip.Addr   { return netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}) }
func ip6Of(i int) netip.Addr {
	return netip.AddrFrom16([16]byte{0: 0x20, 1: 0x01, 2: 0x0d, 3: 0xb8, 15: byte(i)})
}

var (
	broadcast = topology.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	allNodes6 = topology.MAC{0x33, 0x33, 0, 0, 0, 1}
)

func compose(f ofsim.Frame, v flowtap.Frame) frame {
	v.EthSrc, v.EthDst = f.Src, f.Dst
	if f.Tagged {
		v.TCI = f.Tag | 0x1000
	}
	switch {
	case f.IPSrc.Is4():
		v.EthType = etherIPv4
	case f.IPSrc.IsValid():
		v.EthType = etherIPv6
	default:
		v.EthType = f.EtherType
	}
	if f.IPSrc.IsValid() {
		v.IPSrc, v.IPDst, v.Proto, v.TTL = f.IPSrc, f.IPDst, f.Proto, 64
	}
	return frame{f.Bytes(), v}
}

// transport makes a TCP or UDP frame, over IPv4 or IPv6 as the addresses are.
func transport(src, dst topology.MAC, from, to netip.Addr, proto uint8, sport, dport uint16) frame {
	f := ofsim.Frame{Src: src, Dst: dst, IPSrc: from, IPDst: to, Proto: proto, Payload: ofsim.TCP(sport, dport, 2, nil)}
	if proto == protoUDP {
		f.Payload = ofsim.UDP(sport, dport, []byte("data"))
	}
	return compose(f, flowtap.Frame{SrcPort: sport, DstPort: dport})
}

func ping(src, dst topology.MAC, from, to netip.Addr) frame {
	typ, proto := uint8(8), uint8(1)
	if from.Is6() {
		typ, proto = 128, protoICMPv6
	}
	return compose(ofsim.Frame{Src: src, Dst: dst, IPSrc: from, IPDst: to, Proto: proto,
		Payload: ofsim.ICMP(typ, 0, []byte("0000data"))}, flowtap.Frame{ICMPType: typ})
}

func arp(src, dst topology.MAC, op uint16, sha topology.MAC, spa, tpa netip.Addr) frame {
	return compose(ofsim.Frame{Src: src, Dst: dst, EtherType: etherARP, Payload: ofsim.ARP(op, sha, spa, [6]byte{}, tpa)},
		flowtap.Frame{ARPOp: op, ARPSHA: sha, ARPSPA: spa, ARPTPA: tpa})
}

// nd makes a neighbour solicitation or advertisement; a zero option is left out.
func nd(src, dst topology.MAC, from netip.Addr, typ uint8, target netip.Addr, option topology.MAC) frame {
	v := flowtap.Frame{ICMPType: typ, NDTarget: target}
	kind := uint8(0)
	if !option.IsZero() {
		kind = typ - neighborSolicit + 1
	}
	if typ == neighborSolicit {
		v.NDSLL = option
	} else {
		v.NDTLL = option
	}
	return compose(ofsim.Frame{Src: src, Dst: dst, IPSrc: from, IPDst: netip.MustParseAddr("ff02::1"), Proto: protoICMPv6,
		Payload: ofsim.ND(typ, target, kind, option)}, v)
}

func icmp6(src, dst topology.MAC, from netip.Addr, typ uint8) frame {
	return compose(ofsim.Frame{Src: src, Dst: dst, IPSrc: from, IPDst: netip.MustParseAddr("ff02::2"), Proto: protoICMPv6,
		Payload: ofsim.ICMP(typ, 0, make([]byte, 20))}, flowtap.Frame{ICMPType: typ})
}

func other(src, dst topology.MAC) frame {
	return compose(ofsim.Frame{Src: src, Dst: dst, EtherType: 0x88b5, Payload: []byte("experiment")}, flowtap.Frame{})
}

// tagged puts an 802.1Q tag on a frame.
func (f frame) tagged(tci uint16) frame {
	b := append([]byte(nil), f.bytes[:12]...)
	b = append(b, 0x81, 0, byte(tci>>8), byte(tci))
	f.bytes = append(b, f.bytes[12:]...)
	f.view.TCI = tci | 0x1000
	return f
}
