package placement

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// A watcher follows a sequence of decisions, and holds each against what is promised.
type watcher struct {
	state  State
	left   map[string]time.Time // flow, slice, monitor: when it left there
	moved  map[string]time.Time // flow, slice: when it moved last
	choice []Spent
}

func newWatcher() *watcher {
	return &watcher{left: map[string]time.Time{}, moved: map[string]time.Time{}}
}

// next decides once more. A slice flaps when it comes back to a monitor within Dwell of leaving it, unless
// the monitor from which it comes cannot have it any longer.
func (w *watcher) next(t require.TestingT, in Input) Result {
	c := in.Config.withDefaults()
	r := must(t, in, w.state)
	flows, monitors, nodes := map[string]Flow{}, map[string]Monitor{}, map[string]Node{}
	for _, f := range in.Flows {
		flows[f.ID] = f
	}
	for _, m := range in.Monitors {
		monitors[m.ID] = m
	}
	for _, n := range in.Nodes {
		nodes[n.ID] = n
	}
	stale := func(f Figure) bool { return f.Stale(in.Now, c.MaxAge) }
	chosen := 0
	for _, m := range r.Moves {
		f, slice := flows[m.Flow], fmt.Sprint(m.Flow, " ", m.Slice)
		can := allowed(in, f)
		may := func(id string) bool {
			return slices.ContainsFunc(can, func(x Monitor) bool { return x.ID == id })
		}
		require.True(t, may(m.To), "%s: may not be there", m)
		switch m.Cause {
		case New:
			require.Empty(t, m.From)
		case Lost:
			require.False(t, may(m.From), "%s: it still could", m)
		default:
			chosen++
			require.GreaterOrEqual(t, in.Now.Sub(w.moved[slice]), c.Dwell, "%s: moved a while ago", m)
			if at, before := w.left[slice+m.To]; before {
				require.GreaterOrEqual(t, in.Now.Sub(at), c.Dwell, "%s: flaps", m)
			}
			require.False(t, (Figure{At: f.At}).Stale(in.Now, c.MaxAge) || f.At.IsZero(), "%s: by a stale rate", m)
			to := monitors[m.To]
			require.False(t, stale(to.CPU) || stale(to.Received), "%s: to a monitor of which we have not heard", m)
			from := monitors[m.From]
			if to.Node != from.Node && nodes[to.Node].CPU.Known() && to.Share > 0 && f.Rates[m.Slice] > 0 {
				require.False(t, stale(nodes[to.Node].CPU), "%s: to a node of which we have not heard", m)
			}
		}
		if m.From != "" {
			w.left[slice+m.From], w.moved[slice] = in.Now, in.Now
		}
	}
	w.choice = append(w.choice, Spent{in.Now, chosen})
	_, recent := spent(w.choice, in.Now, c.Dwell)
	total := 0
	for _, f := range in.Flows {
		total += len(f.Rates)
		require.Len(t, r.State.Flows[f.ID], len(f.Rates))
		for _, h := range r.State.Flows[f.ID] {
			require.Equal(t, len(allowed(in, f)) > 0 || f.Node == "", h.Monitor != "", "%s is watched by %q", f.ID, h.Monitor)
		}
	}
	require.LessOrEqual(t, recent, max(c.LeastMoves, int(c.Budget*float64(total))), "more moves than the budget")
	w.state = r.State
	return r
}

// aBusyInput draws four monitors on three nodes and five flows of eight slices.
func aBusyInput(r *rand.Rand) Input {
	in := Input{Now: t0}
	for i := range 3 {
		n := Node{ID: fmt.Sprint("h", i)}
		if i > 0 {
			n.CPU = Figure{0.3, t0}
		}
		if i > 1 {
			n.Link = 300
		}
		in.Nodes = append(in.Nodes, n)
	}
	for i := range 4 {
		m := Monitor{ID: fmt.Sprint("m", i), Node: fmt.Sprint("h", i%3), Provider: true, Capacity: 100}
		if i > 1 {
			m.Share, m.CPU, m.Received = 0.4, Figure{0.3, t0}, Figure{50, t0}
		}
		in.Monitors = append(in.Monitors, m)
	}
	for i := range 5 {
		f := Flow{ID: fmt.Sprint("f", i), Node: fmt.Sprint("h", r.IntN(3)), Strategy: Hybrid, At: t0, Rates: rates(5, 8)}
		if i == 0 {
			f.Strategy, f.Monitors = PerApplication, []string{"m0", "m3"}
		}
		if i == 1 {
			f.Strategy = PerNode
		}
		in.Flows = append(in.Flows, f)
	}
	return in
}

