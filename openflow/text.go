package openflow

import (
	"fmt"
	"math/bits"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// String is the flow as `ovs-ofctl -O OpenFlow13 add-flow` reads it. What the package does not
// model (Other, RawAction, unknown fields) appears in hexadecimal, which ovs-ofctl does not read.
func (f Flow) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "cookie=0x%x,table=%d,priority=%d", f.Cookie, f.Table, f.Priority)
	if len(f.Match) > 0 {
		b.WriteString("," + f.Match.String())
	}
	b.WriteString(",actions=")
	var parts []string
	if f.Meter != 0 {
		parts = append(parts, fmt.Sprintf("meter:%d", f.Meter))
	}
	if len(f.Apply) > 0 {
		parts = append(parts, ActionsString(f.Apply))
	}
	if len(f.Other) > 0 {
		parts = append(parts, fmt.Sprintf("instructions(%x)", f.Other))
	}
	if f.Goto != 0 {
		parts = append(parts, fmt.Sprintf("goto_table:%d", f.Goto))
	}
	if len(parts) == 0 {
		parts = []string{"drop"}
	}
	b.WriteString(strings.Join(parts, ","))
	return b.String()
}

var groupTypeNames = map[GroupType]string{
	GroupTypeAll: "all", GroupTypeSelect: "select", GroupTypeIndirect: "indirect", GroupTypeFastFailover: "ff",
}

// String is the type as ovs-ofctl spells it.
func (t GroupType) String() string {
	if s, ok := groupTypeNames[t]; ok {
		return s
	}
	return strconv.Itoa(int(t))
}

// String is the group as `ovs-ofctl -O OpenFlow13 add-group` reads it, which knows weights in
// select groups only.
func (g Group) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "group_id=%d,type=%v", uint32(g.ID), g.Type)
	for _, k := range g.Buckets {
		b.WriteString(",bucket=")
		if g.Type == GroupTypeSelect {
			fmt.Fprintf(&b, "weight:%d,", k.Weight)
		}
		if k.WatchPort != PortAny {
			fmt.Fprintf(&b, "watch_port:%s,", portString(k.WatchPort))
		}
		if k.WatchGroup != GroupAny {
			fmt.Fprintf(&b, "watch_group:%d,", uint32(k.WatchGroup))
		}
		b.WriteString("actions=" + ActionsString(k.Actions))
	}
	return b.String()
}

// String is the match as ovs-ofctl reads it; empty when it matches every frame.
func (m Match) String() string {
	var parts []string
	for _, basic := range [...]bool{true, false} {
		for _, f := range m {
			if (f.Field.Class() == classBasic) == basic {
				parts = append(parts, f.String())
			}
		}
	}
	return strings.Join(parts, ",")
}

// String is the field as ovs-ofctl reads it, such as "nw_dst=10.0.0.0/8".
func (m MatchField) String() string {
	if m.Raw != "" {
		return fmt.Sprintf("%v=0x%x", m.Field, m.Raw[min(4, len(m.Raw)):])
	}
	if m.Field == FieldIPFrag {
		if s, ok := fragNames[[2]byte{m.Value[0], m.Mask[0]}]; ok {
			return "ip_frag=" + s
		}
	}
	exact := m.Exact()
	s := m.Field.String() + "=" + m.Field.value(m.Value, exact)
	if exact && m.Field != FieldVLANVID { // ovs-ofctl takes a bare vlan_vid for 12 bits
		return s
	}
	if n, ok := m.prefix(); ok {
		return s + "/" + strconv.Itoa(n)
	}
	return s + "/" + m.Field.value(m.Mask, false)
}

// fragNames are the spellings of ip_frag by value and mask.
var fragNames = map[[2]byte]string{
	{0, 3}: "no", {1, 1}: "yes", {1, 3}: "first", {3, 3}: "later", {0, 2}: "not_later",
}

// prefix is the length of an IP mask that is a prefix.
func (m MatchField) prefix() (int, bool) {
	switch m.Field.form() {
	case formIPv4, formIPv6:
	default:
		return 0, false
	}
	n, size := 0, m.Field.Size()
	for _, x := range m.Mask[:size] {
		n += bits.OnesCount8(x)
	}
	want := [16]byte{}
	for i := 0; i < n; i++ {
		want[i/8] |= 0x80 >> (i % 8)
	}
	return n, m.Mask == want
}

