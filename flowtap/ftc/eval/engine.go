package eval

import (
	"fmt"

	"github.com/flowtap/flowtap/flowtap/ftc/lang"
	"github.com/flowtap/flowtap/flowtap/ftc/program"
)

// Limits bound what a program may cost. Zero is the default of each.
type Limits struct {
	Values int // in the rows of all tables together, one for a row without columns
	Taps   int // rows of the table of taps
	Work   int // rows looked at in one Apply
	Text   int // bytes of all different texts together, those of rows that went away lately too
}

// Default limits.
const (
	MaxValues = 50_000_000
	MaxTaps   = 1_000_000
	MaxWork   = 200_000_000
	MaxText   = 1 << 30
)

// A LimitError says that a program, with the facts that it was given, is too much. What was there before
// is still there.
type LimitError struct {
	Rule  *program.Rule // nil where facts alone are too many
	What  string
	Limit int
}

func (e *LimitError) Error() string { return fmt.Sprintf("more than %d %s", e.Limit, e.What) }

// A Change inserts a row into a table or, where Delete is set, takes it out. To insert what is there, and
// to delete what was not inserted, changes nothing: a table is a set. Rows of rules and of facts of the
// policy are there besides.
type Change struct {
	Table  string
	Row    []lang.Value
	Delete bool
}

// A RowID is a row of a table, for as long as it is in it. Of a row that was removed it is valid until
// the next Apply.
type RowID = int32

// A Sym is a value: equal ones of one Generation are the same value.
type Sym = value

// A Delta is what a change adds to a table and takes away.
type Delta struct{ Added, Removed []RowID }

// Engine holds all rows of a program.
type Engine struct {
	prog       *program.Program
	limits     Limits
	in         *interner
	tables     []*table
	rules      []*rule
	started    bool
	epoch      int
	epochRows  int
	generation int
	rebuilt    int
	baseSyms   int // values after the last compaction
	baseBytes  int // those of their texts
	work       int
	reasons    int // that an explanation may still have
	scratch    machine
	values     []lang.Value
	room       []value
}

// New makes an engine without any facts but the program's; the first Apply, which may have no
// changes, computes all tables.
func New(p *program.Program, limits Limits) *Engine {
	orDefault := func(n *int, d int) {
		if *n == 0 {
			*n = d
		}
	}
	orDefault(&limits.Values, MaxValues)
	orDefault(&limits.Taps, MaxTaps)
	orDefault(&limits.Work, MaxWork)
	orDefault(&limits.Text, MaxText)
	e := &Engine{prog: p, limits: limits}
	e.reset()
	return e
}

// reset forgets all rows.
func (e *Engine) reset() {
	e.in = newInterner()
	e.tables = make([]*table, len(e.prog.Tables))
	for i, t := range e.prog.Tables {
		e.tables[i] = newTable(t.Arity)
	}
	e.compile()
	e.started = false
	e.generation++
}

func (e *Engine) compile() {
	e.rules = make([]*rule, len(e.prog.Rules))
	for i := range e.prog.Rules {
		e.rules[i] = e.compileRule(&e.prog.Rules[i])
	}
}

// Apply makes changes and carries them through all rules. All of them are made or, with an error, none: a
// *LimitError, or a row that is not as wide as its table. Tables that the program does not speak of are
// left out.
func (e *Engine) Apply(changes []Change) error {
	for _, t := range e.tables {
		t.finish()
	}
	e.compact()
	if err := e.fits(changes); err != nil {
		return err
	}
	e.newEpoch()
	started := e.started
	if !started {
		e.reserve(changes)
	}
	var done []Change // those that changed something
	for _, c := range changes {
		if e.given(c) && started { // what never started is undone whole
			done = append(done, c)
		}
	}
	if err := e.carry(); err != nil {
		e.undo(done, started)
		return err
	}
	return nil
}

// reserve makes room for rows that are inserted.
func (e *Engine) reserve(changes []Change) {
	rows := map[string]int{}
	for _, c := range changes {
		rows[c.Table]++
	}
	for name, n := range rows {
		if t := e.prog.Table(name); t >= 0 {
			e.tables[t].reserve(n)
		}
	}
}

