package controller

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/flowtap/pipeline"
	"github.com/flowtap/flowtap/openflow"
)

// reads is a flow of a kind, told by its priority, that counted so many frames of 100 bytes.
func reads(kind pipeline.Kind, object uint32, priority uint16, packets uint64) openflow.FlowStats {
	return openflow.FlowStats{Flow: openflow.Flow{Priority: priority, Cookie: pipeline.Cookie(kind, object)}, Packets: packets, Bytes: 100 * packets}
}

// counting is counts that are told of readings at seconds of a clock. Flows are as old as said, by
// default there since ever.
type counting struct {
	*counts
	t     *testing.T
	clock time.Time
}

func newCounting(t *testing.T) *counting {
	c := &counting{newCounts(), t, time.Unix(1e9, 0)}
	c.adopt("t", theTap, nil)
	return c
}

const (
	theTap = 7
	sw     = openflow.DPID(1)
)

// read takes a reading of n1's, or another switch's, flows five seconds after the last one.
func (c *counting) read(d openflow.DPID, flows ...openflow.FlowStats) {
	c.clock = c.clock.Add(5 * time.Second)
	c.readAt(d, c.clock, nil, flows...)
}

func (c *counting) readAt(d openflow.DPID, at time.Time, taps []uint32, flows ...openflow.FlowStats) {
	for i := range flows {
		if flows[i].Duration == 0 {
			flows[i].Duration = at.Sub(time.Unix(0, 0))
		}
	}
	c.take(nodeName(d), d, tally{from: at, to: at.Add(time.Millisecond), flows: flows, taps: taps})
}

func nodeName(d openflow.DPID) string { return "n" + string('0'+rune(d)) }

func aged(f openflow.FlowStats, age time.Duration) openflow.FlowStats { f.Duration = age; return f }

func (c *counting) status() (st flowtap.TapStatus) { c.into(&st, theTap); return st }

func (c *counting) matched(want uint64) {
	c.t.Helper()
	require.EqualValues(c.t, want, c.status().Counters.MatchedPackets)
}

// restart is a new controller that finds what this one wrote.
func (c *counting) restart() {
	st := c.status()
	c.counts = newCounts()
	c.adopt("t", theTap, st.Nodes)
}

