package placement

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/flowtap/flowtap/flowtap"
)

func wanted(id, src, match, node string) Want {
	return Want{ID: id, Node: node, Strategy: Hybrid, Tap: flowtap.Tap{Src: src, Match: mustMatch(match), Direction: flowtap.Both,
		Action: flowtap.Forward, Priority: 100, Enabled: true, FailMode: flowtap.FailClosed}}
}

// twoNodes are loads of two nodes with a provider's monitor each, that bear so much.
func twoNodes(t require.TestingT, at time.Time, capacity float64, flows ...FlowSample) Loads {
	l, err := Loads{}.Add(Sample{At: at, Nodes: []NodeSample{{ID: "n1"}, {ID: "n2"}}, Monitors: []MonitorSample{
		{ID: "ids1", Node: "n1", Provider: true, Capacity: capacity}, {ID: "ids2", Node: "n2", Provider: true, Capacity: capacity}}, Flows: flows}, 0)
	require.NoError(t, err)
	return l
}

func place(t require.TestingT, wants []Want, l Loads, before Placed, at time.Time) Placed {
	p, err := Place(wants, l, before, at, Config{})
	require.NoError(t, err)
	return p
}

// dsts gives where the contracts of a want lead, and how often.
func dsts(p Placed, id string) map[string]int {
	out := map[string]int{}
	for _, t := range p.Contracts[id] {
		out[t.Dst]++
	}
	return out
}

// A flow without load is one contract at its own node's monitor. One that is too much for that monitor is divided, and a part of it
// moves; when the load is gone it is whole again, at home.
func TestPlaceDividesWhatIsTooMuchForOneMonitor(t *testing.T) {
	wants := []Want{wanted("f1", "web", "tcp; tp_dst=80", "n1"), wanted("f2", "db", "tcp", "n2")}
	p := place(t, wants, twoNodes(t, t0, 1000), Placed{}, t0)
	assert.Equal(t, map[string]int{"ids1": 1}, dsts(p, "f1"))
	assert.Equal(t, map[string]int{"ids2": 1}, dsts(p, "f2"))

	seen := func(p Placed, at time.Time, rate float64) Loads {
		flows := Rates(wants, p.State, func(c flowtap.Tap) (float64, bool) {
			n := 0
			for _, one := range p.Contracts["f1"] {
				if one.Dst == c.Dst {
					n++
				}
			}
			if c.Src == "db" {
				return 0, true
			}
			share := 0.0
			for _, h := range p.State.Flows["f1"] {
				if h.Monitor == c.Dst {
					share++
				}
			}
			return rate * share / float64(len(p.State.Flows["f1"])) / float64(n), true
		})
		return twoNodes(t, at, 1000, flows...)
	}
	at := t0
	for range 4 {
		at = at.Add(10 * time.Second)
		p = place(t, wants, seen(p, at, 1100), p, at)
	}
	require.Len(t, p.State.Flows["f1"], MaxParts)
	require.Len(t, dsts(p, "f1"), 2, "a part of it is elsewhere")
	assert.Equal(t, map[string]int{"ids2": 1}, dsts(p, "f2"))
	assert.Less(t, most(p.Result), 0.77)
	for range 8 {
		at = at.Add(31 * time.Second)
		p = place(t, wants, seen(p, at, 10), p, at)
	}
	assert.Equal(t, map[string]int{"ids1": 1}, dsts(p, "f1"))
	assert.Len(t, p.State.Flows["f1"], 1, "nothing is divided any more")
}

func TestWhatCannotBeSplitIsNot(t *testing.T) {
	limited, high := wanted("f1", "web", "tcp", "n1"), wanted("f2", "db", "tcp", "n1")
	limited.Tap.RateLimit.PPS, high.Tap.Priority = 5, 999
	p := place(t, []Want{limited, high}, twoNodes(t, t0, 10, FlowSample{ID: "f1", Rates: rates(1000, 1), Strategy: Hybrid}, FlowSample{ID: "f2", Rates: rates(1000, 1), Strategy: Hybrid}), Placed{}, t0)
	assert.Len(t, p.Contracts["f1"], 1)
	assert.Len(t, p.Contracts["f2"], 1)
}

