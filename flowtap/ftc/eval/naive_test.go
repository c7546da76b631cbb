package eval

import (
	"fmt"
	"slices"

	"github.com/flowtap/flowtap/flowtap/ftc/lang"
	"github.com/flowtap/flowtap/flowtap/ftc/program"
)

// naive computes all tables by trying every combination of rows for every rule: slow, and plain
// enough to be believed. It gives the number of derivations of each row.
func naive(p *program.Program, given map[int]map[string][]lang.Value) []map[string]int {
	counts := make([]map[string]int, len(p.Tables))
	rows := make([]map[string][]lang.Value, len(p.Tables))
	add := func(t int, row []lang.Value) {
		counts[t][rowKey(row)]++
		rows[t][rowKey(row)] = row
	}
	for _, t := range p.Order {
		counts[t], rows[t] = map[string]int{}, map[string][]lang.Value{}
		for _, row := range given[t] {
			add(t, row)
		}
		stated := map[string]bool{}
		for _, f := range p.Facts {
			if f.Table == t && !stated[rowKey(f.Row)] {
				stated[rowKey(f.Row)] = true
				add(t, f.Row)
			}
		}
		for _, r := range p.Tables[t].Rules {
			n := &naiveRule{rule: &p.Rules[r], rows: rows, found: func(row []lang.Value) { add(t, row) }}
			n.positive(0, map[int]lang.Value{})
		}
	}
	return counts
}

func rowKey(row []lang.Value) string {
	s := ""
	for _, v := range row {
		s += fmt.Sprintf("%d%q,", v.Kind, v.Text())
	}
	return s
}

type naiveRule struct {
	rule  *program.Rule
	rows  []map[string][]lang.Value
	found func(row []lang.Value)
}

// positive tries every row for every literal that binds, then decides the others.
func (n *naiveRule) positive(i int, vars map[int]lang.Value) {
	if i == len(n.rule.Body) {
		n.rest(vars)
		return
	}
	l := n.rule.Body[i]
	if l.Builtin != nil || l.Negated {
		n.positive(i+1, vars)
		return
	}
	for _, row := range n.rows[l.Table] {
		if now, ok := unify(l.Args, row, vars); ok {
			n.positive(i+1, now)
		}
	}
}

func unify(args []program.Term, row []lang.Value, vars map[int]lang.Value) (map[int]lang.Value, bool) {
	now := map[int]lang.Value{}
	for v, x := range vars {
		now[v] = x
	}
	for c, a := range args {
		want, bound := now[a.Var]
		if a.Var == program.NoVar {
			want, bound = a.Value, true
		}
		if bound && want != row[c] {
			return nil, false
		}
		if !bound {
			now[a.Var] = row[c]
		}
	}
	return now, true
}

// rest decides builtins, again and again until all that bind have, and then what is negated.
func (n *naiveRule) rest(vars map[int]lang.Value) {
	var waiting []program.Literal
	for _, l := range n.rule.Body {
		if l.Builtin != nil && !l.Negated {
			waiting = append(waiting, l)
		}
	}
	for len(waiting) > 0 {
		i := slices.IndexFunc(waiting, func(l program.Literal) bool { return known(l.Args[:l.Builtin.Inputs], vars) })
		l := waiting[i]
		waiting = slices.Delete(waiting, i, i+1)
		now, ok := n.compute(l, vars)
		if !ok {
			return
		}
		vars = now
	}
	for _, l := range n.rule.Body {
		if !l.Negated {
			continue
		}
		if l.Builtin != nil {
			if _, ok := n.compute(l, vars); ok {
				return
			}
			continue
		}
		row := make([]lang.Value, len(l.Args))
		for c, a := range l.Args {
			row[c] = valueOf(a, vars)
		}
		if _, ok := n.rows[l.Table][rowKey(row)]; ok {
			return
		}
	}
	var head []lang.Value
	for _, h := range n.rule.Head {
		head = append(head, valueOf(h.Term, vars))
	}
	n.found(head)
}

func known(args []program.Term, vars map[int]lang.Value) bool {
	for _, a := range args {
		if _, ok := vars[a.Var]; a.Var != program.NoVar && !ok {
			return false
		}
	}
	return true
}

func valueOf(t program.Term, vars map[int]lang.Value) lang.Value {
	if t.Var == program.NoVar {
		return t.Value
	}
	return vars[t.Var]
}

func (n *naiveRule) compute(l program.Literal, vars map[int]lang.Value) (map[int]lang.Value, bool) {
	var in []lang.Value
	for _, a := range l.Args[:l.Builtin.Inputs] {
		in = append(in, valueOf(a, vars))
	}
	out, ok := builtinFuncs[l.Builtin.Name](in)
	if !ok || len(l.Args) == len(in) {
		return vars, ok
	}
	return unify(l.Args[len(in):], []lang.Value{out}, vars)
}
