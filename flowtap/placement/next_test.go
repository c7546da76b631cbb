package placement

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// at gives how many of the slices each monitor has.
func at(s State, flow string) map[string]int {
	out := map[string]int{}
	for _, h := range s.Flows[flow] {
		out[h.Monitor]++
	}
	return out
}

func used(r Result, kind, id string) float64 {
	for _, u := range r.Used {
		if u.Resource == (Resource{kind, id}) {
			return u.Used
		}
	}
	return math.NaN()
}

func rates(each float64, n int) (out []float64) {
	for range n {
		out = append(out, each)
	}
	return out
}

// two nodes with a provider monitor each, one with another application's, and a flow on h1.
func small(strategy Strategy, each float64) Input {
	return Input{Now: t0,
		Nodes: []Node{{ID: "h1"}, {ID: "h2"}},
		Monitors: []Monitor{{ID: "p1", Node: "h1", Provider: true, Capacity: 100}, {ID: "p2", Node: "h2", Provider: true, Capacity: 100},
			{ID: "waf1", Node: "h2", Capacity: 100}, {ID: "waf2", Node: "h2", Capacity: 100}},
		Flows: []Flow{{ID: "web", Node: "h1", Strategy: strategy, Monitors: map[Strategy][]string{PerApplication: {"waf1", "waf2"}}[strategy], Rates: rates(each, 8), At: t0}}}
}

func TestStrategies(t *testing.T) {
	require.Equal(t, map[string]int{"waf1": 4, "waf2": 4}, at(must(t, small(PerApplication, 12), State{}).State, "web"))
	require.Equal(t, map[string]int{"waf1": 4, "waf2": 4}, at(must(t, small(PerApplication, 0), State{}).State, "web"))
	require.Equal(t, map[string]int{"p1": 8}, at(must(t, small(PerNode, 50), State{}).State, "web"))
	require.Equal(t, map[string]int{"p1": 8}, at(must(t, small(Hybrid, 8), State{}).State, "web"))
	// 160 of 200: each has its half, and only what must cross the fabric does.
	r := must(t, small(Hybrid, 20), State{})
	require.Equal(t, map[string]int{"p1": 4, "p2": 4}, at(r.State, "web"))
	require.InDelta(t, 80, r.Copied, 1e-9)
	require.InDelta(t, 0.8, r.Max, 1e-9)
	require.InDelta(t, 0.8, r.Best, 1e-9)
}

func TestABusyNodeHandsItsMonitoringOver(t *testing.T) {
	in := small(Hybrid, 5)
	in.Monitors[0].Share, in.Monitors[0].CPU, in.Monitors[0].Received = 0.5, Figure{0.4, t0}, Figure{40, t0}
	in.Nodes[0].CPU = Figure{0.5, t0}
	r := must(t, in, State{})
	require.Equal(t, map[string]int{"p1": 8}, at(r.State, "web"))
	// Watching 40 bytes a second is 0.2 of the node's CPU: 0.3 is others'.
	require.InDelta(t, 0.5, used(r, OfCPU, "h1"), 1e-9)

	busy := later(in, time.Second, func(int, int) float64 { return 1 })
	busy.Nodes = []Node{{ID: "h1", CPU: Figure{0.85, busy.Now}}, {ID: "h2"}}
	r = must(t, busy, r.State)
	require.Equal(t, map[string]int{"p1": 2, "p2": 6}, at(r.State, "web"))
	require.InDelta(t, 0.70, used(r, OfCPU, "h1"), 1e-9)
	require.Equal(t, "web slice 7 from p1 to p2: CPU of node h1 from 85 % to 82 %", r.Moves[0].String())

	// The CPU falls: what left comes home, when it has been away long enough.
	for _, c := range []struct {
		after time.Duration
		home  int
	}{{20 * time.Second, 2}, {40 * time.Second, 8}} {
		calm := later(in, c.after, func(int, int) float64 { return 1 })
		calm.Nodes = []Node{{ID: "h1", CPU: Figure{0.4, calm.Now}}, {ID: "h2"}}
		calm.Monitors = append([]Monitor(nil), in.Monitors...)
		calm.Monitors[0].CPU, calm.Monitors[0].Received = Figure{0.1, calm.Now}, Figure{10, calm.Now}
		require.Equal(t, c.home, at(must(t, calm, r.State).State, "web")["p1"])
	}
}

func TestLinksBoundWhatCrossesThem(t *testing.T) {
	in := small(Hybrid, 20)
	in.Nodes[0].Link, in.Nodes[0].Sent = 100, Figure{60, t0}
	r := must(t, in, State{})
	// A third slice would have the link at 1.2, as the monitor of the six is now.
	require.InDelta(t, 1.0, used(r, OfSent, "h1"), 1e-9)
	require.Equal(t, map[string]int{"p1": 6, "p2": 2}, at(r.State, "web"))
}

func TestAMonitorIsLost(t *testing.T) {
	in := small(Hybrid, 8)
	before := must(t, in, State{}).State
	in.Monitors[0].Down = true
	r := must(t, in, before)
	require.Equal(t, map[string]int{"p2": 8}, at(r.State, "web"))
	require.Equal(t, "web slice 0 to p2: p1 cannot have it any more", r.Moves[0].String())

	// Where none serves, a redirect must still stop at somebody.
	in.Monitors[1].Down = true
	r = must(t, in, before)
	require.Equal(t, map[string]int{"p1": 8}, at(r.State, "web"))
	require.Empty(t, r.Moves)
	require.Equal(t, []Note{{Flow: "web", Reason: "no provider monitor serves: it stays with one that is down"}}, r.Notes)

	in.Monitors = nil
	r = must(t, in, before)
	require.Nil(t, r.State.Monitors("web"))
	require.Equal(t, "nobody watches it: there is no provider monitor", r.Notes[0].Reason)
}

