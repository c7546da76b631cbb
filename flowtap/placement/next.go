package placement

import (
	"cmp"
	"math"
	"slices"
)

// Next decides where each slice is to be. The same input and state give the same result, in whatever
// order their lists are; before is not changed. An error names the first thing in the input that cannot be:
// nothing is decided then.
//
// In this order: slices that nobody has, or whose monitor cannot have them any more, are placed; resources
// above the high watermark are relieved; slices go home where there is room. The last two are choices: they
// move no slice that moved within Dwell, none of which the figures are stale or unknown, none to a
// resource whose figure is stale, and no more than the budget.
func Next(in Input, before State) (Result, error) {
	in = in.sorted()
	if err := in.validate(); err != nil {
		return Result{}, err
	}
	m := newModel(in)
	m.load(before)
	d := &decision{model: m, before: before}
	best := m.bound()

	var used int
	d.spent, used = spent(before.Spent, in.Now, in.Config.Dwell)
	budget := max(in.Config.LeastMoves, int(in.Config.Budget*float64(len(m.units))))
	d.left = max(0, budget-used)

	d.placeHomeless()
	d.relieve()
	d.goHome()
	return d.result(best), nil
}

// A decision is a model in the course of Next, and what was done to it.
type decision struct {
	*model
	before State
	hot    []Resource
	spent  []Spent
	left   int // of the budget
	moves  []Move
	chosen int // moves that count for the budget
}

// load fills in the slices where they were.
func (m *model) load(before State) {
	may, nodes, monitors := m.candidates(), map[string]int{}, map[string]int{}
	for i := range m.nNodes {
		nodes[m.res[m.cpu(i)].ID] = i
	}
	for i, x := range m.in.Monitors {
		monitors[x.ID] = i
	}
	total := 0
	for _, f := range m.in.Flows {
		total += len(f.Rates)
	}
	m.units = make([]unit, 0, total)
	age := m.in.Config.MaxAge
	for i, f := range m.in.Flows {
		home, ok := nodes[f.Node]
		if !ok || f.Node == "" {
			home = -1
		}
		measured := Figure{At: f.At}
		unsure := !measured.Known() || measured.Stale(m.in.Now, age)
		can, serves := may(f)
		if !serves {
			unsure = true
		}
		m.noteUnserved(f, len(can) > 0, serves)
		held := inherited(before.Flows[f.ID], len(f.Rates))
		for j, rate := range f.Rates {
			u := unit{flow: i, slice: j, rate: rate, home: home, may: can, at: -1, held: held[j]}
			h := u.held
			u.fixed = unsure || home < 0 || !h.Since.IsZero() && m.in.Now.Sub(h.Since) < m.in.Config.Dwell
			if x, ok := monitors[h.Monitor]; ok {
				if home < 0 && f.Strategy == PerNode {
					u.may = []int{x} // its target is nowhere: it stays
				}
				if _, still := slices.BinarySearch(u.may, x); still {
					m.put(&u, x)
				}
			}
			m.units = append(m.units, u)
		}
	}
}

// noteUnserved says that nobody watches a flow, or that who should cannot.
func (m *model) noteUnserved(f Flow, some, serves bool) {
	who := map[Strategy]string{PerApplication: "monitor that it names", PerNode: "provider monitor on node " + f.Node, Hybrid: "provider monitor"}[f.Strategy]
	switch {
	case f.Node == "" && f.Strategy == PerNode:
		m.notes = append(m.notes, Note{Flow: f.ID, Reason: "its target is on no node: it stays where it was"})
	case !some:
		m.notes = append(m.notes, Note{Flow: f.ID, Reason: "nobody watches it: there is no " + who})
	case !serves:
		m.notes = append(m.notes, Note{Flow: f.ID, Reason: "no " + who + " serves: it stays with one that is down"})
	}
}

// placeHomeless places what nobody has, the largest first: where all is within its goal and fewest bytes
// cross the fabric, else where the highest utilisation is least. What is placed now may still choose again
// where a resource came to be over its goal; it was nowhere before, or must move anyway.
func (d *decision) placeHomeless() {
	homeless := make([]*unit, 0, len(d.units))
	for i := range d.units {
		u := &d.units[i]
		if u.at < 0 && len(u.may) > 0 {
			homeless = append(homeless, u)
		}
	}
	slices.SortFunc(homeless, largest)
	for _, u := range homeless {
		d.put(u, d.bestPlace(u))
	}
	d.improve(homeless)
	d.moves = make([]Move, 0, len(homeless))
	for _, u := range homeless {
		cause, from := New, ""
		if u.held.Monitor != "" {
			cause, from = Lost, u.held.Monitor
		}
		u.moved = true
		d.moves = append(d.moves, d.move(u, from, cause))
	}
}

// largest sorts slices, those with the highest rates first.
func largest(a, b *unit) int {
	switch {
	case a.rate > b.rate:
		return -1
	case a.rate < b.rate:
		return 1
	}
	return cmp.Or(a.flow-b.flow, a.slice-b.slice)
}

// bestPlace gives the monitor for a slice that nobody has. Among equals, as all are for a slice whose rate is not
// known yet, it is the one that has fewest for its capacity.
func (d *decision) bestPlace(u *unit) int {
	best, least := -1, [5]float64{}
	for _, to := range u.may {
		highest, over, frozen := d.arrival(u, to)
		cost := [5]float64{3: highest, 4: float64(d.count[to]) * d.perByte[to]}
		if frozen {
			cost[0] = 1
		}
		if over > 0 {
			cost[1] = highest
		}
		if d.remote(u, to) {
			cost[2] = u.rate
			if u.rate == 0 && d.in.Flows[u.flow].Strategy == Hybrid { // local first, also what nobody has measured
				cost[2] = math.SmallestNonzeroFloat64
			}
		}
		if best < 0 || less(cost, least) {
			best, least = to, cost
		}
	}
	return best
}

func less(a, b [5]float64) bool {
	for i := range a {
		if a[i] != b[i] {
			return a[i] < b[i]
		}
	}
	return false
}

func (d *decision) move(u *unit, from string, cause Cause) Move {
	to := &d.res[u.at]
	return Move{Flow: d.in.Flows[u.flow].ID, Slice: u.slice, From: from, To: to.ID, Cause: cause, After: to.used}
}
