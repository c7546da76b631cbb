package openflow

import (
	"fmt"
	"strings"
)

// Multipath hashes fields of the frame, chooses one of Links links by the hash and writes its
// number, from 0, into Bits bits of Field from bit Offset on (NXAST_MULTIPATH). A bucket ignores it:
// the bucket has to resubmit to a flow with it (Open vSwitch 3.1).
type Multipath struct {
	Fields    HashFields
	Basis     uint16 // changes the hash as a whole
	Algorithm LinkAlgorithm
	Links     uint32 // 1 to 65536
	Arg       uint32 // of the algorithm
	Field     Field
	Offset    uint8
	Bits      uint8
}

// HashFields are what a Multipath hashes (nicira-ext.h of Open vSwitch 3.1, ovs-actions(7)). The
// symmetric ones give both directions of a connection the same hash.
type HashFields uint16

// Choices of fields.
const (
	HashEthSrc HashFields = iota
	// HashSymmetricL4 is both MAC addresses, VLAN ids, Ethertype, IP addresses and protocol, and
	// ports of TCP and SCTP. A first fragment has ports, later ones have none, so they may part.
	HashSymmetricL4
	// HashSymmetricL3L4 is IP addresses and protocol, and ports of TCP and SCTP unless it
	// is a fragment; of what is not IP MAC addresses, VLAN ids and Ethertype.
	HashSymmetricL3L4
	HashSymmetricL3L4UDP // the same, with ports of UDP
	HashNetSrc
	HashNetDst
	HashSymmetricL3 // Ethertype and IP addresses
)

var hashNames = [...]string{"eth_src", "symmetric_l4", "symmetric_l3l4", "symmetric_l3l4+udp", "nw_src", "nw_dst", "symmetric_l3"}

// String is the spelling of ovs-ofctl.
func (h HashFields) String() string { return nameOf(hashNames[:], int(h)) }

// LinkAlgorithm is how a Multipath gets from hash to link (ovs-actions(7)).
type LinkAlgorithm uint16

// Algorithms.
const (
	LinkModulo LinkAlgorithm = iota
	LinkThreshold
	LinkHighestWeight // moves the fewest flows when the number of links changes
	LinkIterative
)

var linkNames = [...]string{"modulo_n", "hash_threshold", "hrw", "iter_hash"}

// String is the spelling of ovs-ofctl.
func (a LinkAlgorithm) String() string { return nameOf(linkNames[:], int(a)) }

func nameOf(names []string, i int) string {
	if i < len(names) {
		return names[i]
	}
	return fmt.Sprint(i)
}

// String is the action as ovs-ofctl reads it.
func (m Multipath) String() string {
	parts := []string{m.Fields.String(), fmt.Sprint(m.Basis), m.Algorithm.String(), fmt.Sprint(m.Links), fmt.Sprint(m.Arg),
		fmt.Sprintf("%v[%d..%d]", m.Field, m.Offset, int(m.Offset)+int(m.Bits)-1)}
	return "multipath(" + strings.Join(parts, ",") + ")"
}

// valid says what Open vSwitch would refuse.
func (m Multipath) valid() error {
	width := m.Field.Bits()
	switch {
	case m.Links == 0 || m.Links > 1<<16:
		return fmt.Errorf("multipath over %d links", m.Links)
	case m.Bits == 0 || m.Bits > 64 || int(m.Offset)+int(m.Bits) > width || m.Offset >= 1<<6 || uint64(m.Links-1)>>m.Bits != 0:
		return fmt.Errorf("multipath over %d links into bits %d to %d of %v", m.Links, m.Offset, int(m.Offset)+int(m.Bits)-1, m.Field)
	case int(m.Fields) >= len(hashNames) || int(m.Algorithm) >= len(linkNames):
		return fmt.Errorf("multipath of fields %v by algorithm %v", m.Fields, m.Algorithm)
	}
	return nil
}

// append appends what follows the subtype.
func (m Multipath) append(b []byte) []byte {
	b = be.AppendUint16(b, uint16(m.Fields))
	b = be.AppendUint16(b, m.Basis)
	b = be.AppendUint32(b, uint32(m.Algorithm)) // two bytes of padding first
	b = be.AppendUint16(b, uint16(m.Links-1))
	b = be.AppendUint32(b, m.Arg)
	b = be.AppendUint32(b, uint32(m.Offset)<<6|uint32(m.Bits-1)) // padding first
	return be.AppendUint32(b, oxmHeader(m.Field, false, m.Field.Size()))
}

// decodeMultipath reads an action of 32 bytes; nil when it is not one that append writes.
func decodeMultipath(b []byte) Action {
	header := be.Uint32(b[28:])
	m := Multipath{
		Fields: HashFields(be.Uint16(b[10:])), Basis: be.Uint16(b[12:]), Algorithm: LinkAlgorithm(be.Uint16(b[16:])),
		Links: uint32(be.Uint16(b[18:])) + 1, Arg: be.Uint32(b[20:]), Field: Field(header >> 9),
		Offset: uint8(b[26]<<2 | b[27]>>6), Bits: b[27]&0x3f + 1,
	}
	if m.valid() != nil || header != oxmHeader(m.Field, false, m.Field.Size()) ||
		be.Uint16(b[14:]) != 0 || be.Uint16(b[24:]) != 0 || b[26]>>4 != 0 {
		return nil
	}
	return m
}
