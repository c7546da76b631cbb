package program

import (
	"strings"

	"github.com/flowtap/flowtap/flowtap/ftc/lang"
)

// ruleChecker is what is known of one rule while it is checked.
type ruleChecker struct {
	*checker
	text  *lang.Rule
	rule  Rule
	vars  map[string]int
	bound []bool // by variable
}

func (c *checker) rule(text *lang.Rule) {
	for _, extra := range text.Heads[1:] {
		c.errorf(extra.Span, "a rule has one head: write a rule for each")
	}
	head := text.Heads[0]
	switch {
	case head.Negated:
		d := lang.Errorf(head.Span, "the head of a rule cannot be negated: a rule says what holds")
		if text.AfterRule {
			d = d.WithHint("is a comma missing in front of it?")
		}
		c.fault(d)
		return
	case head.Modal != "" && head.Modal != "execute":
		c.errorf(head.Span, "%s[...] is not supported: execute[...] is", head.Modal)
		return
	}
	r := &ruleChecker{checker: c, text: text, vars: map[string]int{}, rule: Rule{Text: text}}
	ok, taps := r.body()
	if head.Modal != "" {
		if r.tapHead(head.Atom, nil, nil) && ok {
			c.add(r.rule)
		}
	} else {
		r.plainHead(head.Atom, ok)
	}
	for _, use := range taps {
		t := *r // the same body, another head
		t.rule.Head = nil
		t.rule.Action = c.actions[use.Table]
		if env, fits := t.environment(use); fits && t.tapHead(t.rule.Action.Tap, env, &use) && ok {
			c.add(t.rule)
		}
	}
}

func (c *checker) add(r Rule) {
	c.prog.Tables[r.Table].Rules = append(c.prog.Tables[r.Table].Rules, len(c.prog.Rules))
	c.prog.Rules = append(c.prog.Rules, r)
}

// plainHead checks the head of a rule that is not execute[...], or a fact.
func (r *ruleChecker) plainHead(a lang.Atom, bodyOK bool) {
	if !r.defined(a, r.text.IsFact) {
		return
	}
	terms, ok := r.place(a, nil, 0)
	if !ok {
		return
	}
	table, fits := r.table(a.Table, len(terms), a.Span)
	r.rule.Table = table
	r.rule.Head = make([]HeadTerm, 0, len(terms))
	ok = fits
	for _, t := range terms {
		h, good := r.headTerm(t)
		r.rule.Head = append(r.rule.Head, HeadTerm{Term: h})
		ok = ok && good
	}
	switch {
	case !ok || !bodyOK:
		r.tainted[table] = true
		r.needs[table] = append(r.needs[table], r.rule.Body...)
	case r.text.IsFact:
		row := make([]lang.Value, len(terms))
		for i, t := range terms {
			row[i] = t.Value
		}
		r.prog.Facts = append(r.prog.Facts, Fact{table, row, r.text.Span})
	default:
		r.add(r.rule)
	}
}

// headTerm checks a term of the head: what it takes must be bound by the body.
func (r *ruleChecker) headTerm(t lang.Term) (Term, bool) {
	switch t.Kind {
	case lang.Constant:
		return Term{NoVar, t.Value}, true
	case lang.Any:
		return Term{}, r.errorf(t.Span, "_ stands for any value: in a head it says nothing")
	}
	if v, ok := r.vars[t.Name]; ok && r.bound[v] {
		return Term{Var: v}, true
	}
	if r.text.IsFact {
		d := lang.Errorf(t.Span, "a fact has no variables, and %s is one", t.Name)
		switch {
		case r.text.AfterRule:
			d = d.WithHint("is a comma missing in front of %s?", r.text.Text())
		default:
			d = d.WithHint("a string is written %s", lang.Quote(t.Name))
		}
		return Term{}, r.fault(d)
	}
	if _, ok := r.vars[t.Name]; ok {
		return Term{}, false // said where the body uses it
	}
	return Term{}, r.fault(r.near(lang.Errorf(t.Span, "the body does not bind %s", t.Name), t.Name))
}

// near adds what bound variable was perhaps meant.
func (r *ruleChecker) near(d lang.Diagnostic, name string) lang.Diagnostic {
	var names []string
	for n, v := range r.vars {
		if r.bound[v] {
			names = append(names, n)
		}
	}
	if n := r.nearest(name, names); n != "" && (len(name) > 2 || strings.EqualFold(n, name)) {
		return d.WithHint("did you mean %s?", n)
	}
	return d
}

