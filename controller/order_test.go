package controller

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/flowtap/pipeline"
	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/ofsim/simswitch"
)

// received gives the label that a flow gives a meaning to.
func received(f *openflow.Flow) (uint64, bool) {
	if f.Table != pipeline.TableClassify {
		return 0, false
	}
	for _, m := range f.Match {
		if m.Field == openflow.FieldTunnelID {
			return m.Uint64(), true
		}
	}
	return 0, false
}

// sets gives the values that actions write to a field.
func sets(actions []openflow.Action, field openflow.Field) (out []uint64) {
	for _, a := range actions {
		if s, ok := a.(openflow.SetField); ok && s.Field == field {
			m := openflow.MatchField{Field: s.Field, Value: s.Value}
			out = append(out, m.Uint64())
		}
	}
	return out
}

// receiverFirst replays the log on states and checks that every label that leads to one monitor,
// which a single switch has, is known there whenever some switch sends it.
func receiverFirst(t *testing.T, before map[openflow.DPID]*state, log []simswitch.Commit, label uint64) (took, gave int) {
	t.Helper()
	for _, c := range log {
		s := before[c.DPID]
		s.apply(c.Messages)
		receivers, senders := 0, 0
		for _, s := range before {
			if s.receives(label) {
				receivers++
			}
			if s.sends(openflow.FieldTunnelID, label) {
				senders++
			}
		}
		if senders > 0 {
			took++
			require.NotZero(t, receivers, "after a commit on %v somebody sends label %d, which nobody knows: %s", c.DPID, label, flowMods([]simswitch.Commit{c}))
		} else if receivers > 0 {
			gave++
		}
	}
	return took, gave
}

// state is flows and groups by a key, as far as the order of commits matters.
type state struct {
	flows  map[string]openflow.Flow
	groups map[openflow.GroupID]openflow.Group
}

func stateOf(sw *simswitch.Switch) *state {
	s := &state{map[string]openflow.Flow{}, map[openflow.GroupID]openflow.Group{}}
	set := sw.Set()
	for _, f := range set.Flows() {
		s.flows[keyOf(&f)] = f
	}
	for _, g := range set.Groups() {
		s.groups[g.ID] = g
	}
	return s
}

func keyOf(f *openflow.Flow) string {
	k := openflow.Flow{Table: f.Table, Priority: f.Priority, Match: f.Match}
	return k.String()
}

func (s *state) apply(ms []openflow.Message) {
	for _, m := range ms {
		switch m := m.(type) {
		case *openflow.FlowMod:
			if m.Command == openflow.FlowDeleteStrict {
				delete(s.flows, keyOf(&m.Flow))
			} else {
				s.flows[keyOf(&m.Flow)] = m.Flow
			}
		case *openflow.GroupMod:
			if m.Command == openflow.GroupDelete {
				delete(s.groups, m.Group.ID)
			} else {
				s.groups[m.Group.ID] = m.Group
			}
		}
	}
}

func (s *state) receives(label uint64) bool {
	for _, f := range s.flows {
		if l, ok := received(&f); ok && l == label {
			return true
		}
	}
	return false
}

// sends reports whether a frame may leave with a value in a field of the tunnel: by a flow, or by
// a group that a flow uses.
func (s *state) sends(field openflow.Field, value uint64) bool {
	used := map[openflow.GroupID]bool{}
	for _, f := range s.flows {
		for _, v := range sets(f.Apply, field) {
			if v == value {
				return true
			}
		}
		for _, a := range f.Apply {
			if g, ok := a.(openflow.ApplyGroup); ok {
				used[g.ID] = true
			}
		}
	}
	for id := range used {
		for _, b := range s.groups[id].Buckets {
			for _, v := range sets(b.Actions, field) {
				if v == value {
					return true
				}
			}
		}
	}
	return false
}

func states(l *lab) map[openflow.DPID]*state {
	all := map[openflow.DPID]*state{}
	for _, sw := range l.sws {
		all[sw.DPID()] = stateOf(sw)
	}
	return all
}

func (l *lab) label(key string) uint64 {
	w, _ := l.world()
	return uint64(w.Label(key))
}

