package flowtap

import (
	"net/netip"
	"strings"

	"pgregory.net/rapid"

	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/topology"
)

// Values are drawn from few, so that what is drawn apart often meets.
var (
	someMACs   = []string{"02:00:00:00:00:01", "02:00:00:00:00:02", "01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00"}
	someIPv4   = []string{"10.0.0.1", "10.0.0.2", "10.0.1.1", "192.168.0.1", "0.0.0.0"}
	someIPv6   = []string{"fe80::1", "fe80::2", "2001:db8::1", "::"}
	somePorts  = []uint16{0, 1, 22, 80, 443, 1000, 1023, 1024, 1999, 65535}
	someIDs    = []string{"web", "db", "ids1"}
	someNumber = []string{"0", "1", "2", "5", "64"}
	someTypes  = []string{"0x0800", "0x86dd", "0x0806", "0x8035", "0x88cc"}
	someProtos = []string{"TCP", "UDP", "SCTP", "ICMP", "ICMPv6", "47"}
)

// fieldText draws a value for a field, often masked.
func fieldText(t *rapid.T, name string) string {
	pick := func(from []string, masks ...string) string {
		v := rapid.SampledFrom(from).Draw(t, name)
		if len(masks) > 0 && rapid.Bool().Draw(t, name+" masked") {
			v += "/" + rapid.SampledFrom(masks).Draw(t, name+" mask")
		}
		return v
	}
	switch name {
	case "in_port":
		return pick(someIDs)
	case "table":
		return pick([]string{"in", "out"})
	case "dl_vlan":
		return pick([]string{"0", "5", "0xffff"})
	case "dl_vlan_pcp":
		return pick([]string{"0", "3"})
	case "vlan_tci":
		return pick([]string{"0", "0x1005", "0x3005", "0x7000"}, "0x1000", "0x1fff", "0x2000", "0xe000", "0x0fff", "0xcfff", "0xf000", "0x2005")
	case "dl_src", "dl_dst", "arp_sha", "arp_tha", "nd_sll", "nd_tll":
		return pick(someMACs, "01:00:00:00:00:00", "00:00:00:00:00:03")
	case "dl_type":
		return pick(someTypes)
	case "nw_src", "nw_dst", "arp_spa", "arp_tpa", "tun_src", "tun_dst":
		return pick(someIPv4, "0", "8", "24", "0.0.0.3")
	case "ipv6_src", "ipv6_dst", "nd_target":
		return pick(someIPv6, "0", "16", "64", "::3")
	case "nw_proto":
		return pick(someProtos)
	case "nw_tos":
		return pick([]string{"0", "184"})
	case "nw_ecn", "icmp_code":
		return pick([]string{"0", "1"})
	case "ip_frag":
		return pick([]string{"any", "no", "yes", "first", "later", "not_later"})
	case "tp_src", "tp_dst":
		a, b := rapid.SampledFrom(somePorts).Draw(t, name), rapid.SampledFrom(somePorts).Draw(t, name)
		if rapid.Bool().Draw(t, name+" range") {
			return span{min(a, b), max(a, b)}.String()
		}
		return pick([]string{"0", "80", "1999"}, "0x0001", "0xff00", "0x00ff")
	case "icmp_type":
		return pick([]string{"0", "8", "135", "136"})
	case "arp_op":
		return pick([]string{"1", "2"})
	}
	return pick(someNumber, "0x1", "0x3", "0xff") // ipv6_label, tun_id, metadata, registers
}