// No sequence of loads makes it flap: rates, CPU, links and figures that come late change at will, monitors go
// and come back, and an adversary heats wherever slices have just gone.
func TestNoLoadsMakeItFlap(t *testing.T) {
	moves := map[Cause]int{}
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		one := func(in int) bool { return r.IntN(in) == 0 }
		in := aBusyInput(r)
		in.Config = Config{LeastMoves: 1 + r.IntN(6)}
		w := newWatcher()
		out := w.next(t, in)
		for range rapid.IntRange(1, 25).Draw(t, "length") {
			in.Now = in.Now.Add(time.Duration([]int{1, 1, 5, 10, 31}[r.IntN(5)]) * time.Second)
			in.Nodes, in.Monitors, in.Flows = slices.Clone(in.Nodes), slices.Clone(in.Monitors), slices.Clone(in.Flows)
			adversary := one(2)
			for i := range in.Flows {
				if f := &in.Flows[i]; !one(8) {
					f.At, f.Rates = in.Now, slices.Clone(f.Rates)
					for j := range f.Rates {
						here := w.state.Flows[f.ID][j].Monitor
						switch {
						case adversary && slices.ContainsFunc(out.Moves, func(m Move) bool { return m.To == here }):
							f.Rates[j] = 25
						case adversary:
							f.Rates[j] = 5
						case one(4):
							f.Rates[j] = 30 * r.Float64()
						}
					}
				}
			}
			for i := range in.Nodes {
				n := &in.Nodes[i]
				if n.CPU.Known() && !one(6) {
					n.CPU = Figure{r.Float64(), in.Now}
				}
				n.Sent, n.Received = Figure{100 * r.Float64(), in.Now}, Figure{100 * r.Float64(), in.Now}
			}
			for i := range in.Monitors {
				m := &in.Monitors[i]
				m.Down = m.Down != one(20)
				if m.CPU.Known() && !one(6) {
					m.CPU, m.Received = Figure{r.Float64(), in.Now}, Figure{100 * r.Float64(), in.Now}
				}
			}
			out = w.next(t, in)
			for _, m := range out.Moves {
				moves[m.Cause]++
			}
		}
	})
	t.Log(moves)
	require.NotZero(t, moves[Hot])
	require.NotZero(t, moves[Home])
}

// again is the same figure, measured again.
func again(f Figure, at time.Time) Figure {
	if f.Known() {
		f.At = at
	}
	return f
}

// Under loads that stay as they are it comes to rest, wherever slices were to begin with.
func TestItComesToRest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := aSmallInput(t)
		start := State{Flows: map[string][]Held{}}
		for _, f := range in.Flows {
			for range f.Rates {
				start.Flows[f.ID] = append(start.Flows[f.ID], Held{Monitor: in.Monitors[rapid.IntRange(0, len(in.Monitors)-1).Draw(t, "start")].ID})
			}
		}
		w := newWatcher()
		w.state = start
		rest := 0
		for range 40 {
			if rest++; len(w.next(t, in).Moves) > 0 {
				rest = 0
			}
			in = later(in, 30*time.Second, func(int, int) float64 { return 1 })
			in.Nodes, in.Monitors = slices.Clone(in.Nodes), slices.Clone(in.Monitors)
			for i := range in.Nodes {
				in.Nodes[i].CPU, in.Nodes[i].Sent = again(in.Nodes[i].CPU, in.Now), again(in.Nodes[i].Sent, in.Now)
			}
			for i := range in.Monitors {
				in.Monitors[i].CPU, in.Monitors[i].Received = again(in.Monitors[i].CPU, in.Now), again(in.Monitors[i].Received, in.Now)
			}
		}
		require.Greater(t, rest, 10)
	})
}

// While loads stay within High/Low of each other, a resource is hot no more than once: no slice leaves a
// monitor a second time.
func TestLoadsWithinTheWatermarksSettleOnce(t *testing.T) {
	moved := 0
	rapid.Check(t, func(t *rapid.T) {
		in := cloud(rapid.Uint64().Draw(t, "seed"), 4, 12, 8, float64(rapid.IntRange(20, 55).Draw(t, "used"))/100)
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "loads"), 1))
		w := newWatcher()
		w.next(t, in)
		// Other loads than it was placed by; these then stay about what they are.
		in = later(in, time.Minute, func(f, _ int) float64 { return []float64{0.4, 1, 1.4}[f%3] })
		wasHot, cooled := map[Resource]bool{}, map[Resource]bool{}
		left := map[string]int{}
		for range 10 {
			now := later(in, 0, func(int, int) float64 { return 1 + 0.0999*r.Float64() })
			out := w.next(t, now)
			hot := map[Resource]bool{}
			for _, x := range out.State.Hot {
				hot[x] = true
			}
			for _, m := range out.Moves {
				if moved++; m.Cause == Hot {
					hot[m.Relieves] = true
					left[fmt.Sprint(m.Flow, m.Slice, m.From)]++
				}
			}
			for x := range hot {
				require.False(t, cooled[x], "%s is hot again", x)
			}
			for x := range wasHot {
				cooled[x] = cooled[x] || !hot[x]
			}
			for x := range hot {
				wasHot[x] = true
			}
			in = later(in, 31*time.Second, func(int, int) float64 { return 1 })
		}
		for slice, n := range left {
			require.Equal(t, 1, n, slice)
		}
	})
	require.NotZero(t, moved)
}

// The order of lists is no matter, nor whether the state was stored in between; and nothing given is changed.
func TestTheSameInputGivesTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := aBusyInput(rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1)))
		first := must(t, in, State{})
		in = later(in, time.Minute, func(int, int) float64 { return float64(rapid.IntRange(0, 4).Draw(t, "factor")) })
		raw, err := json.Marshal(first.State)
		require.NoError(t, err)
		want := must(t, in, first.State)
		var stored State
		require.NoError(t, json.Unmarshal(raw, &stored))
		again, err := json.Marshal(first.State)
		require.NoError(t, err)
		require.Equal(t, string(raw), string(again))
		in.Nodes = rapid.Permutation(in.Nodes).Draw(t, "nodes")
		in.Monitors = rapid.Permutation(in.Monitors).Draw(t, "monitors")
		in.Flows = rapid.Permutation(in.Flows).Draw(t, "flows")
		got := must(t, in, stored)
		a, err := json.Marshal(want)
		require.NoError(t, err)
		b, err := json.Marshal(got)
		require.NoError(t, err)
		require.Equal(t, string(a), string(b))
	})
}