// Named monitors are the only ones, whatever the strategy; a list without any is nobody, and no list the provider's.
func TestMonitorsThatAPolicyNames(t *testing.T) {
	for name, c := range map[string]struct {
		strategy Strategy
		monitors []string
		node     string
		want     map[string]int
	}{
		"the provider's, at home":                 {Hybrid, nil, "n2", map[string]int{"ids2": 1}},
		"one that is away":                        {Hybrid, []string{"ids1"}, "n2", map[string]int{"ids1": 1}},
		"of two the one at home":                  {Hybrid, []string{"ids1", "ids2"}, "n1", map[string]int{"ids1": 1}},
		"nobody":                                  {Hybrid, []string{}, "n1", map[string]int{}},
		"the node's own":                          {PerNode, nil, "n1", map[string]int{"ids1": 1}},
		"the node's own of those named":           {PerNode, []string{"ids1", "ids2"}, "n2", map[string]int{"ids2": 1}},
		"none of those named is on the node":      {PerNode, []string{"ids1"}, "n2", map[string]int{}},
		"one of an application":                   {PerApplication, []string{"ids2"}, "n1", map[string]int{"ids2": 1}},
		"an application that names nobody":        {PerApplication, []string{}, "n1", map[string]int{}},
		"one that there is not":                   {Hybrid, []string{"ids9"}, "n1", map[string]int{}},
		"the target is nowhere":                   {PerNode, nil, "", map[string]int{}},
		"the target is nowhere, who has it is no": {Hybrid, []string{"ids1"}, "", map[string]int{"ids1": 1}},
	} {
		w := wanted("f", "web", "tcp", c.node)
		w.Strategy, w.Monitors = c.strategy, c.monitors
		p := place(t, []Want{w}, twoNodes(t, t0, 1000), Placed{}, t0)
		assert.Equal(t, c.want, dsts(p, "f"), name)
		if len(c.want) == 0 {
			assert.NotEmpty(t, p.Notes, name)
		}
	}
}

// What was placed is read back from the contracts that are stored, whatever they are.
func TestRecover(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Placed{Contracts: map[string][]flowtap.Tap{}}
		p.State.Flows = map[string][]Held{}
		var wants []Want
		var stored []flowtap.Tap
		for i := range rapid.IntRange(1, 3).Draw(t, "wants") {
			w := wanted(fmt.Sprint("f", i), rapid.SampledFrom([]string{"web", "db"}).Draw(t, "src"),
				rapid.SampledFrom([]string{"", "tcp", "tcp; tp_dst=80", "ip; nw_src=10.0.0.0/8", "ipv6", "nw_dst=10.0.0.1", "in_port=web; udp"}).Draw(t, "match"), "n1")
			w.Tap.Priority = 100 + 10*i
			w.Tap.Direction = rapid.SampledFrom([]flowtap.Direction{flowtap.In, flowtap.Out, flowtap.Both}).Draw(t, "direction")
			var monitors []string
			for range 1 << rapid.IntRange(0, 4).Draw(t, "slices") {
				monitors = append(monitors, rapid.SampledFrom([]string{"ids1", "ids2", "ids3"}).Draw(t, "monitor"))
			}
			taps, err := Contracts(w.Tap, monitors)
			require.NoError(t, err)
			wants, stored = append(wants, w), append(stored, taps...)
			p.Contracts[w.ID] = taps
		}
		back := Recover(wants, stored, t0)
		for _, w := range wants {
			again, err := Contracts(w.Tap, back.Monitors(w.ID))
			require.NoError(t, err)
			require.Equal(t, p.Contracts[w.ID], again)
		}
		require.Empty(t, Recover(wants, nil, t0).Flows)
	})
}

// The rates of slices add up to what the contracts counted, however a flow is divided; a part of which nothing is known leaves
// all of it unknown.
func TestRatesOfSlices(t *testing.T) {
	w := wanted("f", "web", "tcp", "n1")
	s := State{Flows: map[string][]Held{"f": {{Monitor: "a"}, {Monitor: "b"}, {Monitor: "a"}, {Monitor: "c"}}}}
	by := map[string]float64{"a": 100, "b": 10, "c": 1}
	got := Rates([]Want{w, wanted("unplaced", "db", "", "n1")}, s, func(c flowtap.Tap) (float64, bool) { return by[c.Dst], true })
	// Each exception is two contracts, of IPv4 and of IPv6.
	require.Equal(t, []FlowSample{{ID: "f", Node: "n1", Strategy: Hybrid, Slices: 4, Rates: []float64{50, 20, 50, 2}}}, got)
	got = Rates([]Want{w}, s, func(c flowtap.Tap) (float64, bool) { return 1, c.Dst != "b" })
	require.Nil(t, got[0].Rates)
	require.Equal(t, []float64{3, 1, 3, 1}, resliced([]float64{6, 2}, 4))
	require.Equal(t, []float64{4, 6}, resliced([]float64{1, 2, 3, 4}, 2))
	require.Equal(t, []float64{10}, resliced([]float64{1, 2, 3, 4}, 1))
}

