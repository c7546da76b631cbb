package flowtap

// form is a match taken apart: a conjunction of one constraint a field. It is what the text of a
// Match means, and is made by newForm and filled by the parser, or by merging two forms.
type form struct {
	inPort, toPort string
	stage          Direction // In, Out or "" for both
	cons           [numFields]constraint
	ports          [2]span // tp_src and tp_dst; the constraint of the same field holds besides
	frags          fragSet
}

// constraint says: field & mask == value. A zero mask is no constraint; value has no bits outside
// the mask.
type constraint struct{ value, mask word }

// span is a range of port numbers, both ends included.
type span struct{ first, last uint16 }

var allPorts = span{0, 0xffff}

// fragSet is a set of the three fragment kinds that a frame can have.
type fragSet uint8

const (
	fragNo    fragSet = 1 << iota // not a fragment
	fragFirst                     // a fragment with offset zero
	fragLater                     // any other fragment
	fragAny   = fragNo | fragFirst | fragLater
)

func newForm() *form {
	return &form{ports: [2]span{allPorts, allPorts}, frags: fragAny}
}

// has reports whether the field is constrained in any way.
func (f *form) has(x field) bool {
	switch x {
	case fieldFrag:
		return f.frags != fragAny
	case fieldPortSrc, fieldPortDst:
		if f.ports[x-fieldPortSrc] != allPorts {
			return true
		}
	}
	return !f.cons[x].mask.zero()
}

// hasAny gives the first of the fields that is constrained.
func (f *form) hasAny(xs ...field) (field, bool) {
	for _, x := range xs {
		if f.has(x) {
			return x, true
		}
	}
	return 0, false
}

// exact gives the value of a field that is matched exactly or not at all.
func (f *form) exact(x field) (v uint64, set bool) {
	return f.cons[x].value.lo, !f.cons[x].mask.zero()
}

// and adds a constraint; false means that no value of the field satisfies both.
func (f *form) and(x field, c constraint) bool {
	have := f.cons[x]
	both := have.mask.and(c.mask)
	if have.value.and(both) != c.value.and(both) {
		return false
	}
	f.cons[x] = constraint{have.value.or(c.value), have.mask.or(c.mask)}
	return true
}

// andExact adds an exact match on a value.
func (f *form) andExact(x field, v uint64) bool {
	return f.and(x, constraint{low(v), x.full()})
}

// andSpan narrows a port field.
func (f *form) andSpan(x field, s span) bool {
	p := &f.ports[x-fieldPortSrc]
	p.first, p.last = max(p.first, s.first), min(p.last, s.last)
	return p.first <= p.last
}

// firstPort gives the lowest port that the field's range and mask both allow.
func (f *form) firstPort(x field) (uint16, bool) {
	p, c := f.ports[x-fieldPortSrc], f.cons[x]
	return firstMasked(p.first, p.last, uint16(c.value.lo), uint16(c.mask.lo))
}

// firstMasked gives the lowest v of first to last with v&mask == value. The lowest one shares as many
// leading bits with first as can be; behind those it has a one where first has a zero, and then
// nothing but what the mask demands.
func firstMasked(first, last, value, mask uint16) (uint16, bool) {
	if first&mask == value {
		return first, true
	}
	for bit := uint16(1); bit != 0; bit <<= 1 {
		if first&bit != 0 || mask&bit != 0 && value&bit == 0 {
			continue
		}
		above := ^(bit<<1 - 1)
		if first&above&mask != value&above {
			continue
		}
		v := first&above | bit | value&(bit-1)
		return v, v <= last
	}
	return 0, false
}

// merge gives the conjunction of two normal forms, or false where no frame satisfies both.
func merge(a, b *form) (*form, bool) {
	m := *a
	for x := range b.cons {
		if !b.cons[x].mask.zero() && !m.and(field(x), b.cons[x]) {
			return nil, false
		}
	}
	if !m.andSpan(fieldPortSrc, b.ports[0]) || !m.andSpan(fieldPortDst, b.ports[1]) ||
		!mergeName(&m.inPort, b.inPort) || !mergeName(&m.toPort, b.toPort) || !mergeName(&m.stage, b.stage) {
		return nil, false
	}
	m.frags &= b.frags
	if m.normalize() != nil {
		return nil, false
	}
	return &m, true
}

func mergeName[T ~string](a *T, b T) bool {
	if *a == "" {
		*a = b
	}
	return b == "" || *a == b
}
