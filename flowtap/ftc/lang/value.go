package lang

import (
	"cmp"
	"math"
	"strconv"
	"strings"
)

// Kind is the type of a value.
type Kind uint8

// Kinds. An integer and a float are different values, also where they are the same number.
const (
	String Kind = iota
	Int
	Float
)

func (k Kind) String() string { return [...]string{"string", "integer", "float"}[k] }

// A Value is a constant. Two values are equal where == says so: 1 and 1.0 are not, 0.0 and -0.0 are one
// value, and no value is not a number.
type Value struct {
	Kind Kind
	S    string
	I    int64
	F    float64
}

// Str, Integer and Real make values.
func Str(s string) Value    { return Value{Kind: String, S: s} }
func Integer(i int64) Value { return Value{Kind: Int, I: i} }
func Real(f float64) Value  { return Value{Kind: Float, F: f + 0} } // -0.0 + 0 is 0.0

// Text spells the value as the language reads it.
func (v Value) Text() string {
	switch v.Kind {
	case Int:
		return strconv.FormatInt(v.I, 10)
	case Float:
		return floatText(v.F)
	}
	return Quote(v.S)
}

// Plain is Text without quotes.
func (v Value) Plain() string {
	if v.Kind == String {
		return v.S
	}
	return v.Text()
}

// floatText spells a float so that it is read back as one, in JSON too.
func floatText(f float64) string {
	s := strconv.FormatFloat(f, 'g', -1, 64)
	if !strings.ContainsAny(s, ".e") {
		s += ".0"
	}
	return s
}

// Compare orders values: numbers by size, an integer before the float of the same size, then
// strings by their code points.
func (v Value) Compare(o Value) int {
	switch {
	case v.Kind == String && o.Kind == String:
		return cmp.Compare(v.S, o.S)
	case v.Kind == String:
		return 1
	case o.Kind == String:
		return -1
	}
	return cmp.Or(CompareNumbers(v, o), cmp.Compare(v.Kind, o.Kind))
}

// CompareNumbers orders integers and floats by size, exactly.
func CompareNumbers(a, b Value) int {
	switch {
	case a.Kind == Int && b.Kind == Int:
		return cmp.Compare(a.I, b.I)
	case a.Kind == Float && b.Kind == Float:
		return cmp.Compare(a.F, b.F)
	case a.Kind == Float:
		return -CompareNumbers(b, a)
	}
	// An int64 and a float64: what float64 cannot hold is decided by integers.
	if b.F >= math.MaxInt64 {
		return -1
	}
	if b.F < math.MinInt64 {
		return 1
	}
	whole := math.Floor(b.F)
	if c := cmp.Compare(a.I, int64(whole)); c != 0 {
		return c
	}
	if b.F > whole {
		return -1
	}
	return 0
}

// control reports whether a terminal may act upon a character.
func control(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 }

// Quote spells a string constant in double quotes.
func Quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch r {
		case '"', '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case '\n':
			b.WriteString(`\n`)
		case '\t':
			b.WriteString(`\t`)
		case '\r':
			b.WriteString(`\r`)
		default:
			if control(r) {
				const hex = "0123456789abcdef"
				b.WriteString(`\x`)
				b.WriteByte(hex[r>>4])
				b.WriteByte(hex[r&15])
				continue
			}
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