func TestCounts(t *testing.T) {
	const tap = theTap
	for name, f := range map[string]func(*counting){
		"what flows count is added up over flows and nodes": func(c *counting) {
			c.read(sw, reads(pipeline.KindTap, tap, 1, 5), reads(pipeline.KindTapSeen, tap, 2, 3))
			c.read(2, reads(pipeline.KindTap, tap, 1, 10))
			st := c.status()
			require.Equal(t, flowtap.Counters{MatchedPackets: 18, MatchedBytes: 1800, DeliveredPackets: 15, DeliveredBytes: 1500}, st.Counters)
			require.Len(t, st.Nodes, 2)
			require.Equal(t, "n1", st.Nodes[0].Node)
			require.Equal(t, flowtap.Counters{MatchedPackets: 8, MatchedBytes: 800, DeliveredPackets: 5, DeliveredBytes: 500}, st.Nodes[0].Counters)
			require.Equal(t, "n2", st.Nodes[1].Node)
			require.EqualValues(t, 10, st.Nodes[1].MatchedPackets)
			c.read(sw, reads(pipeline.KindTap, tap, 1, 6), reads(pipeline.KindTapSeen, tap, 2, 3))
			c.matched(19)
		},
		"a counter of which more was taken off than was on it is passed over": func(c *counting) {
			c.read(sw, reads(pipeline.KindTap, tap, 1, 50))
			c.read(sw, reads(pipeline.KindTap, tap, 1, 1<<64-3))
			c.read(sw, reads(pipeline.KindTap, tap, 1, 52))
			c.matched(52)
		},
		"a redirect sends, and is given back": func(c *counting) {
			c.diverts(tap, true)
			c.read(sw, reads(pipeline.KindTap, tap, 1, 5), reads(pipeline.KindTapSeen, tap, 2, 3), reads(pipeline.KindReturn, tap, 3, 4),
				reads(pipeline.KindDivert, tap, 4, 9), reads(pipeline.KindTapFlood, tap, 5, 9))
			require.Equal(t, flowtap.Counters{MatchedPackets: 5, MatchedBytes: 500, DeliveredPackets: 5, DeliveredBytes: 500,
				ReturnedPackets: 4, ReturnedBytes: 400}, c.status().Counters)
		},
		"a counter that began anew adds what it shows": func(c *counting) {
			c.read(sw, reads(pipeline.KindTap, tap, 1, 50))
			c.read(sw, reads(pipeline.KindTap, tap, 1, 4))
			c.matched(54)
		},
		"a counter that began anew and overtook what it was": func(c *counting) {
			c.read(sw, reads(pipeline.KindTap, tap, 1, 50))
			c.read(sw, aged(reads(pipeline.KindTap, tap, 1, 60), 4*time.Second))
			c.matched(110)
		},
		"a counter that began anew right after it was read": func(c *counting) {
			c.read(sw, reads(pipeline.KindTap, tap, 1, 50))
			c.read(sw, aged(reads(pipeline.KindTap, tap, 1, 60), 5*time.Second-time.Millisecond))
			c.matched(110)
		},
		"a young flow whose successor is older than it became": func(c *counting) {
			c.read(sw, aged(reads(pipeline.KindTap, tap, 1, 50), time.Second))
			c.read(sw, aged(reads(pipeline.KindTap, tap, 1, 60), 3*time.Second))
			c.matched(110)
		},
		"a young flow that goes on is the same": func(c *counting) {
			c.read(sw, aged(reads(pipeline.KindTap, tap, 1, 50), time.Millisecond))
			c.read(sw, aged(reads(pipeline.KindTap, tap, 1, 60), 5*time.Second-time.Millisecond))
			c.matched(60)
		},
		"a switch that stood still for a minute": func(c *counting) {
			c.read(sw, aged(reads(pipeline.KindTap, tap, 1, 50), 10*time.Minute))
			c.clock = c.clock.Add(time.Minute)
			c.read(sw, aged(reads(pipeline.KindTap, tap, 1, 60), 10*time.Minute+5*time.Second))
			c.matched(60)
		},
		"a flow that vanished keeps its part, and counts anew when it returns": func(c *counting) {
			c.read(sw, reads(pipeline.KindTap, tap, 1, 50))
			c.read(sw)
			c.matched(50)
			require.Zero(t, c.status().Nodes[0].Held)
			c.read(sw, reads(pipeline.KindTap, tap, 1, 60))
			c.matched(110)
		},
		"a flow that passed to another contract": func(c *counting) {
			c.adopt("other", 3, nil)
			c.read(sw, reads(pipeline.KindTap, 3, 1, 50))
			c.read(sw, reads(pipeline.KindTap, tap, 1, 5))
			c.matched(5)
		},
		"what a flow counted last is read before it goes": func(c *counting) {
			c.read(sw, reads(pipeline.KindTap, tap, 1, 50))
			last := reads(pipeline.KindTap, tap, 1, 58)
			c.readAt(sw, c.clock.Add(time.Second), []uint32{tap}, last)
			c.ended("n1", sw, []openflow.Flow{last.Flow}, c.clock.Add(2*time.Second))
			c.matched(58)
			// One that began before, and tells so late what was: nothing new.
			c.readAt(sw, c.clock.Add(time.Second), nil, reads(pipeline.KindTap, tap, 1, 59))
			c.matched(58)
			// Its successor, older already than it was when last seen, and with more frames.
			c.readAt(sw, c.clock.Add(30*time.Second), nil, reads(pipeline.KindTap, tap, 1, 70))
			c.matched(128)
			require.EqualValues(t, 70, c.status().Nodes[0].Held.MatchedPackets)
		},
		"two readings at a time": func(c *counting) {
			c.read(sw, reads(pipeline.KindTap, tap, 1, 50))
			c.readAt(sw, c.clock.Add(3*time.Second), []uint32{tap}, reads(pipeline.KindTap, tap, 1, 60))
			c.readAt(sw, c.clock.Add(2*time.Second), nil, reads(pipeline.KindTap, tap, 1, 55))
			c.matched(60)
			c.readAt(sw, c.clock.Add(4*time.Second), nil, reads(pipeline.KindTap, tap, 1, 62))
			c.matched(62)
		},
		"a reading of the predecessor that is told late": func(c *counting) {
			c.read(sw, aged(reads(pipeline.KindTap, tap, 1, 50), 5*time.Second))
			at := c.clock
			last := aged(reads(pipeline.KindTap, tap, 1, 58), 6*time.Second)
			c.readAt(sw, at.Add(time.Second), []uint32{tap}, last)
			c.ended("n1", sw, []openflow.Flow{last.Flow}, at.Add(1100*time.Millisecond))
			c.readAt(sw, at.Add(2*time.Second), nil, aged(reads(pipeline.KindTap, tap, 1, 0), time.Second))
			c.readAt(sw, at.Add(500*time.Millisecond), nil, aged(reads(pipeline.KindTap, tap, 1, 57), 5500*time.Millisecond))
			c.matched(58)
		},
		"a reading of one contract says nothing of others": func(c *counting) {
			c.adopt("other", 3, nil)
			c.read(sw, reads(pipeline.KindTap, tap, 1, 50), reads(pipeline.KindTap, 3, 2, 1))
			c.readAt(sw, c.clock.Add(time.Second), []uint32{3}, reads(pipeline.KindTap, 3, 2, 4))
			c.readAt(sw, c.clock.Add(2*time.Second), []uint32{3}, reads(pipeline.KindTap, tap, 1, 60))
			c.matched(50)
			c.read(sw, reads(pipeline.KindTap, tap, 1, 70), reads(pipeline.KindTap, 3, 2, 4))
			c.matched(70)
		},
		"a controller that restarts counts nothing twice": func(c *counting) {
			c.read(sw, reads(pipeline.KindTap, tap, 1, 50))
			c.read(2, reads(pipeline.KindTap, tap, 1, 30))
			c.restart()
			c.matched(80)
			c.read(sw, reads(pipeline.KindTap, tap, 1, 50))
			c.read(2, reads(pipeline.KindTap, tap, 1, 30))
			c.matched(80)
			c.read(sw, reads(pipeline.KindTap, tap, 1, 51))
			c.read(2, reads(pipeline.KindTap, tap, 1, 30), reads(pipeline.KindTapSeen, tap, 2, 2))
			c.matched(83)
		},
		"what was counted while no controller ran is counted": func(c *counting) {
			c.read(sw, reads(pipeline.KindTap, tap, 1, 900))
			c.read(sw, reads(pipeline.KindTap, tap, 2, 100)) // the target moved
			c.restart()
			c.read(sw, reads(pipeline.KindTap, tap, 2, 600))
			c.matched(1500)
			c.restart()
			c.restart() // before any switch is read
			c.read(sw, reads(pipeline.KindTap, tap, 2, 601))
			c.matched(1501)
		},
		"a switch that restarts while no controller runs": func(c *counting) {
			c.read(sw, reads(pipeline.KindTap, tap, 1, 900))
			c.restart()
			c.read(sw)
			c.matched(900)
			c.read(sw, reads(pipeline.KindTap, tap, 1, 901))
			c.matched(1801)
		},
		"a switch whose flows were saved and put back while no controller ran": func(c *counting) {
			c.read(sw, reads(pipeline.KindTap, tap, 1, 900))
			c.restart()
			c.clock = c.clock.Add(time.Minute)
			c.read(sw, aged(reads(pipeline.KindTap, tap, 1, 1000), 30*time.Second))
			c.matched(1900)
		},
		"a meter holds copies back": func(c *counting) {
			f := reads(pipeline.KindTap, tap, 1, 50)
			f.Flow.Meter = 9
			with := func(dropped uint64) {
				c.clock = c.clock.Add(5 * time.Second)
				f.Duration += 5 * time.Second
				c.take("n1", sw, tally{from: c.clock, to: c.clock.Add(1), flows: []openflow.FlowStats{f}, meters: []openflow.MeterStats{
					{Meter: 9, Duration: f.Duration, Bands: []openflow.BandStats{{Packets: dropped, Bytes: 100 * dropped}}}, {Meter: 10, Bands: []openflow.BandStats{{Packets: 5}}}}})
			}
			with(8)
			require.Equal(t, flowtap.Counters{MatchedPackets: 50, MatchedBytes: 5000, DeliveredPackets: 42, DeliveredBytes: 4200, DroppedPackets: 8, DroppedBytes: 800}, c.status().Counters)
			with(3) // the rate was changed, and the meter began anew
			require.EqualValues(t, 11, c.status().Counters.DroppedPackets)
			c.restart()
			with(3)
			require.EqualValues(t, 11, c.status().Counters.DroppedPackets)
			require.EqualValues(t, 39, c.status().Counters.DeliveredPackets)
		},
		"counters that a switch does not keep": func(c *counting) {
			c.read(sw, openflow.FlowStats{Flow: reads(pipeline.KindTap, tap, 1, 0).Flow, Packets: 1<<64 - 1, Bytes: 1<<64 - 1})
			c.matched(0)
		},
		"other kinds": func(c *counting) {
			c.read(sw, reads(pipeline.KindSpoof, 4, 1, 2), reads(pipeline.KindClaim, 4, 2, 3), reads(pipeline.KindInject, 5, 3, 9), reads(pipeline.KindBase, 0, 4, 99))
			c.read(sw, reads(pipeline.KindSpoof, 4, 1, 2), reads(pipeline.KindClaim, 4, 2, 3), reads(pipeline.KindInject, 5, 3, 10), reads(pipeline.KindBase, 0, 4, 99))
			require.EqualValues(t, 5, c.spoof[4])
			require.EqualValues(t, 10, c.inject[5])
		},
		"a contract that is gone is forgotten, and so are flows": func(c *counting) {
			c.read(sw, reads(pipeline.KindTap, tap, 1, 1))
			c.forget(tap)
			c.read(sw, reads(pipeline.KindTap, tap, 1, 2))
			c.clock = c.clock.Add(2 * remembered)
			c.read(sw)
			c.clock = c.clock.Add(2 * remembered)
			c.read(sw)
			require.Empty(t, c.taps)
			require.Empty(t, c.fresh)
			require.Empty(t, c.last[sw])
		},
	} {
		t.Run(name, func(t *testing.T) { f(newCounting(t)) })
	}
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
	send(3)
	l.start()
	l.connect()
	l.quiet()
	send(2)
	counts(10)
	l.sws[0].Restart()
	l.connect(l.sws[0])
	l.quiet()
	send(1)
	counts(11)
}
