package openflow

import "encoding/binary"

// Field names a match field: OXM class (16 bits) and field number (7 bits), as
// class<<7 | number. The zero value is OXM_OF class 0, which no field uses.
type Field uint32

// FieldOf makes a Field from an OXM class and field number (OpenFlow 1.3.5 §7.2.3.2).
func FieldOf(class uint16, number uint8) Field { return Field(class)<<7 | Field(number&0x7f) }

// Class is the OXM class: 0x8000 for OpenFlow basic, 0 and 1 for NXM.
func (f Field) Class() uint16 { return uint16(f >> 7) }

// Number is the field number within the class.
func (f Field) Number() uint8 { return uint8(f & 0x7f) }

// Fields of the basic class (OpenFlow 1.3.5 §7.2.3.7).
const (
	FieldInPort     = Field(0x8000 << 7)
	FieldMetadata   = Field(0x8000<<7 | 2)
	FieldEthDst     = Field(0x8000<<7 | 3)
	FieldEthSrc     = Field(0x8000<<7 | 4)
	FieldEthType    = Field(0x8000<<7 | 5)
	FieldVLANVID    = Field(0x8000<<7 | 6) // 13 bits: 0x1000 says that a tag is present
	FieldVLANPCP    = Field(0x8000<<7 | 7)
	FieldIPDSCP     = Field(0x8000<<7 | 8) // 6 bits, not shifted
	FieldIPECN      = Field(0x8000<<7 | 9)
	FieldIPProto    = Field(0x8000<<7 | 10)
	FieldIPv4Src    = Field(0x8000<<7 | 11)
	FieldIPv4Dst    = Field(0x8000<<7 | 12)
	FieldTCPSrc     = Field(0x8000<<7 | 13)
	FieldTCPDst     = Field(0x8000<<7 | 14)
	FieldUDPSrc     = Field(0x8000<<7 | 15)
	FieldUDPDst     = Field(0x8000<<7 | 16)
	FieldSCTPSrc    = Field(0x8000<<7 | 17)
	FieldSCTPDst    = Field(0x8000<<7 | 18)
	FieldICMPType   = Field(0x8000<<7 | 19)
	FieldICMPCode   = Field(0x8000<<7 | 20)
	FieldARPOp      = Field(0x8000<<7 | 21)
	FieldARPSPA     = Field(0x8000<<7 | 22)
	FieldARPTPA     = Field(0x8000<<7 | 23)
	FieldARPSHA     = Field(0x8000<<7 | 24)
	FieldARPTHA     = Field(0x8000<<7 | 25)
	FieldIPv6Src    = Field(0x8000<<7 | 26)
	FieldIPv6Dst    = Field(0x8000<<7 | 27)
	FieldIPv6Label  = Field(0x8000<<7 | 28) // 20 bits in four bytes
	FieldICMPv6Type = Field(0x8000<<7 | 29)
	FieldICMPv6Code = Field(0x8000<<7 | 30)
	FieldNDTarget   = Field(0x8000<<7 | 31)
	FieldNDSLL      = Field(0x8000<<7 | 32)
	FieldNDTLL      = Field(0x8000<<7 | 33)
	FieldTunnelID   = Field(0x8000<<7 | 38)
)

// Nicira fields that Open vSwitch accepts on OpenFlow 1.3 (ovs-fields(7), OVS 3.1).
const (
	FieldVLANTCI = Field(0<<7 | 4)  // NXM_OF_VLAN_TCI, 16 bits: pcp(3) present(1) vid(12)
	FieldIPFrag  = Field(1<<7 | 26) // NXM_NX_IP_FRAG, 8 bits: 1 any fragment, 2 later fragment
	FieldIPTTL   = Field(1<<7 | 29) // NXM_NX_IP_TTL, 8 bits, IPv4 TTL and IPv6 hop limit
	FieldTunSrc  = Field(1<<7 | 31) // NXM_NX_TUN_IPV4_SRC
	FieldTunDst  = Field(1<<7 | 32) // NXM_NX_TUN_IPV4_DST
	FieldPktMark = Field(1<<7 | 33) // NXM_NX_PKT_MARK, 32 bits
)

// FieldReg names NXM_NX_REGn, 32 bits, n from 0 to 15.
func FieldReg(n int) Field { return FieldOf(1, uint8(n)) }

// A MatchField is one field of a Match. Value and Mask hold the field's bytes in network order
// from index 0; bytes beyond the field's size are zero. An exact match has a mask of all ones
// over the field's bits. It is comparable.
//
// Of a field that the package does not know, as foreign flows may have, only Field and Raw are
// set, and Raw is what came from the wire, header included.
type MatchField struct {
	Field       Field
	Value, Mask [16]byte
	Raw         string
}

// Match is a conjunction of fields, sorted by Field, each at most once, no zero masks, and no
// value bits outside the mask: NewMatch, Normalize and Decode make it so. The zero value matches
// every frame.
type Match []MatchField

// Uint is an exact match on the low bits of v.
func Uint(f Field, v uint64) MatchField { return UintMask(f, v, ^uint64(0)) }

// UintMask is a masked match on a field of at most 64 bits; value bits outside the mask are cleared.
func UintMask(f Field, v, mask uint64) MatchField {
	n := f.Size()
	var val, msk [8]byte
	full := ^uint64(0)
	if b := f.Bits(); b < 64 {
		full = 1<<b - 1
	}
	mask &= full
	binary.BigEndian.PutUint64(val[:], v&mask)
	binary.BigEndian.PutUint64(msk[:], mask)
	m := MatchField{Field: f}
	copy(m.Value[:n], val[8-n:])
	copy(m.Mask[:n], msk[8-n:])
	return m
}

// Bytes is an exact match on a value of f.Size() bytes.
func Bytes(f Field, v []byte) MatchField {
	mask := [16]byte{255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255}
	return BytesMask(f, v, mask[:])
}

// BytesMask is a masked match; value and mask have f.Size() bytes (more are ignored).
func BytesMask(f Field, v, mask []byte) MatchField {
	m := MatchField{Field: f}
	for i := 0; i < f.Size(); i++ {
		m.Mask[i] = mask[i]
		m.Value[i] = v[i] & mask[i]
	}
	return m
}

// Exact reports whether every bit of the field is matched; false for an unknown field.
func (m MatchField) Exact() bool {
	i := m.Field.info()
	return i.size != 0 && m.Mask == i.full
}

// Uint64 gives the value of a field of at most 64 bits.
func (m MatchField) Uint64() uint64 {
	var v uint64
	for i := 0; i < m.Field.Size() && i < 8; i++ {
		v = v<<8 | uint64(m.Value[i])
	}
	return v
}
