package program

import (
	"strings"

	"github.com/flowtap/flowtap/flowtap/ftc/lang"
)

// Schemas are the tables of the declared data sources: the whole name of each, "nova:servers", to its
// columns. A service that has a table here has no others.
type Schemas map[string][]Column

// A Column of a declared source. Kinds zero is any.
type Column struct {
	Name  string
	Kinds Kinds
}

// Columns makes columns of any kind.
func Columns(names ...string) []Column {
	c := make([]Column, len(names))
	for i, n := range names {
		c[i].Name = n
	}
	return c
}

func columns(kinds string, names ...string) []Column {
	c := Columns(names...)
	for i := range c {
		c[i].Kinds = map[byte]Kinds{'s': strings_, 'i': ints, 'f': floats}[kinds[i]]
	}
	return c
}

// FlowTap are the sources that a controller has.
var FlowTap = Schemas{
	"flowtap:ports":     columns("ssssss", "id", "network", "kind", "interface", "mac", "state"),
	"flowtap:addresses": columns("ss", "port", "ip"),
	"flowtap:networks":  columns("s", "id"),
	"flowtap:nodes":     columns("ssfff", "id", "state", "cpu", "memory", "network_load"),
	"flowtap:monitors":  columns("sssf", "id", "state", "node", "cpu"),
	"flowtap:labels":    columns("sss", "port", "key", "value"),
	"flowtap:taps":      columns("ssssssiss", "id", "src", "dst", "match", "direction", "action", "priority", "state", "policy"),
	"flowtap:bindings":  columns("ssi", "port", "node", "ofport"),
}

// with joins schemas; what both have is as in more.
func (s Schemas) with(more Schemas) Schemas {
	all := make(Schemas, len(s)+len(more))
	for _, m := range []Schemas{s, more} {
		for t, c := range m {
			all[t] = c
		}
	}
	return all
}

// service is the part of a table's name before the first colon.
func service(table string) (string, bool) {
	s, _, ok := strings.Cut(table, ":")
	return s, ok
}

// A TapColumn is a column of the table of taps, in the order of its rows.
type TapColumn struct {
	Name string
	// Default is what a tap has whose rule does not say; nil where it must.
	Default *lang.Value
	kinds   Kinds
}

func deflt(v lang.Value) *lang.Value { return &v }

// TapColumns are the fields of a tap. The first four may be given by position.
var TapColumns = []TapColumn{
	{"src", nil, strings_},
	{"dst", deflt(lang.Str("")), strings_},
	{"match", deflt(lang.Str("")), strings_},
	{"action", nil, strings_},
	{"dst_pool", deflt(lang.Str("")), strings_},
	{"direction", deflt(lang.Str("both")), strings_},
	{"priority", deflt(lang.Integer(100)), ints},
	{"enabled", deflt(lang.Str("true")), strings_},
	{"fail_mode", deflt(lang.Str("closed")), strings_},
	{"truncate", deflt(lang.Integer(0)), ints},
	{"rate_kbps", deflt(lang.Integer(0)), ints},
	{"rate_pps", deflt(lang.Integer(0)), ints},
	{"rewrite_dst_mac", deflt(lang.Str("false")), strings_},
}

// tapPositions is how many columns of a tap may be given by position.
const tapPositions = 4

// tapSource is TapColumns as those of a source.
var tapSource = func() (c []Column) {
	for _, t := range TapColumns {
		c = append(c, Column{t.Name, t.kinds})
	}
	return c
}()
