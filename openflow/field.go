package openflow

// fieldInfo says how a field looks on the wire and in text.
type fieldInfo struct {
	name string // ovs-ofctl spelling
	bits int
}

var fields = map[Field]fieldInfo{
	FieldInPort: {"in_port", 32}, FieldMetadata: {"metadata", 64},
	FieldEthDst: {"dl_dst", 48}, FieldEthSrc: {"dl_src", 48}, FieldEthType: {"dl_type", 16},
	FieldVLANVID: {"vlan_vid", 13}, FieldVLANPCP: {"vlan_pcp", 3}, FieldVLANTCI: {"vlan_tci", 16},
	FieldIPDSCP: {"ip_dscp", 6}, FieldIPECN: {"nw_ecn", 2}, FieldIPProto: {"nw_proto", 8},
	FieldIPFrag: {"ip_frag", 2}, FieldIPTTL: {"nw_ttl", 8},
	FieldIPv4Src: {"nw_src", 32}, FieldIPv4Dst: {"nw_dst", 32},
	FieldTCPSrc: {"tcp_src", 16}, FieldTCPDst: {"tcp_dst", 16},
	FieldUDPSrc: {"udp_src", 16}, FieldUDPDst: {"udp_dst", 16},
	FieldSCTPSrc: {"sctp_src", 16}, FieldSCTPDst: {"sctp_dst", 16},
	FieldICMPType: {"icmp_type", 8}, FieldICMPCode: {"icmp_code", 8},
	FieldARPOp: {"arp_op", 16}, FieldARPSPA: {"arp_spa", 32}, FieldARPTPA: {"arp_tpa", 32},
	FieldARPSHA: {"arp_sha", 48}, FieldARPTHA: {"arp_tha", 48},
	FieldIPv6Src: {"ipv6_src", 128}, FieldIPv6Dst: {"ipv6_dst", 128}, FieldIPv6Label: {"ipv6_label", 20},
	FieldICMPv6Type: {"icmpv6_type", 8}, FieldICMPv6Code: {"icmpv6_code", 8},
	FieldNDTarget: {"nd_target", 128}, FieldNDSLL: {"nd_sll", 48}, FieldNDTLL: {"nd_tll", 48},
	FieldTunnelID: {"tun_id", 64}, FieldTunSrc: {"tun_src", 32}, FieldTunDst: {"tun_dst", 32},
	FieldPktMark: {"pkt_mark", 32},
	FieldReg(0):  {"reg0", 32}, FieldReg(1): {"reg1", 32}, FieldReg(2): {"reg2", 32}, FieldReg(3): {"reg3", 32},
	FieldReg(4): {"reg4", 32}, FieldReg(5): {"reg5", 32}, FieldReg(6): {"reg6", 32}, FieldReg(7): {"reg7", 32},
	FieldReg(8): {"reg8", 32}, FieldReg(9): {"reg9", 32}, FieldReg(10): {"reg10", 32}, FieldReg(11): {"reg11", 32},
	FieldReg(12): {"reg12", 32}, FieldReg(13): {"reg13", 32}, FieldReg(14): {"reg14", 32}, FieldReg(15): {"reg15", 32},
}

// Known reports whether the package knows the field's width and name.
func (f Field) Known() bool { _, ok := fields[f]; return ok }

// Bits is the field's width in bits; zero for an unknown field.
func (f Field) Bits() int { return fields[f].bits }

// Size is the field's width on the wire in bytes; zero for an unknown field.
func (f Field) Size() int { return (fields[f].bits + 7) / 8 }

// String is the field's name as ovs-ofctl spells it.
func (f Field) String() string {
	if i, ok := fields[f]; ok {
		return i.name
	}
	return "field"
}
