package controller

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/ofsim/simswitch"
)

// seldom is quick without audits: counters are read when somebody asks, and before they go.
func seldom() Config {
	c := quick()
	c.AuditInterval = time.Hour
	return c
}

func send(t *testing.T, sw *simswitch.Switch, n int) {
	t.Helper()
	for range n {
		_, err := sw.Inject(1, frame(1, 2))
		require.NoError(t, err)
	}
}

func TestCountersAreReadWhenAsked(t *testing.T) {
	t.Parallel()
	l := shop(t, seldom())
	l.tap("t1", copyTap("web", "ids", flowtap.Out))
	l.becomes("t1", flowtap.TapActive, "")
	for i := range 3 {
		send(t, l.sws[0], 2)
		require.NoError(t, l.ctl.ReadCounters(l.ctx(), "t1"))
		st := l.state("t1")
		require.EqualValues(t, 2*i+2, st.Counters.MatchedPackets)
		require.EqualValues(t, 2*i+2, st.Counters.DeliveredPackets)
		require.Len(t, st.Nodes, 1)
		require.Equal(t, "n1", st.Nodes[0].Node)
		require.Equal(t, st.Counters, st.Nodes[0].Counters)
	}
	require.NoError(t, l.ctl.ReadCounters(l.ctx(), "nothing"))
	l.quiet()
}

func TestCountersOfASwitchThatIsNotThere(t *testing.T) {
	t.Parallel()
	l := shop(t, seldom())
	l.tap("t1", copyTap("web", "ids", flowtap.Out))
	l.becomes("t1", flowtap.TapActive, "")
	send(t, l.sws[0], 3)
	l.sws[2].Disconnect()
	l.becomes("t1", flowtap.TapDegraded, "n3")
	require.ErrorContains(t, l.ctl.ReadCounters(l.ctx(), "t1"), "node n3 is not connected")
	require.EqualValues(t, 3, l.state("t1").Counters.MatchedPackets, "the others were asked")

	l.sws[0].Hang(true)
	ctx, cancel := context.WithTimeout(l.ctx(), 20*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, l.ctl.ReadCounters(ctx, "t1"), context.DeadlineExceeded)
	l.sws[0].Hang(false)
}

// TestNothingIsForgottenWhenATargetMoves, nor when its contract changes or the switch restarts, though
// nobody asked in between.
func TestNothingIsForgottenWhenATargetMoves(t *testing.T) {
	t.Parallel()
	l := shop(t, seldom())
	l.tap("t1", copyTap("web", "ids", flowtap.Out))
	l.becomes("t1", flowtap.TapActive, "")
	send(t, l.sws[0], 7)
	l.sws[1].AddPort(8, "web")
	l.quiet()
	l.sws[0].RemovePort(1)
	l.quiet()
	l.eventually(func() error { return expect(l.state("t1").Counters.MatchedPackets, uint64(7)) })
	for range 4 {
		_, err := l.sws[1].Inject(8, frame(1, 2))
		require.NoError(t, err)
	}
	changed := copyTap("web", "ids", flowtap.Out)
	changed.Priority = 300 // other flows
	_, err := l.store.Taps().Replace(l.ctx(), "t1", changed, 0)
	require.NoError(t, err)
	l.quiet()
	l.eventually(func() error { return expect(l.state("t1").Counters.MatchedPackets, uint64(11)) })
	st := l.state("t1")
	require.Len(t, st.Nodes, 2)
	require.EqualValues(t, 7, st.Nodes[0].MatchedPackets)
	require.EqualValues(t, 4, st.Nodes[1].MatchedPackets)
	require.Zero(t, st.Nodes[0].Held, "nothing on n1 counts any more")
	_, err = l.sws[1].Inject(8, frame(1, 2))
	require.NoError(t, err)
	require.NoError(t, l.ctl.ReadCounters(l.ctx(), "t1"))
	require.EqualValues(t, 12, l.state("t1").Counters.MatchedPackets)

	require.NoError(t, l.store.Taps().Delete(l.ctx(), "t1", 0))
	l.quiet()
	settle(l)
	kept := make(chan int, 1)
	l.ctl.planner.post(l.ctx(), func(p *planner) { kept <- len(p.c.counts.taps) + len(p.c.counts.fresh) })
	require.Zero(t, <-kept)
}

func TestARedirectCountsWhatComesBack(t *testing.T) {
	t.Parallel()
	l := shop(t, seldom())
	away := copyTap("web", "ids", flowtap.Out)
	away.Action = flowtap.Redirect
	l.tap("t1", away)
	l.becomes("t1", flowtap.TapActive, "")
	send(t, l.sws[0], 5)
	for range 3 {
		_, err := l.sws[2].Inject(1, frame(1, 2)) // the monitor gives them back
		require.NoError(t, err)
	}
	require.NoError(t, l.ctl.ReadCounters(l.ctx(), "t1"))
	n := uint64(len(frame(1, 2)))
	require.Equal(t, flowtap.Counters{MatchedPackets: 5, MatchedBytes: 5 * n, DeliveredPackets: 5, DeliveredBytes: 5 * n,
		ReturnedPackets: 3, ReturnedBytes: 3 * n}, l.state("t1").Counters)
	require.Len(t, l.state("t1").Nodes, 2, "n1 sends, n3 takes back")
}

// TestReadingAsksOnlyForWhatOpenVSwitchTakes: it refuses flows for input ports from 0xff00 on, which
// made every change fail that takes a contract's flows away.
func TestReadingAsksOnlyForWhatOpenVSwitchTakes(t *testing.T) {
	require.Less(t, noPort, 0xff00)
	want := openflow.Uint(openflow.FieldInPort, noPort)
	for _, m := range nothing() {
		require.Equal(t, openflow.Match{want}, m.(*openflow.FlowMod).Flow.Match)
	}
}
