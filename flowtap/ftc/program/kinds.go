package program

import (
	"slices"

	"github.com/flowtap/flowtap/flowtap/ftc/lang"
)

func kindsOf(v lang.Value) Kinds { return 1 << v.Kind }

func (k Kinds) has(kind lang.Kind) bool { return k&(1<<kind) != 0 }

// kinds finds out of which kinds the values of each column can be, in the order of the tables, and
// reports literals that no value can satisfy, negated or not: of those nobody means what they say. Where that is so of
// rows that the policy states, it is a warning: 1 and 1.0 are different in a join, which is no fault of either.
func (c *checker) kinds() {
	known := make([][]Kinds, len(c.prog.Tables))
	for t := range c.tainted { // one that follows from itself is used before it is known
		known[t] = slices.Repeat([]Kinds{anything}, c.prog.Tables[t].Arity)
	}
	facts := map[int][]Fact{}
	for _, f := range c.prog.Facts {
		facts[f.Table] = append(facts[f.Table], f)
	}
	for _, t := range c.prog.Order {
		table := &c.prog.Tables[t]
		k := make([]Kinds, table.Arity)
		cols := c.schemas[table.Name]
		open := c.tainted[t] || c.opts.Given != nil && c.opts.Given(table.Name) || len(table.Rules) == 0 && len(facts[t]) == 0
		for i := range k {
			switch {
			case cols != nil && cols[i].Kinds != 0:
				k[i] = cols[i].Kinds
			case open || cols != nil:
				k[i] = anything
			}
		}
		known[t] = k
		for _, f := range facts[t] {
			for i, v := range f.Row {
				k[i] |= kindsOf(v) | stated
			}
		}
		for _, r := range table.Rules {
			c.ruleKinds(&c.prog.Rules[r], known)
		}
	}
	c.monitorKinds(known)
}

// kindChecker is what is known of the variables of one rule.
type kindChecker struct {
	*checker
	rule *Rule
	vars []Kinds
	by   []lang.Span // what narrowed the variable last
}

func (c *checker) ruleKinds(r *Rule, known [][]Kinds) {
	k := &kindChecker{c, r, make([]Kinds, len(r.Variables)), make([]lang.Span, len(r.Variables))}
	for i := range k.vars {
		k.vars[i] = anything
	}
	ok := true
	for _, l := range r.Body {
		for i, a := range l.Args {
			if l.Builtin == nil && ok {
				ok = k.meet(a, known[l.Table][i], l)
			}
		}
	}
	// What one builtin gives another takes: once more for each.
	for range r.Body {
		for _, l := range r.Body {
			if l.Builtin != nil && ok {
				ok = k.builtin(l)
			}
		}
	}
	head := known[r.Table]
	for i, h := range r.Head {
		got := anything
		switch {
		case h.Template != nil:
			got = strings_
		case h.Var == NoVar:
			got = kindsOf(h.Value)
		case ok:
			got = k.vars[h.Var]
		}
		if r.Table == c.tapTable() && got&TapColumns[i].kinds == 0 {
			what := h.Value.Text()
			if h.Var != NoVar {
				what = r.Variables[h.Var]
			}
			c.errorf(r.Text.Heads[0].Span, "the %s of a tap is %s; %s is %s", TapColumns[i].Name, TapColumns[i].kinds, what, got)
		}
		head[i] |= got
	}
}

func (c *checker) tapTable() int { return c.prog.Table(TapTable) }

// meet narrows a term to kinds; none left is a fault. A negated literal narrows nothing.
func (k *kindChecker) meet(t Term, kinds Kinds, l Literal) bool {
	have := k.of(t)
	both := have & kinds & anything
	switch {
	case both == 0 && t.Var == NoVar:
		if l.Builtin == nil { // it is like a row that is stated
			have |= stated
		}
		return k.never(have, kinds, lang.Errorf(l.Span, "this can never match: %s is %s, and the column is %s", t.Value.Text(), have, kinds))
	case both == 0:
		d := lang.Errorf(l.Span, "this can never match: %s is %s here", k.rule.Variables[t.Var], kinds)
		if by := k.by[t.Var]; by.File != nil {
			d = d.WithNote(by, "here it is %s", have)
		}
		return k.never(have, kinds, d)
	case t.Var != NoVar && !l.Negated && both != have&anything:
		k.vars[t.Var], k.by[t.Var] = both|kinds&stated, l.Span
	}
	return true
}

// never reports kinds that have none in common. What a query asks for need not be there.
func (k *kindChecker) never(a, b Kinds, d lang.Diagnostic) bool {
	if a&b&stated != 0 || k.prog.Tables[k.rule.Table].Name == QueryTable {
		d.Severity = lang.Warning
	}
	return k.fault(d)
}

func (k *kindChecker) of(t Term) Kinds {
	if t.Var == NoVar {
		return kindsOf(t.Value)
	}
	return k.vars[t.Var]
}

// builtin narrows what a builtin takes and gives.
func (k *kindChecker) builtin(l Literal) bool {
	b := l.Builtin
	kinds := append([]Kinds(nil), b.Kinds...)
	if b.Alike {
		for i := range 2 {
			switch other := k.of(l.Args[1-i]); {
			case other&strings_ == 0:
				kinds[i] = numbers | other&stated
			case other&numbers == 0:
				kinds[i] = strings_ | other&stated
			}
		}
		if len(kinds) == 3 {
			kinds[2] = k.of(l.Args[0]) | k.of(l.Args[1])
		}
	}
	if b.Arithmetic {
		switch x, y := k.of(l.Args[0])&numbers, k.of(l.Args[1])&numbers; {
		case x == ints && y == ints:
			kinds[2] = ints
		case x == floats || y == floats:
			kinds[2] = floats
		}
		kinds[2] |= (k.of(l.Args[0]) | k.of(l.Args[1])) & stated
	}
	for i, a := range l.Args {
		if !k.meet(a, kinds[i], l) {
			return false
		}
	}
	return true
}
