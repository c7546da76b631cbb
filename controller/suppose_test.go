package controller

import (
	"context"
	"fmt"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/flowtap/pipeline"
	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/flowset"
	"github.com/flowtap/flowtap/store"
	"github.com/flowtap/flowtap/topology"
)

// held is every node's desired state, and the labels still asked for, by the planner's world.
func (l *lab) held() (sets map[string]*flowset.Set, missing []string) {
	got := make(chan struct{})
	l.ctl.planner.post(l.ctx(), func(p *planner) {
		sets = map[string]*flowset.Set{}
		for _, id := range p.world.Nodes() {
			sets[id] = desired(p.world, id)
		}
		missing = p.world.MissingLabels()
		close(got)
	})
	<-got
	return sets, missing
}

// shape leaves out of a change what only the write decides: numbers of objects and labels.
func shape(cs []Consequence) (all []string) {
	for _, c := range cs {
		for what, n := range map[string]int{"flows added": len(c.Changes.FlowAdd), "flows changed": len(c.Changes.FlowModify) + len(c.Changes.FlowReplace),
			"flows deleted": len(c.Changes.FlowDelete), "groups added": len(c.Changes.GroupAdd), "groups changed": len(c.Changes.GroupModify), "groups deleted": len(c.Changes.GroupDelete)} {
			if n > 0 {
				all = append(all, fmt.Sprintf("%s %v: %d %s", c.Node, c.DPID, n, what))
			}
		}
	}
	return all
}

// TestASuppositionIsWhatTheWriteDoes, and leaves the world as it was.
func TestASuppositionIsWhatTheWriteDoes(t *testing.T) {
	t.Parallel()
	l := shop(t, quick())
	l.tap("t0", copyTap("db", "ids", flowtap.In))
	l.becomes("t0", flowtap.TapActive, "")
	l.sws[0].AddPort(8, "late")
	l.quiet()
	tap := copyTap("web", "ids", flowtap.Both)
	other := copyTap("web", "ids", flowtap.Out)
	away := copyTap("web", "ids", flowtap.Both)
	away.Action, away.FailMode = flowtap.Redirect, flowtap.FailOpen
	off := away
	off.Enabled = false
	arms := topology.Port{Kind: topology.KindMonitor, Interface: "ids", ReturnPort: "back"}
	moved := topology.Node{DatapathID: 1, TunnelIP: netip.MustParseAddr("172.16.0.99"), TunnelInterface: "tun0"}
	putPort := func(id string, p topology.Port) func() error {
		return func() error { _, err := l.store.Ports().Replace(l.ctx(), id, p, 0); return err }
	}
	putTap := func(id string, t flowtap.Tap) func() error {
		return func() error { _, err := l.store.Taps().Replace(l.ctx(), id, t, 0); return err }
	}
	late := topology.Port{Network: "shop", Kind: topology.KindVM, Interface: "late", MAC: macOf(77), PortSecurity: true}
	later := late
	later.MAC, later.PortSecurity = macOf(78), false
	for _, c := range []struct {
		name  string
		s     Supposition
		write func() error
	}{
		{"create a network", Supposition{store.CollectionNetworks, "lab", topology.Network{}}, func() error { l.network("lab"); return nil }},
		{"create a tap", Supposition{store.CollectionTaps, "t1", tap}, func() error { l.tap("t1", tap); return nil }},
		{"change a tap", Supposition{store.CollectionTaps, "t1", other}, putTap("t1", other)},
		{"change nothing", Supposition{store.CollectionTaps, "t1", other}, func() error { return nil }},
		{"make a tap redirect", Supposition{store.CollectionTaps, "t1", away}, putTap("t1", away)},
		{"create a monitor", Supposition{store.CollectionPorts, "back", topology.Port{Kind: topology.KindMonitor, Interface: "back"}}, func() error { l.monitor("back"); return nil }},
		{"give a monitor a return port", Supposition{store.CollectionPorts, "ids", arms}, putPort("ids", arms)},
		{"take it away", Supposition{store.CollectionPorts, "ids", topology.Port{Kind: topology.KindMonitor, Interface: "ids"}}, putPort("ids", topology.Port{Kind: topology.KindMonitor, Interface: "ids"})},
		{"delete a monitor", Supposition{store.CollectionPorts, "back", nil}, func() error { return l.store.Ports().Delete(l.ctx(), "back", 0) }},
		{"disable a redirect", Supposition{store.CollectionTaps, "t1", off}, putTap("t1", off)},
		{"enable it", Supposition{store.CollectionTaps, "t1", away}, putTap("t1", away)},
		{"delete a tap", Supposition{store.CollectionTaps, "t1", nil}, func() error { return l.store.Taps().Delete(l.ctx(), "t1", 0) }},
		{"create a port", Supposition{store.CollectionPorts, "late", late}, func() error { l.port("late", late); return nil }},
		{"change a port's address", Supposition{store.CollectionPorts, "late", later}, putPort("late", later)},
		{"delete a port", Supposition{store.CollectionPorts, "late", nil}, func() error { return l.store.Ports().Delete(l.ctx(), "late", 0) }},
		{"delete a network", Supposition{store.CollectionNetworks, "lab", nil}, func() error { return l.store.Networks().Delete(l.ctx(), "lab", 0) }},
		{"move a node's tunnel", Supposition{store.CollectionNodes, "n1", moved}, func() error { _, err := l.store.Nodes().Replace(l.ctx(), "n1", moved, 0); return err }},
		{"delete a node", Supposition{store.CollectionNodes, "n2", nil}, func() error { return l.store.Nodes().Delete(l.ctx(), "n2", 0) }},
		{"create a node", Supposition{store.CollectionNodes, "n2", topology.Node{DatapathID: 2, TunnelIP: l.sws[1].Tunnel(), TunnelInterface: "tun0"}}, func() error { l.node(l.sws[1]); return nil }},
	} {
		before, missing := l.held()
		got, err := l.ctl.Suppose(l.ctx(), c.s)
		require.NoError(t, err, c.name)
		after, stillMissing := l.held()
		require.Equal(t, missing, stillMissing, c.name)
		require.Len(t, after, len(before), c.name)
		for id := range before {
			require.True(t, before[id].Equal(after[id]), "%s: what %s should hold changed by asking", c.name, id)
		}
		require.NoError(t, c.write(), c.name)
		l.quiet()
		settle(l)
		now, _ := l.held()
		var want []Consequence
		for _, sw := range l.sws {
			id := nodeID(sw)
			b, a := before[id], now[id]
			if b == nil {
				b = &flowset.Set{}
			}
			if a == nil {
				a = &flowset.Set{}
			}
			if d := flowset.Diff(b, a); !d.Empty() {
				want = append(want, Consequence{id, sw.DPID(), d})
			}
		}
		if c.name == "create a node" {
			continue // ports find their way to it only afterwards
		}
		if c.name == "delete a node" {
			got, want = only("n2", got), only("n2", want) // others change when its ports are seen to be gone
		}
		require.ElementsMatch(t, shape(want), shape(got), c.name)
	}
}