// TestReceiversAreReadyFirstAndGoLast follows every commit of the life of a contract: a label is
// known where it goes before anybody sends it, and for as long as somebody does.
func TestReceiversAreReadyFirstAndGoLast(t *testing.T) {
	t.Parallel()
	l := shop(t, quick())
	l.sws[0].RemovePort(1)
	l.sws[2].RemovePort(1)
	l.quiet()
	before := states(l)
	l.fabric.Forget()

	l.tap("t1", copyTap("web", "ids", flowtap.Both))
	l.sws[2].AddPort(1, "ids")
	l.quiet()
	l.sws[0].AddPort(1, "web")
	l.becomes("t1", flowtap.TapActive, "")
	l.quiet()
	// The monitor moves: plugged in elsewhere, then unplugged, which makes it move.
	l.sws[1].AddPort(2, "ids")
	l.quiet()
	l.sws[2].RemovePort(1)
	l.quiet()
	l.becomes("t1", flowtap.TapActive, "")
	require.NoError(t, l.store.Taps().Delete(l.ctx(), "t1", 0))
	l.quiet()

	sent, idle := receiverFirst(t, before, l.fabric.Commits(), l.label(pipeline.MonitorLabel("ids")))
	require.NotZero(t, sent, "the label was in use")
	require.NotZero(t, idle, "and it was known while it was not")
}

// TestALabelGoesOnlyWhenEveryDatapathIsProven: the last member of a network leaves a node; the
// node keeps knowing the network's label until the others have been seen not to send it.
func TestALabelGoesOnlyWhenEveryDatapathIsProven(t *testing.T) {
	t.Parallel()
	l := shop(t, quick())
	l.helped()
	l.quiet()
	label, to := l.label(pipeline.NetworkLabel("shop")), uint64(0xac100002) // 172.16.0.2
	require.NotZero(t, label)
	l.fabric.Forget()
	before := states(l)
	l.sws[1].RemovePort(1) // db: n2 has no member any more
	l.quiet()

	var stopped, proven, gone int
	for i, c := range l.fabric.Commits() {
		s := before[c.DPID]
		did := s.sends(openflow.FieldTunDst, to)
		s.apply(c.Messages)
		if c.DPID == 1 && did && !s.sends(openflow.FieldTunDst, to) {
			stopped = i + 1
		}
		if c.DPID == 1 && stopped > 0 && sentinel(c) {
			proven = i + 1 // the last change of the sentinel, which is the third that was seen, or its end
		}
		if c.DPID == 2 && gone == 0 && !s.receives(label) {
			gone = i + 1
		}
	}
	require.NotZero(t, stopped, "n1 stops sending")
	require.NotZero(t, gone, "n2 forgets")
	require.Greater(t, gone, stopped)
	sentinels := 0
	for _, c := range l.fabric.Commits()[:gone-1] {
		if c.DPID == 1 && sentinel(c) {
			sentinels++
		}
	}
	require.GreaterOrEqual(t, sentinels, sentinelRounds, "n1 was seen to act on %d changes (proven at %d) before n2 forgets", sentinels, proven)
}

// sentinel reports whether a commit writes the sentinel.
func sentinel(c simswitch.Commit) bool {
	for _, m := range c.Messages {
		if f, ok := m.(*openflow.FlowMod); ok && f.Command == openflow.FlowAdd {
			if kind, _, _ := pipeline.Ours(f.Flow.Cookie); kind == pipeline.KindSentinel {
				return true
			}
		}
	}
	return false
}

func epoch(c simswitch.Commit) bool {
	for _, m := range c.Messages {
		f, ok := m.(*openflow.FlowMod)
		if !ok || f.Command != openflow.FlowAdd {
			continue
		}
		for _, x := range f.Flow.Match {
			if x.Field == openflow.FieldPktMark {
				return true
			}
		}
	}
	return false
}

func countCommits(l *lab, is func(simswitch.Commit) bool) (n int) {
	for _, c := range l.fabric.Commits() {
		if is(c) {
			n++
		}
	}
	return n
}

