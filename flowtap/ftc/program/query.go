package program

import "github.com/flowtap/flowtap/flowtap/ftc/lang"

// QueryTable has the answers to Options.Query: a column for each of its arguments, in their order.
const QueryTable = "?"

// query makes a rule whose head is what a query asks for.
func (c *checker) query(l lang.Literal) {
	if l.Negated {
		c.errorf(l.Span, "a query is not negated: what is not there cannot be listed")
		return
	}
	text := &lang.Rule{Span: l.Span, Heads: []lang.Literal{l}, Body: []lang.Literal{l}}
	r := &ruleChecker{checker: c, text: text, vars: map[string]int{}, rule: Rule{Text: text}}
	cols := tapSource
	var lit Literal
	if l.Modal == "" {
		b, ok := r.builtin(l.Atom)
		if !ok {
			return
		}
		if b != nil {
			c.errorf(l.Span, "a query is of a table, and %s is a builtin", b.Name)
			return
		}
		if cols, ok = c.source(l.Atom); !ok {
			return
		}
		if lit, _, ok = r.literal(l); !ok {
			return
		}
	} else {
		terms, ok := r.place(l.Atom, cols, tapPositions)
		if !ok || l.Modal != "execute" || l.Atom.Table != actionTap {
			c.errorf(l.Span, "of what is executed, execute[flowtap:tap(...)] can be asked for")
			return
		}
		lit.Table, _ = r.table(TapTable, len(cols), l.Span)
		for _, t := range terms {
			switch {
			case t.File != nil && t.Kind == lang.Constant:
				lit.Args = append(lit.Args, Term{NoVar, t.Value})
			case t.File != nil && t.Kind == lang.Variable:
				lit.Args = append(lit.Args, Term{Var: r.variable(t.Name)})
			default:
				lit.Args = append(lit.Args, Term{Var: r.variable("_")})
			}
		}
	}
	for i, g := range l.Atom.Args {
		if g.Named {
			i, _ = c.column(g, l.Atom.Table, cols)
		}
		r.rule.Head = append(r.rule.Head, HeadTerm{Term: lit.Args[i]})
	}
	r.rule.Body = []Literal{lit}
	r.rule.Table, _ = r.table(QueryTable, len(r.rule.Head), l.Span)
	c.add(r.rule)
}
