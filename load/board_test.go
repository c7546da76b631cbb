package load

import (
	"context"
	"log/slog"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/flowtap/placement"
	"github.com/flowtap/flowtap/store"
	"github.com/flowtap/flowtap/topology"
)

var t0 = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// known is a board that knows one node, a VM and a monitor, at a time that the test moves on.
func known(now *time.Time) *Board {
	b := New(nil, slog.New(slog.DiscardHandler))
	b.clock = func() time.Time { return *now }
	b.follow(store.Batch{Reset: true, Events: []store.Event{
		{Collection: store.CollectionNodes, ID: "n1", Object: &store.Node{Spec: topology.Node{TunnelInterface: "tun0"}}},
		{Collection: store.CollectionPorts, ID: "web", Object: &store.Port{Spec: topology.Port{Kind: topology.KindVM, Interface: "tapweb"}, Status: topology.PortStatus{Node: "n1"}}},
		{Collection: store.CollectionPorts, ID: "ids1", Object: &store.Port{Spec: topology.Port{Kind: topology.KindMonitor, Interface: "ids1"}}},
	}})
	return b
}

func TestFiguresAreSmoothedRatesOfCounters(t *testing.T) {
	now, ctx := t0, context.Background()
	b := known(&now)
	require.NoError(t, b.Node(ctx, "n1", topology.NodeReport{CPU: 0.2, Memory: 0.5, Link: 125e6}))
	b.Counted("n1", now, map[string]Count{"tun0": {100, 1000}, "tapweb": {0, 0}, "strange": {1, 1}})
	require.NoError(t, b.Heartbeat(ctx, "ids1", topology.Heartbeat{CPU: 0.4, Share: 0.5, ReceivedBytes: 500, ReceivedFrames: 5}))
	var st topology.PortStatus
	b.ports["web"].into(&st)
	assert.Equal(t, topology.PortStatus{}, st, "one reading is no rate")

	now = t0.Add(2 * time.Second)
	require.NoError(t, b.Node(ctx, "n1", topology.NodeReport{CPU: 0.8, Memory: 0.5}))
	b.Counted("n1", now, map[string]Count{"tun0": {300, 21000}, "tapweb": {4000, 2000}})
	require.NoError(t, b.Heartbeat(ctx, "ids1", topology.Heartbeat{CPU: 0.4, Share: 0.5, ReceivedBytes: 2500, ReceivedFrames: 25, DroppedFrames: 1}))
	n := b.nodes["n1"].into(nil)
	assert.InDelta(t, placement.Figure{Value: 0.2, At: t0}.Add(0.8, now, Tau).Value, n.CPU, 1e-4)
	assert.Equal(t, []float64{10000, 100, 0}, []float64{n.Sent, n.Received, n.Link})
	assert.Equal(t, now, n.At)
	b.ports["web"].into(&st)
	assert.Equal(t, topology.PortStatus{Load: &topology.PortLoad{At: now, Sent: 2000, Received: 1000}}, st, "what it sends is what the switch receives")
	b.ports["ids1"].into(&st)
	assert.Equal(t, &topology.MonitorLoad{At: now, CPU: 0.4, Share: 0.5, Received: 1000, Bears: 2500, ReceivedTotal: 25, DroppedTotal: 1}, st.Monitor)

	// A counter that began anew, or a reading that is older, says nothing.
	b.Counted("n1", now.Add(time.Second), map[string]Count{"tun0": {0, 0}})
	b.Counted("n1", t0, map[string]Count{"tun0": {9e9, 9e9}})
	assert.Equal(t, n, b.nodes["n1"].into(nil))
}

