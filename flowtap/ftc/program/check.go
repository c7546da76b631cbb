package program

import (
	"maps"
	"slices"
	"strings"

	"github.com/flowtap/flowtap/flowtap/ftc/lang"
)

// Options are what a policy is checked against.
type Options struct {
	// Schemas are sources besides FlowTap; a table that both have is as it is here.
	Schemas Schemas
	// Given says that the rows of tables come from elsewhere besides: nothing is known of their kinds.
	Given func(table string) bool
	// TapValue says what is wrong with a constant in a column of a tap, if anything. It may be nil.
	TapValue func(column string, v lang.Value) error
	// Query is an atom, perhaps in execute[...], whose answers are wanted as the rows of QueryTable.
	Query *lang.Literal
}

// Check finds what is wrong with a policy of one or more files and, where that is nothing but warnings,
// gives its program. It never gives both a program and errors.
func Check(policies []*lang.Policy, opts Options) (*Program, lang.Diagnostics) {
	c := &checker{
		opts: opts, schemas: FlowTap.with(opts.Schemas), services: map[string]bool{},
		actions: map[string]*lang.Action{}, tainted: map[int]bool{}, needs: map[int][]Literal{},
		prog: &Program{byName: map[string]int{}},
	}
	for t := range c.schemas {
		if s, ok := service(t); ok {
			c.services[s] = true
		}
	}
	for _, pol := range policies {
		for _, s := range pol.Statements {
			if p, ok := s.(*lang.Placement); ok {
				c.placements = append(c.placements, p)
			}
		}
	}
	for _, pol := range policies {
		for _, s := range pol.Statements {
			if a, ok := s.(*lang.Action); ok {
				c.declare(a)
			}
		}
	}
	for _, pol := range policies {
		for _, s := range pol.Statements {
			if r, ok := s.(*lang.Rule); ok {
				c.rule(r)
			}
		}
	}
	c.placement()
	if opts.Query != nil {
		c.query(*opts.Query)
	}
	c.order()
	c.kinds()
	c.undefined()
	ds := c.ds.Sort()
	if ds.Errors() {
		return nil, ds
	}
	return c.prog, ds
}

type checker struct {
	opts     Options
	schemas  Schemas
	services map[string]bool // those that are declared
	actions  map[string]*lang.Action
	tainted  map[int]bool      // tables of rules that were wrong: more may be in them than is known
	needs    map[int][]Literal // what rules that were wrong have in their bodies, by table
	prog     *Program
	ds       lang.Diagnostics

	placements []*lang.Placement
	toPlace    bool // a tap names no monitor

	cycles   int
	compared int // names, for suggestions
}

func (c *checker) fault(d lang.Diagnostic) bool {
	c.ds = append(c.ds, d)
	return false
}

func (c *checker) errorf(at lang.Span, format string, args ...any) bool {
	return c.fault(lang.Errorf(at, format, args...))
}

// table gives a table's number and sees to it that it has one width.
func (c *checker) table(name string, arity int, at lang.Span) (int, bool) {
	if i, ok := c.prog.byName[name]; ok {
		t := &c.prog.Tables[i]
		if t.Arity != arity {
			return i, c.fault(lang.Errorf(at, "%s has %s here and %s elsewhere", name, columnCount(arity), columnCount(t.Arity)).
				WithNote(t.Used, "here it has %s", columnCount(t.Arity)))
		}
		return i, true
	}
	t := Table{Name: name, Arity: arity, Used: at}
	if cols, ok := c.schemas[name]; ok {
		t.Source = true
		for _, col := range cols {
			t.Columns = append(t.Columns, col.Name)
		}
	}
	c.prog.byName[name] = len(c.prog.Tables)
	c.prog.Tables = append(c.prog.Tables, t)
	return len(c.prog.Tables) - 1, true
}

func columnCount(n int) string {
	if n == 1 {
		return "1 column"
	}
	return lang.Integer(int64(n)).Text() + " columns"
}

// defined checks that rows of a table may be stated by the policy.
func (c *checker) defined(a lang.Atom, fact bool) bool {
	name, at := a.Table, a.TableSpan
	bare := strings.TrimPrefix(name, "builtin:")
	if _, ok := builtins[bare]; ok {
		return c.errorf(at, "%s is a builtin: its rows cannot be stated", bare)
	}
	if n, ok := missing[name]; ok && n == len(a.Args) {
		return c.errorf(at, "%s is a builtin of OpenStack Congress, which ftc does not have: give the table another name", name)
	}
	if act, ok := c.actions[name]; ok {
		return c.fault(lang.Errorf(at, "%s is an action: it has no rows", name).WithNote(act.NameSpan, "declared here"))
	}
	s, prefixed := service(name)
	switch {
	case s == "builtin" && prefixed:
		return c.errorf(at, "builtin: is for builtins only")
	case prefixed && c.services[s]:
		return c.fault(lang.Errorf(at, "%s belongs to the data source %s: its rows come from there", name, s).
			WithHint("to act on it, write execute[flowtap:tap(...)]; else use a table without a prefix"))
	case prefixed && !fact:
		return c.fault(lang.Errorf(at, "the head of a rule has no prefix: %s would be a table of another policy or source", name))
	}
	return true
}