// families keep drawn fields compatible most of the time.
var families = [][]string{
	{"dl_vlan", "dl_vlan_pcp", "vlan_tci", "dl_src", "dl_dst", "dl_type"},
	{"dl_type", "nw_src", "nw_dst", "nw_proto", "nw_tos", "nw_ecn", "nw_ttl", "ip_frag"},
	{"nw_proto", "ip_frag", "tp_src", "tp_dst"},
	{"nw_proto", "ip_frag", "icmp_type", "icmp_code", "nw_src"},
	{"dl_type", "arp_sha", "arp_tha", "arp_spa", "arp_tpa", "arp_op"},
	{"ipv6_src", "ipv6_dst", "ipv6_label", "nw_proto", "tp_dst"},
	{"nd_target", "nd_sll", "nd_tll", "icmp_type", "icmp_code", "ipv6_src", "ip_frag"},
	{"in_port", "table", "tun_id", "tun_src", "tun_dst", "metadata", "reg8", "reg15", "nw_proto"},
}

// aMatch draws a match that can be.
var aMatch = rapid.Custom(func(t *rapid.T) Match {
	for {
		var words []string
		names := rapid.SampledFrom(families).Draw(t, "family")
		if rapid.IntRange(0, 4).Draw(t, "mixed") == 0 {
			names = append(append([]string{}, names...), rapid.SampledFrom(families).Draw(t, "family")...)
		}
		seen := map[string]bool{}
		for _, name := range names {
			if !seen[name] && rapid.Bool().Draw(t, "has "+name) {
				words = append(words, name+"="+fieldText(t, name))
			}
			seen[name] = true
		}
		if m, err := ParseMatch(strings.Join(words, ";")); err == nil {
			return m
		}
	}
})

// aFrame draws a frame.
var aFrame = rapid.Custom(func(t *rapid.T) Frame {
	mac := func(name string) (m topology.MAC) {
		w, err := fieldTable[fieldEthSrc].parse(rapid.SampledFrom(someMACs).Draw(t, name))
		if err != nil {
			panic(err)
		}
		b := w.bytes16()
		copy(m[:], b[10:])
		return m
	}
	ip := func(name string, from []string) netip.Addr {
		return netip.MustParseAddr(rapid.SampledFrom(from).Draw(t, name))
	}
	id := func(name string) string { return rapid.SampledFrom(someIDs).Draw(t, name) }
	num := func(name string, from ...uint64) uint64 { return rapid.SampledFrom(from).Draw(t, name) }
	f := Frame{
		InPort: id("in"), ToPort: id("to"), Table: rapid.SampledFrom([]Direction{In, Out}).Draw(t, "table"),
		TCI:    uint16(num("tci", 0, 0x1000, 0x1005, 0x3005, 0x7000, 0x7005)),
		EthSrc: mac("src"), EthDst: mac("dst"),
		EthType: uint16(num("type", 0x0800, 0x86dd, 0x0806, 0x8035, 0x88cc)),
		Proto:   uint8(num("proto", 6, 17, 132, 1, 58, 47)), TOS: uint8(num("tos", 0, 1, 184, 185)), TTL: uint8(num("ttl", 0, 1, 64)),
		Label:    uint32(num("label", 0, 1, 2, 5)),
		Fragment: rapid.SampledFrom([]Fragment{NoFragment, FirstFragment, LaterFragment}).Draw(t, "fragment"),
		SrcPort:  rapid.SampledFrom(somePorts).Draw(t, "sport"), DstPort: rapid.SampledFrom(somePorts).Draw(t, "dport"),
		ICMPType: uint8(num("icmp type", 0, 8, 135, 136)), ICMPCode: uint8(num("icmp code", 0, 0, 1)),
		NDTarget: ip("target", someIPv6), NDSLL: mac("sll"), NDTLL: mac("tll"),
		ARPOp: uint16(num("op", 1, 2)), ARPSHA: mac("sha"), ARPTHA: mac("tha"), ARPSPA: ip("spa", someIPv4), ARPTPA: ip("tpa", someIPv4),
		TunID: num("tunnel", 0, 1, 5), TunSrc: ip("tunsrc", someIPv4), TunDst: ip("tundst", someIPv4),
		Metadata: num("metadata", 0, 1, 5), Regs: [8]uint32{0: uint32(num("reg8", 0, 1, 5)), 7: uint32(num("reg15", 0, 1, 5))},
	}
	addrs := someIPv4
	if f.EthType == typeIPv6 {
		addrs = someIPv6
	}
	f.IPSrc, f.IPDst = ip("ipsrc", addrs), ip("ipdst", addrs)
	if f.ICMPCode == 0 && f.ICMPType >= ndSolicit && rapid.Bool().Draw(t, "ND") {
		f.EthType, f.Proto, f.Fragment = typeIPv6, protoICMPv6, NoFragment
		f.IPSrc, f.IPDst = ip("ipsrc", someIPv6), ip("ipdst", someIPv6)
	}
	if f.InPort == f.ToPort { // no frame goes back
		f.ToPort = "elsewhere"
	}
	return f
})

