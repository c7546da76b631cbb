package flowtap

import (
	"fmt"

	"github.com/flowtap/flowtap/topology"
)

// fieldErr names a field of a match in an error.
func fieldErr(name, format string, args ...any) error {
	return &topology.FieldError{Field: "match." + name, Detail: fmt.Sprintf(format, args...)}
}

var (
	ndFields   = []field{fieldNDTarget, fieldNDSLL, fieldNDTLL}
	arpFields  = []field{fieldARPSHA, fieldARPTHA, fieldARPSPA, fieldARPTPA, fieldARPOp}
	ip4Fields  = []field{fieldIPSrc, fieldIPDst}
	ip6Fields  = []field{fieldIPv6Src, fieldIPv6Dst, fieldIPv6Label}
	ipFields   = []field{fieldProto, fieldDSCP, fieldECN, fieldTTL, fieldFrag}
	portFields = []field{fieldPortSrc, fieldPortDst}
	icmpFields = []field{fieldICMPType, fieldICMPCode}
)

// normalSteps in their order: what implies comes before what checks the implied.
var normalSteps = [...]func(*form) error{
	(*form).normalTCI, (*form).normalND, (*form).normalARP, (*form).normalAddresses,
	(*form).normalICMP, (*form).normalPorts, (*form).normalIP, (*form).normalFrags,
}

// normalize adds the prerequisites that follow and brings every constraint to its one form, so
// that equal forms mean equal sets of frames wherever the fields alone decide it. The error names
// the field for which no frame is left. After it has returned nil, some frame satisfies the form.
func (f *form) normalize() error {
	for _, step := range normalSteps {
		if err := step(f); err != nil {
			return err
		}
	}
	if f.inPort != "" && f.inPort == f.toPort {
		return fieldErr("in_port", "no frame goes back to the port it came from")
	}
	return nil
}

// Bits of a tag control information as Open vSwitch sees it: 0 without a tag, and tciPresent set
// with one.
const (
	tciVID     = 0x0fff
	tciPresent = 0x1000
	tciPCP     = 0xe000
)

// normalTCI: a frame without a tag has a TCI of zero, so a match on any one bit says "tagged",
// and a match on "not tagged" fixes all bits.
func (f *form) normalTCI() error {
	c := &f.cons[fieldTCI]
	v, m := c.value.lo, c.mask.lo
	switch {
	case m&tciPresent != 0 && v&tciPresent == 0:
		if v != 0 {
			return fieldErr("vlan_tci", "a frame without a tag has neither VLAN nor priority")
		}
		m = 0xffff
	case v != 0:
		v, m = v|tciPresent, m|tciPresent
	}
	*c = constraint{low(v), low(m)}
	return nil
}

// imply demands an exact value of another field on behalf of field x.
func (f *form) imply(x, need field, v uint64) error {
	have, set := f.exact(need)
	if set && have != v {
		return fieldErr(x.name(), "needs %s, but the match says %s",
			formatField(need, constraint{low(v), need.full()}), formatField(need, f.cons[need]))
	}
	f.andExact(need, v)
	return nil
}

// normalND: neighbour discovery messages are ICMPv6 types 135 (which has nd_sll) and 136 (which
// has nd_tll), code 0; Open vSwitch reads no nd_ fields from others.
func (f *form) normalND() error {
	x, ok := f.hasAny(ndFields...)
	if !ok {
		return nil
	}
	for _, need := range []struct {
		f field
		v uint64
	}{{fieldEthType, typeIPv6}, {fieldProto, protoICMPv6}, {fieldICMPCode, 0}} {
		if err := f.imply(x, need.f, need.v); err != nil {
			return err
		}
	}
	if f.has(fieldNDSLL) {
		if err := f.imply(fieldNDSLL, fieldICMPType, ndSolicit); err != nil {
			return err
		}
	}
	if f.has(fieldNDTLL) {
		if err := f.imply(fieldNDTLL, fieldICMPType, ndAdvert); err != nil {
			return err
		}
	}
	if t, set := f.exact(fieldICMPType); set && t != ndSolicit && t != ndAdvert {
		return fieldErr(x.name(), "needs icmp_type=%d or %d, but the match says icmp_type=%d", ndSolicit, ndAdvert, t)
	}
	return nil
}