// A board that begins anew leaves what was said before as it is, until it knows better: figures that are old must not become none.
func TestWhatIsNotKnownAnewStays(t *testing.T) {
	now, ctx := t0, context.Background()
	b := known(&now)
	before := topology.NodeLoad{At: t0.Add(-time.Minute), CPU: 0.95, Memory: 0.5, LinkAt: t0.Add(-time.Minute), Sent: 5, Link: 125e6}
	b.Counted("n1", now, map[string]Count{"tun0": {}, "ids1": {}})
	now = t0.Add(time.Second)
	b.Counted("n1", now, map[string]Count{"tun0": {0, 7}, "ids1": {0, 9}})
	l := b.nodes["n1"].into(&before)
	assert.Equal(t, topology.NodeLoad{At: before.At, CPU: 0.95, Memory: 0.5, LinkAt: now, Sent: 7, Link: 125e6}, *l)
	assert.Equal(t, 5.0, before.Sent, "the stored one is not ours")
	heard := &topology.MonitorLoad{At: before.At, CPU: 0.9, Received: 90000, Idle: 0.1, Bears: 100000}
	st := topology.PortStatus{Monitor: heard}
	b.ports["ids1"].into(&st)
	assert.Equal(t, heard, st.Monitor)
	require.NoError(t, b.Heartbeat(ctx, "ids1", topology.Heartbeat{CPU: 0.2, ReceivedBytes: 1e9}))
	b.ports["ids1"].into(&st)
	assert.Equal(t, heard, st.Monitor, "one total is no rate")
	b.follow(store.Batch{Events: []store.Event{{Collection: store.CollectionPorts, ID: "ids1", Object: &store.Port{
		Spec: topology.Port{Kind: topology.KindMonitor, Interface: "ids1"}, Status: st}}}})
	now = t0.Add(2 * time.Second)
	require.NoError(t, b.Heartbeat(ctx, "ids1", topology.Heartbeat{CPU: 0.15, ReceivedBytes: 1e9 + 5000}))
	b.ports["ids1"].into(&st)
	assert.Equal(t, &topology.MonitorLoad{At: now, CPU: 0.15, Received: 5000, Idle: 0.1, Bears: 100000}, st.Monitor, "what was learned is remembered")
}

// CPU and received bytes are of the same time, also when the monitor's program began anew; and no total makes nonsense.
func TestHeartbeats(t *testing.T) {
	now, ctx := t0, context.Background()
	b := known(&now)
	beat := func(cpu float64, received uint64) *topology.MonitorLoad {
		now = now.Add(time.Second)
		require.NoError(t, b.Heartbeat(ctx, "ids1", topology.Heartbeat{CPU: cpu, ReceivedBytes: received}))
		var st topology.PortStatus
		b.ports["ids1"].into(&st)
		return st.Monitor
	}
	beat(1, 0)
	m := beat(0.5, 50000)
	assert.Equal(t, []float64{0.5, 50000, 100000}, []float64{m.CPU, m.Received, m.Bears}, "the CPU of its start is not of these bytes")
	beat(1, 100)
	m = beat(0.5, 50100)
	assert.Equal(t, []float64{0.5, 50000, 100000}, []float64{m.CPU, m.Received, m.Bears}, "another program")
	beat(0.5, 0)
	assert.Greater(t, beat(0.5, math.MaxUint64).Received, 1e19)
}

// A port is counted where it is, though a switch that it left, or comes to, has an interface of its name.
func TestAPortIsCountedWhereItIs(t *testing.T) {
	now := t0
	b := known(&now)
	web := &store.Port{Spec: topology.Port{Kind: topology.KindVM, Interface: "tapweb"}, Status: topology.PortStatus{Node: "n1"}}
	b.follow(store.Batch{Events: []store.Event{{Collection: store.CollectionNodes, ID: "n2", Object: &store.Node{}}}})
	for i := range 3 {
		at := t0.Add(time.Duration(i) * time.Second)
		b.Counted("n1", at, map[string]Count{"tapweb": {Received: uint64(5000 * i)}})
		b.Counted("n2", at.Add(time.Millisecond), map[string]Count{"tapweb": {Received: 1e12}})
	}
	var st topology.PortStatus
	b.ports["web"].into(&st)
	require.NotNil(t, st.Load)
	assert.Equal(t, 5000.0, st.Load.Sent)
	web.Status.Node = "n2"
	b.follow(store.Batch{Events: []store.Event{{Collection: store.CollectionPorts, ID: "web", Object: web}}})
	b.Counted("n2", t0.Add(4*time.Second), map[string]Count{"tapweb": {Received: 1e12}})
	st = topology.PortStatus{}
	b.ports["web"].into(&st)
	assert.Nil(t, st.Load, "there it was not counted twice yet")
}

