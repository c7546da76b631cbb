package openflow

import "fmt"

// fieldInfo says how a field looks on the wire and in text.
type fieldInfo struct {
	name string // ovs-ofctl spelling
	bits uint8
	size uint8 // bytes on the wire; zero for a field that we do not know; by default what bits need
	full [16]byte
	// wholeBytes says that every value of size bytes is one of bits bits.
	wholeBytes bool
}

// numFields is the number of field numbers in the three classes that we know.
const numFields = 3 * 128

// fields is indexed by fieldIndex. A map costs five times as much in a flow dump.
var fields = func() (t [numFields]fieldInfo) {
	for f, i := range map[Field]fieldInfo{
		FieldInPort: {name: "in_port", bits: 32}, FieldMetadata: {name: "metadata", bits: 64},
		FieldEthDst: {name: "dl_dst", bits: 48}, FieldEthSrc: {name: "dl_src", bits: 48},
		FieldEthType: {name: "dl_type", bits: 16}, FieldVLANVID: {name: "vlan_vid", bits: 13},
		FieldVLANPCP: {name: "vlan_pcp", bits: 3}, FieldVLANTCI: {name: "vlan_tci", bits: 16},
		FieldIPDSCP: {name: "ip_dscp", bits: 6}, FieldIPECN: {name: "nw_ecn", bits: 2},
		FieldIPProto: {name: "nw_proto", bits: 8}, FieldIPFrag: {name: "ip_frag", bits: 2},
		FieldIPTTL: {name: "nw_ttl", bits: 8}, FieldIPv4Src: {name: "nw_src", bits: 32},
		FieldIPv4Dst: {name: "nw_dst", bits: 32}, FieldTCPSrc: {name: "tcp_src", bits: 16},
		FieldTCPDst: {name: "tcp_dst", bits: 16}, FieldUDPSrc: {name: "udp_src", bits: 16},
		FieldUDPDst: {name: "udp_dst", bits: 16}, FieldSCTPSrc: {name: "sctp_src", bits: 16},
		FieldSCTPDst: {name: "sctp_dst", bits: 16}, FieldICMPType: {name: "icmp_type", bits: 8},
		FieldICMPCode: {name: "icmp_code", bits: 8}, FieldARPOp: {name: "arp_op", bits: 16},
		FieldARPSPA: {name: "arp_spa", bits: 32}, FieldARPTPA: {name: "arp_tpa", bits: 32},
		FieldARPSHA: {name: "arp_sha", bits: 48}, FieldARPTHA: {name: "arp_tha", bits: 48},
		FieldIPv6Src: {name: "ipv6_src", bits: 128}, FieldIPv6Dst: {name: "ipv6_dst", bits: 128},
		FieldIPv6Label: {name: "ipv6_label", bits: 20, size: 4}, FieldICMPv6Type: {name: "icmpv6_type", bits: 8},
		FieldICMPv6Code: {name: "icmpv6_code", bits: 8}, FieldNDTarget: {name: "nd_target", bits: 128},
		FieldNDSLL: {name: "nd_sll", bits: 48}, FieldNDTLL: {name: "nd_tll", bits: 48},
		FieldTunnelID: {name: "tun_id", bits: 64}, FieldTunSrc: {name: "tun_src", bits: 32},
		FieldTunDst: {name: "tun_dst", bits: 32}, FieldPktMark: {name: "pkt_mark", bits: 32},
	} {
		t[fieldIndex(f)] = i.filled()
	}
	for n := 0; n < 16; n++ {
		t[fieldIndex(FieldReg(n))] = fieldInfo{name: fmt.Sprintf("reg%d", n), bits: 32}.filled()
	}
	return t
}()

// filled adds what follows from the number of bits.
func (i fieldInfo) filled() fieldInfo {
	i.size = max(i.size, (i.bits+7)/8)
	for n := int(i.size)*8 - int(i.bits); n < int(i.size)*8; n++ {
		i.full[n/8] |= 0x80 >> (n % 8)
	}
	i.wholeBytes = int(i.bits) == int(i.size)*8
	return i
}

// fieldIndex is the field's place in fields, or the place of a field that nobody uses.
func fieldIndex(f Field) int {
	switch f.Class() {
	case 0x8000:
		return int(f.Number())
	case 1:
		return 128 + int(f.Number())
	case 0:
		return 256 + int(f.Number())
	}
	return numFields - 1
}

func (f Field) info() *fieldInfo { return &fields[fieldIndex(f)] }

// Known reports whether the package knows the field's width and name.
func (f Field) Known() bool { return f.info().size != 0 }

// Bits is the field's width in bits; zero for an unknown field.
func (f Field) Bits() int { return int(f.info().bits) }

// Size is the field's width on the wire in bytes; zero for an unknown field.
func (f Field) Size() int { return int(f.info().size) }

// String is the field's name as ovs-ofctl spells it, for an unknown field its class and number.
func (f Field) String() string {
	if i := f.info(); i.size != 0 {
		return i.name
	}
	return fmt.Sprintf("field_%04x_%d", f.Class(), f.Number())
}
