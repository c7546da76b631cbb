package eval

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/flowtap/flowtap/flowtap/ftc/lang"
	"github.com/flowtap/flowtap/flowtap/ftc/program"
)

// TestEnginesAgree draws programs and changes of their facts. After each change the engine that
// follows changes, an engine that computes all anew, and the naive one have the same rows with the same
// numbers of derivations, and what the first says has changed is the difference.
func TestEnginesAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		source := drawProgram(t)
		p := mustCheck(t, source)
		e := New(p, Limits{})
		given := map[int]map[string][]lang.Value{}
		before := make([]map[string]int, len(p.Tables))
		for range rapid.IntRange(1, 5).Draw(t, "batches") {
			changes := drawChanges(t, p)
			require.NoError(t, e.Apply(changes))
			apply(p, given, changes)
			want := naive(p, given)
			fresh := New(p, Limits{})
			require.NoError(t, fresh.Apply(slices.Collect(inserts(p, given))))
			for n := range p.Tables {
				require.Equal(t, want[n], derivations(e, n), "table %s of\n%s", p.Tables[n].Name, source)
				require.Equal(t, want[n], derivations(fresh, n), "computed anew: table %s of\n%s", p.Tables[n].Name, source)
				require.Equal(t, difference(before[n], want[n]), delta(e, n), "change of table %s of\n%s", p.Tables[n].Name, source)
			}
			before = want
		}
	})
}

// drawn tables: those that facts are inserted into, with their widths, and those that follow, in order.
var drawnBase = []struct {
	name  string
	width int
}{{"a", 1}, {"b", 2}, {"c", 2}, {"d", 3}, {"z", 0}}

// drawProgram gives rules that are safe and not recursive.
func drawProgram(t *rapid.T) string {
	var out strings.Builder
	tables := slices.Clone(drawnBase)
	for i := range rapid.IntRange(1, 4).Draw(t, "tables") {
		name, width := fmt.Sprintf("p%d", i), rapid.IntRange(0, 3).Draw(t, "width")
		for range rapid.IntRange(1, 3).Draw(t, "rules") {
			var body, bound []string
			term := func(free bool) string {
				switch k := rapid.IntRange(0, 9).Draw(t, "term"); {
				case free && k == 0:
					return "_"
				case k <= 2 || !free && len(bound) == 0:
					return rapid.SampledFrom([]string{"0", "1", "2", "1.0", `"s"`}).Draw(t, "constant")
				case free:
					v := rapid.SampledFrom([]string{"u", "v", "w", "x"}).Draw(t, "variable")
					bound = append(bound, v)
					return v
				}
				return rapid.SampledFrom(bound).Draw(t, "bound variable")
			}
			atom := func(free bool) string {
				table := rapid.SampledFrom(tables).Draw(t, "table")
				args := make([]string, table.width)
				for c := range args {
					args[c] = term(free)
				}
				return table.name + "(" + strings.Join(args, ", ") + ")"
			}
			for range rapid.IntRange(0, 3).Draw(t, "positive") {
				body = append(body, atom(true))
			}
			if len(bound) > 0 && rapid.Bool().Draw(t, "sum") {
				body = append(body, "plus("+rapid.SampledFrom(bound).Draw(t, "summand")+", 1, y)")
				bound = append(bound, "y")
			}
			for range rapid.IntRange(0, 2).Draw(t, "negated") {
				body = append(body, "not "+atom(false))
			}
			if len(bound) > 1 && rapid.Bool().Draw(t, "compared") {
				body = append(body, rapid.SampledFrom([]string{"", "not "}).Draw(t, "not")+"lt("+bound[0]+", "+bound[len(bound)-1]+")")
			}
			if len(body) == 0 {
				body = append(body, "true")
			}
			args := make([]string, width)
			for c := range args {
				args[c] = term(false)
			}
			body = rapid.Permutation(body).Draw(t, "order")
			fmt.Fprintf(&out, "%s(%s) :- %s\n", name, strings.Join(args, ", "), strings.Join(body, ", "))
		}
		tables = append(tables, struct {
			name  string
			width int
		}{name, width})
	}
	return out.String()
}

