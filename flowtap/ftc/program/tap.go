package program

import (
	"strings"

	"github.com/flowtap/flowtap/flowtap/ftc/lang"
)

// actionTap is the table that execute[...] and actions may name.
const actionTap = "flowtap:tap"

// declare checks the declaration of an action.
func (c *checker) declare(a *lang.Action) {
	if before := c.actions[a.Name]; before != nil {
		c.fault(lang.Errorf(a.NameSpan, "the action %s is declared twice", a.Name).WithNote(before.NameSpan, "here it is declared first"))
		return
	}
	if _, prefixed := service(a.Name); prefixed {
		c.errorf(a.NameSpan, "the name of an action has no prefix")
		return
	}
	if _, ok := builtins[a.Name]; ok {
		c.errorf(a.NameSpan, "%s is a builtin", a.Name)
		return
	}
	seen := map[string]bool{}
	for _, p := range a.Parameters {
		switch {
		case p.Named || p.Term.Kind == lang.Constant:
			c.errorf(p.Span, "a parameter is a name, or _ where the argument says nothing")
		case p.Term.Kind == lang.Variable && seen[p.Term.Name]:
			c.errorf(p.Span, "the parameter %s is there twice", p.Term.Name)
		}
		seen[p.Term.Name] = true
	}
	c.actions[a.Name] = a
	c.tapFields(a.Tap)
}

// tapFields checks the columns of a tap; terms of those that are not given have Span.File nil.
func (c *checker) tapFields(a lang.Atom) ([]lang.Term, bool) {
	if a.Table != actionTap {
		d := lang.Errorf(a.TableSpan, "%s is not something that can be executed: %s is", a.Table, actionTap)
		if c.nearest(a.Table, []string{actionTap, "tap"}) != "" {
			d = d.WithHint("did you mean %s?", actionTap)
		}
		return nil, c.fault(d)
	}
	terms, ok := c.place(a, tapSource, tapPositions)
	if !ok {
		return nil, false
	}
	has := func(column string) bool {
		for i, t := range TapColumns {
			if t.Name == column {
				return terms[i].File != nil
			}
		}
		return false
	}
	switch {
	case !has("src"):
		ok = c.errorf(a.Span, "a tap needs src, the port that is tapped")
	case !has("dst") && !has("dst_pool") && len(c.placements) == 0:
		ok = c.fault(lang.Errorf(a.Span, "a tap needs dst, the monitor's port, or dst_pool").
			WithHint("or let it be placed: placement hybrid"))
	case !has("action"):
		ok = c.errorf(a.Span, "a tap needs action: \"forward\" or \"redirect\"")
	}
	c.toPlace = c.toPlace || !has("dst") && !has("dst_pool")
	for i, t := range terms {
		if t.File == nil || t.Kind != lang.Constant {
			continue
		}
		if !TapColumns[i].kinds.has(t.Value.Kind) {
			ok = c.errorf(t.Span, "%s is %s, not %s", TapColumns[i].Name, TapColumns[i].kinds, kindsOf(t.Value))
		} else if c.opts.TapValue != nil && !strings.ContainsAny(t.Value.S, "{}") {
			if err := c.opts.TapValue(TapColumns[i].Name, t.Value); err != nil {
				ok = c.errorf(t.Span, "%v", err)
			}
		}
	}
	return terms, ok
}

// environment gives the arguments of an action's use by the names of its parameters.
func (r *ruleChecker) environment(use lang.Atom) (map[string]lang.Term, bool) {
	a := r.rule.Action
	if len(use.Args) != len(a.Parameters) {
		return nil, r.fault(lang.Errorf(use.Span, "the action %s has %s; %d are given", a.Name, columnCount(len(a.Parameters)), len(use.Args)).
			WithNote(a.NameSpan, "declared here"))
	}
	env := map[string]lang.Term{}
	for i, p := range a.Parameters {
		g := use.Args[i]
		switch {
		case g.Named:
			return nil, r.errorf(g.Span, "arguments of an action have no column")
		case p.Term.Kind == lang.Any:
		case g.Term.Kind == lang.Any:
			return nil, r.fault(lang.Errorf(g.Span, "the action %s takes its %s here", a.Name, p.Term.Name).WithNote(p.Span, "declared here"))
		default:
			env[p.Term.Name] = g.Term
		}
	}
	return env, true
}

// tapHead makes the rule's head a tap. With an action, env are its arguments and use is where the rule
// has it: names are those of parameters, else of the rule's variables.
func (r *ruleChecker) tapHead(a lang.Atom, env map[string]lang.Term, use *lang.Atom) bool {
	before := len(r.ds)
	terms, ok := r.tapFields(a)
	if use != nil {
		r.checker.ds = r.ds[:before] // said where it is declared
	}
	if !ok {
		return false
	}
	r.rule.Table, _ = r.table(TapTable, len(TapColumns), a.Span)
	for i, t := range terms {
		h := HeadTerm{Term: Term{Var: NoVar}}
		good := true
		switch {
		case t.File == nil:
			h.Value = TapColumns[i].defaultValue()
		case t.Kind == lang.Constant && strings.ContainsAny(t.Value.S, "{}"):
			h.Template, good = r.template(t, env, use)
		default:
			h.Term, good = r.tapTerm(t, env, use)
		}
		r.rule.Head = append(r.rule.Head, h)
		ok = ok && good
	}
	return ok
}

func (t TapColumn) defaultValue() lang.Value {
	if t.Default == nil {
		return lang.Value{}
	}
	return *t.Default
}

func (r *ruleChecker) tapTerm(t lang.Term, env map[string]lang.Term, use *lang.Atom) (Term, bool) {
	if use == nil {
		return r.headTerm(t)
	}
	if arg, ok := env[t.Name]; ok && t.Kind == lang.Variable {
		return r.headTerm(arg)
	}
	if v, ok := r.vars[t.Name]; t.Kind == lang.Variable && (!ok || !r.bound[v]) {
		return Term{}, r.fault(r.near(lang.Errorf(use.Span, "the action %s needs a variable %s, which this rule does not bind", use.Table, t.Name), t.Name).
			WithNote(t.Span, "needed here"))
	}
	return r.headTerm(t)
}

// template takes a text with variables in braces apart.
func (r *ruleChecker) template(t lang.Term, env map[string]lang.Term, use *lang.Atom) ([]Piece, bool) {
	var pieces []Piece
	rest := t.Value.S
	for {
		text, after, open := strings.Cut(rest, "{")
		if strings.Contains(text, "}") {
			return nil, r.errorf(t.Span, "a } without a {")
		}
		if !open {
			return append(pieces, Piece{text, NoVar}), true
		}
		name, more, closed := strings.Cut(after, "}")
		if !closed || !isName(name) {
			return nil, r.errorf(t.Span, "braces have the name of a variable between them: {port}")
		}
		v := lang.Term{Span: t.Span, Kind: lang.Variable, Name: name}
		term, ok := r.tapTerm(v, env, use)
		if !ok {
			return nil, false
		}
		if term.Var == NoVar {
			pieces = append(pieces, Piece{text + term.Value.Plain(), NoVar})
		} else {
			pieces = append(pieces, Piece{text, term.Var})
		}
		rest = more
	}
}

func isName(s string) bool {
	for i, c := range s {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' || i > 0 && ('0' <= c && c <= '9' || c == '.')) {
			return false
		}
	}
	return s != "" && s != "_"
}
