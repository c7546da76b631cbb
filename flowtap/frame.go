package flowtap

import (
	"net/netip"

	"github.com/flowtap/flowtap/topology"
)

// Frame is a frame as contracts see it: the values of the fields that a match can ask for. Fields
// of a protocol that the frame does not carry are ignored. It says which frames have a flow in
// the plainest way, as the reference for everything that compiles matches.
type Frame struct {
	InPort, ToPort string    // ids of the ports that it entered by and goes to
	Table          Direction // tap stage at which it is looked at
	TCI            uint16    // zero without a VLAN tag; else priority (3 bits), 1, VLAN (12 bits)
	EthSrc, EthDst topology.MAC
	EthType        uint16 // behind the tag

	IPSrc, IPDst     netip.Addr // both of the family of EthType
	Proto, TOS, TTL  uint8      // TOS with the two bits of ECN
	Label            uint32     // IPv6
	Fragment         Fragment
	SrcPort, DstPort uint16 // TCP, UDP, SCTP
	ICMPType         uint8  // ICMP over IPv4, ICMPv6 over IPv6
	ICMPCode         uint8

	NDTarget     netip.Addr
	NDSLL, NDTLL topology.MAC // zero without the option

	ARPOp          uint16
	ARPSHA, ARPTHA topology.MAC
	ARPSPA, ARPTPA netip.Addr

	TunID          uint64 // zero when it did not come by tunnel
	TunSrc, TunDst netip.Addr
	Metadata       uint64
	Regs           [8]uint32 // reg8 to reg15
}

// Fragment is the kind of IP fragment that a frame is, as in ovs-fields(7).
type Fragment uint8

// Kinds of fragment.
const (
	NoFragment    Fragment = 0
	FirstFragment Fragment = 1
	LaterFragment Fragment = 3
)

// Matches reports whether the frame has the flow.
func (m Match) Matches(f Frame) bool { return m.form().matches(&f) }

func (m *form) matches(f *Frame) bool {
	if m.inPort != "" && m.inPort != f.InPort || m.toPort != "" && m.toPort != f.ToPort ||
		m.stage != "" && m.stage != f.Table {
		return false
	}
	for x := range numFields {
		if !m.has(x) {
			continue
		}
		v, ok := f.value(x)
		if !ok || v.and(m.cons[x].mask) != m.cons[x].value {
			return false
		}
		switch x {
		case fieldPortSrc, fieldPortDst:
			if s := m.ports[x-fieldPortSrc]; v.lo < uint64(s.first) || v.lo > uint64(s.last) {
				return false
			}
		case fieldFrag:
			kind := map[Fragment]fragSet{NoFragment: fragNo, FirstFragment: fragFirst, LaterFragment: fragLater}
			if m.frags&kind[f.Fragment] == 0 {
				return false
			}
		}
	}
	return true
}

// value gives a field of the frame, or false where the frame has no such field.
func (f *Frame) value(x field) (word, bool) {
	ip4, ip6 := f.EthType == typeIPv4, f.EthType == typeIPv6
	ip := ip4 || ip6
	arp := f.EthType == typeARP || f.EthType == typeRARP
	l4 := ip && f.Fragment != LaterFragment
	ports := l4 && (f.Proto == protoTCP || f.Proto == protoUDP || f.Proto == protoSCTP)
	icmp := l4 && (ip4 && f.Proto == protoICMP || ip6 && f.Proto == protoICMPv6)
	nd := icmp && ip6 && f.ICMPCode == 0
	switch x {
	case fieldTCI:
		return low(uint64(f.TCI)), true
	case fieldEthSrc:
		return wordOf(f.EthSrc[:]), true
	case fieldEthDst:
		return wordOf(f.EthDst[:]), true
	case fieldEthType:
		return low(uint64(f.EthType)), true
	case fieldIPSrc, fieldIPv6Src:
		return wordOf(f.IPSrc.AsSlice()), ip && ip4 == (x == fieldIPSrc)
	case fieldIPDst, fieldIPv6Dst:
		return wordOf(f.IPDst.AsSlice()), ip && ip4 == (x == fieldIPDst)
	case fieldProto:
		return low(uint64(f.Proto)), ip
	case fieldDSCP:
		return low(uint64(f.TOS >> 2)), ip
	case fieldECN:
		return low(uint64(f.TOS & 3)), ip
	case fieldTTL:
		return low(uint64(f.TTL)), ip
	case fieldFrag:
		return word{}, ip
	case fieldPortSrc:
		return low(uint64(f.SrcPort)), ports
	case fieldPortDst:
		return low(uint64(f.DstPort)), ports
	case fieldICMPType:
		return low(uint64(f.ICMPType)), icmp
	case fieldICMPCode:
		return low(uint64(f.ICMPCode)), icmp
	case fieldARPSHA:
		return wordOf(f.ARPSHA[:]), arp
	case fieldARPTHA:
		return wordOf(f.ARPTHA[:]), arp
	case fieldARPSPA:
		return wordOf(f.ARPSPA.AsSlice()), arp
	case fieldARPTPA:
		return wordOf(f.ARPTPA.AsSlice()), arp
	case fieldARPOp:
		return low(uint64(f.ARPOp)), arp && f.ARPOp <= 0xff
	case fieldIPv6Label:
		return low(uint64(f.Label)), ip6
	case fieldNDTarget:
		return wordOf(f.NDTarget.AsSlice()), nd && (f.ICMPType == ndSolicit || f.ICMPType == ndAdvert)
	case fieldNDSLL:
		return wordOf(f.NDSLL[:]), nd && f.ICMPType == ndSolicit
	case fieldNDTLL:
		return wordOf(f.NDTLL[:]), nd && f.ICMPType == ndAdvert
	case fieldTunID:
		return low(f.TunID), true
	case fieldTunSrc:
		return wordOf(f.TunSrc.AsSlice()), true
	case fieldTunDst:
		return wordOf(f.TunDst.AsSlice()), true
	case fieldMetadata:
		return low(f.Metadata), true
	}
	return low(uint64(f.Regs[x-fieldReg8])), true
}
