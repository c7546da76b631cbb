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

// Move copies bits into as many others (NXAST_REG_MOVE).
type Move struct{ From, To Bits }

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
	m := a.(Move)
	if m.From.valid() != nil || m.To.valid() != nil || m.From.N != m.To.N {
		return nil, fmt.Errorf("move of %v into %v", m.From, m.To)
	}
	b = be.AppendUint16(b, uint16(m.To.N))
	b = be.AppendUint32(b, uint32(m.From.Offset)<<16|uint32(m.To.Offset))
	b = be.AppendUint32(b, m.From.header())
	return be.AppendUint32(b, m.To.header()), nil
}

// decodeBits reads an action of 24 bytes on bits; nil when it is not one that appendBits writes.
func decodeBits(b []byte) Action {
	if be.Uint16(b[8:]) == nxLoad {
		to, ok := bitsOf(be.Uint32(b[12:]), int(be.Uint16(b[10:])>>6), int(b[11]&0x3f)+1)
		if l := (Load{to, be.Uint64(b[16:])}); ok && (to.N == 64 || l.Value>>to.N == 0) {
			return l
		}
		return nil
	}
	n := int(be.Uint16(b[10:]))
	from, ok := bitsOf(be.Uint32(b[16:]), int(be.Uint16(b[12:])), n)
	if to, ok2 := bitsOf(be.Uint32(b[20:]), int(be.Uint16(b[14:])), n); ok && ok2 {
		return Move{from, to}
	}
	return nil
}