type fataler interface {
	require.TestingT
	Helper()
}

func mustCheck(t fataler, source string) *program.Program {
	t.Helper()
	pol, ds := lang.Parse(lang.NewFile("policy", source))
	require.Empty(t, ds, source)
	p, ds := program.Check([]*lang.Policy{pol}, program.Options{Given: func(string) bool { return true }})
	require.NotNil(t, p, "%s\n%s", ds.String(), source)
	return p
}

func drawChanges(t *rapid.T, p *program.Program) []Change {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Change {
		n := rapid.IntRange(0, len(p.Tables)-1).Draw(t, "table")
		c := Change{Table: p.Tables[n].Name, Delete: rapid.IntRange(0, 2).Draw(t, "delete") == 0}
		for range p.Tables[n].Arity {
			c.Row = append(c.Row, rapid.SampledFrom([]lang.Value{lang.Integer(0), lang.Integer(1), lang.Integer(2),
				lang.Real(1), lang.Str("s")}).Draw(t, "value"))
		}
		return c
	}), 0, 12).Draw(t, "changes")
}

func apply(p *program.Program, given map[int]map[string][]lang.Value, changes []Change) {
	for _, c := range changes {
		n := p.Table(c.Table)
		if given[n] == nil {
			given[n] = map[string][]lang.Value{}
		}
		if c.Delete {
			delete(given[n], rowKey(c.Row))
		} else {
			given[n][rowKey(c.Row)] = c.Row
		}
	}
}

func inserts(p *program.Program, given map[int]map[string][]lang.Value) func(func(Change) bool) {
	return func(yield func(Change) bool) {
		for n, rows := range given {
			for _, row := range rows {
				if !yield(Change{Table: p.Tables[n].Name, Row: row}) {
					return
				}
			}
		}
	}
}

func derivations(e *Engine, n int) map[string]int {
	m := map[string]int{}
	for _, row := range e.Rows(n) {
		m[rowKey(row)] = e.Derivations(n, row)
	}
	return m
}

// difference gives what is new with +, what is gone with -.
func difference(before, after map[string]int) []string {
	d := []string{}
	for k := range after {
		if before[k] == 0 {
			d = append(d, "+"+k)
		}
	}
	for k := range before {
		if after[k] == 0 {
			d = append(d, "-"+k)
		}
	}
	slices.Sort(d)
	return d
}

func delta(e *Engine, n int) []string {
	d := []string{}
	change := e.Delta(n)
	for _, id := range change.Added {
		d = append(d, "+"+rowKey(e.Row(n, id)))
	}
	for _, id := range change.Removed {
		d = append(d, "-"+rowKey(e.Row(n, id)))
	}
	slices.Sort(d)
	return d
}

// TestExplanationsAreTrue: each row of a drawn program has as many ways as derivations, and what they
// name is there.
func TestExplanationsAreTrue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := mustCheck(t, drawProgram(t))
		e := New(p, Limits{})
		require.NoError(t, e.Apply(drawChanges(t, p)))
		there := map[string]bool{}
		for n := range p.Tables {
			for id := range e.IDs(n) {
				there[e.atom(n, e.Syms(n, id))] = true
			}
		}
		for n := range p.Tables {
			for _, row := range e.Rows(n) {
				why := e.Explain(n, row, 1<<20, 1)
				ways := len(why.Ways)
				if why.Given {
					ways++
				}
				require.Equal(t, e.Derivations(n, row), ways, why.Atom)
				for _, w := range why.Ways {
					for i, r := range w.Body {
						if l := w.Rule.Body[i]; l.Builtin == nil {
							require.Equal(t, !l.Negated, there[strings.TrimPrefix(r.Atom, "not ")], r.Atom)
						}
					}
				}
			}
		}
	})
}
