package openflow

import "fmt"

func ip6(last byte) []byte { return append([]byte{0xfd, 0, 0, 1}, append(make([]byte, 11), last)...) }

func prefix(n int) []byte {
	m := make([]byte, 16)
	for i := 0; i < n; i++ {
		m[i/8] |= 0x80 >> (i % 8)
	}
	return m
}

// matchCases has every field that this package names, exact and, where Open vSwitch takes masks,
// masked, each with the fields that it needs.
func matchCases() map[string]Match {
	ipv4, ipv6 := Uint(FieldEthType, 0x0800), Uint(FieldEthType, 0x86dd)
	arp := Uint(FieldEthType, 0x0806)
	proto := func(n uint64) MatchField { return Uint(FieldIPProto, n) }
	mac := []byte{2, 0, 0, 0, 0, 5}
	cases := map[string][]MatchField{
		"everything": {}, "in_port": {Uint(FieldInPort, 2)}, "in_port local": {Uint(FieldInPort, uint64(PortLocal))},
		"metadata":    {Uint(FieldMetadata, 1<<63|5)},
		"metadata/":   {UintMask(FieldMetadata, 0x500, 0xff00)},
		"eth_type":    {Uint(FieldEthType, 0x88cc)},
		"vlan_vid":    {Uint(FieldVLANVID, 0x1005)},
		"no vlan":     {Uint(FieldVLANVID, 0)},
		"any vlan":    {UintMask(FieldVLANVID, 0x1000, 0x1000)},
		"vlan_vid/":   {UintMask(FieldVLANVID, 0x1004, 0x100c)},
		"vlan_pcp":    {Uint(FieldVLANVID, 0x1005), Uint(FieldVLANPCP, 3)},
		"vlan_pcp 0":  {Uint(FieldVLANVID, 0x1005), Uint(FieldVLANPCP, 0)},
		"tci":         {Uint(FieldVLANTCI, 0x7005)},
		"tci none":    {Uint(FieldVLANTCI, 0)},
		"tci vid":     {UintMask(FieldVLANTCI, 0x1005, 0x1fff)},
		"tci present": {UintMask(FieldVLANTCI, 0x1000, 0x1000)},
		"tci pcp":     {UintMask(FieldVLANTCI, 0x7000, 0xf000)},
		"ip_dscp":     {ipv4, Uint(FieldIPDSCP, 46)},
		"ip_dscp v6":  {ipv6, Uint(FieldIPDSCP, 46)},
		"nw_ecn":      {ipv4, Uint(FieldIPECN, 2)},
		"nw_proto":    {ipv4, proto(47)},
		"frag no":     {ipv4, Uint(FieldIPFrag, 0)},
		"frag yes":    {ipv4, UintMask(FieldIPFrag, 1, 1)},
		"frag first":  {ipv4, Uint(FieldIPFrag, 1)},
		"frag later":  {ipv6, Uint(FieldIPFrag, 3)},
		"frag notl":   {ipv4, UintMask(FieldIPFrag, 0, 2)},
		"nw_ttl":      {ipv4, Uint(FieldIPTTL, 64)},
		"nw_ttl v6":   {ipv6, Uint(FieldIPTTL, 1)},
		"icmp":        {ipv4, proto(1), Uint(FieldICMPType, 8), Uint(FieldICMPCode, 1)},
		"icmpv6":      {ipv6, proto(58), Uint(FieldICMPv6Type, 128), Uint(FieldICMPv6Code, 1)},
		"arp_op":      {arp, Uint(FieldARPOp, 2)},
		"label":       {ipv6, Uint(FieldIPv6Label, 0xabcde)},
		"label/":      {ipv6, UintMask(FieldIPv6Label, 0xa0000, 0xf0000)},
		"tun_id":      {Uint(FieldTunnelID, 1<<40|1)},
		"tun_id/":     {UintMask(FieldTunnelID, 0x30, 0xf0)},
		"pkt_mark":    {Uint(FieldPktMark, 9)},
		"pkt_mark/":   {UintMask(FieldPktMark, 1<<31, 1<<31)},
		"many": {Uint(FieldInPort, 1), ipv4, proto(6), Uint(FieldTCPDst, 80), Uint(FieldTCPSrc, 5), Uint(FieldIPTTL, 3),
			Uint(FieldIPFrag, 0), Uint(FieldReg(0), 1), UintMask(FieldReg(7), 6, 6), Uint(FieldTunnelID, 9),
			Uint(FieldTunSrc, 0x01020304), Uint(FieldIPDSCP, 1), Uint(FieldIPECN, 1)},
	}
	addr := func(name string, f Field, need ...MatchField) {
		with := func(m MatchField) []MatchField { return append([]MatchField{m}, need...) }
		cases[name] = with(Uint(f, 0x0a000001))
		cases[name+"/8"] = with(UintMask(f, 0x0a000000, 0xff000000))
		cases[name+"/odd"] = with(UintMask(f, 0x00000001, 0x00000003))
	}
	addr("nw_src", FieldIPv4Src, ipv4)
	addr("nw_dst", FieldIPv4Dst, ipv4)
	addr("arp_spa", FieldARPSPA, arp)
	addr("arp_tpa", FieldARPTPA, arp)
	addr("tun_src", FieldTunSrc)
	addr("tun_dst", FieldTunDst)
	ether := func(name string, f Field, need ...MatchField) {
		with := func(m MatchField) []MatchField { return append([]MatchField{m}, need...) }
		cases[name] = with(Bytes(f, mac))
		cases[name+"/"] = with(BytesMask(f, []byte{1, 0, 0, 0, 0, 0}, []byte{1, 0, 0, 0, 0, 0}))
	}
	ether("dl_src", FieldEthSrc)
	ether("dl_dst", FieldEthDst)
	ether("arp_sha", FieldARPSHA, arp)
	ether("arp_tha", FieldARPTHA, arp)
	ether("nd_sll", FieldNDSLL, ipv6, proto(58), Uint(FieldICMPv6Type, 135), Uint(FieldICMPv6Code, 0))
	ether("nd_tll", FieldNDTLL, ipv6, proto(58), Uint(FieldICMPv6Type, 136), Uint(FieldICMPv6Code, 0))
	long := func(name string, f Field, need ...MatchField) {
		with := func(m MatchField) []MatchField { return append([]MatchField{m}, need...) }
		cases[name] = with(Bytes(f, ip6(1)))
		cases[name+"/64"] = with(BytesMask(f, ip6(0), prefix(64)))
		cases[name+"/odd"] = with(BytesMask(f, ip6(1), append([]byte{0xff}, ip6(1)[1:]...)))
	}
	long("ipv6_src", FieldIPv6Src, ipv6)
	long("ipv6_dst", FieldIPv6Dst, ipv6)
	long("nd_target", FieldNDTarget, ipv6, proto(58), Uint(FieldICMPv6Type, 135), Uint(FieldICMPv6Code, 0))
	for name, p := range map[string]struct {
		proto uint64
		field Field
	}{
		"tcp_src": {6, FieldTCPSrc}, "tcp_dst": {6, FieldTCPDst}, "udp_src": {17, FieldUDPSrc},
		"udp_dst": {17, FieldUDPDst}, "sctp_src": {132, FieldSCTPSrc}, "sctp_dst": {132, FieldSCTPDst},
	} {
		cases[name] = []MatchField{ipv4, proto(p.proto), Uint(p.field, 80)}
		cases[name+" v6/"] = []MatchField{ipv6, proto(p.proto), UintMask(p.field, 0x400, 0xfc00)}
	}
	for n := 0; n < 16; n++ {
		cases[fmt.Sprintf("reg%d", n)] = []MatchField{Uint(FieldReg(n), uint64(n))}
		cases[fmt.Sprintf("reg%d/", n)] = []MatchField{UintMask(FieldReg(n), 0x10, 0xf0)}
	}
	matches := map[string]Match{}
	for name, fields := range cases {
		m, err := NewMatch(fields...)
		if err != nil {
			panic(err)
		}
		matches[name] = m
	}
	return matches
}

