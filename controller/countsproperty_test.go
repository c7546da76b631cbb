package controller

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/flowtap/pipeline"
	"github.com/flowtap/flowtap/openflow"
)

// counted is the model: a contract's flow on a switch, and how much of what it counts anybody has
// been able to know of.
type modelFlow struct {
	kind           pipeline.Kind
	object         uint32
	since          time.Time
	packets, known uint64
}

type countModel struct {
	t     *rapid.T
	c     *counts
	clock time.Time
	flows map[openflow.DPID]map[uint16]*modelFlow // by priority
	total map[string]flowtap.Counters             // of the tap, by node
	// slow are readings that were taken and not yet told.
	slow []func()
}

// wait lets time pass, less than a second or a lot more.
func (m *countModel) wait() {
	m.clock = m.clock.Add(time.Duration(rapid.IntRange(1, 20_000).Draw(m.t, "ms")) * time.Millisecond)
}

func (m *countModel) pickSwitch() openflow.DPID {
	return openflow.DPID(rapid.IntRange(1, 2).Draw(m.t, "switch"))
}

// learn notes that what a flow counted so far was read.
func (m *countModel) learn(d openflow.DPID, f *modelFlow) {
	n := f.packets - f.known
	f.known = f.packets
	if f.object != theTap {
		return
	}
	t := m.total[nodeName(d)]
	switch f.kind {
	case pipeline.KindTap:
		t.MatchedPackets, t.MatchedBytes, t.DeliveredPackets, t.DeliveredBytes = t.MatchedPackets+n, t.MatchedBytes+100*n, t.DeliveredPackets+n, t.DeliveredBytes+100*n
	case pipeline.KindTapSeen:
		t.MatchedPackets, t.MatchedBytes = t.MatchedPackets+n, t.MatchedBytes+100*n
	case pipeline.KindReturn:
		t.ReturnedPackets, t.ReturnedBytes = t.ReturnedPackets+n, t.ReturnedBytes+100*n
	}
	m.total[nodeName(d)] = t
}

// read gives what a switch shows now, of one contract or of all.
func (m *countModel) read(d openflow.DPID, taps []uint32) tally {
	m.clock = m.clock.Add(time.Millisecond)
	r := tally{from: m.clock, to: m.clock.Add(time.Millisecond), taps: taps}
	m.clock = r.to.Add(time.Millisecond)
	for prio, f := range m.flows[d] {
		if taps != nil && f.object != taps[0] {
			continue
		}
		s := reads(f.kind, f.object, prio, f.packets)
		s.Duration = r.from.Sub(f.since)
		r.flows = append(r.flows, s)
	}
	return r
}

func (m *countModel) tell(d openflow.DPID, r tally) { m.c.take(nodeName(d), d, r) }

func (m *countModel) learnAll(d openflow.DPID, tap uint32) {
	for _, f := range m.flows[d] {
		if tap == 0 || f.object == tap {
			m.learn(d, f)
		}
	}
}

// TestCountsAgreeWithAModel through frames, flows that come, go and are replaced, switches and
// controllers that restart, and readings that are told late: nothing that any reading showed is
// missing, and nothing is counted twice.
func TestCountsAgreeWithAModel(t *testing.T) {
	kinds := []pipeline.Kind{pipeline.KindTap, pipeline.KindTapSeen, pipeline.KindReturn, pipeline.KindTapFlood}
	rapid.Check(t, func(t *rapid.T) {
		m := &countModel{t: t, c: newCounts(), clock: time.Unix(1e9, 0), total: map[string]flowtap.Counters{},
			flows: map[openflow.DPID]map[uint16]*modelFlow{1: {}, 2: {}}}
		m.c.adopt("t", theTap, nil)
		m.c.adopt("other", 3, nil)
		put := func(d openflow.DPID, prio uint16) {
			m.flows[d][prio] = &modelFlow{kind: rapid.SampledFrom(kinds).Draw(t, "kind"),
				object: rapid.SampledFrom([]uint32{theTap, theTap, 3}).Draw(t, "object"), since: m.clock}
		}
		prio := func() uint16 { return uint16(rapid.IntRange(1, 4).Draw(t, "flow")) }
		t.Repeat(map[string]func(*rapid.T){
			"frames": func(t *rapid.T) {
				m.wait()
				if f := m.flows[m.pickSwitch()][prio()]; f != nil {
					f.packets += uint64(rapid.IntRange(1, 100).Draw(t, "frames"))
				}
			},
			"audit": func(*rapid.T) {
				m.wait()
				d := m.pickSwitch()
				m.learnAll(d, 0)
				m.tell(d, m.read(d, nil))
			},
			"fresh": func(*rapid.T) {
				m.wait()
				d := m.pickSwitch()
				m.learnAll(d, theTap)
				m.tell(d, m.read(d, []uint32{theTap}))
			},
			"an audit that is told late": func(*rapid.T) {
				// Nobody can know of it before, but what it shows is told again by any later reading
				// of the same flow, and of one that goes its last words are heard.
				d := m.pickSwitch()
				r := m.read(d, nil)
				m.slow = append(m.slow, func() { m.tell(d, r) })
			},
			"the late audits": func(*rapid.T) {
				for _, f := range m.slow {
					f()
				}
				m.slow = nil
				for d := range m.flows {
					m.learnAll(d, 0)
					m.tell(d, m.read(d, nil))
				}
			},
			"a change": func(t *rapid.T) { // flows go, or others take their place, as a round does it
				d, p := m.pickSwitch(), prio()
				f := m.flows[d][p]
				if f != nil {
					m.learnAll(d, f.object)
					m.tell(d, m.read(d, []uint32{f.object}))
				}
				m.clock = m.clock.Add(time.Millisecond)
				delete(m.flows[d], p)
				if f == nil || rapid.Bool().Draw(t, "replaced") {
					put(d, p)
				}
				m.clock = m.clock.Add(time.Millisecond)
				if f != nil {
					m.c.ended(nodeName(d), d, []openflow.Flow{reads(f.kind, f.object, p, 0).Flow}, m.clock)
				}
				m.clock = m.clock.Add(time.Millisecond)
			},
			"a switch restarts": func(t *rapid.T) { // and is read before anything is put back
				m.wait()
				d := m.pickSwitch()
				m.slow = nil // what was read by another connection is not told
				m.flows[d] = map[uint16]*modelFlow{}
				m.tell(d, m.read(d, nil))
			},
			"the controller restarts": func(*rapid.T) {
				var st, other flowtap.TapStatus
				m.c.into(&st, theTap)
				m.c.into(&other, 3)
				m.wait()
				m.slow = nil
				m.c = newCounts()
				m.c.adopt("t", theTap, st.Nodes)
				m.c.adopt("other", 3, other.Nodes)
				for d := range m.flows {
					m.learnAll(d, 0)
					m.tell(d, m.read(d, nil))
				}
			},
			"": func(t *rapid.T) {
				if len(m.slow) > 0 {
					return
				}
				var st flowtap.TapStatus
				m.c.into(&st, theTap)
				got, sum := map[string]flowtap.Counters{}, totals{}
				for _, n := range st.Nodes {
					got[n.Node] = n.Counters
					sum = sum.plus(totalsOf(n.Counters))
				}
				for id, want := range m.total {
					require.Equal(t, want, got[id], id)
				}
				require.Equal(t, sum.counters(), st.Counters)
			},
		})
	})
}
