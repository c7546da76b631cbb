package ftc

import (
	"cmp"
	"slices"
	"strings"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/flowtap/ftc/eval"
	"github.com/flowtap/flowtap/flowtap/ftc/lang"
	"github.com/flowtap/flowtap/flowtap/ftc/program"
	"github.com/flowtap/flowtap/flowtap/placement"
)

// A Wanted is a contract that a policy wants.
type Wanted struct {
	// ID is made of the policy's id and of what the contract is about: src, match, direction and
	// priority, of which one policy has no two. So a contract that gets another monitor or action is the
	// same contract, changed.
	ID string
	// Tap has no Dst and no DstPool where there is a Strategy.
	Tap flowtap.Tap
	Row eval.RowID
	// Strategy is by which the monitor is found; empty is that the policy names it. Those that may have the contract are the
	// Provider's, or Monitors: ids as the policy has them, sorted, with commas between them.
	Strategy placement.Strategy
	Monitors string
	Provider bool
}

// Changes are what has become of the wanted contracts.
type Changes struct {
	Put    []Wanted // new, or not as they were
	Delete []string // ids
}

// Taps are the contracts that a policy wants, kept up with the rows of an engine.
type Taps struct {
	policy  string
	engine  *eval.Engine
	table   int
	rebuilt int               // of the engine, when rows were last read; -1 is never
	groups  map[string]*group // by src
	rows    []string          // the src of each row
	faulty  map[string]bool   // groups with faults
	forms   forms
	placing placing
}

// group is what one port's contracts are made of.
type group struct {
	rows   []eval.RowID
	wanted []Wanted
	faults []fault
	dirty  bool
}

// NewTaps makes an empty set for a policy with an id; the engine is the policy's alone.
func NewTaps(policy string, e *eval.Engine) *Taps {
	return &Taps{
		policy: policy, engine: e, table: e.Program().Table(program.TapTable),
		rebuilt: -1, groups: map[string]*group{}, faulty: map[string]bool{},
	}
}

// Update follows what the engine's last Apply changed: it is called once after each that had no error.
// Rows that cannot be contracts are left out, and are in Faults.
func (t *Taps) Update() Changes {
	var changes Changes
	if t.table < 0 {
		return changes
	}
	t.forms.renew(t.engine)
	others := t.readPlacing()
	var dirty []string
	added := 0
	mark := func(src string) *group {
		g := t.groups[src]
		if g == nil {
			g = &group{rows: make([]eval.RowID, 0, 4)}
			t.groups[src] = g
		}
		if !g.dirty {
			g.dirty = true
			dirty = append(dirty, src)
		}
		return g
	}
	add := func(id eval.RowID) {
		added++
		src := t.engine.Value(t.engine.Syms(t.table, id)[colSrc]).S
		if n := int(id) + 1 - len(t.rows); n > 0 {
			t.rows = append(t.rows, make([]string, n)...)
		}
		t.rows[id] = src
		g := mark(src)
		g.rows = append(g.rows, id)
	}
	if now := t.engine.Rebuilt(); t.rebuilt != now {
		t.rebuilt = now
		for src, g := range t.groups {
			g.rows = nil
			mark(src)
		}
		slices.Sort(dirty)
		for id := range t.engine.IDs(t.table) {
			add(id)
		}
	} else {
		d := t.engine.Delta(t.table)
		for _, id := range d.Removed {
			g := mark(t.rows[id])
			g.rows = slices.DeleteFunc(g.rows, func(r eval.RowID) bool { return r == id })
		}
		for _, id := range d.Added {
			add(id)
		}
	}
	if others { // those that are placed may be at others
		known := len(dirty)
		for src, g := range t.groups {
			if slices.ContainsFunc(g.wanted, func(w Wanted) bool { return w.Strategy != "" }) {
				mark(src)
			}
		}
		slices.Sort(dirty[known:])
	}
	changes.Put = slices.Grow(changes.Put, added)
	for _, src := range dirty {
		t.regroup(src, &changes)
	}
	return changes
}

// regroup computes one port's contracts anew and says what differs.
func (t *Taps) regroup(src string, changes *Changes) {
	g := t.groups[src]
	g.dirty = false
	old := g.wanted
	g.wanted = make([]Wanted, 0, len(g.rows))
	g.faults = g.faults[:0]
	for _, row := range g.rows {
		w, f := t.contract(row)
		if f != nil {
			g.faults = append(g.faults, *f)
		} else {
			g.wanted = append(g.wanted, w)
		}
	}
	slices.SortFunc(g.wanted, compareWanted)
	// Rows of one meaning, differently spelled, are one contract.
	g.wanted = slices.CompactFunc(g.wanted, func(a, b Wanted) bool { return a.ID == b.ID && a.Tap == b.Tap })
	g.faults = append(g.faults, t.overlaps(g.wanted)...)
	// Of contracts with one id, which overlap, one is kept.
	g.wanted = slices.CompactFunc(g.wanted, func(a, b Wanted) bool { return a.ID == b.ID })
	if delete(t.faulty, src); len(g.faults) > 0 {
		t.faulty[src] = true
	}
	difference(old, g.wanted, changes)
	if len(g.rows) == 0 {
		delete(t.groups, src)
	}
}

// difference compares two lists that are sorted by id.
func difference(old, now []Wanted, changes *Changes) {
	for len(old) > 0 || len(now) > 0 {
		switch {
		case len(now) == 0 || len(old) > 0 && old[0].ID < now[0].ID:
			changes.Delete = append(changes.Delete, old[0].ID)
			old = old[1:]
		case len(old) == 0 || now[0].ID < old[0].ID:
			changes.Put = append(changes.Put, now[0])
			now = now[1:]
		default:
			if !old[0].same(now[0]) {
				changes.Put = append(changes.Put, now[0])
			}
			old, now = old[1:], now[1:]
		}
	}
}

// All gives the wanted contracts, by port and id.
func (t *Taps) All() []Wanted {
	var all []Wanted
	for _, g := range t.groups {
		all = append(all, g.wanted...)
	}
	slices.SortFunc(all, func(a, b Wanted) int {
		return cmp.Or(cmp.Compare(a.Tap.Src, b.Tap.Src), cmp.Compare(a.ID, b.ID))
	})
	return all
}

// Len is how many there are.
func (t *Taps) Len() (n int) {
	for _, g := range t.groups {
		n += len(g.wanted)
	}
	return n
}

// Compile evaluates a program once: the contracts that it wants of some facts, or what is wrong.
func Compile(policy string, p *program.Program, facts []eval.Change, limits eval.Limits) (*Taps, lang.Diagnostics) {
	e := eval.New(p, limits)
	if err := e.Apply(facts); err != nil {
		return nil, lang.Diagnostics{EvalFault(err)}
	}
	t := NewTaps(policy, e)
	t.Update()
	return t, t.Faults()
}

// Find gives the wanted contracts whose id begins with a prefix, or is it.
func (t *Taps) Find(prefix string) (found []Wanted) {
	for _, w := range t.All() {
		if w.ID == prefix {
			return []Wanted{w}
		}
		if strings.HasPrefix(w.ID, prefix) {
			found = append(found, w)
		}
	}
	return found
}

// Explain gives the tree of reasons for a wanted contract.
func (t *Taps) Explain(w Wanted, ways, depth int) *eval.Reason {
	return t.engine.Explain(t.table, t.engine.Row(t.table, w.Row), ways, depth)
}
