package policy

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/flowtap/placement"
	"github.com/flowtap/flowtap/store"
	"github.com/flowtap/flowtap/topology"
)

var t0 = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func TestRatesOfCounters(t *testing.T) {
	after := func(seconds float64) time.Time { return t0.Add(time.Duration(seconds * float64(time.Second))) }
	read := func(bytes uint64, seconds float64) flowtap.TapStatus {
		return flowtap.TapStatus{Counters: flowtap.Counters{MatchedBytes: bytes}, Nodes: []flowtap.NodeCounters{{ReadAt: after(-3600)}, {ReadAt: after(seconds)}}}
	}
	m := meter{}.next(read(1000, 0), 0, t0)
	assert.False(t, m.known)
	m = m.next(read(3000, 4), 0, after(5))
	assert.True(t, m.known)
	assert.Equal(t, 500.0, m.rate)
	assert.Equal(t, 500.0, m.next(read(3000, 4), 0, after(8)).rate, "nothing newer yet")
	soon := m.next(read(4000, 5), 0, after(6))
	assert.Equal(t, 500.0, soon.rate, "too early")
	for name, idle := range map[string]meter{"idle": m.next(read(3000, 4), 0, after(15)), "idle since what was too early": soon.next(read(4000, 5), 0, after(16))} {
		assert.True(t, idle.known, name)
		assert.Zero(t, idle.rate, name)
		idle = idle.next(read(4000, 5), 0, after(3600))
		assert.Equal(t, 100.0, idle.next(read(5500, 3605), 0, after(3605)).rate, "%s: then it was of late", name)
	}
	assert.False(t, m.next(read(10, 16), 0, after(16)).known, "began anew")
	back := m.next(read(4000, -3600), 0, after(-3599))
	assert.False(t, back.known, "the clock was put back")
	assert.Equal(t, 200.0, back.next(read(6000, -3590), 0, after(-3589)).rate)

	never := meter{}.next(flowtap.TapStatus{}, 0, t0)
	assert.False(t, never.known)
	silent := never.next(flowtap.TapStatus{}, 0, after(11))
	assert.True(t, silent.known, "it counts nothing")
	assert.False(t, silent.next(read(9000, 12), 0, after(12)).known, "when that was counted nobody knows")
	first := never.next(read(9000, 0.01), 0, after(1))
	assert.False(t, first.known)
	early := first.next(read(9900, 0.02), 0, after(1))
	assert.False(t, early.known)
	assert.Equal(t, 450.0, early.next(read(9900+990, 4.21), 0, after(5)).rate)
}

// What counts is what the monitor gets.
func TestRatesAreThoseOfCopies(t *testing.T) {
	read := func(c flowtap.Counters, seconds int) flowtap.TapStatus {
		return flowtap.TapStatus{Counters: c, Nodes: []flowtap.NodeCounters{{ReadAt: t0.Add(time.Duration(seconds) * time.Second)}}}
	}
	rate := func(truncate int, c flowtap.Counters) float64 {
		m := meter{}.next(read(flowtap.Counters{MatchedBytes: 150, MatchedPackets: 3}, 0), truncate, t0)
		m = m.next(read(c, 10), truncate, t0)
		require.True(t, m.known)
		return m.rate
	}
	large := flowtap.Counters{MatchedBytes: 150 + 15000, MatchedPackets: 3 + 10}
	assert.Equal(t, 1500.0, rate(0, large))
	assert.Equal(t, 64.0, rate(64, large))
	assert.Equal(t, 1500.0, rate(2000, large))
	large.DroppedBytes, large.DroppedPackets = 6000, 4
	assert.Equal(t, 900.0, rate(0, large))
	assert.Equal(t, 38.4, rate(64, large))
}

// A switch that is away counts nothing: that is no rate of zero.
func TestANodeThatIsAwayHasNoRates(t *testing.T) {
	for state, known := range map[string]bool{topology.NodeConnected: true, topology.NodeDisconnected: false} {
		w, c := loaded(0.3, t0)
		w.Nodes["n1"].Status.State = state
		p := newPlacer()
		wanted, faults := c.wanted(w)
		require.Empty(t, faults)
		require.True(t, p.put(w, c, wanted, t0))
		_, err := p.place(w, t0)
		require.NoError(t, err)
		carryOut(t, p, w, c, wanted, t0, 0)
		for now := t0; now.Before(t0.Add(time.Minute)); now = now.Add(placeEvery) {
			_, err = p.place(w, now)
			require.NoError(t, err)
		}
		for _, f := range p.loads.Input(t0, placement.Config{}).Flows {
			assert.Equal(t, known, !f.At.IsZero(), state)
		}
	}
}

// Measurements show a move late: until they do, it is not foreseen that others carry what has moved.
func TestMovesAreNotTakenForLoadOfOthers(t *testing.T) {
	w := newWorld()
	for i, node := range []string{"n1", "n2"} {
		id := fmt.Sprint("ids", i+1)
		w.apply(store.Event{Collection: store.CollectionPorts, ID: id, Object: &store.Port{Spec: topology.Port{Kind: topology.KindMonitor},
			Status: topology.PortStatus{Node: node, Monitor: &topology.MonitorLoad{At: t0, Received: []float64{100, 1000}[i]}}}})
		w.apply(store.Event{Collection: store.CollectionNodes, ID: node, Object: &store.Node{Status: topology.NodeStatus{
			Load: &topology.NodeLoad{LinkAt: t0, Link: 1e6, Sent: []float64{1500, 0}[i], Received: []float64{0, 1500}[i]}}}})
	}
	loads, err := placement.Loads{}.Add(placement.Sample{At: t0, Flows: []placement.FlowSample{
		{ID: "f", Node: "n1", Strategy: placement.Hybrid, Rates: []float64{800}}}}, 0)
	require.NoError(t, err)
	p := newPlacer()
	others := func(at string, now time.Time) (ids1, ids2, sent, received float64) {
		p.placed.State.Flows = map[string][]placement.Held{"f": {{Monitor: at}}}
		p.loads = loads
		b := p.besides(w, loads, now)
		for _, m := range monitorsOf(w, b) {
			if m.ID == "ids1" {
				ids1 = m.Other
			} else {
				ids2 = m.Other
			}
		}
		for _, n := range nodesOf(w, b) {
			sent, received = sent+n.Sent.Value, received+n.Received.Value
		}
		p.others = b.others
		return ids1, ids2, sent, received
	}
	all := func(a, b, c, d float64) []float64 { return []float64{a, b, c, d} }
	assert.Equal(t, []float64{100, 200, 700, 700}, all(others("ids2", t0)))
	p.placed.Moves = []placement.Move{{Flow: "f", From: "ids2", To: "ids1", Cause: placement.Home}}
	p.noteMoves(w, t0)
	assert.Equal(t, []float64{100, 200, 700, 700}, all(others("ids1", t0.Add(2*time.Second))))
	p.placed.Moves = nil
	p.noteMoves(w, t0.Add(settles))
	assert.Equal(t, []float64{0, 1000, 1500, 1500}, all(others("ids1", t0.Add(settles))), "now that is what others do")
}