// shown gives the fields of a frame as Open vSwitch shows them to flows: zero where there is none.
func (f *Frame) shown() map[openflow.Field][16]byte {
	out := map[openflow.Field][16]byte{}
	set := func(w openflow.Field, v word, ok bool) {
		if ok {
			b := v.bytes16()
			var value [16]byte
			copy(value[:], b[16-w.Size():])
			out[w] = value
		}
	}
	for x := range numFields {
		if w := fieldTable[x].wire; w != 0 && x != fieldFrag {
			v, ok := f.value(x)
			set(w, v, ok)
		}
	}
	ip := f.EthType == typeIPv4 || f.EthType == typeIPv6
	set(openflow.FieldVLANVID, low(uint64(f.TCI&0x1fff)), true)
	set(openflow.FieldVLANPCP, low(uint64(f.TCI>>13)), true)
	set(openflow.FieldIPFrag, low(uint64(f.Fragment)), ip)
	for x, by := range map[field]map[uint8]openflow.Field{
		fieldPortSrc:  {protoTCP: openflow.FieldTCPSrc, protoUDP: openflow.FieldUDPSrc, protoSCTP: openflow.FieldSCTPSrc},
		fieldPortDst:  {protoTCP: openflow.FieldTCPDst, protoUDP: openflow.FieldUDPDst, protoSCTP: openflow.FieldSCTPDst},
		fieldICMPType: {protoICMP: openflow.FieldICMPType, protoICMPv6: openflow.FieldICMPv6Type},
		fieldICMPCode: {protoICMP: openflow.FieldICMPCode, protoICMPv6: openflow.FieldICMPv6Code},
	} {
		if w, ok := by[f.Proto]; ok {
			v, has := f.value(x)
			set(w, v, has)
		}
	}
	return out
}

// in reports whether a frame is in a cube.
func (c Cube) has(f Frame) bool {
	if c.InPort != "" && c.InPort != f.InPort || c.ToPort != "" && c.ToPort != f.ToPort || c.Table != "" && c.Table != f.Table {
		return false
	}
	shown := f.shown()
	for _, m := range c.Fields {
		v := shown[m.Field]
		for i := range v {
			if v[i]&m.Mask[i] != m.Value[i] {
				return false
			}
		}
	}
	return true
}

func inAny(cubes []Cube, f Frame) bool {
	for _, c := range cubes {
		if c.has(f) {
			return true
		}
	}
	return false
}

// reversed exchanges source and destination of a frame.
func (f Frame) reversed() Frame {
	f.InPort, f.ToPort = f.ToPort, f.InPort
	f.EthSrc, f.EthDst = f.EthDst, f.EthSrc
	f.IPSrc, f.IPDst = f.IPDst, f.IPSrc
	f.SrcPort, f.DstPort = f.DstPort, f.SrcPort
	f.ARPSHA, f.ARPTHA, f.ARPSPA, f.ARPTPA = f.ARPTHA, f.ARPSHA, f.ARPTPA, f.ARPSPA
	f.TunSrc, f.TunDst = f.TunDst, f.TunSrc
	return f
}

func addr4(b [16]byte) netip.Addr { return netip.AddrFrom4([4]byte(b[12:])) }
func addr6(b [16]byte) netip.Addr { return netip.AddrFrom16(b) }
