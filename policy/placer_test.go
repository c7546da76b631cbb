package policy

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/access"
	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/flowtap/ftc"
	"github.com/flowtap/flowtap/flowtap/ftc/eval"
	"github.com/flowtap/flowtap/flowtap/placement"
	"github.com/flowtap/flowtap/store"
	"github.com/flowtap/flowtap/topology"
)

// at says where a port is.
func (l *lab) at(id, node string) {
	l.t.Helper()
	st := topology.PortStatus{State: topology.PortActive, Node: node}
	if node == "" {
		st.State = topology.PortDown
	}
	require.NoError(l.t, l.store.Ports().PutStatus(l.ctx(), id, st))
}

// A tap that names no monitor gets one: at home, else elsewhere, and there is no tap and a warning where nobody can watch.
func TestTapsArePlaced(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.vm("web", "tier", "public")
	l.monitor("ids1")
	l.monitor("ids2")
	l.at("web", "n1")
	st := l.policy("shop", `placement hybrid
execute[flowtap:tap(p, match="tcp", action="forward", direction="in")] :- flowtap:labels(p, "tier", "public")`)
	assert.Equal(t, flowtap.PolicyActive, st.State)
	l.at("ids2", "n2")
	l.eventually("shop web>ids2 nw_proto=TCP")
	l.at("ids1", "n1")
	l.vm("db")
	l.at("db", "n1")
	l.vm("db", "tier", "public")
	l.eventually("shop web>ids2 nw_proto=TCP", "shop db>ids1 nw_proto=TCP") // what has moved stays for a while
	l.at("ids2", "")
	l.eventually("shop web>ids1 nw_proto=TCP", "shop db>ids1 nw_proto=TCP")
	st = l.policy("shop", `placement hybrid from watchers
watchers("ids9")
execute[flowtap:tap(p, match="tcp", action="forward", direction="in")] :- flowtap:labels(p, "tier", "public")`)
	assert.Equal(t, flowtap.PolicyActive, st.State)
	require.NotEmpty(t, st.Diagnostics)
	assert.Contains(t, st.Diagnostics[0].Message, "nobody watches port")
	l.eventually()
}

// Who leads next leaves taps where they are, though it would have placed them elsewhere.
func TestPlacedTapsSurviveTheLeader(t *testing.T) {
	l := newLab(t)
	l.vm("web", "tier", "public")
	l.monitor("ids1")
	l.monitor("ids2")
	l.at("web", "n1")
	l.at("ids2", "n2")
	l.policy("shop", `placement hybrid
execute[flowtap:tap("web", match="tcp", action="forward")]`)
	l.eventually("shop web>ids2 nw_proto=TCP")
	l.stop()
	l.at("ids1", "n1")
	l.start()
	l.vm("db")
	l.at("db", "n1")
	l.policy("more", `placement hybrid
execute[flowtap:tap("db", match="udp", action="forward")]`) // was decided, so the first was, too
	l.eventually("shop web>ids2 nw_proto=TCP", "more db>ids1 nw_proto=UDP")
}

// A rehearsal says where the taps would be, and moves nothing.
func TestPlacementIsRehearsed(t *testing.T) {
	l := newLab(t)
	l.vm("web")
	l.monitor("ids1")
	l.at("ids1", "n1")
	l.policy("shop", "q(1)") // was decided, so the ports are known
	require.Eventually(t, func() bool {
		out, err := l.run.Rehearse(l.ctx(), "more", &flowtap.Policy{Source: `placement hybrid
execute[flowtap:tap("web", match="tcp", action="forward")]`})
		require.NoError(t, err)
		for _, tap := range out.Put {
			assert.Equal(t, "ids1", tap.Dst)
		}
		return len(out.Put) == 1
	}, patience, time.Millisecond)
	assert.Empty(t, l.taps())
}

// A tenant's policy has the provider's monitors that are shared with it, and no others.
func TestTenantsHaveSharedMonitors(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	_, _, err := l.store.Projects().Create(l.ctx(), "blue", access.Project{})
	require.NoError(t, err)
	l.network("blue:shop")
	l.vm("blue:web")
	l.monitor("private")
	l.at("private", "n1")
	l.at("blue:web", "n1")
	source := `placement hybrid
execute[flowtap:tap("web", match="tcp", action="forward")]`
	l.policy("blue:p", source)
	l.eventually()
	l.monitor("ids", "blue")
	l.at("ids", "n2")
	l.eventually("blue:p blue:web>ids nw_proto=TCP")
}

