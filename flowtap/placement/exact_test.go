package placement

import (
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// slot is one slice, as the oracle sees it.
type slot struct {
	flow  Flow
	index int
}

func slots(in Input) (out []slot) {
	for _, f := range in.Flows {
		for i := range f.Rates {
			out = append(out, slot{f, i})
		}
	}
	return out
}

// allowed says which monitors may have a flow, by the definition of the strategies.
func allowed(in Input, f Flow) (out []Monitor) {
	for _, down := range []bool{false, true} {
		for _, m := range in.Monitors {
			ok := m.Provider
			if f.Strategy == PerApplication || f.Monitors != nil {
				ok = slices.Contains(f.Monitors, m.ID)
			}
			ok = ok && (f.Strategy != PerNode || m.Node == f.Node)
			if ok && m.Down == down {
				out = append(out, m)
			}
		}
		if len(out) > 0 {
			return out
		}
	}
	return nil
}

// weigh gives the highest utilisation of a placement and the bytes that cross the fabric, from the formula
// of docs/PLACEMENT.md: a monitor for each slot, or nil.
func weigh(in Input, of []slot, where []*Monitor) (highest, copied float64) {
	at := func(ok func(slot, *Monitor) bool) (sum float64) {
		for i, s := range of {
			if where[i] != nil && ok(s, where[i]) {
				sum += s.flow.Rates[s.index]
			}
		}
		return sum
	}
	crosses := func(s slot, m *Monitor) bool { return s.flow.Node != "" && s.flow.Node != m.Node }
	copied = at(crosses)
	byCPU := func(m Monitor) float64 {
		if m.CPU.Value >= leastCPU && m.Received.Value > 0 {
			return m.Received.Value / m.CPU.Value
		}
		return math.Inf(1)
	}
	bears := func(m Monitor) float64 {
		if b := byCPU(m); !math.IsInf(b, 1) {
			return b
		}
		return m.Capacity
	}
	for _, m := range in.Monitors {
		rate := at(func(_ slot, x *Monitor) bool { return x.ID == m.ID })
		highest = max(highest, rate/min(m.Capacity, byCPU(m)))
	}
	for _, n := range in.Nodes {
		if n.CPU.Known() {
			used := n.CPU.Value
			for _, m := range in.Monitors {
				if m.Node == n.ID {
					used -= m.Share * m.Received.Value / bears(m)
				}
			}
			used = max(0, used)
			for _, m := range in.Monitors {
				if m.Node == n.ID {
					used += m.Share * at(func(_ slot, x *Monitor) bool { return x.ID == m.ID }) / bears(m)
				}
			}
			highest = max(highest, used)
		}
		if n.Link > 0 {
			out := at(func(s slot, m *Monitor) bool { return crosses(s, m) && s.flow.Node == n.ID })
			in := at(func(s slot, m *Monitor) bool { return crosses(s, m) && m.Node == n.ID })
			highest = max(highest, (n.Sent.Value+out)/n.Link, (n.Received.Value+in)/n.Link)
		}
	}
	return highest, copied
}

// best tries every placement: the least of (highest or Low, bytes copied).
func best(in Input, low float64) (highest, copied float64) {
	of := slots(in)
	where := make([]*Monitor, len(of))
	highest, copied = math.Inf(1), math.Inf(1)
	var try func(i int)
	try = func(i int) {
		if i == len(of) {
			h, c := weigh(in, of, where)
			if h = max(h, low); h < highest-1e-9 || h < highest+1e-9 && c < copied {
				highest, copied = h, c
			}
			return
		}
		for _, m := range allowed(in, of[i].flow) {
			where[i] = &m
			try(i + 1)
		}
	}
	try(0)
	return highest, copied
}

// placed gives the monitors that a state has for each slot.
func placed(in Input, s State) (out []*Monitor) {
	for _, x := range slots(in) {
		i := slices.IndexFunc(in.Monitors, func(m Monitor) bool { return m.ID == s.Flows[x.flow.ID][x.index].Monitor })
		if i < 0 {
			out = append(out, nil)
			continue
		}
		out = append(out, &in.Monitors[i])
	}
	return out
}

// aSmallInput draws up to three nodes and monitors and up to eight slices.
func aSmallInput(t *rapid.T) Input {
	in := Input{Now: t0}
	ids := []string{"h1", "h2", "h3"}[:rapid.IntRange(1, 3).Draw(t, "nodes")]
	num := func(name string, from, to int) float64 { return float64(rapid.IntRange(from, to).Draw(t, name)) }
	maybe := func(name string) bool { return rapid.IntRange(0, 3).Draw(t, name) == 0 }
	for _, id := range ids {
		n := Node{ID: id}
		if maybe("cpu") {
			n.CPU = Figure{num("cpu", 0, 90) / 100, t0}
		}
		if maybe("link") {
			n.Link, n.Sent = 100, Figure{num("sent", 0, 60), t0}
		}
		in.Nodes = append(in.Nodes, n)
	}
	for i, id := range []string{"m1", "m2", "m3"}[:rapid.IntRange(1, 3).Draw(t, "monitors")] {
		m := Monitor{ID: id, Node: ids[i%len(ids)], Provider: !maybe("application's"), Capacity: num("capacity", 5, 15) * 10}
		if maybe("share") {
			m.Share, m.CPU, m.Received = num("share", 1, 10)/10, Figure{num("monitor cpu", 0, 10) / 10, t0}, Figure{num("received", 0, 100), t0}
		}
		in.Monitors = append(in.Monitors, m)
	}
	for _, id := range []string{"f1", "f2"}[:rapid.IntRange(1, 2).Draw(t, "flows")] {
		f := Flow{ID: id, Node: rapid.SampledFrom(ids).Draw(t, "node"), At: t0,
			Strategy: rapid.SampledFrom([]Strategy{PerApplication, PerNode, Hybrid, Hybrid, Hybrid}).Draw(t, "strategy")}
		if f.Strategy == PerApplication || maybe("named") {
			f.Monitors = []string{"m1", "m2"}
		}
		for range 1 << rapid.IntRange(0, 2).Draw(t, "bits") {
			f.Rates = append(f.Rates, num("rate", 0, 60))
		}
		in.Flows = append(in.Flows, f)
	}
	return in
}

// How far from the best the first placement of a few slices is: never more than worst, and on average
// far less. Large slices on few monitors are the hard case: with many small ones it is within a hundredth
// (TestDriftMovesFewAndStaysNearTheBest).
func TestPlacementIsNearTheBest(t *testing.T) {
	const worst = 2.0
	n, sum, high, equal, extra := 0, 0.0, 1.0, 0, 0.0
	rapid.Check(t, func(t *rapid.T) {
		in := aSmallInput(t)
		for _, f := range in.Flows {
			if len(allowed(in, f)) == 0 {
				return
			}
		}
		low := in.Config.withDefaults().Low
		r := must(t, in, State{})
		h, c := weigh(in, slots(in), placed(in, r.State))
		require.InDelta(t, h, r.Max, 1e-9)
		require.InDelta(t, c, r.Copied, 1e-9)
		wantH, wantC := best(in, low)
		ratio := max(h, low) / wantH
		require.LessOrEqual(t, ratio, worst, "%v instead of %v", h, wantH)
		require.GreaterOrEqual(t, wantH, r.Best-1e-9)
		n, sum, high = n+1, sum+ratio, max(high, ratio)
		if ratio < 1+1e-9 {
			equal, extra = equal+1, extra+c-wantC
		}
	})
	t.Logf("%d cases: %.3f of the best on average, %.3f at worst, %d the best, with %.2f bytes too many", n, sum/float64(n), high, equal, extra/float64(equal))
	require.Less(t, sum/float64(n), 1.02)
}
