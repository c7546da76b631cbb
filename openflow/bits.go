package openflow

import "fmt"

// Bits is a part of a field: N bits from bit Offset on. Of in_port there are 16 bits: NXM_OF_IN_PORT.
type Bits struct {
	Field     Field
	Offset, N uint8
}

// Load writes Value into some bits of a field, and leaves the others alone (NXAST_REG_LOAD).
type Load struct {
	To    Bits
	Value uint64
}

// Push puts bits on a stack, and Pop takes what was pushed last off it and writes it into others
// (NXAST_STACK_PUSH, NXAST_STACK_POP). Together they copy bits as NXAST_REG_MOVE does, with one
// difference: Open vSwitch 3.1 has a megaflow look at the bits written alone, and for a move at the
// whole of the fields (TestACopyByWayOfTheStackLooksAtItsBitsAlone). A bucket ignores both.
type Push struct{ From Bits }
type Pop struct{ To Bits }

// String is the spelling of ovs-ofctl.
func (b Bits) String() string {
	return fmt.Sprintf("%v[%d..%d]", b.Field, b.Offset, int(b.Offset)+int(b.N)-1)
}

// valid says what Open vSwitch would refuse, or cannot be written.
func (b Bits) valid() error {
	width := b.Field.Bits()
	if b.Field == FieldInPort {
		width = 16
	}
	if b.N == 0 || b.N > 64 || b.Offset > 63 || int(b.Offset)+int(b.N) > width {
		return fmt.Errorf("no bits %v", b)
	}
	return nil
}

func (b Bits) header() uint32 {
	if b.Field == FieldInPort {
		return nxmInPort
	}
	return oxmHeader(b.Field, false, b.Field.Size())
}

// bitsOf is the inverse of header; false where there are no such bits.
func bitsOf(header uint32, offset, n int) (Bits, bool) {
	b := Bits{Field: Field(header >> 9), Offset: uint8(offset), N: uint8(n)}
	if header == nxmInPort {
		b.Field = FieldInPort
	}
	return b, offset < 64 && n <= 64 && b.valid() == nil && header == b.header()
}

// appendBits appends what follows the subtype of an action of 24 bytes on bits.
func appendBits(b []byte, a Action) ([]byte, error) {
	if l, ok := a.(Load); ok {
		if err := l.To.valid(); err != nil || l.To.N < 64 && l.Value>>l.To.N != 0 {
			return nil, fmt.Errorf("load of %#x into %v", l.Value, l.To)
		}
		b = be.AppendUint16(b, uint16(l.To.Offset)<<6|uint16(l.To.N-1))
		b = be.AppendUint32(b, l.To.header())
		return be.AppendUint64(b, l.Value), nil
	}
	var of Bits
	switch a := a.(type) {
	case Push:
		of = a.From
	case Pop:
		of = a.To
	}
	if err := of.valid(); err != nil {
		return nil, fmt.Errorf("push or pop: %w", err)
	}
	b = be.AppendUint16(b, uint16(of.Offset))
	b = be.AppendUint32(b, of.header())
	b = be.AppendUint16(b, uint16(of.N))
	return append(b, zeros[:6]...), nil
}

// decodeBits reads an action of 24 bytes on bits; nil when it is not one that appendBits writes.
func decodeBits(b []byte) Action {
	header := be.Uint32(b[12:])
	if be.Uint16(b[8:]) == nxLoad {
		to, ok := bitsOf(header, int(be.Uint16(b[10:])>>6), int(b[11]&0x3f)+1)
		if l := (Load{to, be.Uint64(b[16:])}); ok && (to.N == 64 || l.Value>>to.N == 0) {
			return l
		}
		return nil
	}
	of, ok := bitsOf(header, int(be.Uint16(b[10:])), int(be.Uint16(b[16:])))
	switch {
	case !ok || [6]byte(b[18:]) != [6]byte{}:
		return nil
	case be.Uint16(b[8:]) == nxPush:
		return Push{of}
	}
	return Pop{of}
}