// loaded is a world of two nodes with a monitor each, and eight taps of ports on n1.
func loaded(cpu float64, now time.Time) (*World, *compiled) {
	w := newWorld()
	put := func(collection, id string, o any) { w.apply(store.Event{Collection: collection, ID: id, Object: o}) }
	for i, node := range []string{"n1", "n2"} {
		put(store.CollectionNodes, node, &store.Node{Status: topology.NodeStatus{State: topology.NodeConnected, Load: &topology.NodeLoad{At: now, CPU: []float64{cpu, 0.3}[i]}}})
		put(store.CollectionPorts, fmt.Sprint("ids", i+1), &store.Port{Spec: topology.Port{Kind: topology.KindMonitor},
			Status: topology.PortStatus{State: topology.PortActive, Node: node, Monitor: &topology.MonitorLoad{At: now, CPU: 0.2, Share: 0.5, Received: 20000}}})
	}
	for i := range 8 {
		put(store.CollectionPorts, fmt.Sprint("vm", i), &store.Port{Spec: topology.Port{Kind: topology.KindVM}, Status: topology.PortStatus{State: topology.PortActive, Node: "n1"}})
	}
	c := newCompiled("shop", flowtap.Policy{Provider: true, Source: `placement hybrid
execute[flowtap:tap(p, match="tcp", action="forward")] :- flowtap:ports(id=p, kind="vm")`}, eval.Limits{})
	return w, c
}

// carryOut does what decide and the store would do, and the switches count; it gives how many taps each monitor has.
func carryOut(t *testing.T, p *placer, w *World, c *compiled, wanted []ftc.Wanted, now time.Time, bytes uint64) (at map[string]int) {
	parts, nobody := p.contracts(c, wanted)
	require.Empty(t, nobody)
	at = map[string]int{}
	for _, one := range parts {
		tap := one.Tap
		tap.Policy = c.id
		at[tap.Dst]++
		w.apply(store.Event{Collection: store.CollectionTaps, ID: one.ID, Object: &store.Tap{Meta: store.Meta{ID: one.ID}, Spec: tap, Status: flowtap.TapStatus{
			Counters: flowtap.Counters{MatchedBytes: bytes}, Nodes: []flowtap.NodeCounters{{Node: "n1", ReadAt: now}}}}})
	}
	return at
}

// When the CPU of a node is driven up, a part of what its monitor has goes to another's, as far as flows were measured; and a flow
// is where one monitor has it throughout.
func TestAHotNodeGivesTapsAway(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	w, c := loaded(0.3, now)
	p := newPlacer()
	wanted, faults := c.wanted(w)
	require.Empty(t, faults)
	require.True(t, p.put(w, c, wanted, now))
	require.False(t, p.put(w, c, wanted, now))
	carryOut := func(bytes uint64) map[string]int { return carryOut(t, p, w, c, wanted, now, bytes) }
	_, err := p.place(w, now)
	require.NoError(t, err)
	assert.Equal(t, map[string]int{"ids1": 8}, carryOut(0))
	for i := range 3 {
		now = now.Add(2 * time.Second)
		calm, _ := loaded(0.3, now)
		w.Nodes, w.Ports = calm.Nodes, calm.Ports
		changed, err := p.place(w, now)
		require.NoError(t, err)
		assert.Empty(t, changed)
		assert.Equal(t, map[string]int{"ids1": 8}, carryOut(uint64(5000*(i+1))))
	}
	now = now.Add(2 * time.Second)
	hot, _ := loaded(0.99, now)
	w.Nodes, w.Ports = hot.Nodes, hot.Ports
	changed, err := p.place(w, now)
	require.NoError(t, err)
	assert.Equal(t, map[string]bool{"shop": true}, changed)
	at := carryOut(20000)
	assert.Equal(t, 8, at["ids1"]+at["ids2"])
	assert.NotZero(t, at["ids2"])
	fresh := newPlacer() // another leader finds it as it is
	require.True(t, fresh.put(w, c, wanted, now))
	_, err = fresh.place(w, now)
	require.NoError(t, err)
	for id, flows := range p.placed.State.Flows {
		assert.Equal(t, flows[0].Monitor, fresh.placed.State.Flows[id][0].Monitor)
	}
}

// A decision that cannot be carried out leaves nothing behind: flows are where their taps lead, by contract, too.
func TestWhatCannotMoveStays(t *testing.T) {
	w, c := loaded(0.3, t0)
	p := newPlacer()
	wanted, faults := c.wanted(w)
	require.Empty(t, faults)
	p.put(w, c, wanted, t0)
	_, err := p.place(w, t0)
	require.NoError(t, err)
	assert.Equal(t, map[string]int{"ids1": 8}, carryOut(t, p, w, c, wanted, t0, 0))
	assert.False(t, p.recover(w, "shop", t0))
	w.Ports["ids1"].Status.State = topology.PortDown
	changed, err := p.place(w, t0)
	require.NoError(t, err)
	require.Equal(t, map[string]bool{"shop": true}, changed)
	assert.True(t, p.recover(w, "shop", t0), "the store took nothing of it")
	w.Ports["ids1"].Status.State = topology.PortActive
	for range 2 {
		assert.Equal(t, map[string]int{"ids1": 8}, carryOut(t, p, w, c, wanted, t0, 0))
		_, err = p.place(w, t0)
		require.NoError(t, err)
	}
	assert.False(t, p.recover(w, "shop", t0))
}