// body checks all literals, finds what they bind, and gives the uses of action tables apart.
func (r *ruleChecker) body() (ok bool, taps []lang.Atom) {
	ok = true
	r.rule.Body = make([]Literal, 0, len(r.text.Body))
	var wild [][]lang.Span // of each literal, where it has an anonymous variable
	for _, l := range r.text.Body {
		if l.Modal != "" {
			ok = r.errorf(l.Span, "%s[...] stands in heads only", l.Modal)
			continue
		}
		if a := r.actions[l.Atom.Table]; a != nil {
			if l.Negated {
				ok = r.fault(lang.Errorf(l.Span, "%s is an action: it is done or left out, not negated", a.Name).WithNote(a.NameSpan, "declared here"))
				continue
			}
			taps = append(taps, l.Atom)
			continue
		}
		lit, any, good := r.literal(l)
		if !good {
			ok = false
			// What it names counts as bound, so that one fault is said once.
			for _, g := range l.Atom.Args {
				if g.Term.Kind == lang.Variable {
					r.bound[r.variable(g.Term.Name)] = true
				}
			}
			continue
		}
		r.rule.Body = append(r.rule.Body, lit)
		wild = append(wild, any)
	}
	return r.safe(wild) && ok, taps
}

func (r *ruleChecker) variable(name string) int {
	if v, ok := r.vars[name]; ok && name != "_" {
		return v
	}
	v := len(r.rule.Variables)
	r.rule.Variables = append(r.rule.Variables, name)
	r.bound = append(r.bound, false)
	if name != "_" {
		r.vars[name] = v
	}
	return v
}

// literal checks one literal by itself. any are the places of its anonymous variables.
func (r *ruleChecker) literal(l lang.Literal) (lit Literal, any []lang.Span, ok bool) {
	a := l.Atom
	lit = Literal{Negated: l.Negated, Span: l.Span}
	b, ok := r.builtin(a)
	if !ok {
		return lit, nil, false
	}
	var terms []lang.Term
	if b != nil {
		lit.Builtin = b
		if terms, ok = r.place(a, nil, 0); !ok {
			return lit, nil, false
		}
	} else {
		cols, known := r.source(a)
		if !known {
			return lit, nil, false
		}
		if terms, ok = r.place(a, cols, len(cols)); !ok {
			return lit, nil, false
		}
		if lit.Table, ok = r.table(a.Table, len(terms), a.Span); !ok {
			return lit, nil, false
		}
	}
	lit.Args = make([]Term, 0, len(terms))
	for _, t := range terms {
		switch {
		case t.Kind == lang.Constant:
			lit.Args = append(lit.Args, Term{NoVar, t.Value})
		case t.File == nil: // a column that is not given
			any = append(any, a.Span)
			lit.Args = append(lit.Args, Term{Var: r.variable("_")})
		case t.Kind == lang.Any:
			any = append(any, t.Span)
			lit.Args = append(lit.Args, Term{Var: r.variable("_")})
		default:
			lit.Args = append(lit.Args, Term{Var: r.variable(t.Name)})
		}
	}
	return lit, any, true
}

// builtin finds out whether an atom is one; nil is a table.
func (r *ruleChecker) builtin(a lang.Atom) (*Builtin, bool) {
	bare, prefixed := strings.CutPrefix(a.Table, "builtin:")
	b := builtins[bare]
	switch n, gone := missing[bare]; {
	case b != nil && len(a.Args) != len(b.Kinds):
		return nil, r.errorf(a.Span, "the builtin %s has %s; %d are given", bare, columnCount(len(b.Kinds)), len(a.Args))
	case b != nil:
		return b, true
	case gone && (prefixed || n == len(a.Args)):
		return nil, r.errorf(a.TableSpan, "%s is a builtin of OpenStack Congress that ftc does not have", bare)
	case prefixed:
		d := lang.Errorf(a.TableSpan, "there is no builtin %s", bare)
		var names []string
		for n := range builtins {
			names = append(names, n)
		}
		if n := r.nearest(bare, names); n != "" {
			d = d.WithHint("did you mean builtin:%s?", n)
		}
		return nil, r.fault(d)
	}
	return nil, true
}
