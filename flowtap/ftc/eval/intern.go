package eval

import "github.com/flowtap/flowtap/flowtap/ftc/lang"

// value is a lang.Value in 32 bits: equal values are equal, and one interner's mean nothing to another. The
// upper two bits are the kind; small integers are themselves, all else is a place in a list.
type value uint32

const (
	kindShift = 30
	payload   = 1<<kindShift - 1

	kindString = value(0) << kindShift
	kindSmall  = value(1) << kindShift
	kindInt    = value(2) << kindShift
	kindFloat  = value(3) << kindShift

	smallest, largest = -1 << 29, 1<<29 - 1
)

// interner numbers values. Numbers are never given back; Engine.compact makes a new one.
type interner struct {
	strings []string
	bytes   int // of strings
	ints    []int64
	floats  []float64
	text    map[string]value
	number  map[int64]value
	real    map[float64]value
}

func newInterner() *interner {
	return &interner{text: map[string]value{}, number: map[int64]value{}, real: map[float64]value{}}
}

func (in *interner) of(v lang.Value) value {
	switch v.Kind {
	case lang.Int:
		return in.int(v.I)
	case lang.Float:
		return in.float(v.F)
	}
	return in.str(v.S)
}

func (in *interner) str(s string) value {
	if x, ok := in.text[s]; ok {
		return x
	}
	x := kindString | value(len(in.strings))
	in.strings = append(in.strings, s)
	in.bytes += len(s)
	in.text[s] = x
	return x
}

func (in *interner) int(i int64) value {
	if i >= smallest && i <= largest {
		return kindSmall | value(uint32(i)&payload)
	}
	if x, ok := in.number[i]; ok {
		return x
	}
	x := kindInt | value(len(in.ints))
	in.ints = append(in.ints, i)
	in.number[i] = x
	return x
}

func (in *interner) float(f float64) value {
	if x, ok := in.real[f]; ok {
		return x
	}
	x := kindFloat | value(len(in.floats))
	in.floats = append(in.floats, f)
	in.real[f] = x
	return x
}

// find gives the value's number if it has one.
func (in *interner) find(v lang.Value) (x value, ok bool) {
	switch v.Kind {
	case lang.Int:
		if v.I >= smallest && v.I <= largest {
			return in.int(v.I), true
		}
		x, ok = in.number[v.I]
	case lang.Float:
		x, ok = in.real[v.F]
	default:
		x, ok = in.text[v.S]
	}
	return x, ok
}

func (in *interner) value(x value) lang.Value {
	switch i := x & payload; x &^ payload {
	case kindSmall:
		return lang.Integer(int64(int32(i<<2) >> 2))
	case kindInt:
		return lang.Integer(in.ints[i])
	case kindFloat:
		return lang.Real(in.floats[i])
	default:
		return lang.Str(in.strings[i])
	}
}

// size is how many values have a place.
func (in *interner) size() int { return len(in.strings) + len(in.ints) + len(in.floats) }