// intern numbers the values of a row. It is valid until the next one.
func (e *Engine) intern(row []lang.Value) []value {
	e.room = e.room[:0]
	for _, v := range row {
		e.room = append(e.room, e.in.of(v))
	}
	return e.room
}

func (e *Engine) fits(changes []Change) error {
	for _, c := range changes {
		if t := e.prog.Table(c.Table); t >= 0 && len(c.Row) != e.prog.Tables[t].Arity {
			return fmt.Errorf("a row of %s has %d columns: %d are given", c.Table, e.prog.Tables[t].Arity, len(c.Row))
		}
	}
	return nil
}

// given marks a row as inserted or not; false is that it was so already.
func (e *Engine) given(c Change) bool {
	n := e.prog.Table(c.Table)
	if n < 0 {
		return false
	}
	t := e.tables[n]
	row := e.intern(c.Row)
	id := t.all.first(t, row)
	if (id != none && t.marks[id]&isGiven != 0) != c.Delete {
		return false
	}
	if c.Delete {
		t.marks[id] &^= isGiven
		t.add(id, -1)
		return true
	}
	id = t.place(row)
	t.marks[id] |= isGiven
	t.add(id, 1)
	return true
}

// carry computes what follows from the rows whose counts were changed, table by table.
func (e *Engine) carry() error {
	e.work = 0
	first := !e.started
	if first {
		e.state()
	}
	e.started = true
	defer func() {
		if first {
			e.rebase()
		}
	}()
	values := 0
	for _, n := range e.prog.Order {
		t := e.tables[n]
		for _, r := range e.prog.Tables[n].Rules {
			if err := e.evaluate(e.rules[r], t, first); err != nil {
				return err
			}
		}
		t.settle()
		values += t.rows * t.width()
		if err := e.full(n, values); err != nil {
			return err
		}
	}
	return nil
}

// state inserts the facts of the policy.
func (e *Engine) state() {
	for _, f := range e.prog.Facts {
		t := e.tables[f.Table]
		id := t.place(e.intern(f.Row))
		if t.marks[id]&isStated == 0 {
			t.marks[id] |= isStated
			t.add(id, 1)
		}
	}
}

const tooManyValues = "values in the rows of all tables"

// full reports a limit that is exceeded when a table is settled.
func (e *Engine) full(table, values int) error {
	t := &e.prog.Tables[table]
	var r *program.Rule
	if len(t.Rules) > 0 {
		r = e.rules[t.Rules[0]].Rule
	}
	switch {
	case values > e.limits.Values:
		return &LimitError{r, tooManyValues, e.limits.Values}
	case t.Name == program.TapTable && e.tables[table].rows > e.limits.Taps:
		return &LimitError{r, "taps", e.limits.Taps}
	}
	return nil
}

// evaluate counts the ways in which a rule's body is satisfied: all of them, or those that the change
// makes and ends.
func (e *Engine) evaluate(r *rule, t *table, all bool) error {
	what, bound, rows := tooManyValues, e.limits.Values, e.limits.Values/t.width()
	if r.Table == e.prog.Table(program.TapTable) {
		what, bound, rows = "taps", e.limits.Taps, e.limits.Taps
	}
	count := func(m *machine, n int32) {
		m.found = func() {
			t.add(t.place(m.head()), n)
			if len(t.changed) > 2*rows && m.err == nil {
				m.err = &LimitError{r.Rule, what, bound}
			}
		}
	}
	if all {
		m := e.machine(r, len(r.Body))
		count(m, 1)
		m.run(0)
		return m.err
	}
	for i, l := range r.Body {
		if l.Builtin != nil {
			continue
		}
		from, sign := e.tables[l.Table], int32(1)
		if len(from.added)+len(from.removed) == 0 {
			continue
		}
		if l.Negated {
			sign = -1
		}
		m := e.machine(r, i)
		if !m.look() { // planning has its cost, too
			return m.err
		}
		for _, way := range []struct {
			rows []int32
			n    int32
		}{{from.added, sign}, {from.removed, -sign}} {
			count(m, way.n)
			for _, id := range way.rows {
				if m.seed(from.row(id)) {
					m.run(0)
				}
			}
		}
		if m.err != nil {
			return m.err
		}
	}
	return nil
}
