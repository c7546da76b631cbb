package placement

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What a monitor bears follows from CPU and bytes while they say something, and is remembered when they say nothing.
func TestWhatAMonitorBears(t *testing.T) {
	bears := func(l Learned, cpu, received float64) float64 {
		capacity, _ := capacityOf(Monitor{CPU: Figure{cpu, t0}, Received: Figure{received, t0}, Learned: l}, 125e6)
		return capacity
	}
	l := Learned{}.Add(0.2, 60)
	require.Equal(t, Learned{Idle: 0.2}, l)
	require.Equal(t, 125e6, bears(l, 0.2, 60), "an idle monitor is not a small one")
	l = l.Add(0.6, 50000) // 8 millionths of its CPUs for each byte
	require.InDelta(t, 100000, l.Bears, 1)
	require.InDelta(t, 100000, bears(l, 0.6, 50000), 1)
	l = l.Add(0.21, 1100).Add(0.2, 0)
	require.InDelta(t, 100000, bears(l, 0.2, 0), 1, "it still is what it was")
	l = l.Add(0.3, 50000).Add(0.3, 50000)
	require.InDelta(t, 400000, l.Bears, 1, "a stronger one took its place")
	l = l.Add(0.1, 50000)
	require.Equal(t, 0.1, l.Idle, "it cannot use more in vain than in all")
}

// Nothing is infinite, and nothing no number, whatever somebody declares.
func TestAMonitorThatBearsNothing(t *testing.T) {
	in := small(Hybrid, 5)
	in.Monitors[0].Capacity, in.Nodes[0].Link, in.Nodes[0].CPU, in.Monitors[0].Share = 1e-320, 1e-320, Figure{0.5, t0}, 1
	in.Monitors[1].Other = 1e300
	for _, rate := range []float64{0, 5, 1e12} {
		for i := range in.Flows[0].Rates {
			in.Flows[0].Rates[i] = rate
		}
		_, err := json.Marshal(must(t, in, State{}))
		require.NoError(t, err)
	}
}

// A monitor that is busy with what nobody placed is not empty, and what that costs its node is not foreseen to go away.
func TestMonitorsHaveMoreThanWhatIsPlaced(t *testing.T) {
	in := small(Hybrid, 2)
	in.Nodes[0].CPU = Figure{0.6, t0}
	in.Monitors[0].Share, in.Monitors[0].CPU, in.Monitors[0].Received, in.Monitors[0].Other = 0.5, Figure{0.9, t0}, Figure{90, t0}, 90
	r := must(t, in, State{})
	require.Equal(t, map[string]int{"p2": 8}, at(r.State, "web"))
	require.InDelta(t, 0.6, used(r, OfCPU, "h1"), 1e-9)
	require.InDelta(t, 0.9, used(r, OfMonitor, "p1"), 1e-9)
	require.InDelta(t, 0.9, r.Best, 1e-9)
}

// In a world that answers to what is decided, loads that stay as they are bring it to rest: also where a node is too busy to have any
// of its monitoring, and its monitor is then idle.
func TestAWorldComesToRest(t *testing.T) {
	const bears, share, each = 100e3, 0.25, 5e3
	for _, idle := range []float64{0, 0.2} {
		for _, others := range []float64{0.3, 0.6, 0.69 - share*idle, 0.69, 0.76} {
			name := fmt.Sprint("idle ", idle, ", others ", others)
			in := Input{Now: t0, Nodes: []Node{{ID: "h1"}, {ID: "h2"}},
				Monitors: []Monitor{{ID: "p1", Node: "h1", Provider: true, Share: share}, {ID: "p2", Node: "h2", Provider: true, Capacity: 1e6}},
				Flows:    []Flow{{ID: "web", Node: "h1", Strategy: Hybrid, Rates: rates(each, 16), At: t0}}}
			r, last := Result{}, 0
			for i := range 80 {
				here := float64(at(r.State, "web")["p1"]) * each
				p := &in.Monitors[0]
				p.CPU, p.Received = Figure{min(1, idle+(1-idle)*here/bears), in.Now}, Figure{here, in.Now}
				p.Learned = p.Add(p.CPU.Value, here)
				in.Nodes[0].CPU = Figure{min(1, others+share*p.CPU.Value), in.Now}
				if r = must(t, in, r.State); choices(r) > 0 {
					last = i
				}
				in = later(in, 10*time.Second, func(int, int) float64 { return 1 })
			}
			t.Logf("%s: the last move is in step %d; %v", name, last, at(r.State, "web"))
			require.Less(t, last, 20, name)
		}
	}
}

// A policy's monitors are those that it names, whatever their names.
func TestAMonitorCalledProvider(t *testing.T) {
	in := small(Hybrid, 1)
	in.Monitors = append(in.Monitors, Monitor{ID: "provider", Node: "h2", Capacity: 100})
	in.Flows = append(in.Flows, Flow{ID: "x", Node: "h1", Strategy: Hybrid, Monitors: []string{"provider"}, Rates: rates(1, 8), At: t0})
	r := must(t, in, State{})
	require.Equal(t, map[string]int{"p1": 8}, at(r.State, "web"))
	require.Equal(t, map[string]int{"provider": 8}, at(r.State, "x"))
}

// What nobody has measured yet avoids monitors of which nobody has heard for long, and does not come home to one.
func TestNewFlowsAvoidStaleMonitors(t *testing.T) {
	in := small(Hybrid, 0)
	in.Monitors[0].CPU = Figure{0.1, t0.Add(-time.Minute)}
	in.Flows[0].At = time.Time{}
	r := must(t, in, State{})
	require.Equal(t, map[string]int{"p2": 8}, at(r.State, "web"))
	in = later(in, time.Minute, func(int, int) float64 { return 1 })
	require.Empty(t, must(t, in, r.State).Moves)
	in.Monitors[0].CPU.At = in.Now
	require.Equal(t, map[string]int{"p1": 8}, at(must(t, in, r.State).State, "web"))
}

// A monitor that has fallen silent does not keep its node's CPU from being relieved.
func TestASilentMonitorFreezesItselfAlone(t *testing.T) {
	in := small(Hybrid, 5)
	in.Monitors[0].Share, in.Monitors[0].CPU, in.Monitors[0].Received = 0.5, Figure{0.4, t0}, Figure{40, t0}
	in.Monitors = append(in.Monitors, Monitor{ID: "silent", Node: "h1", Share: 0.1, CPU: Figure{0.1, t0.Add(-time.Hour)}, Received: Figure{5, t0.Add(-time.Hour)}})
	in.Nodes[0].CPU = Figure{0.5, t0}
	r := must(t, in, State{})
	require.Equal(t, map[string]int{"p1": 8}, at(r.State, "web"))
	in = later(in, time.Second, func(int, int) float64 { return 1 })
	in.Nodes[0].CPU = Figure{0.85, in.Now}
	r = must(t, in, r.State)
	require.Equal(t, map[string]int{"p1": 2, "p2": 6}, at(r.State, "web"))
}
