package ftc

import (
	"cmp"
	"slices"
	"strings"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/flowtap/ftc/lang"
	"github.com/flowtap/flowtap/flowtap/placement"
	"github.com/flowtap/flowtap/topology"
)

// Want gives a contract to the placement; inside translates what the policy calls monitors into ids. It is for
// contracts that have a Strategy.
func (w Wanted) Want(inside func(ref string) string) placement.Want {
	out := placement.Want{ID: w.ID, Tap: w.Tap, Strategy: w.Strategy}
	out.Monitors = w.Candidates()
	for i, m := range out.Monitors {
		out.Monitors[i] = inside(m)
	}
	return out
}

// Candidates are the monitors that may have the contract, as the policy calls them; nil is the provider's.
func (w Wanted) Candidates() []string {
	if w.Provider || w.Strategy == "" {
		return nil
	}
	return strings.FieldsFunc(w.Monitors, func(r rune) bool { return r == ',' })
}

// levels is how many priorities, from its own, a contract may take.
func (w Wanted) levels() int {
	if w.Strategy == "" || !placement.Splittable(w.Tap) {
		return 1
	}
	return placement.Levels
}

// near reports whether two contracts may have parts at one priority.
func near(a, b Wanted) bool {
	return a.Tap.Priority < b.Tap.Priority+b.levels() && b.Tap.Priority < a.Tap.Priority+a.levels()
}

func (w Wanted) same(o Wanted) bool {
	return w.Tap == o.Tap && w.Strategy == o.Strategy && w.Monitors == o.Monitors && w.Provider == o.Provider
}

func compareWanted(a, b Wanted) int {
	return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Tap.Dst, b.Tap.Dst), cmp.Compare(a.Tap.DstPool, b.Tap.DstPool),
		cmp.Compare(a.Tap.Action, b.Tap.Action), cmp.Compare(a.Row, b.Row))
}

// placing is what a policy says of contracts that name no monitor.
type placing struct {
	Strategy placement.Strategy
	Monitors string
	Provider bool
	bad      []string // rows of the table that are no ids
}

// readPlacing reads the table of the policy's placement, if it has one, and reports whether it differs from what
// it was.
func (t *Taps) readPlacing() (changed bool) {
	p := t.engine.Program().Placement
	if p == nil {
		return false
	}
	now := placing{Strategy: placement.Strategy(p.Strategy), Provider: p.From < 0}
	if p.From >= 0 {
		if d := t.engine.Delta(p.From); t.rebuilt == t.engine.Rebuilt() && len(d.Added)+len(d.Removed) == 0 {
			return false
		}
		var ids []string
		for id := range t.engine.IDs(p.From) {
			v := t.engine.Row(p.From, id)[0]
			if v.Kind != lang.String || topology.ValidRef(v.S) != nil {
				now.bad = append(now.bad, v.Text())
				continue
			}
			ids = append(ids, v.S)
		}
		slices.Sort(ids)
		slices.Sort(now.bad)
		now.Monitors = strings.Join(ids, ",")
	}
	changed = now.Monitors != t.placing.Monitors
	t.placing = now
	return changed
}

// placed makes a contract one to be placed.
func (t *Taps) placed(w Wanted) Wanted {
	w.Strategy, w.Monitors, w.Provider = t.placing.Strategy, t.placing.Monitors, t.placing.Provider
	return w
}

// placingFault says what is wrong with the monitors of a placement.
func (t *Taps) placingFault() (ds lang.Diagnostics) {
	if len(t.placing.bad) > 0 {
		p := t.engine.Program().Placement
		ds = append(ds, lang.Errorf(p.Text.FromSpan, "%s has %s, which is not an id", p.Text.From, t.placing.bad[0]))
	}
	return ds
}

// atPriorities calls f with a contract at each priority that it may take, until f is false.
func atPriorities(w Wanted, f func(flowtap.Tap) bool) {
	tap := w.Tap
	for range w.levels() {
		if !f(tap) {
			return
		}
		tap.Priority++
	}
}