func TestNobodyElseIsTaken(t *testing.T) {
	now, ctx := t0, context.Background()
	b := known(&now)
	require.ErrorIs(t, b.Node(ctx, "n2", topology.NodeReport{}), ErrUnknown)
	require.ErrorIs(t, b.Heartbeat(ctx, "web", topology.Heartbeat{}), ErrUnknown)
	require.ErrorIs(t, b.Heartbeat(ctx, "ids2", topology.Heartbeat{}), ErrUnknown)
	b.Counted("n2", now, nil)
	b.follow(store.Batch{Events: []store.Event{{Collection: store.CollectionPorts, ID: "ids1"}, {Collection: store.CollectionNodes, ID: "n1"}}})
	require.ErrorIs(t, b.Heartbeat(ctx, "ids1", topology.Heartbeat{}), ErrUnknown)
	require.ErrorIs(t, b.Node(ctx, "n1", topology.NodeReport{}), ErrUnknown)
	b.follow(store.Batch{Reset: true})
	assert.Empty(t, b.ports)
	assert.Empty(t, b.names)
}

// What is written is at most one status in Every, and what carries next to nothing is not news.
func TestStatusesAreFew(t *testing.T) {
	now, ctx := t0, context.Background()
	b := known(&now)
	written := 0
	for i := range 60 { // a minute
		now = t0.Add(time.Duration(i) * time.Second)
		require.NoError(t, b.Node(ctx, "n1", topology.NodeReport{CPU: float64(i%2) / 2}))
		b.Counted("n1", now, map[string]Count{"tapweb": {Received: uint64(900 * i)}})
		if b.nodes["n1"].due.now(now) {
			written++
		}
	}
	assert.Equal(t, 20, written)
	assert.False(t, b.ports["web"].due.now(now), "900 bytes a second")
	b.Counted("n1", now.Add(time.Second), map[string]Count{"tapweb": {Received: 1e6}})
	assert.True(t, b.ports["web"].due.now(now.Add(time.Second)))
}

// Load goes into the status beside what others observed, which stays.
func TestLoadIsInTheStatus(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s, err := store.Open(ctx, store.Config{DataDir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	_, _, err = s.Ports().Create(ctx, "ids1", topology.Port{Kind: topology.KindMonitor, Interface: "ids1"})
	require.NoError(t, err)
	seen := topology.PortStatus{State: topology.PortActive, Node: "n1"}
	require.NoError(t, s.Ports().PutStatus(ctx, "ids1", seen))
	b := New(s, slog.New(slog.DiscardHandler))
	done := make(chan error)
	go func() { done <- b.Run(ctx) }()
	require.Eventually(t, func() bool { return b.Heartbeat(ctx, "ids1", topology.Heartbeat{CPU: 0.5}) == nil }, time.Minute, time.Millisecond)
	var st topology.PortStatus
	require.Eventually(t, func() bool {
		o, err := s.Ports().Get(ctx, "ids1")
		require.NoError(t, err)
		st = o.Status
		return st.Monitor != nil
	}, time.Minute, 10*time.Millisecond)
	assert.Equal(t, 0.5, st.Monitor.CPU)
	st.Monitor = nil
	assert.Equal(t, seen, st)
	cancel()
	require.NoError(t, <-done)
}