func only(node string, cs []Consequence) (out []Consequence) {
	for _, c := range cs {
		if c.Node == node {
			out = append(out, c)
		}
	}
	return out
}

// TestAskingKeepsLabelsThatAreStillToBeNumbered: they were asked for by what is there.
func TestAskingKeepsLabelsThatAreStillToBeNumbered(t *testing.T) {
	p := &planner{world: pipeline.NewWorld(), switches: map[openflow.DPID]*swtch{}}
	p.world.PutNetwork(pipeline.Network{ID: "shop"})
	p.world.PutPort(pipeline.Port{ID: "ids", Num: 1, Port: topology.Port{Kind: topology.KindMonitor}})
	before := p.world.MissingLabels()
	require.Len(t, before, 2)
	p.suppose([]Supposition{{store.CollectionNetworks, "other", topology.Network{}}})
	p.suppose([]Supposition{{store.CollectionPorts, "ids", nil}})
	require.Equal(t, before, p.world.MissingLabels())
}

// TestAVLANThatOnlyTheWriteWouldAllocate is one.
func TestAVLANThatOnlyTheWriteWouldAllocate(t *testing.T) {
	t.Parallel()
	l := shop(t, quick())
	l.port("trunk", topology.Port{Kind: topology.KindMonitor, Interface: "trunk", Tag: topology.TagVLAN})
	l.sws[0].AddPort(9, "trunk")
	l.quiet()
	away := copyTap("web", "trunk", flowtap.Out)
	away.Action = flowtap.Redirect
	got, err := l.ctl.Suppose(l.ctx(), Supposition{store.CollectionTaps, "t1", away})
	require.NoError(t, err)
	vids := map[uint64]bool{}
	for _, c := range got {
		var all []openflow.Action
		for _, f := range c.Changes.FlowAdd {
			all = append(all, f.Apply...)
		}
		for _, g := range c.Changes.GroupAdd {
			for _, b := range g.Buckets {
				all = append(all, b.Actions...)
			}
		}
		for _, v := range sets(all, openflow.FieldVLANVID) {
			vids[v] = true
		}
	}
	require.Equal(t, map[uint64]bool{0x1000 | store.VLANMax: true}, vids)
}

func TestSuppositionsEndWithTheirContext(t *testing.T) {
	l := newLab(t, 0, quick())
	l.stop()
	ctx, cancel := context.WithCancel(l.ctx())
	cancel()
	_, err := l.ctl.Suppose(ctx, Supposition{store.CollectionNetworks, "x", nil})
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, l.ctl.Settled(ctx, 1<<40), context.Canceled)
}
