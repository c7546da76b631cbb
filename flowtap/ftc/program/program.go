package program

import "github.com/flowtap/flowtap/flowtap/ftc/lang"

// A Program is a policy with which nothing is wrong.
type Program struct {
	Tables []Table
	Rules  []Rule
	Facts  []Fact
	// Placement is nil where taps name their monitors.
	Placement *Placement
	// Order are the tables such that each comes after those that it follows from.
	Order  []int
	byName map[string]int
}

// Table finds a table by its name; -1 where the policy does not speak of it.
func (p *Program) Table(name string) int {
	if i, ok := p.byName[name]; ok {
		return i
	}
	return -1
}

// A Table is a set of rows of one width.
type Table struct {
	Name  string
	Arity int
	// Columns are the names of a declared source's columns; nil for other tables.
	Columns []string
	// Rules are those that have the table as their head.
	Rules []int
	// Source says that the rows come from a declared data source.
	Source bool
	// Used is the first place that speaks of the table.
	Used lang.Span
}

// TapTable is the table of taps: what execute[flowtap:tap(...)] is the head of. Its columns are TapColumns.
const TapTable = "execute[flowtap:tap]"

// A Fact is a row that the policy states.
type Fact struct {
	Table int
	Row   []lang.Value
	Span  lang.Span
}

// A Rule says that for each way to satisfy the body the head is a row.
type Rule struct {
	Table int
	Head  []HeadTerm
	Body  []Literal
	// Variables are the names of the rule's variables; those of columns that nobody named are "_".
	Variables []string
	// Text is the rule as it was written. Of a rule that has an action table in its body there are two:
	// the one of the table of taps has the declaration in Action.
	Text   *lang.Rule
	Action *lang.Action
}

// A HeadTerm is a variable, a constant, or a text into which values are put.
type HeadTerm struct {
	Term
	Template []Piece
}

// A Piece is a text and, unless Var is NoVar, the variable behind it.
type Piece struct {
	Text string
	Var  int
}

// NoVar is the Var of a constant.
const NoVar = -1

// A Term is a variable of the rule or a constant.
type Term struct {
	Var   int
	Value lang.Value
}

// A Literal is a condition on the variables of a rule: a table's row, or a Builtin where that is not nil.
type Literal struct {
	Negated bool
	Table   int
	Builtin *Builtin
	Args    []Term
	Span    lang.Span
}

// Place is where the policy has the rule: its head.
func (r *Rule) Place() lang.Span {
	return r.Text.Heads[0].Span
}
