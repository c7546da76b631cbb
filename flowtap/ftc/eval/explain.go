package eval

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/flowtap/flowtap/flowtap/ftc/lang"
	"github.com/flowtap/flowtap/flowtap/ftc/program"
)

// A Reason is why a row is there, or why a condition holds.
type Reason struct {
	// Atom is the row as an atom, "not" in front where it is that there is none.
	Atom string
	// Given says that the row was inserted, Fact that the policy states it, and where.
	Given bool
	Fact  *lang.Span
	// Ways are the rules from which it follows, with the rows that satisfy them. More says that there
	// are more ways than were asked for.
	Ways []Way
	More bool
}

// A Way is a rule and what satisfies its body.
type Way struct {
	Rule *program.Rule
	Body []Reason
}

// mostReasons is about how many reasons a tree has at most.
const mostReasons = 10_000

// Explain gives the tree of reasons of a row: ways of each row, down to depth rows below it, until there are very many. Nil
// is that there is no such row.
func (e *Engine) Explain(table int, row []lang.Value, ways, depth int) *Reason {
	id, ok := e.find(table, row)
	if !ok {
		return nil
	}
	e.reasons = mostReasons
	r := e.explain(table, id, ways, depth)
	return &r
}

func (e *Engine) explain(n int, id RowID, ways, depth int) Reason {
	t := e.tables[n]
	why := Reason{Atom: e.atom(n, t.row(id)), Given: t.marks[id]&isGiven != 0}
	if t.marks[id]&isStated != 0 {
		row := e.Row(n, id)
		i := slices.IndexFunc(e.prog.Facts, func(f program.Fact) bool {
			return f.Table == n && slices.Equal(f.Row, row)
		})
		why.Fact = &e.prog.Facts[i].Span
	}
	if e.reasons--; depth == 0 || e.reasons <= 0 {
		why.More = len(e.prog.Tables[n].Rules) > 0
		return why
	}
	for _, r := range e.prog.Tables[n].Rules {
		bodies := e.satisfied(e.rules[r], t.row(id), ways-len(why.Ways)+1)
		for _, regs := range bodies {
			if len(why.Ways) == ways {
				why.More = true
				return why
			}
			why.Ways = append(why.Ways, e.way(e.rules[r], regs, ways, depth-1))
		}
	}
	return why
}

// errEnough ends a search.
var errEnough = errors.New("enough ways are found")

// satisfied gives the registers of at most limit ways in which a rule gives a row.
func (e *Engine) satisfied(r *rule, row []value, limit int) (found [][]value) {
	e.work = 0
	m := e.machine(r, len(r.Body)+1)
	m.found = func() {
		if slices.Equal(m.head(), row) {
			if found = append(found, slices.Clone(m.regs)); len(found) == limit {
				m.err = errEnough
			}
		}
	}
	if m.seed(row) {
		m.run(0)
	}
	return found
}

func (e *Engine) way(r *rule, regs []value, ways, depth int) Way {
	w := Way{Rule: r.Rule}
	for i, l := range r.Body {
		row := make([]value, len(r.args[i]))
		for c, a := range r.args[i] {
			if row[c] = a.val; a.reg >= 0 {
				row[c] = regs[a.reg]
			}
		}
		switch {
		case l.Builtin != nil:
			w.Body = append(w.Body, Reason{Atom: not(l.Negated) + e.text(l.Builtin.Name, row)})
		case l.Negated:
			w.Body = append(w.Body, Reason{Atom: "not " + e.atom(l.Table, row)})
		default:
			t := e.tables[l.Table]
			w.Body = append(w.Body, e.explain(l.Table, t.all.first(t, row), ways, depth))
		}
	}
	return w
}

func not(negated bool) string {
	if negated {
		return "not "
	}
	return ""
}

func (e *Engine) atom(table int, row []value) string {
	t := &e.prog.Tables[table]
	if t.Name != program.TapTable {
		return e.text(t.Name, row)
	}
	var args []string
	for i, c := range program.TapColumns {
		if v := e.in.value(row[i]); c.Default == nil || v != *c.Default {
			args = append(args, c.Name+"="+v.Text())
		}
	}
	return "execute[flowtap:tap(" + strings.Join(args, ", ") + ")]"
}

func (e *Engine) text(name string, row []value) string {
	args := make([]string, len(row))
	for i, v := range row {
		args[i] = e.in.value(v).Text()
	}
	return name + "(" + strings.Join(args, ", ") + ")"
}

// WriteTo prints the tree, two spaces a level.
func (r *Reason) WriteTo(w io.Writer) (int64, error) {
	var b strings.Builder
	r.print(&b, "")
	n, err := io.WriteString(w, b.String())
	return int64(n), err
}

func (r *Reason) print(b *strings.Builder, indent string) {
	fmt.Fprintf(b, "%s%s", indent, r.Atom)
	switch {
	case r.Given:
		b.WriteString("   is given")
	case r.Fact != nil:
		fmt.Fprintf(b, "   is stated at %s", at(*r.Fact))
	}
	b.WriteByte('\n')
	for _, w := range r.Ways {
		fmt.Fprintf(b, "%s  by the rule at %s\n", indent, at(w.Rule.Text.Span))
		for i := range w.Body {
			w.Body[i].print(b, indent+"    ")
		}
	}
	if r.More {
		fmt.Fprintf(b, "%s  and in more ways\n", indent)
	}
}

func at(s lang.Span) string {
	line, column := s.Position()
	return fmt.Sprintf("%s:%d:%d", s.File.Name, line, column)
}
