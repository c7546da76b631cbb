package lang

// A Policy is one parsed file.
type Policy struct {
	File       *File
	Statements []Statement
	Comments   []Comment
}

// A Statement is a Rule, an Action or a Placement.
type Statement interface{ span() Span }

// A Rule is a rule, or a fact where it has no Body.
type Rule struct {
	Span
	// Heads are as many as were written; one is right.
	Heads []Literal
	Body  []Literal
	// IsFact says that there was no ":-".
	IsFact bool
	// AfterRule says that a rule stands before it without a terminator: perhaps a comma is missing.
	AfterRule bool
}

// An Action declares what an action table does in the rules that have it in their body:
//
//	action name(parameters) = flowtap:tap(arguments)
type Action struct {
	Span
	Name       string
	NameSpan   Span
	Parameters []Arg
	Tap        Atom
}

// A Placement declares by which monitors the taps are watched that name none:
//
//	placement strategy from table
type Placement struct {
	Span
	Strategy     string
	StrategySpan Span
	// From is the table of the monitors; empty where nothing is said of them.
	From     string
	FromSpan Span
}

func (r *Rule) span() Span      { return r.Span }
func (a *Action) span() Span    { return a.Span }
func (p *Placement) span() Span { return p.Span }

// A Literal is an atom, perhaps negated, perhaps inside a modal such as execute[...].
type Literal struct {
	Span
	Negated bool
	// Modal is "execute", "insert", "delete", another word in front of [, or empty.
	Modal string
	Atom  Atom
}

// An Atom is a table with arguments.
type Atom struct {
	Span
	// Table is the whole name, "a:b:c".
	Table     string
	TableSpan Span
	Args      []Arg
}

// An Arg is a term, for the next column or for one that it names.
type Arg struct {
	Span
	Named bool
	// Column is the name or, where it is a number, Index.
	Column     string
	Index      int // -1 where Column is a name
	ColumnSpan Span
	Term       Term
}

// TermKind is what a term is.
type TermKind uint8

// Kinds of term. Any is the anonymous variable "_".
const (
	Variable TermKind = iota
	Any
	Constant
)

// A Term is a variable or a constant.
type Term struct {
	Span
	Kind  TermKind
	Name  string // of a variable
	Value Value  // of a constant
}