// form is how ovs-ofctl writes values of a field.
type form int

const (
	formHex form = iota
	formDecimal
	formPort
	formMAC
	formIPv4
	formIPv6
)

func (f Field) form() form {
	switch f {
	case FieldInPort:
		return formPort
	case FieldEthDst, FieldEthSrc, FieldARPSHA, FieldARPTHA, FieldNDSLL, FieldNDTLL:
		return formMAC
	case FieldIPv4Src, FieldIPv4Dst, FieldARPSPA, FieldARPTPA, FieldTunSrc, FieldTunDst:
		return formIPv4
	case FieldIPv6Src, FieldIPv6Dst, FieldNDTarget:
		return formIPv6
	case FieldIPProto, FieldIPDSCP, FieldIPECN, FieldIPTTL, FieldVLANPCP, FieldICMPType, FieldICMPCode,
		FieldICMPv6Type, FieldICMPv6Code, FieldARPOp, FieldTCPSrc, FieldTCPDst, FieldUDPSrc, FieldUDPDst,
		FieldSCTPSrc, FieldSCTPDst:
		return formDecimal
	}
	return formHex
}

// value writes a value or mask of the field; decimal only where it is a whole value.
func (f Field) value(v [16]byte, whole bool) string {
	n := MatchField{Field: f, Value: v}.Uint64()
	switch f.form() {
	case formMAC:
		return net.HardwareAddr(v[:6]).String()
	case formIPv4:
		return netip.AddrFrom4([4]byte(v[:4])).String()
	case formIPv6:
		return netip.AddrFrom16(v).String()
	case formPort:
		return portString(PortNo(n))
	case formDecimal:
		if whole {
			return strconv.FormatUint(n, 10)
		}
	}
	return "0x" + strconv.FormatUint(n, 16)
}

var portNames = map[PortNo]string{
	PortInPort: "IN_PORT", PortTable: "TABLE", PortNormal: "NORMAL", PortFlood: "FLOOD", PortAll: "ALL",
	PortController: "CONTROLLER", PortLocal: "LOCAL", PortAny: "ANY",
}

func portString(p PortNo) string {
	if s, ok := portNames[p]; ok {
		return s
	}
	return strconv.FormatUint(uint64(p), 10)
}

// ActionsString is the list as ovs-ofctl reads it; "drop" when it is empty.
func ActionsString(actions []Action) string {
	if len(actions) == 0 {
		return "drop"
	}
	parts := make([]string, len(actions))
	for i, a := range actions {
		parts[i] = actionString(a)
	}
	return strings.Join(parts, ",")
}

func actionString(a Action) string {
	switch a := a.(type) {
	case Output:
		if a.Port == PortController {
			return fmt.Sprintf("CONTROLLER:%d", a.MaxLen)
		}
		return "output:" + portString(a.Port)
	case OutputField:
		return fmt.Sprintf("output:%v[0..%d]", a.Field, a.Field.Bits()-1)
	case OutputTruncate:
		return fmt.Sprintf("output(port=%s,max_len=%d)", portString(a.Port), a.MaxLen)
	case ApplyGroup:
		return fmt.Sprintf("group:%d", uint32(a.ID))
	case SetField:
		return fmt.Sprintf("set_field:%s->%v", a.Field.value(a.Value, true), a.Field)
	case Resubmit:
		if a.Table == TableAll {
			return "resubmit:" + portString(a.Port)
		}
		if a.Port == PortInPort {
			return fmt.Sprintf("resubmit(,%d)", a.Table)
		}
		return fmt.Sprintf("resubmit(%s,%d)", portString(a.Port), a.Table)
	case PushVLAN:
		return fmt.Sprintf("push_vlan:0x%04x", a.EtherType)
	case PopVLAN:
		return "pop_vlan"
	case Multipath:
		return a.String()
	case Load:
		return fmt.Sprintf("load:0x%x->%v", a.Value, a.To)
	case Move:
		return fmt.Sprintf("move:%v->%v", a.From, a.To)
	case Clone:
		if len(a.Actions) == 0 {
			return "clone()"
		}
		return "clone(" + ActionsString(a.Actions) + ")"
	case RawAction:
		return fmt.Sprintf("raw(%x)", a.Bytes)
	}
	return fmt.Sprintf("%T", a)
}