func (f *form) normalARP() error {
	x, ok := f.hasAny(arpFields...)
	if t, _ := f.exact(fieldEthType); !ok || t == typeRARP {
		return nil
	}
	return f.imply(x, fieldEthType, typeARP)
}

func (f *form) normalAddresses() error {
	if x, ok := f.hasAny(ip4Fields...); ok {
		if t, _ := f.exact(fieldEthType); t == typeARP || t == typeRARP {
			return fieldErr(x.name(), "is the address of an IPv4 packet; in ARP use arp_spa and arp_tpa")
		}
		if err := f.imply(x, fieldEthType, typeIPv4); err != nil {
			return err
		}
	}
	if x, ok := f.hasAny(ip6Fields...); ok {
		return f.imply(x, fieldEthType, typeIPv6)
	}
	return nil
}

// normalICMP: each ICMP belongs to its own IP. As a protocol number alone it may stand in the
// other one too, if dl_type says so.
func (f *form) normalICMP() error {
	proto, _ := f.exact(fieldProto)
	_, typed := f.exact(fieldEthType)
	family, icmp := uint64(typeIPv4), proto == protoICMP || proto == protoICMPv6
	if proto == protoICMPv6 {
		family = typeIPv6
	}
	x, ok := f.hasAny(icmpFields...)
	switch {
	case ok && !icmp:
		return fieldErr(x.name(), "needs nw_proto=ICMP or nw_proto=ICMPv6")
	case ok:
		return f.imply(x, fieldEthType, family)
	case icmp && !typed:
		f.andExact(fieldEthType, family)
	}
	return nil
}

// normalPorts: a mask that is a prefix is a range; every other mask is no range.
func (f *form) normalPorts() error {
	for _, x := range portFields {
		c := f.cons[x]
		if n, prefix := c.mask.prefixLen(16); prefix && n > 0 {
			f.cons[x] = constraint{}
			if first := uint16(c.value.lo); !f.andSpan(x, span{first, first | ^uint16(c.mask.lo)}) {
				return fieldErr(x.name(), "no port has both this mask and this range")
			}
		}
		if _, some := f.firstPort(x); !some {
			return fieldErr(x.name(), "no port has both this mask and this range")
		}
		if !f.has(x) {
			continue
		}
		if proto, set := f.exact(fieldProto); !set || proto != protoTCP && proto != protoUDP && proto != protoSCTP {
			return fieldErr(x.name(), "needs nw_proto=TCP, UDP or SCTP")
		}
	}
	return nil
}

func (f *form) normalIP() error {
	x, ok := f.hasAny(ipFields...)
	if t, set := f.exact(fieldEthType); ok && set && t != typeIPv4 && t != typeIPv6 {
		return fieldErr(x.name(), "is a field of IP packets, but the match says dl_type=0x%04x", t)
	}
	return nil
}

// normalFrags: later fragments carry neither ports nor ICMP types, so whoever matches those has
// excluded them already.
func (f *form) normalFrags() error {
	if x, ok := f.hasAny(append(portFields[:2:2], icmpFields...)...); ok {
		// The set stays "any" in the form when only later fragments are excluded: one spelling.
		if f.frags&^fragLater == 0 {
			return fieldErr(x.name(), "later fragments have no %s", x.name())
		}
		if f.frags &^= fragLater; f.frags == fragNo|fragFirst {
			f.frags = fragAny
		}
	}
	if f.frags == 0 {
		return fieldErr("ip_frag", "no frame is both")
	}
	return nil
}