func TestATargetThatIsNowhereKeepsItsMonitors(t *testing.T) {
	for _, s := range []Strategy{PerNode, Hybrid, PerApplication} {
		in := small(s, 8)
		before := must(t, in, State{})
		in.Flows[0].Node = ""
		r := must(t, in, before.State)
		require.Equal(t, before.State.Flows, r.State.Flows, s)
		require.Zero(t, r.Copied)
	}
}

// A change of rates, as a factor.
type change struct {
	name string
	of   func(flow, slice int) float64
}

// 24,000 slices on 20 monitors: rates drift by 20 % each way, independently or all of a monitor together.
func TestDriftMovesFewAndStaysNearTheBest(t *testing.T) {
	in := cloud(3, 20, 1500, 16, 0.72)
	first := must(t, in, State{})
	require.LessOrEqual(t, most(first), 1.01*first.Best)
	r := rand.New(rand.NewPCG(4, 4))
	place := map[string]int{}
	for i, m := range in.Monitors {
		place[m.ID] = i
	}
	for _, c := range []change{
		{"each slice by itself", func(int, int) float64 { return 0.8 + 0.4*r.Float64() }},
		{"each slice to an end", func(int, int) float64 { return 0.8 + 0.4*float64(r.IntN(2)) }},
		{"a flow as a whole", func(f, _ int) float64 { return 0.8 + 0.4*float64(f*7919%101)/100 }},
		{"what five of the monitors have, up", func(f, s int) float64 {
			if place[first.State.Flows[in.Flows[f].ID][s].Monitor] < 5 {
				return 1.2
			}
			return 1
		}},
		{"half of the monitors up, half down", func(f, s int) float64 {
			return 0.8 + 0.4*float64(place[first.State.Flows[in.Flows[f].ID][s].Monitor]%2)
		}},
	} {
		name, change := c.name, c.of
		out := must(t, later(in, time.Minute, change), first.State)
		t.Logf("%s: %d moves, %.3f of the best", name, len(out.Moves), most(out)/out.Best)
		require.LessOrEqual(t, len(out.Moves), 480, name)
		require.LessOrEqual(t, most(out), 1.1*out.Best, name)
	}
}

func TestAHotspotIsRelievedWithinTheBudget(t *testing.T) {
	in := cloud(5, 20, 1500, 16, 0.6)
	first := must(t, in, State{})
	hottest := first.State.Flows["f0"][0].Monitor
	for _, c := range []change{
		{"a monitor's slices by half", func(f, s int) float64 {
			if first.State.Flows[in.Flows[f].ID][s].Monitor == hottest {
				return 1.5
			}
			return 1
		}},
		{"ten flows tenfold", func(f, _ int) float64 {
			if f < 10 {
				return 10
			}
			return 1
		}},
		{"one slice a thousandfold", func(f, s int) float64 {
			if f == 0 && s == 0 {
				return 1000
			}
			return 1
		}},
	} {
		name, change := c.name, c.of
		now := later(in, time.Minute, change)
		still := 0.0
		for _, u := range must(t, Input{Now: now.Now, Nodes: now.Nodes, Monitors: now.Monitors, Flows: now.Flows,
			Config: Config{Budget: 1e-9, LeastMoves: 1}}, first.State).Used {
			still = max(still, u.Used)
		}
		out := must(t, now, first.State)
		t.Logf("%s: %.2f becomes %.2f by %d moves, best %.2f", name, still, most(out), len(out.Moves), out.Best)
		require.Greater(t, still, 0.8, name)
		require.LessOrEqual(t, choices(out), 480, name)
		require.LessOrEqual(t, most(out), max(0.77, 1.1*out.Best), name)
	}
}

func TestTheBudgetIsForAWholeDwell(t *testing.T) {
	in := cloud(6, 4, 40, 16, 0.6)
	r := must(t, in, State{})
	first := r.State
	in = later(in, time.Minute, func(f, s int) float64 {
		if first.Flows[in.Flows[f].ID][s].Monitor == "ids0" {
			return 3
		}
		return 0.5
	})
	moved := 0
	for range 10 {
		r = must(t, in, r.State)
		moved += choices(r)
		in = later(in, time.Second, func(int, int) float64 { return 1 })
	}
	require.Equal(t, 12, moved) // 2 % of 640
	require.Contains(t, r.Notes[0].Reason, "budget")
	in = later(in, time.Minute, func(int, int) float64 { return 1 })
	require.Equal(t, 12, choices(must(t, in, r.State)))
}

func TestWhatCannotBeIsNamed(t *testing.T) {
	for want, spoil := range map[string]func(*Input){
		"flow web: 3 slices":             func(in *Input) { in.Flows[0].Rates = rates(1, 3) },
		"flow web: rates are finite":     func(in *Input) { in.Flows[0].Rates[2] = math.NaN() },
		"flow web: strategy \"nearest\"": func(in *Input) { in.Flows[0].Strategy = "nearest" },
		"monitor p1 is there twice":      func(in *Input) { in.Monitors[1].ID = "p1" },
		"node h2: figures are finite":    func(in *Input) { in.Nodes[1].CPU.Value = math.Inf(1) },
		"monitor p2: figures are finite": func(in *Input) { in.Monitors[1].Capacity = -1 },
		"watermarks 0.5 and 0.5":         func(in *Input) { in.Config = Config{High: 0.5, Low: 0.5} },
	} {
		in := small(Hybrid, 1)
		spoil(&in)
		_, err := Next(in, State{})
		require.ErrorContains(t, err, want)
	}
}
