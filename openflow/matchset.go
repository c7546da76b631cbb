package openflow

import (
	"cmp"
	"fmt"
	"slices"
)

// NewMatch sorts the fields, clears value bits outside their masks, drops fields whose mask is
// zero, and refuses a field that comes twice. The arguments stay as they are.
func NewMatch(fields ...MatchField) (Match, error) {
	m := tidy(fields)
	for i := 1; i < len(m); i++ {
		if sameField(m[i-1], m[i]) {
			return nil, fmt.Errorf("match has %v twice", m[i].Field)
		}
	}
	return m, nil
}

// Normalize gives the match in the form in which Open vSwitch returns it in flow-stats, so that
// two matches on the same frames that differ only in spelling become equal:
//
//   - fields are sorted, zero masks dropped, value bits outside masks cleared;
//   - of a field that comes twice the first remains;
//   - vlan_tci becomes vlan_vid and, where the whole priority is matched, vlan_pcp.
//
// A vlan_tci that matches only a part of the priority bits stays as it is: OpenFlow 1.3 flow-stats of
// Open vSwitch 3.1 cannot say it and report something else.
func (m Match) Normalize() Match {
	out := tidy(m)
	out = slices.CompactFunc(out, sameField)
	if len(out) > 0 && out[0].Field == FieldVLANTCI {
		out = splitTCI(out)
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// vlanPresent is the bit of vlan_vid and vlan_tci that says that there is a tag.
const vlanPresent = 0x1000

// splitTCI replaces a leading vlan_tci by vlan_vid and vlan_pcp where these can say it.
func splitTCI(m Match) Match {
	tci, mask := m[0].Uint64(), MatchField{Field: FieldVLANTCI, Value: m[0].Mask}.Uint64()
	fields := []MatchField{UintMask(FieldVLANVID, tci, mask)}
	switch pcp := mask >> 13; {
	case pcp == 0:
	case mask&vlanPresent != 0 && tci == 0:
		// No tag: the whole tci is zero, so that the priority says nothing more.
	case pcp == 7 && tci&vlanPresent != 0:
		fields = append(fields, Uint(FieldVLANPCP, tci>>13))
	default:
		return m
	}
	for _, f := range m[1:] {
		if f.Field == FieldVLANVID || f.Field == FieldVLANPCP {
			return m // both spellings at once: nothing to make equal
		}
	}
	return tidy(append(fields, m[1:]...))
}

// tidy copies, sorts, masks and drops zero masks. The result is nil when nothing remains.
func tidy(fields []MatchField) Match {
	var m Match
	for _, f := range fields {
		if f.Raw == "" {
			if f.Mask == ([16]byte{}) {
				continue
			}
			for i := range f.Value {
				f.Value[i] &= f.Mask[i]
			}
		}
		m = append(m, f)
	}
	m.sort()
	return m
}

func (m Match) sort() {
	slices.SortStableFunc(m, func(a, b MatchField) int {
		if c := cmp.Compare(a.Field, b.Field); c != 0 || a.Raw == "" && b.Raw == "" {
			return c
		}
		return cmp.Compare(a.Raw, b.Raw)
	})
}

// sameField reports whether two fields may not stand in one match. Unknown ones may share class
// and number, as experimenters' fields do.
func sameField(a, b MatchField) bool { return a.Field == b.Field && a.Raw == b.Raw }

// Get finds a field.
func (m Match) Get(f Field) (MatchField, bool) {
	for i := range m {
		if m[i].Field == f {
			return m[i], true
		}
	}
	return MatchField{}, false
}

// Equal reports whether both matches have the same fields. Both are in canonical order.
func (m Match) Equal(o Match) bool { return slices.Equal(m, o) }

// AppendKey appends a key that two matches share exactly when they are Equal.
func (m Match) AppendKey(b []byte) []byte {
	for i := range m {
		f := &m[i]
		b = be.AppendUint32(b, uint32(f.Field))
		n := f.Field.Size()
		b = append(b, f.Value[:n]...)
		b = append(b, f.Mask[:n]...)
		b = append(b, f.Raw...)
	}
	return b
}

// outside reports whether value has bits that mask has not.
func outside(value, mask []byte) bool {
	for i := range value {
		if value[i]&^mask[i] != 0 {
			return true
		}
	}
	return false
}
