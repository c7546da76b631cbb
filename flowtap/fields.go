package flowtap

import "github.com/flowtap/flowtap/openflow"

// field numbers the value-and-mask fields of a match in canonical order. Fields with a shape of
// their own are not here: in_port and table are names, dl_vlan, dl_vlan_pcp and vlan_tci are
// together fieldTCI, ip_frag is a set of fragment kinds, tp_src and tp_dst may also be ranges.
type field int

const (
	fieldTCI field = iota
	fieldEthSrc
	fieldEthDst
	fieldEthType
	fieldIPSrc
	fieldIPDst
	fieldProto
	fieldDSCP
	fieldECN
	fieldTTL
	fieldFrag // a place in the order only
	fieldPortSrc
	fieldPortDst
	fieldICMPType
	fieldICMPCode
	fieldARPSHA
	fieldARPTHA
	fieldARPSPA
	fieldARPTPA
	fieldARPOp
	fieldIPv6Src
	fieldIPv6Dst
	fieldIPv6Label
	fieldNDTarget
	fieldNDSLL
	fieldNDTLL
	fieldTunID
	fieldTunSrc
	fieldTunDst
	fieldMetadata
	fieldReg8
	fieldReg15 = fieldReg8 + 7
	numFields  = fieldReg15 + 1
)

// syntax is how a field's value is written.
type syntax int

const (
	asDecimal syntax = iota
	asHex
	asHex16 // four digits
	asMAC
	asIPv4
	asIPv6
	asProto
	asPort // decimal, range or value/mask
)

// fieldInfo describes one field. A field that is not maskable takes single values only, as in
// ovs-fields(7).
type fieldInfo struct {
	name     string
	bits     int
	syntax   syntax
	maskable bool
	wire     openflow.Field // zero where it depends on other fields
}

var fieldTable = [numFields]fieldInfo{
	fieldTCI:       {"vlan_tci", 16, asHex16, true, 0},
	fieldEthSrc:    {"dl_src", 48, asMAC, true, openflow.FieldEthSrc},
	fieldEthDst:    {"dl_dst", 48, asMAC, true, openflow.FieldEthDst},
	fieldEthType:   {"dl_type", 16, asHex16, false, openflow.FieldEthType},
	fieldIPSrc:     {"nw_src", 32, asIPv4, true, openflow.FieldIPv4Src},
	fieldIPDst:     {"nw_dst", 32, asIPv4, true, openflow.FieldIPv4Dst},
	fieldProto:     {"nw_proto", 8, asProto, false, openflow.FieldIPProto},
	fieldDSCP:      {"nw_tos", 6, asDecimal, false, openflow.FieldIPDSCP},
	fieldECN:       {"nw_ecn", 2, asDecimal, false, openflow.FieldIPECN},
	fieldTTL:       {"nw_ttl", 8, asDecimal, false, openflow.FieldIPTTL},
	fieldFrag:      {"ip_frag", 0, asDecimal, false, openflow.FieldIPFrag},
	fieldPortSrc:   {"tp_src", 16, asPort, true, 0},
	fieldPortDst:   {"tp_dst", 16, asPort, true, 0},
	fieldICMPType:  {"icmp_type", 8, asDecimal, false, 0},
	fieldICMPCode:  {"icmp_code", 8, asDecimal, false, 0},
	fieldARPSHA:    {"arp_sha", 48, asMAC, true, openflow.FieldARPSHA},
	fieldARPTHA:    {"arp_tha", 48, asMAC, true, openflow.FieldARPTHA},
	fieldARPSPA:    {"arp_spa", 32, asIPv4, true, openflow.FieldARPSPA},
	fieldARPTPA:    {"arp_tpa", 32, asIPv4, true, openflow.FieldARPTPA},
	fieldARPOp:     {"arp_op", 16, asDecimal, false, openflow.FieldARPOp},
	fieldIPv6Src:   {"ipv6_src", 128, asIPv6, true, openflow.FieldIPv6Src},
	fieldIPv6Dst:   {"ipv6_dst", 128, asIPv6, true, openflow.FieldIPv6Dst},
	fieldIPv6Label: {"ipv6_label", 20, asHex, true, openflow.FieldIPv6Label},
	fieldNDTarget:  {"nd_target", 128, asIPv6, true, openflow.FieldNDTarget},
	fieldNDSLL:     {"nd_sll", 48, asMAC, true, openflow.FieldNDSLL},
	fieldNDTLL:     {"nd_tll", 48, asMAC, true, openflow.FieldNDTLL},
	fieldTunID:     {"tun_id", 64, asHex, true, openflow.FieldTunnelID},
	fieldTunSrc:    {"tun_src", 32, asIPv4, true, openflow.FieldTunSrc},
	fieldTunDst:    {"tun_dst", 32, asIPv4, true, openflow.FieldTunDst},
	fieldMetadata:  {"metadata", 64, asHex, true, openflow.FieldMetadata},
	fieldReg8:      {"reg8", 32, asHex, true, openflow.FieldReg(8)},
	fieldReg8 + 1:  {"reg9", 32, asHex, true, openflow.FieldReg(9)},
	fieldReg8 + 2:  {"reg10", 32, asHex, true, openflow.FieldReg(10)},
	fieldReg8 + 3:  {"reg11", 32, asHex, true, openflow.FieldReg(11)},
	fieldReg8 + 4:  {"reg12", 32, asHex, true, openflow.FieldReg(12)},
	fieldReg8 + 5:  {"reg13", 32, asHex, true, openflow.FieldReg(13)},
	fieldReg8 + 6:  {"reg14", 32, asHex, true, openflow.FieldReg(14)},
	fieldReg15:     {"reg15", 32, asHex, true, openflow.FieldReg(15)},
}