// A flow that is divided keeps its rate until its parts are measured.
func TestADividedFlowKeepsItsRate(t *testing.T) {
	l := twoNodes(t, t0, 1000, FlowSample{ID: "f", Strategy: Hybrid, Rates: []float64{80}})
	l, err := l.Add(Sample{At: t0.Add(time.Second), Flows: []FlowSample{{ID: "f", Strategy: Hybrid, Slices: 4}}}, 0)
	require.NoError(t, err)
	require.Equal(t, Flow{ID: "f", Strategy: Hybrid, Rates: rates(20, 4), At: t0}, l.Input(t0, Config{}).Flows[0])
}

// How finely a flow is divided follows from the monitors that may have it; and one in whose way others are is whole.
func TestWhatIsNotDividedWithoutNeed(t *testing.T) {
	wants := []Want{wanted("f1", "web", "tcp", "n1"), wanted("f2", "db", "tcp", "n2"), wanted("f3", "mail", "tcp", "n2")}
	wants[1].Monitors = []string{"tiny", "small"}
	l := twoNodes(t, t0, 1000, FlowSample{ID: "f1", Strategy: Hybrid, Rates: []float64{40}}, FlowSample{ID: "f2", Strategy: Hybrid, Rates: []float64{40}},
		FlowSample{ID: "f3", Strategy: Hybrid, Rates: []float64{2000}})
	l, err := l.Add(Sample{At: t0, Monitors: []MonitorSample{{ID: "tiny", Node: "n2", Capacity: 1}, {ID: "small", Node: "n2", Capacity: 50}}}, 0)
	require.NoError(t, err)
	p := place(t, wants, l, Placed{}, t0)
	assert.Len(t, p.State.Flows["f1"], 1)
	assert.Len(t, p.State.Flows["f2"], MaxParts)
	require.Len(t, dsts(p, "f3"), 2)
	wants[2].Whole = true
	assert.Len(t, place(t, wants, l, p, t0).Contracts["f3"], 1)
}

// Contracts of flows that stay where they are, are the same ones.
func TestPlaceKeepsContracts(t *testing.T) {
	wants := []Want{wanted("f1", "web", "tcp", "n1"), wanted("f2", "db", "tcp", "n2")}
	p := place(t, wants, twoNodes(t, t0, 1000), Placed{}, t0)
	wants[1].Tap.Truncate = 64
	q := place(t, wants, twoNodes(t, t0, 1000), p, t0)
	assert.Same(t, &p.Contracts["f1"][0], &q.Contracts["f1"][0])
	assert.Equal(t, 64, q.Contracts["f2"][0].Truncate)
	q = place(t, wants[:1], twoNodes(t, t0, 1000), q, t0)
	assert.NotContains(t, q.Contracts, "f2")
	assert.NotContains(t, q.State.Flows, "f2")
}

// BenchmarkPlace is one call for 1,500 flows of 16 slices on 20 monitors, after rates drifted.
func BenchmarkPlace(b *testing.B) {
	in := cloud(1, 20, 1500, 16, 0.72)
	load := func(in Input) Loads {
		l := Loads{at: in.Now, nodes: map[string]Node{}, monitors: map[string]Monitor{}, flows: map[string]Flow{}}
		for _, n := range in.Nodes {
			l.nodes[n.ID] = n
		}
		for _, m := range in.Monitors {
			l.monitors[m.ID] = m
		}
		for _, f := range in.Flows {
			l.flows[f.ID] = f
		}
		return l
	}
	wants := make([]Want, len(in.Flows))
	for i, f := range in.Flows {
		wants[i] = wanted(f.ID, fmt.Sprint("p", i), "tcp", f.Node)
	}
	c := Config{Slice: 1e-6} // all are divided
	first, err := Place(wants, load(in), Placed{}, in.Now, c)
	require.NoError(b, err)
	r := rand.New(rand.NewPCG(2, 2))
	in = later(in, time.Minute, func(int, int) float64 { return 0.8 + 0.4*r.Float64() })
	l := load(in)
	for b.Loop() {
		p, err := Place(wants, l, first, in.Now, c)
		require.NoError(b, err)
		require.Len(b, p.Contracts, len(wants))
	}
}
