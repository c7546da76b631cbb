package eval

import (
	"math"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/flowtap/flowtap/flowtap/ftc/lang"
)

// builtin computes the outputs of a builtin from its inputs. Not ok is that it does not hold: also where
// it cannot be computed, such as a division by zero, a sum that does not fit into 64 bits, or a text
// that is no address.
type builtin func(in []lang.Value) (out lang.Value, ok bool)

var builtinFuncs = map[string]builtin{
	"true":  func([]lang.Value) (lang.Value, bool) { return lang.Value{}, true },
	"false": func([]lang.Value) (lang.Value, bool) { return lang.Value{}, false },

	"lt":    compare(func(c int) bool { return c < 0 }),
	"lteq":  compare(func(c int) bool { return c <= 0 }),
	"equal": compare(func(c int) bool { return c == 0 }),
	"gt":    compare(func(c int) bool { return c > 0 }),
	"gteq":  compare(func(c int) bool { return c >= 0 }),
	"max": func(in []lang.Value) (lang.Value, bool) {
		c, ok := order(in[0], in[1])
		if c < 0 {
			return in[1], ok
		}
		return in[0], ok
	},

	"plus":  arithmetic(addInts, func(x, y float64) float64 { return x + y }),
	"minus": arithmetic(subInts, func(x, y float64) float64 { return x - y }),
	"mul":   arithmetic(mulInts, func(x, y float64) float64 { return x * y }),
	"div":   arithmetic(divInts, func(x, y float64) float64 { return x / y }),
	"float": toFloat,
	"int":   toInt,

	"concat": func(in []lang.Value) (lang.Value, bool) {
		if in[0].Kind != lang.String || in[1].Kind != lang.String || len(in[0].S)+len(in[1].S) > longest {
			return lang.Value{}, false
		}
		return lang.Str(in[0].S + in[1].S), true
	},
	"len": func(in []lang.Value) (lang.Value, bool) {
		return lang.Integer(int64(utf8.RuneCountInString(in[0].S))), in[0].Kind == lang.String
	},

	"ips_equal":        addresses(func(c int) bool { return c == 0 }),
	"ips_lt":           addresses(func(c int) bool { return c < 0 }),
	"ips_lteq":         addresses(func(c int) bool { return c <= 0 }),
	"ips_gt":           addresses(func(c int) bool { return c > 0 }),
	"ips_gteq":         addresses(func(c int) bool { return c >= 0 }),
	"networks_equal":   networks(func(a, b netip.Prefix) bool { return a == b }),
	"networks_overlap": networks(netip.Prefix.Overlaps),
	"ip_in_network": func(in []lang.Value) (lang.Value, bool) {
		a, ok1 := address(in[0])
		n, ok2 := network(in[1])
		return lang.Value{}, ok1 && ok2 && n.Contains(a)
	},
}

// longest is how many bytes a text has at most that is made of others: each rule could double it.
const longest = 1 << 16

// order compares two strings or two numbers; one of each cannot be compared.
func order(a, b lang.Value) (int, bool) {
	if (a.Kind == lang.String) != (b.Kind == lang.String) {
		return 0, false
	}
	if a.Kind == lang.String {
		return strings.Compare(a.S, b.S), true
	}
	return lang.CompareNumbers(a, b), true
}

func compare(holds func(int) bool) builtin {
	return func(in []lang.Value) (lang.Value, bool) {
		c, ok := order(in[0], in[1])
		return lang.Value{}, ok && holds(c)
	}
}

func arithmetic(ints func(x, y int64) (int64, bool), floats func(x, y float64) float64) builtin {
	return func(in []lang.Value) (lang.Value, bool) {
		if in[0].Kind == lang.String || in[1].Kind == lang.String {
			return lang.Value{}, false
		}
		if in[0].Kind == lang.Int && in[1].Kind == lang.Int {
			i, ok := ints(in[0].I, in[1].I)
			return lang.Integer(i), ok
		}
		f := floats(asFloat(in[0]), asFloat(in[1]))
		return lang.Real(f), !math.IsInf(f, 0) && !math.IsNaN(f)
	}
}

func asFloat(v lang.Value) float64 {
	if v.Kind == lang.Int {
		return float64(v.I)
	}
	return v.F
}

func addInts(x, y int64) (int64, bool) {
	s := x + y
	return s, (s > x) == (y > 0)
}

func subInts(x, y int64) (int64, bool) {
	d := x - y
	return d, (d < x) == (y > 0)
}

func mulInts(x, y int64) (int64, bool) {
	if x == 0 || y == 0 {
		return 0, true
	}
	p := x * y
	return p, p/y == x && !(x == -1 && y == math.MinInt64) && !(y == -1 && x == math.MinInt64)
}

// divInts rounds down, as Python's // does.
func divInts(x, y int64) (int64, bool) {
	if y == 0 || x == math.MinInt64 && y == -1 {
		return 0, false
	}
	q := x / y
	if x%y != 0 && (x < 0) != (y < 0) {
		q--
	}
	return q, true
}

func toFloat(in []lang.Value) (lang.Value, bool) {
	if in[0].Kind != lang.String {
		return lang.Real(asFloat(in[0])), true
	}
	f, err := strconv.ParseFloat(strings.TrimSpace(in[0].S), 64)
	return lang.Real(f), err == nil && !math.IsInf(f, 0) && !math.IsNaN(f)
}

// toInt cuts what is behind the point.
func toInt(in []lang.Value) (lang.Value, bool) {
	switch v := in[0]; v.Kind {
	case lang.Int:
		return v, true
	case lang.Float:
		f := math.Trunc(v.F)
		return lang.Integer(int64(f)), f >= math.MinInt64 && f < math.MaxInt64
	default:
		i, err := strconv.ParseInt(strings.TrimSpace(v.S), 10, 64)
		return lang.Integer(i), err == nil
	}
}

func address(v lang.Value) (netip.Addr, bool) {
	a, err := netip.ParseAddr(v.S)
	return a, v.Kind == lang.String && err == nil && a.Zone() == ""
}

// network reads a prefix; an address is the network of itself, and bits behind the prefix say nothing.
func network(v lang.Value) (netip.Prefix, bool) {
	if a, ok := address(v); ok {
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	p, err := netip.ParsePrefix(v.S)
	return p.Masked(), v.Kind == lang.String && err == nil
}

func addresses(holds func(int) bool) builtin {
	return func(in []lang.Value) (lang.Value, bool) {
		a, ok1 := address(in[0])
		b, ok2 := address(in[1])
		return lang.Value{}, ok1 && ok2 && holds(a.Compare(b))
	}
}

func networks(holds func(a, b netip.Prefix) bool) builtin {
	return func(in []lang.Value) (lang.Value, bool) {
		a, ok1 := network(in[0])
		b, ok2 := network(in[1])
		return lang.Value{}, ok1 && ok2 && holds(a, b)
	}
}