func (f field) name() string { return fieldTable[f].name }
func (f field) full() word   { return ones(fieldTable[f].bits) }

// fieldByName finds a field by its canonical name.
var fieldByName = func() map[string]field {
	m := make(map[string]field, numFields)
	for f, info := range fieldTable {
		m[info.name] = field(f)
	}
	return m
}()

// An alias is another name that ovs-fields(7) has for a field, with the protocol it implies.
type alias struct {
	name  string
	proto uint8 // zero: none
}

var aliases = map[string]alias{
	"eth_src": {"dl_src", 0}, "eth_dst": {"dl_dst", 0}, "eth_type": {"dl_type", 0},
	"vlan_pcp": {"dl_vlan_pcp", 0},
	"ip_src":   {"nw_src", 0}, "ip_dst": {"nw_dst", 0}, "ip_proto": {"nw_proto", 0},
	"ip_tos": {"nw_tos", 0}, "ip_ecn": {"nw_ecn", 0}, "ip_ttl": {"nw_ttl", 0}, "nw_frag": {"ip_frag", 0},
	"tcp_src": {"tp_src", protoTCP}, "tcp_dst": {"tp_dst", protoTCP},
	"udp_src": {"tp_src", protoUDP}, "udp_dst": {"tp_dst", protoUDP},
	"sctp_src": {"tp_src", protoSCTP}, "sctp_dst": {"tp_dst", protoSCTP},
	"icmpv6_type": {"icmp_type", protoICMPv6}, "icmpv6_code": {"icmp_code", protoICMPv6},
	"tunnel_id": {"tun_id", 0},
}

// Ethertypes and protocols that fields depend on.
const (
	typeIPv4 = 0x0800
	typeARP  = 0x0806
	typeRARP = 0x8035
	typeIPv6 = 0x86dd

	protoICMP   = 1
	protoTCP    = 6
	protoUDP    = 17
	protoICMPv6 = 58
	protoSCTP   = 132

	ndSolicit = 135
	ndAdvert  = 136
)

// A shorthand stands for a frame type and a protocol; zero is none.
type shorthand struct {
	etherType uint16
	proto     uint8
}

// shorthands of ovs-ofctl(8). There tcp, udp and sctp mean IPv4 only; here they mean the protocol
// over IPv4 and IPv6, as nw_proto=TCP does, so that a tap on TCP does not miss IPv6. Whoever wants
// one of them adds ip or ipv6.
var shorthands = map[string]shorthand{
	"ip": {typeIPv4, 0}, "ipv4": {typeIPv4, 0}, "ipv6": {typeIPv6, 0}, "arp": {typeARP, 0}, "rarp": {typeRARP, 0},
	"icmp": {typeIPv4, protoICMP}, "icmp6": {typeIPv6, protoICMPv6}, "icmpv6": {typeIPv6, protoICMPv6},
	"tcp": {0, protoTCP}, "tcp6": {typeIPv6, protoTCP},
	"udp": {0, protoUDP}, "udp6": {typeIPv6, protoUDP},
	"sctp": {0, protoSCTP}, "sctp6": {typeIPv6, protoSCTP},
}

// protoNames are the names of nw_proto values, as they are printed.
var protoNames = map[uint64]string{
	protoICMP: "ICMP", 2: "IGMP", protoTCP: "TCP", protoUDP: "UDP", 47: "GRE", protoICMPv6: "ICMPv6", protoSCTP: "SCTP",
}
