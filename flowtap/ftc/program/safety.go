package program

import "github.com/flowtap/flowtap/flowtap/ftc/lang"

// safe finds which variables the body binds: positive tables all of theirs, builtins their outputs where
// their inputs are bound, in whatever order they are written. What needs a variable that nothing binds
// is an error.
func (r *ruleChecker) safe(wild [][]lang.Span) bool {
	body := r.rule.Body
	done := make([]bool, len(body))
	for i, l := range body {
		if l.Builtin == nil && !l.Negated {
			done[i] = true
			r.bind(l.Args)
		}
	}
	for again := true; again; {
		again = false
		for i, l := range body {
			if !done[i] && l.Builtin != nil && !l.Negated && len(r.unbound(l.inputs())) == 0 {
				done[i], again = true, true
				r.bind(l.Args)
			}
		}
	}
	ok := true
	for i, l := range body {
		if done[i] {
			continue
		}
		free := r.unbound(l.inputs())
		if len(free) == 0 {
			continue
		}
		ok = false
		r.unsafe(l, free, wild[i])
	}
	return ok
}

// inputs are the arguments that must be bound before the literal can be decided.
func (l Literal) inputs() []Term {
	if l.Builtin != nil && !l.Negated {
		return l.Args[:l.Builtin.Inputs]
	}
	return l.Args
}

func (r *ruleChecker) bind(args []Term) {
	for _, a := range args {
		if a.Var != NoVar {
			r.bound[a.Var] = true
		}
	}
}

func (r *ruleChecker) unbound(args []Term) (vars []int) {
	for _, a := range args {
		if a.Var != NoVar && !r.bound[a.Var] {
			vars = append(vars, a.Var)
		}
	}
	return vars
}

// unsafe says which variables of a literal nothing binds.
func (r *ruleChecker) unsafe(l Literal, free []int, wild []lang.Span) {
	said := map[string]bool{}
	for _, v := range free {
		name := r.rule.Variables[v]
		if said[name] {
			continue
		}
		said[name] = true
		at := l.Span
		switch {
		case name != "_":
			at = r.occurrence(l.Span, name)
		case len(wild) > 0:
			at = wild[0]
		}
		switch {
		case l.Builtin != nil && name == "_":
			r.errorf(at, "the builtin %s takes a value here", l.Builtin.Name)
		case l.Builtin != nil:
			r.fault(r.near(lang.Errorf(at, "%s is taken by the builtin %s, and no other literal binds it", name, l.Builtin.Name), name))
		case name == "_":
			table := r.prog.Tables[l.Table].Name
			r.fault(lang.Errorf(at, "\"no %s with any value here\" cannot be said by one negated literal", table).
				WithHint("define a table with the columns that matter, some(x) :- %s(...), and negate that", table))
		default:
			r.fault(r.near(lang.Errorf(at, "%s is in a negated literal, and no positive one binds it", name), name))
		}
	}
}

// occurrence finds where a literal of the rule has a variable.
func (r *ruleChecker) occurrence(literal lang.Span, name string) lang.Span {
	for _, l := range r.text.Body {
		if l.Span != literal {
			continue
		}
		for _, g := range l.Atom.Args {
			if g.Term.Kind == lang.Variable && g.Term.Name == name {
				return g.Term.Span
			}
		}
	}
	return literal
}
