package flowtap

import (
	"slices"

	"github.com/flowtap/flowtap/openflow"
)

// A Cube is one conjunction of masked fields, as a flow entry can match it. The prerequisites of
// every field are in it, and every field is in the encoding in which Open vSwitch gives it back.
type Cube struct {
	// InPort is the id of the port that the frame entered by; empty for any.
	InPort string
	// ToPort is the id of the port that the frame goes to; empty for any. Only replies have it.
	ToPort string
	// Table is the tap stage, In or Out; empty for both.
	Table  Direction
	Fields openflow.Match
}

// Cubes gives the cubes of the flow: a frame has the flow if and only if it is in one of them at
// least. A range of ports becomes the fewest prefixes, at most 30; a field that IPv4 and IPv6
// share becomes one cube for each.
//
// Open vSwitch shows ports of first fragments only where the switch handles fragments as
// "nx-match" (ovs-ofctl(8), set-frags); by default it shows zeros.
func (m Match) Cubes() []Cube { return m.form().cubes() }

func (f *form) cubes() []Cube {
	var out []Cube
	for _, e := range f.etherTypes() {
		for _, tags := range f.tagFields() {
			for _, icmp := range f.icmpTypes() {
				for _, src := range f.portMasks(fieldPortSrc) {
					for _, dst := range f.portMasks(fieldPortDst) {
						fields := f.commonFields(e)
						fields = append(fields, tags...)
						fields = append(fields, f.l4Fields(src, dst, icmp)...)
						slices.SortFunc(fields, func(a, b openflow.MatchField) int { return int(a.Field) - int(b.Field) })
						out = append(out, Cube{f.inPort, f.toPort, f.stage, fields})
					}
				}
			}
		}
	}
	return out
}

// etherTypes gives the frame types that the form needs a cube for; one without a constraint where
// any frame will do.
func (f *form) etherTypes() []constraint {
	if _, ip := f.hasAny(ipFields...); !ip || f.has(fieldEthType) {
		return []constraint{f.cons[fieldEthType]}
	}
	full := fieldEthType.full()
	return []constraint{{low(typeIPv4), full}, {low(typeIPv6), full}}
}

// commonFields gives the fields that have one encoding, with the frame type e.
func (f *form) commonFields(e constraint) openflow.Match {
	var out openflow.Match
	for x := range numFields {
		c := f.cons[x]
		if x == fieldEthType {
			c = e
		}
		if wire := fieldTable[x].wire; wire != 0 && !c.mask.zero() {
			out = append(out, c.wire(wire))
		}
	}
	return out
}

// wire encodes a constraint as a match field.
func (c constraint) wire(w openflow.Field) openflow.MatchField {
	v, m := c.value.bytes16(), c.mask.bytes16()
	return openflow.BytesMask(w, v[16-w.Size():], m[16-w.Size():])
}

// tagFields gives the ways to match the TCI by VLAN_VID and VLAN_PCP. On OpenFlow 1.3 Open vSwitch
// 3.1 reports no other fields, the priority always whole and only beside a tag, so a mask that
// covers part of the priority becomes one cube a priority.
func (f *form) tagFields() []openflow.Match {
	v, m := f.cons[fieldTCI].value.lo, f.cons[fieldTCI].mask.lo
	vid := func(v, m uint64) openflow.MatchField {
		return openflow.UintMask(openflow.FieldVLANVID, v, m&(tciVID|tciPresent))
	}
	var out []openflow.Match
	switch {
	case m == 0:
		return []openflow.Match{nil}
	case m&tciPresent != 0 && v == 0, m&tciPCP == 0:
		return []openflow.Match{{vid(v, m)}}
	case m&tciPresent == 0: // zeros, of a tag or of none
		out = append(out, openflow.Match{vid(0, 0xffff)})
	}
	for pcp := range uint64(8) {
		if pcp<<13&m == v&tciPCP {
			out = append(out, openflow.Match{
				vid(v|tciPresent, m|tciPresent), openflow.Uint(openflow.FieldVLANPCP, pcp)})
		}
	}
	return out
}

// icmpTypes gives the ICMP types to match; the target of neighbour discovery is in two.
func (f *form) icmpTypes() []constraint {
	if full := fieldICMPType.full(); f.has(fieldNDTarget) && !f.has(fieldICMPType) {
		return []constraint{{low(ndSolicit), full}, {low(ndAdvert), full}}
	}
	return []constraint{f.cons[fieldICMPType]}
}

// portMasks gives the fewest prefixes that make up the field's range, or its mask.
func (f *form) portMasks(x field) []constraint {
	if s := f.ports[x-fieldPortSrc]; s != allPorts {
		return s.prefixes()
	}
	return []constraint{f.cons[x]}
}

func (s span) prefixes() []constraint {
	var out []constraint
	for at := uint32(s.first); at <= uint32(s.last); {
		size := uint32(1)
		for size < 1<<16 && at&(size*2-1) == 0 && at+size*2-1 <= uint32(s.last) {
			size *= 2
		}
		out = append(out, constraint{low(uint64(at)), low(uint64(0x10000 - size))})
		at += size
	}
	return out
}

// l4Fields gives ports, ICMP type and code, and the fragments that can have them.
func (f *form) l4Fields(src, dst, icmpType constraint) openflow.Match {
	var out openflow.Match
	zeros, some := true, false // all values may be zero; there is any
	add := func(w openflow.Field, c constraint) {
		if !c.mask.zero() {
			out = append(out, c.wire(w))
			zeros, some = zeros && c.value.zero(), true
		}
	}
	switch proto, _ := f.exact(fieldProto); proto {
	case protoTCP:
		add(openflow.FieldTCPSrc, src)
		add(openflow.FieldTCPDst, dst)
	case protoUDP:
		add(openflow.FieldUDPSrc, src)
		add(openflow.FieldUDPDst, dst)
	case protoSCTP:
		add(openflow.FieldSCTPSrc, src)
		add(openflow.FieldSCTPDst, dst)
	case protoICMP:
		add(openflow.FieldICMPType, icmpType)
		add(openflow.FieldICMPCode, f.cons[fieldICMPCode])
	case protoICMPv6:
		add(openflow.FieldICMPv6Type, icmpType)
		add(openflow.FieldICMPv6Code, f.cons[fieldICMPCode])
	}
	frags := f.frags
	if some && zeros {
		// Open vSwitch shows zeros where a later fragment has no ports.
		frags &^= fragLater
	}
	if c := fragBits[frags]; !c.mask.zero() {
		out = append(out, c.wire(openflow.FieldIPFrag))
	}
	return out
}

// fragBits encode a set of fragment kinds as ovs-fields(7) does: 1 is a fragment, 2 a later one.
var fragBits = map[fragSet]constraint{
	fragAny: {}, fragNo: {low(0), low(3)}, fragFirst: {low(1), low(3)}, fragLater: {low(3), low(3)},
	fragFirst | fragLater: {low(1), low(1)}, fragNo | fragFirst: {low(0), low(2)},
}
