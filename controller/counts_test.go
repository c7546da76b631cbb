package controller

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/flowtap/pipeline"
	"github.com/flowtap/flowtap/openflow"
)

// reading is flows of kinds, by priority, that counted so many packets of 100 bytes.
func reads(kind pipeline.Kind, object uint32, priority uint16, packets uint64) openflow.FlowStats {
	return openflow.FlowStats{Flow: openflow.Flow{Priority: priority, Cookie: pipeline.Cookie(kind, object)}, Packets: packets, Bytes: 100 * packets}
}

func TestCounts(t *testing.T) {
	const tap, sw = 7, openflow.DPID(1)
	matched := func(c *counts) uint64 { return c.tap(tap).MatchedPackets }
	read := func(c *counts, d openflow.DPID, flows ...openflow.FlowStats) { c.take(d, flows) }

	t.Run("what flows count is added up over flows and switches", func(t *testing.T) {
		c := newCounts()
		read(c, sw, reads(pipeline.KindTap, tap, 1, 5), reads(pipeline.KindTapSeen, tap, 2, 3))
		read(c, 2, reads(pipeline.KindTap, tap, 1, 10))
		require.Equal(t, flowtap.Counters{MatchedPackets: 18, MatchedBytes: 1800, DeliveredPackets: 15, DeliveredBytes: 1500}, c.tap(tap))
		read(c, sw, reads(pipeline.KindTap, tap, 1, 6), reads(pipeline.KindTapSeen, tap, 2, 3))
		require.EqualValues(t, 19, matched(c))
	})
	t.Run("a counter that began anew adds what it shows", func(t *testing.T) {
		c := newCounts()
		read(c, sw, reads(pipeline.KindTap, tap, 1, 50))
		read(c, sw, reads(pipeline.KindTap, tap, 1, 4))
		require.EqualValues(t, 54, matched(c))
	})
	t.Run("a flow that vanished keeps its part, and counts anew when it returns", func(t *testing.T) {
		c := newCounts()
		read(c, sw, reads(pipeline.KindTap, tap, 1, 50))
		read(c, sw)
		require.EqualValues(t, 50, matched(c))
		read(c, sw, reads(pipeline.KindTap, tap, 1, 60))
		require.EqualValues(t, 110, matched(c))
	})
	t.Run("a flow that passed to another contract", func(t *testing.T) {
		c := newCounts()
		read(c, sw, reads(pipeline.KindTap, 3, 1, 50))
		read(c, sw, reads(pipeline.KindTap, tap, 1, 5))
		require.EqualValues(t, 5, matched(c))
	})
	t.Run("a controller that restarts counts nothing twice", func(t *testing.T) {
		c := newCounts()
		c.adopt(tap, flowtap.Counters{MatchedPackets: 80})
		read(c, sw, reads(pipeline.KindTap, tap, 1, 50))
		read(c, 2, reads(pipeline.KindTap, tap, 1, 30))
		require.EqualValues(t, 80, matched(c))
		read(c, sw, reads(pipeline.KindTap, tap, 1, 51))
		read(c, 2, reads(pipeline.KindTap, tap, 1, 30), reads(pipeline.KindTapSeen, tap, 2, 2))
		require.EqualValues(t, 83, matched(c))
	})
	t.Run("what was counted while no controller ran is counted", func(t *testing.T) {
		c := newCounts()
		c.adopt(tap, flowtap.Counters{MatchedPackets: 80, DeliveredPackets: 80})
		read(c, sw, reads(pipeline.KindTap, tap, 1, 50))
		read(c, 2, reads(pipeline.KindTap, tap, 1, 37))
		require.EqualValues(t, 87, matched(c))
		require.EqualValues(t, 87, c.tap(tap).DeliveredPackets)
		read(c, 2, reads(pipeline.KindTap, tap, 1, 38))
		require.EqualValues(t, 88, matched(c))
	})
	t.Run("a new contract counts from its first frame", func(t *testing.T) {
		c := newCounts()
		read(c, sw)
		c.adopt(tap, flowtap.Counters{})
		read(c, sw, reads(pipeline.KindTap, tap, 1, 3))
		require.EqualValues(t, 3, matched(c))
	})
	t.Run("other kinds", func(t *testing.T) {
		c := newCounts()
		read(c, sw, reads(pipeline.KindSpoof, 4, 1, 2), reads(pipeline.KindClaim, 4, 2, 3), reads(pipeline.KindInject, 5, 3, 9), reads(pipeline.KindBase, 0, 4, 99))
		require.EqualValues(t, 5, c.spoof[4])
		require.EqualValues(t, 9, c.inject[5])
	})
	t.Run("a contract that is gone is forgotten", func(t *testing.T) {
		c := newCounts()
		c.adopt(tap, flowtap.Counters{MatchedPackets: 80})
		c.forget(tap)
		require.Empty(t, c.taps)
		require.Empty(t, c.stored)
	})
}

func TestACountersWayIntoTheStore(t *testing.T) {
	t.Parallel()
	l := shop(t, quick())
	l.tap("t1", copyTap("web", "ids", flowtap.Out))
	l.becomes("t1", flowtap.TapActive, "")
	send := func(n int) {
		for range n {
			_, err := l.sws[0].Inject(1, frame(1, 2))
			require.NoError(t, err)
		}
	}
	counts := func(n uint64) {
		t.Helper()
		l.eventually(func() error { return expect(l.state("t1").Counters.DeliveredPackets, n) })
	}
	send(5)
	counts(5)
	l.stop()
	l.eventually(func() error { return disconnected(l.sws...) })
	l.start()
	l.connect()
	l.quiet()
	send(2)
	counts(7)
	l.sws[0].Restart()
	l.connect(l.sws[0])
	l.quiet()
	send(1)
	counts(8)
}