// source checks that a table of a declared source exists, and gives its columns; nil where it is of
// none.
func (c *checker) source(a lang.Atom) ([]Column, bool) {
	if cols, ok := c.schemas[a.Table]; ok {
		return cols, true
	}
	s, prefixed := service(a.Table)
	if !prefixed || !c.services[s] || s == "file" && c.opts.Given != nil && c.opts.Given(a.Table) { // another file
		return nil, true
	}
	d := lang.Errorf(a.TableSpan, "the data source %s has no table %s", s, a.Table)
	var names []string
	for t := range c.schemas {
		if strings.HasPrefix(t, s+":") {
			names = append(names, t[len(s)+1:])
		}
	}
	if n := c.nearest(a.Table[len(s)+1:], names); n != "" {
		d = d.WithHint("did you mean %s:%s?", s, n)
	} else {
		slices.Sort(names)
		d = d.WithHint("it has %s", strings.Join(names, ", "))
	}
	return nil, c.fault(d)
}

// place puts arguments into columns. Columns that are not given have Span.File nil. max is how many
// may be given by position.
func (c *checker) place(a lang.Atom, cols []Column, positions int) ([]lang.Term, bool) {
	named := slices.ContainsFunc(a.Args, func(g lang.Arg) bool { return g.Named })
	if cols == nil {
		if named {
			return nil, c.fault(lang.Errorf(a.Span, "%s has named columns, but they are not declared", a.Table).
				WithHint("columns have names in tables of declared data sources"))
		}
		terms := make([]lang.Term, len(a.Args))
		for i, g := range a.Args {
			terms[i] = g.Term
		}
		return terms, true
	}
	if !named && len(a.Args) != len(cols) && positions == len(cols) {
		return nil, c.fault(lang.Errorf(a.Span, "%s has %s; %d are given", a.Table, columnCount(len(cols)), len(a.Args)).
			WithHint("its columns are %s; name some and the others are any", columnNames(cols)))
	}
	terms, ok, afterNamed := make([]lang.Term, len(cols)), true, false
	for i, g := range a.Args {
		switch {
		case !g.Named && afterNamed:
			ok = c.errorf(g.Span, "an argument without a column follows one with a column")
			continue
		case !g.Named && i >= positions:
			if i == positions {
				ok = c.errorf(g.Span, "%s has at most %d arguments without a column: name the column", a.Table, positions)
			}
			continue
		case g.Named:
			afterNamed = true
			var found bool
			if i, found = c.column(g, a.Table, cols); !found {
				ok = false
				continue
			}
		}
		if terms[i].File != nil {
			ok = c.fault(lang.Errorf(g.Span, "column %s is given twice", cols[i].Name).WithNote(terms[i].Span, "here it is given first"))
			continue
		}
		terms[i] = g.Term
	}
	return terms, ok
}

func columnNames(cols []Column) string {
	names := make([]string, len(cols))
	for i, col := range cols {
		names[i] = col.Name
	}
	return strings.Join(names, ", ")
}

// column finds the column that an argument names.
func (c *checker) column(g lang.Arg, table string, cols []Column) (int, bool) {
	if g.Index >= 0 {
		if g.Index >= len(cols) {
			return 0, c.errorf(g.ColumnSpan, "%s has the columns 0 to %d", table, len(cols)-1)
		}
		return g.Index, true
	}
	if i := slices.IndexFunc(cols, func(col Column) bool { return col.Name == g.Column }); i >= 0 {
		return i, true
	}
	d := lang.Errorf(g.ColumnSpan, "%s has no column %s", table, g.Column)
	names := make([]string, len(cols))
	for i, col := range cols {
		names[i] = col.Name
	}
	if n := c.nearest(g.Column, names); n != "" {
		d = d.WithHint("did you mean %s?", n)
	} else {
		d = d.WithHint("its columns are %s", columnNames(cols))
	}
	return 0, c.fault(d)
}

// undefined warns of tables that nothing defines.
func (c *checker) undefined() {
	stated := map[int]bool{}
	for _, f := range c.prog.Facts {
		stated[f.Table] = true
	}
	var names []string
	for i, t := range c.prog.Tables {
		if stated[i] || c.tainted[i] || len(t.Rules) > 0 {
			names = append(names, t.Name)
		}
	}
	names = slices.AppendSeq(slices.AppendSeq(names, maps.Keys(c.actions)), maps.Keys(builtins))
	for i, t := range c.prog.Tables {
		_, prefixed := service(t.Name)
		if prefixed || stated[i] || c.tainted[i] || len(t.Rules) > 0 || c.opts.Given != nil && c.opts.Given(t.Name) {
			continue
		}
		d := lang.Errorf(t.Used, "no rule and no fact is about %s: unless its rows are given, it has none", t.Name)
		d.Severity = lang.Warning
		if n := c.nearest(t.Name, names); n != "" {
			d = d.WithHint("did you mean %s?", n)
		}
		c.ds = append(c.ds, d)
	}
}