func TestProof(t *testing.T) {
	t.Run("a change is proven by three rounds of the sentinel, and nothing of it stays", func(t *testing.T) {
		t.Parallel()
		l := shop(t, quick())
		l.helped()
		l.fabric.Forget()
		l.tap("t1", copyTap("web", "ids", flowtap.Out))
		l.becomes("t1", flowtap.TapActive, "")
		l.quiet()
		onWeb := func(c simswitch.Commit) bool { return c.DPID == 1 && sentinel(c) }
		require.GreaterOrEqual(t, countCommits(l, onWeb), sentinelRounds)
		require.NotZero(t, countCommits(l, epoch))
		for _, sw := range l.sws {
			for _, f := range sw.Set().Flows() {
				kind, _, _ := pipeline.Ours(f.Cookie)
				require.NotEqual(t, pipeline.KindSentinel, kind)
				require.NotEqual(t, pipeline.KindEpoch, kind)
			}
		}
		require.Zero(t, l.warned.count("sentinel"))
	})
	t.Run("NoEpochs leaves out the marks", func(t *testing.T) {
		t.Parallel()
		config := quick()
		config.NoEpochs = true
		l := shop(t, config)
		l.fabric.Forget()
		l.tap("t1", copyTap("web", "ids", flowtap.Both))
		l.becomes("t1", flowtap.TapActive, "")
		require.Zero(t, countCommits(l, epoch))
	})
	t.Run("where no other node can help, time is waited", func(t *testing.T) {
		t.Parallel()
		config := quick()
		config.SettleTime = 150 * 1e6
		l := newLab(t, 1, config)
		l.nodes()
		l.network("shop")
		l.vm("web", "shop", 1)
		l.monitor("ids")
		l.sws[0].AddPort(1, "web")
		l.sws[0].AddPort(2, "ids")
		l.quiet()
		began := now()
		l.tap("t1", copyTap("web", "ids", flowtap.Both))
		l.becomes("t1", flowtap.TapActive, "")
		require.GreaterOrEqual(t, now().Sub(began).Milliseconds(), int64(150))
		l.quiet()
	})
	t.Run("a sentinel that is lost is given up", func(t *testing.T) {
		t.Parallel()
		l := shop(t, quick())
		l.tap("t0", copyTap("web", "ids", flowtap.Out))
		l.becomes("t0", flowtap.TapActive, "")
		l.helped()
		// From now on nobody reaches n1; that is not noticed for some seconds.
		l.fabric.Cut(2, 1, true)
		l.fabric.Cut(3, 1, true)
		l.tap("t1", lower(copyTap("db", "ids", flowtap.Out)))
		l.tap("t2", lower(copyTap("web", "ids", flowtap.Out)))
		l.becomes("t2", flowtap.TapActive, "")
		require.NotZero(t, l.warned.count("no sentinel came back"))
		l.fabric.Cut(2, 1, false)
		l.fabric.Cut(3, 1, false)
		l.quiet()
	})
}

func TestAPortThatArrivesWaitsForColdTunnels(t *testing.T) {
	t.Parallel()
	l := shop(t, quick())
	tunnels := l.ctl.tunnels
	tunnels.mu.Lock()
	tunnels.wait = time.Minute
	tunnels.mu.Unlock()
	var early, arrived atomic.Bool
	l.fabric.OnCommit(func(c simswitch.Commit) {
		for _, m := range c.Messages {
			f, ok := m.(*openflow.FlowMod)
			if !ok {
				continue
			}
			if in, has := f.Flow.Match.Get(openflow.FieldInPort); has && f.Command == openflow.FlowAdd && f.Flow.Table == pipeline.TableClassify && in.Uint64() == 7 {
				arrived.Store(true)
				early.Store(!tunnels.warm(1, 3) || !tunnels.warm(2, 3) || !tunnels.warm(3, 1) || !tunnels.warm(3, 2))
			}
		}
	})
	l.fabric.Cut(3, 1, true)
	l.vm("late", "shop", 9)
	l.sws[2].AddPort(7, "late") // n3 has no members so far
	l.eventually(func() error {
		if !tunnels.warm(2, 3) || !tunnels.warm(3, 2) {
			return errors.New("the tunnels of n3 are not probed")
		}
		return nil
	})
	require.False(t, arrived.Load(), "a port arrives before its tunnels answer")
	l.fabric.Cut(3, 1, false)
	l.quiet()
	require.True(t, arrived.Load())
	require.False(t, early.Load(), "a port arrives before its tunnels answer")
}

func lower(t flowtap.Tap) flowtap.Tap { t.Priority = 50; return t }

// helped waits until some switch can prove a change of the first.
func (l *lab) helped() {
	l.t.Helper()
	l.eventually(func() error {
		if len(l.ctl.tunnels.helpers(1)) == 0 {
			return errors.New("no tunnel to n1 answers")
		}
		return nil
	})
}
