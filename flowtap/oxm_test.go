package flowtap

import (
	"encoding/hex"

	"github.com/flowtap/flowtap/openflow"
)

// oxmNames are the names by which ovs-ofctl parse-oxm knows the fields, and their size on the
// wire where it is not the width of the value.
var oxmNames = map[openflow.Field]string{
	openflow.FieldMetadata: "OXM_OF_METADATA", openflow.FieldEthDst: "OXM_OF_ETH_DST",
	openflow.FieldEthSrc: "OXM_OF_ETH_SRC", openflow.FieldEthType: "OXM_OF_ETH_TYPE",
	openflow.FieldVLANVID: "OXM_OF_VLAN_VID", openflow.FieldVLANPCP: "OXM_OF_VLAN_PCP",
	openflow.FieldIPDSCP: "OXM_OF_IP_DSCP", openflow.FieldIPECN: "OXM_OF_IP_ECN",
	openflow.FieldIPProto: "OXM_OF_IP_PROTO", openflow.FieldIPFrag: "NXM_NX_IP_FRAG",
	openflow.FieldIPTTL: "NXM_NX_IP_TTL", openflow.FieldIPv4Src: "OXM_OF_IPV4_SRC",
	openflow.FieldIPv4Dst: "OXM_OF_IPV4_DST", openflow.FieldTCPSrc: "OXM_OF_TCP_SRC",
	openflow.FieldTCPDst: "OXM_OF_TCP_DST", openflow.FieldUDPSrc: "OXM_OF_UDP_SRC",
	openflow.FieldUDPDst: "OXM_OF_UDP_DST", openflow.FieldSCTPSrc: "OXM_OF_SCTP_SRC",
	openflow.FieldSCTPDst: "OXM_OF_SCTP_DST", openflow.FieldICMPType: "OXM_OF_ICMPV4_TYPE",
	openflow.FieldICMPCode: "OXM_OF_ICMPV4_CODE", openflow.FieldICMPv6Type: "OXM_OF_ICMPV6_TYPE",
	openflow.FieldICMPv6Code: "OXM_OF_ICMPV6_CODE", openflow.FieldARPOp: "OXM_OF_ARP_OP",
	openflow.FieldARPSPA: "OXM_OF_ARP_SPA", openflow.FieldARPTPA: "OXM_OF_ARP_TPA",
	openflow.FieldARPSHA: "OXM_OF_ARP_SHA", openflow.FieldARPTHA: "OXM_OF_ARP_THA",
	openflow.FieldIPv6Src: "OXM_OF_IPV6_SRC", openflow.FieldIPv6Dst: "OXM_OF_IPV6_DST",
	openflow.FieldIPv6Label: "OXM_OF_IPV6_FLABEL", openflow.FieldNDTarget: "OXM_OF_IPV6_ND_TARGET",
	openflow.FieldNDSLL: "OXM_OF_IPV6_ND_SLL", openflow.FieldNDTLL: "OXM_OF_IPV6_ND_TLL",
	openflow.FieldTunnelID: "OXM_OF_TUNNEL_ID", openflow.FieldTunSrc: "NXM_NX_TUN_IPV4_SRC",
	openflow.FieldTunDst: "NXM_NX_TUN_IPV4_DST",
	openflow.FieldReg(8): "NXM_NX_REG8", openflow.FieldReg(9): "NXM_NX_REG9",
	openflow.FieldReg(10): "NXM_NX_REG10", openflow.FieldReg(11): "NXM_NX_REG11",
	openflow.FieldReg(12): "NXM_NX_REG12", openflow.FieldReg(13): "NXM_NX_REG13",
	openflow.FieldReg(14): "NXM_NX_REG14", openflow.FieldReg(15): "NXM_NX_REG15",
}

// oxmText spells a match field as ovs-ofctl parse-oxm reads and prints it.
func oxmText(f openflow.MatchField) string {
	n := f.Field.Size()
	v, m := hex.EncodeToString(f.Value[:n]), hex.EncodeToString(f.Mask[:n])
	if f.Field == openflow.FieldIPv6Label && n == 3 { // four bytes on the wire
		v, m = "00"+v, "00"+m
	}
	name := oxmNames[f.Field]
	if name == "" {
		name = "no name for " + f.Field.String()
	}
	if f.Exact() {
		return name + "(" + v + ")"
	}
	return name + "_W(" + v + "/" + m + ")"
}
