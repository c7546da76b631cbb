package eval

import (
	"math"

	"github.com/flowtap/flowtap/flowtap/ftc/program"
)

// rule is a program.Rule with its constants numbered.
type rule struct {
	*program.Rule
	args [][]source // of each literal
	head []source
	// plans are how to satisfy the body: from what is new of one literal, by its number; from nothing,
	// which has the number len(Body); or from a row of the head, the number behind that.
	plans []*plan
	epoch int // of the plans
}

// source is a register or, where reg is negative, a constant.
type source struct {
	reg int
	val value
}

func (e *Engine) compileRule(r *program.Rule) *rule {
	c := &rule{Rule: r, plans: make([]*plan, len(r.Body)+2)}
	term := func(t program.Term) source {
		if t.Var != program.NoVar {
			return source{reg: t.Var}
		}
		return source{-1, e.in.of(t.Value)}
	}
	for _, l := range r.Body {
		args := make([]source, len(l.Args))
		for i, a := range l.Args {
			args[i] = term(a)
		}
		c.args = append(c.args, args)
	}
	for _, h := range r.Head {
		if h.Template != nil {
			c.head = append(c.head, source{reg: -1})
			continue
		}
		c.head = append(c.head, term(h.Term))
	}
	return c
}

// plan is an order of the literals in which each finds what it needs bound.
type plan struct {
	seed  pattern // what a first row must be like, and what it binds
	steps []step
}

// pattern is what to do with a row: compare columns with constants, with registers, and put others
// into registers.
type pattern struct {
	consts, checks, binds []column
}

// column is a column and what it is compared with or put into.
type column struct {
	col int
	source
}

type step struct {
	literal int // in the body
	table   *table
	negated bool
	// index and key find rows; without an index all are looked at. exists says that the key is the
	// whole row.
	index  *index
	exists bool
	key    []source
	pattern
	// builtin, if any, takes in and gives out, which is compared with known or put into its register.
	builtin builtin
	in      []source
	out     *source
	known   bool
}

// planFor gives the plan that starts from a literal, from nothing, or from a row of the head.
func (e *Engine) planFor(r *rule, from int) *plan {
	if r.epoch != e.epoch {
		clear(r.plans)
		r.epoch = e.epoch
	}
	if r.plans[from] == nil {
		r.plans[from] = e.makePlan(r, from)
	}
	return r.plans[from]
}

func (e *Engine) makePlan(r *rule, from int) *plan {
	p := &plan{}
	bound := make([]bool, len(r.Variables))
	left := map[int]bool{}
	for i := range r.Body {
		left[i] = true
	}
	switch {
	case from < len(r.Body):
		p.seed = makePattern(r.args[from], bound, nil)
		delete(left, from)
	case from > len(r.Body):
		p.seed = e.headPattern(r, bound)
	}
	for len(left) > 0 {
		best, cost := -1, math.Inf(1)
		for i := range r.Body {
			if left[i] {
				if c := e.cost(r, i, bound); c < cost {
					best, cost = i, c
				}
			}
		}
		p.steps = append(p.steps, e.makeStep(r, best, bound))
		delete(left, best)
	}
	return p
}

// headPattern takes from a row of the head what it says of variables.
func (e *Engine) headPattern(r *rule, bound []bool) pattern {
	skip := make([]bool, len(r.head))
	for i := range r.head {
		skip[i] = r.Head[i].Template != nil
	}
	return makePattern(r.head, bound, skip)
}

// makePattern compares what is known and binds what is not.
func makePattern(args []source, bound, skip []bool) (p pattern) {
	for i, a := range args {
		switch {
		case skip != nil && skip[i]:
		case a.reg < 0:
			p.consts = append(p.consts, column{i, a})
		case bound[a.reg]:
			p.checks = append(p.checks, column{i, a})
		default:
			bound[a.reg] = true
			p.binds = append(p.binds, column{i, a})
		}
	}
	return p
}

// cost estimates how many rows a literal gives for what is bound; what only decides costs less than
// one, and what cannot be decided yet is infinite.
func (e *Engine) cost(r *rule, i int, bound []bool) float64 {
	l, args := &r.Body[i], r.args[i]
	known := func(a source) bool { return a.reg < 0 || bound[a.reg] }
	if b := l.Builtin; b != nil || l.Negated {
		if b != nil && !l.Negated {
			args = args[:b.Inputs]
		}
		for _, a := range args {
			if !known(a) {
				return math.Inf(1)
			}
		}
		return 0
	}
	t := e.tables[l.Table]
	var consts, vars []column
	for c, a := range args {
		switch {
		case a.reg < 0:
			consts = append(consts, column{c, a})
		case bound[a.reg]:
			vars = append(vars, column{c, a})
		}
	}
	if len(consts)+len(vars) == len(args) {
		return 0.5
	}
	e.work += min(int(t.places()), sampled)
	return 1 + t.estimate(consts, vars)
}

// sampled is how many rows an estimate looks at.
const sampled = 128

// estimate says how many rows have some constants and, besides, given values in some columns, from a
// sample.
func (t *table) estimate(consts, vars []column) float64 {
	if t.rows == 0 {
		return 0
	}
	seen, match := 0, 0
	distinct := map[uint64]int{}
	stride := max(1, t.places()/sampled)
	for id := int32(0); id < t.places(); id += stride {
		if t.marks[id]&member == 0 {
			continue
		}
		seen++
		row := t.row(id)
		if !hasConsts(row, consts) {
			continue
		}
		match++
		var h uint64
		for _, c := range vars {
			h = mix(h, row[c.col])
		}
		distinct[h]++
	}
	if seen == 0 || match == 0 {
		return 1
	}
	rows := float64(t.rows) * float64(match) / float64(seen)
	if len(vars) == 0 {
		return rows
	}
	if len(distinct)*2 > match { // mostly different: so is the rest
		return float64(match) / float64(len(distinct))
	}
	return rows / float64(len(distinct))
}

func hasConsts(row []value, consts []column) bool {
	for _, c := range consts {
		if row[c.col] != c.val {
			return false
		}
	}
	return true
}

// indexWork is how many rows could be looked at in the time in which one gets into a new index.
const indexWork = 8

// makeStep says how to satisfy a literal with what is bound, and what is bound after it.
func (e *Engine) makeStep(r *rule, i int, bound []bool) step {
	l, args := &r.Body[i], r.args[i]
	s := step{literal: i, negated: l.Negated}
	if b := l.Builtin; b != nil {
		s.builtin, s.in = builtinFuncs[b.Name], args[:b.Inputs]
		if b.Inputs < len(args) {
			out := args[b.Inputs]
			s.out, s.known = &out, out.reg < 0 || bound[out.reg]
			if !s.known {
				bound[out.reg] = true
			}
		}
		return s
	}
	s.table = e.tables[l.Table]
	var cols []int
	rest := make([]bool, len(args)) // columns that the key decides
	for c, a := range args {
		if a.reg < 0 || bound[a.reg] {
			cols = append(cols, c)
			s.key = append(s.key, a)
			rest[c] = true
		}
	}
	switch {
	case len(cols) == len(args):
		s.exists, s.index = true, s.table.all
	case len(cols) > 0:
		had := len(s.table.indexes)
		if s.index = s.table.index(cols); len(s.table.indexes) > had {
			e.work += indexWork * s.table.rows
		}
	}
	s.pattern = makePattern(args, bound, rest)
	return s
}
