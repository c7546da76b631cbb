package program

import "github.com/flowtap/flowtap/flowtap/ftc/lang"

// Kinds is a set of kinds of value, a bit each.
type Kinds uint8

const (
	strings_ = Kinds(1 << lang.String)
	ints     = Kinds(1 << lang.Int)
	floats   = Kinds(1 << lang.Float)
	numbers  = ints | floats
	anything = numbers | strings_

	// stated says that the kinds are those of rows that the policy states, and not of a declared column or of a builtin.
	stated = Kinds(1 << 7)
)

func (k Kinds) String() string {
	switch k &^ stated {
	case 0:
		return "nothing"
	case strings_:
		return "a string"
	case ints:
		return "an integer"
	case floats:
		return "a float"
	case numbers:
		return "a number"
	case strings_ | ints:
		return "a string or an integer"
	case strings_ | floats:
		return "a string or a float"
	}
	return "anything"
}

// A Builtin is a table that is defined for all values: the first Inputs columns determine the others.
type Builtin struct {
	Name   string
	Inputs int
	// Kinds are those of each column.
	Kinds []Kinds
	// Alike says that the inputs are compared: both strings or both numbers.
	Alike bool
	// Arithmetic says that the result is an integer where both inputs are, else a float.
	Arithmetic bool
}

// builtins are those of OpenStack Congress, apart from those about dates.
var builtins = func() map[string]*Builtin {
	m := map[string]*Builtin{}
	add := func(inputs int, kinds []Kinds, names ...string) {
		for _, n := range names {
			m[n] = &Builtin{Name: n, Inputs: inputs, Kinds: kinds}
		}
	}
	add(2, []Kinds{anything, anything}, "lt", "lteq", "equal", "gt", "gteq")
	add(2, []Kinds{anything, anything, anything}, "max")
	add(0, nil, "true", "false")
	add(2, []Kinds{numbers, numbers, numbers}, "plus", "minus", "mul", "div")
	add(1, []Kinds{anything, floats}, "float")
	add(1, []Kinds{anything, ints}, "int")
	add(2, []Kinds{strings_, strings_, strings_}, "concat")
	add(1, []Kinds{strings_, ints}, "len")
	add(2, []Kinds{strings_, strings_}, "ips_equal", "ips_lt", "ips_lteq", "ips_gt", "ips_gteq",
		"networks_equal", "networks_overlap", "ip_in_network")
	for _, n := range []string{"lt", "lteq", "equal", "gt", "gteq", "max"} {
		m[n].Alike = true
	}
	for _, n := range []string{"plus", "minus", "mul", "div"} {
		m[n].Arithmetic = true
	}
	return m
}()

// missing are the builtins of Congress that are not here, with their width: a table of one of these
// names would mean something else there.
var missing = map[string]int{
	"now": 1, "unpack_date": 4, "unpack_time": 4, "unpack_datetime": 7, "pack_time": 4, "pack_date": 4,
	"pack_datetime": 7, "extract_date": 2, "extract_time": 2, "datetime_to_seconds": 2, "datetime_plus": 3,
	"datetime_minus": 3, "datetime_lt": 2, "datetime_lteq": 2, "datetime_gt": 2, "datetime_gteq": 2,
	"datetime_equal": 2, "validate_int": 4, "validate_float": 4, "validate_string": 6,
}

// Builtins gives all builtins by name.
func Builtins() map[string]*Builtin { return builtins }