// A tap that has to move to where it cannot be stays where it is; its policy stays in force, and says so for as long as that is so.
func TestAPolicySaysWhatCannotMove(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.network("other")
	l.vm("web")
	l.monitor("ids1")
	l.monitor("ids2")
	for _, id := range []string{"web", "ids1"} {
		l.at(id, "n1")
	}
	l.at("ids2", "n2")
	_, _, err := l.store.Ports().Create(l.ctx(), "db", topology.Port{Network: "other", Kind: topology.KindVM, Interface: "db"})
	require.NoError(t, err)
	l.hand("hand", flowtap.Tap{Src: "db", Dst: "ids2", Action: flowtap.Redirect, Priority: 7})
	l.policy("shop", `placement hybrid
execute[flowtap:tap("web", match="tcp", action="redirect", direction="in")]`)
	l.eventually("- db>ids2", "shop web>ids1 nw_proto=TCP")
	l.at("ids1", "")
	st := l.until("shop", func(s flowtap.PolicyStatus) bool { return len(s.Diagnostics) > 0 })
	assert.Equal(t, flowtap.PolicyActive, st.State)
	assert.Equal(t, "warning", st.Diagnostics[0].Severity)
	assert.Contains(t, st.Diagnostics[0].Message, "monitor ids2 has no tag vlan")
	l.eventually("- db>ids2", "shop web>ids1 nw_proto=TCP")
	l.at("ids1", "n1")
	l.until("shop", func(s flowtap.PolicyStatus) bool { return s.State == flowtap.PolicyActive && len(s.Diagnostics) == 0 })
}

// A tap of somebody else, at a priority that exceptions of a placed one would have, keeps that whole.
func TestOthersInTheWayKeepATapWhole(t *testing.T) {
	w, c := loaded(0.3, t0)
	p := newPlacer()
	wanted, faults := c.wanted(w)
	require.Empty(t, faults)
	p.put(w, c, wanted, t0)
	for i, other := range []struct {
		match, policy string
		priority      int
		whole         bool
	}{
		{"tcp,tp_dst=80", "", 101, true}, {"ip", "", 102, true}, {"ip", "more", 101, true}, {"ip", "shop", 101, false},
		{"udp", "", 101, false}, {"ip", "", 103, false}, {"ip", "", 100, false}, {"ip", "", 99, false},
	} {
		m, err := flowtap.ParseMatch(other.match)
		require.NoError(t, err)
		w.apply(store.Event{Collection: store.CollectionTaps, ID: "other", Object: &store.Tap{Meta: store.Meta{ID: "other"},
			Spec: flowtap.Tap{Src: "vm3", Match: m, Direction: flowtap.In, Priority: other.priority, Policy: other.policy}}})
		for _, one := range p.all(w) {
			assert.Equal(t, other.whole && one.Tap.Src == "vm3", one.Whole, "%d: %s", i, one.Tap.Src)
		}
	}
}

// A tenant's redirect does not go to a monitor that could not tell its frames from those of others.
func TestRedirectsGoWhereTheyMay(t *testing.T) {
	w := newWorld()
	for id, p := range map[string]topology.Port{"plain": {}, "tagged": {Tag: topology.TagVLAN}, "private": {Tag: topology.TagVLAN}, "blue:own": {}} {
		p.Kind = topology.KindMonitor
		if id != "private" {
			p.SharedWith = []string{"blue"}
		}
		w.Ports[id] = &store.Port{Spec: p}
	}
	may := candidates(w, "blue")
	want := func(a flowtap.Action, named ...string) []string {
		return may(placement.Want{Tap: flowtap.Tap{Action: a}, Monitors: named})
	}
	for range 2 { // also what is remembered
		assert.Equal(t, []string{"plain", "tagged"}, want(flowtap.Forward))
		assert.Equal(t, []string{"tagged"}, want(flowtap.Redirect))
		assert.Equal(t, []string{"blue:own", "plain"}, want(flowtap.Forward, "blue:own", "plain", "private"))
		assert.Equal(t, []string{"blue:own"}, want(flowtap.Redirect, "blue:own", "plain", "private", "gone"))
		assert.Equal(t, []string{}, may(placement.Want{Monitors: []string{}}), "that names nobody")
	}
}