// actionCases has every action, and set_field of every field that can be written.
func actionCases() map[string]Flow {
	ipv4, ipv6 := Uint(FieldEthType, 0x0800), Uint(FieldEthType, 0x86dd)
	flows := map[string]Flow{
		"drop":          {},
		"goto":          {Goto: 9},
		"meter":         {Meter: 1, Apply: []Action{Output{Port: 1}}, Goto: 9},
		"output":        {Apply: []Action{Output{Port: 1}, Output{Port: 2}}},
		"controller":    {Apply: []Action{Output{Port: PortController, MaxLen: 0xffff}, Output{Port: PortController, MaxLen: 128}}},
		"reserved":      {Apply: []Action{Output{Port: PortInPort}, Output{Port: PortNormal}, Output{Port: PortFlood}, Output{Port: PortAll}, Output{Port: PortLocal}}},
		"output_reg":    {Apply: []Action{OutputField{Field: FieldReg(3), MaxLen: 0xffff}}},
		"output_trunc":  {Apply: []Action{OutputTruncate{Port: 2, MaxLen: 96}, OutputTruncate{Port: PortLocal, MaxLen: 0x10000}}},
		"group":         {Apply: []Action{ApplyGroup{ID: 1}, Output{Port: 2}}},
		"resubmit":      {Apply: []Action{Resubmit{Port: PortInPort, Table: 9}, Resubmit{Port: 3, Table: 9}, Resubmit{Port: PortLocal, Table: 9}}},
		"resubmit here": {Apply: []Action{Resubmit{Port: 7, Table: TableAll}}},
		"push_vlan":     {Apply: []Action{PushVLAN{EtherType: 0x8100}, Set(FieldVLANVID, 0x1007), Set(FieldVLANPCP, 3), Output{Port: 1}}},
		"push_vlan ad":  {Apply: []Action{PushVLAN{EtherType: 0x88a8}, Output{Port: 1}}},
		"pop_vlan":      {Match: Match{Uint(FieldVLANVID, 0x1005)}, Apply: []Action{PopVLAN{}, Output{Port: 1}}},
		"raw":           {Match: Match{ipv4}, Apply: []Action{RawAction{Bytes: []byte{0, 24, 0, 8, 0, 0, 0, 0}}, Output{Port: 1}}},
		"multipath": {Apply: []Action{
			Multipath{Fields: HashSymmetricL4, Basis: 50, Links: 8, Field: FieldReg(0), Bits: 4},
			Multipath{Fields: HashSymmetricL3L4UDP, Algorithm: LinkHighestWeight, Links: 1 << 16, Arg: 7, Field: FieldReg(9), Offset: 16, Bits: 16},
			Multipath{Fields: HashSymmetricL3, Algorithm: LinkIterative, Links: 1, Field: FieldMetadata, Offset: 63, Bits: 1},
		}},
		"bits": {Apply: []Action{
			Load{To: Bits{FieldPktMark, 16, 16}, Value: 0xffff}, Load{To: Bits{FieldMetadata, 63, 1}, Value: 1},
			Move{Bits{FieldInPort, 0, 16}, Bits{FieldPktMark, 16, 16}}, Move{Bits{FieldReg(9), 5, 1}, Bits{FieldMetadata, 63, 1}}, Output{Port: 1}}},
		"clone": {Apply: []Action{
			Clone{Actions: []Action{OutputTruncate{Port: PortInPort, MaxLen: 14}, Resubmit{Port: PortInPort, Table: 9}}},
			Clone{Actions: []Action{Set(FieldReg(2), 5), Clone{Actions: []Action{PushVLAN{EtherType: 0x8100}, Set(FieldVLANVID, 0x1002), Output{Port: 2}}}, ApplyGroup{ID: 1}}},
			Output{Port: 1}}},
		"clone nothing": {Apply: []Action{Clone{}, Output{Port: 1}}},
		"clear_actions": {Other: []byte{0, 5, 0, 8, 0, 0, 0, 0}, Goto: 9},
		"write_metadata": {Other: []byte{0, 2, 0, 24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 255, 255, 255, 255, 255, 255, 255, 255},
			Meter: 1, Goto: 9},
	}
	set := func(f Field, need ...MatchField) {
		a := SetField{Field: f}
		for i := 0; i < f.Size(); i++ {
			a.Value[i] = byte(i + 1)
		}
		if f.Bits() < 64 {
			a = Set(f, 1)
		}
		if f == FieldVLANVID {
			a = Set(f, 0x1001) // a tag must be there
		}
		m, _ := NewMatch(need...)
		flows["set "+f.String()] = Flow{Match: m, Apply: []Action{a, Output{Port: 1}}}
	}
	for _, f := range []Field{FieldInPort, FieldMetadata, FieldEthDst, FieldEthSrc, FieldTunnelID, FieldTunSrc, FieldTunDst, FieldPktMark} {
		set(f)
	}
	for n := 0; n < 16; n++ {
		set(FieldReg(n))
	}
	for _, f := range []Field{FieldIPDSCP, FieldIPECN, FieldIPTTL, FieldIPv4Src, FieldIPv4Dst} {
		set(f, ipv4)
	}
	for _, f := range []Field{FieldIPv6Src, FieldIPv6Dst, FieldIPv6Label} {
		set(f, ipv6)
	}
	for _, f := range []Field{FieldARPOp, FieldARPSPA, FieldARPTPA, FieldARPSHA, FieldARPTHA} {
		set(f, Uint(FieldEthType, 0x0806))
	}
	for f, p := range map[Field]uint64{FieldTCPSrc: 6, FieldTCPDst: 6, FieldUDPSrc: 17, FieldUDPDst: 17, FieldSCTPSrc: 132, FieldSCTPDst: 132,
		FieldICMPType: 1, FieldICMPCode: 1} {
		set(f, ipv4, Uint(FieldIPProto, p))
	}
	for f, typ := range map[Field]uint64{FieldNDTarget: 135, FieldNDSLL: 135, FieldNDTLL: 136} {
		set(f, ipv6, Uint(FieldIPProto, 58), Uint(FieldICMPv6Type, typ), Uint(FieldICMPv6Code, 0))
	}
	set(FieldICMPv6Type, ipv6, Uint(FieldIPProto, 58))
	set(FieldICMPv6Code, ipv6, Uint(FieldIPProto, 58))
	set(FieldVLANVID, Uint(FieldVLANVID, 0x1005))
	set(FieldVLANPCP, Uint(FieldVLANVID, 0x1005))
	set(FieldVLANTCI)
	return flows
}

// flowCases gives every case a priority of its own, so that a whole dump can be compared.
func flowCases() map[string]Flow {
	flows := map[string]Flow{}
	for name, m := range matchCases() {
		flows["match "+name] = Flow{Match: m, Apply: []Action{Output{Port: 1}}}
	}
	for name, f := range actionCases() {
		flows["actions "+name] = f
	}
	n := uint16(0)
	for name, f := range flows {
		n++
		f.Table, f.Priority, f.Cookie = TableID(n%4), n, uint64(n)<<40|7
		flows[name] = f
	}
	return flows
}
