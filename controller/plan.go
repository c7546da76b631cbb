package controller

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/flowtap/pipeline"
	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/flowset"
	"github.com/flowtap/flowtap/store"
	"github.com/flowtap/flowtap/topology"
)

// A Supposition is one object as it would be after a write that has not happened. Spec is a
// topology.Node, topology.Network, topology.Port, topology.Pool or flowtap.Tap; nil is its deletion.
type Supposition struct {
	Collection string
	ID         string
	Spec       any
}

// Consequence is what a write would change on one switch.
type Consequence struct {
	Node    string
	DPID    openflow.DPID
	Changes flowset.Changes
}

// Suppose says what every switch would have to change, ordered by node and datapath id, if some writes happened.
// Nothing changes. Numbers that only the write would allocate are shown from the top of their range.
func (c *Controller) Suppose(ctx context.Context, s ...Supposition) ([]Consequence, error) {
	answer := make(chan []Consequence, 1)
	c.planner.post(ctx, func(p *planner) { answer <- p.suppose(s) })
	select {
	case a := <-answer:
		return a, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// supposedNum, and the numbers below, are those of objects that do not exist.
const supposedNum = 1<<32 - 1

// suppose changes the world, looks, and changes it back.
func (p *planner) suppose(writes []Supposition) []Consequence {
	before := p.world.MissingLabels() // these wait for real numbers
	var units []pipeline.Unit
	undo := func() {}
	for i, s := range writes {
		put, back := p.supposition(s, supposedNum-uint32(i)) // #nosec G115 -- few
		units = append(units, put()...)
		undo = func(earlier func()) func() { return func() { back(); earlier() } }(undo)
	}
	var labels []string
	label, vlan := uint32(store.LabelMax), uint32(store.VLANMax)
	for _, key := range p.world.MissingLabels() {
		if slices.Contains(before, key) {
			continue
		}
		next := &label
		if strings.HasPrefix(key, pipeline.VLANKey("")) {
			next = &vlan
		}
		labels = append(labels, key)
		units = append(units, p.world.PutLabel(key, *next)...)
		*next--
	}
	for _, u := range units {
		if u.Kind == pipeline.UnitEverything {
			units = p.world.Units()
			break
		}
	}
	after := p.sets(units)
	undo()
	for _, key := range labels {
		p.world.DeleteLabel(key)
	}
	had := p.sets(units)
	all := maps.Clone(after)
	maps.Copy(all, had)
	var out []Consequence
	for b := range all {
		was, is := had[b], after[b]
		if was == nil {
			was = &flowset.Set{}
		}
		if is == nil {
			is = &flowset.Set{}
		}
		if c := flowset.Diff(was, is); !c.Empty() {
			out = append(out, Consequence{Node: b.node, DPID: b.dpid, Changes: c})
		}
	}
	slices.SortFunc(out, func(a, b Consequence) int {
		return cmp.Or(strings.Compare(a.Node, b.Node), cmp.Compare(a.DPID, b.DPID))
	})
	return out
}

// A nodeBridge is a bridge of a node.
type nodeBridge struct {
	node string
	dpid openflow.DPID
}

// sets gives the share of units in what each bridge should hold.
func (p *planner) sets(units []pipeline.Unit) map[nodeBridge]*flowset.Set {
	sets := map[nodeBridge]*flowset.Set{}
	for _, id := range p.world.Nodes() {
		n := p.world.Node(id)
		ports := &flowset.Set{}
		set := &flowset.Set{}
		seen := map[pipeline.Unit]bool{}
		for _, u := range units {
			if seen[u] {
				continue
			}
			seen[u] = true
			for _, f := range pipeline.PortPart(p.world, id, u) {
				ports.PutFlow(f)
			}
			flows, groups, meters := pipeline.Part(p.world, id, u)
			for _, f := range flows {
				set.PutFlow(f)
			}
			for _, g := range groups {
				set.PutGroup(g)
			}
			for _, m := range meters {
				set.PutMeter(m)
			}
		}
		if sets[nodeBridge{id, n.Pipeline()}] = set; n.Split() {
			sets[nodeBridge{id, n.DatapathID}] = ports
		}
	}
	return sets
}

// supposition gives the functions that put an object, with a number if it is new, into the world and take it out again.
func (p *planner) supposition(s Supposition, fresh uint32) (put func() []pipeline.Unit, undo func()) {
	w := p.world
	nothing := func() []pipeline.Unit { return nil }
	switch s.Collection {
	case store.CollectionTaps:
		old := w.Tap(s.ID)
		undo = func() { w.DeleteTap(s.ID) }
		num := fresh
		if old != nil {
			num = old.Num
			undo = func() { w.PutTap(old.ID, old.Num, old.Tap) }
		}
		if t, ok := s.Spec.(flowtap.Tap); ok {
			return func() []pipeline.Unit { return w.PutTap(s.ID, num, t) }, undo
		}
		return func() []pipeline.Unit { return w.DeleteTap(s.ID) }, undo
	case store.CollectionPorts:
		old := w.Port(s.ID)
		port := pipeline.Port{ID: s.ID, Num: fresh}
		undo = func() { w.DeletePort(s.ID) }
		if old != nil {
			port = *old
			undo = func() { w.PutPort(*old) }
		}
		if spec, ok := s.Spec.(topology.Port); ok {
			port.Port = spec
			port.Status = p.supposedStatus(spec, port.Status)
			return func() []pipeline.Unit { return w.PutPort(port) }, undo
		}
		return func() []pipeline.Unit { return w.DeletePort(s.ID) }, undo
	case store.CollectionPools:
		undo = func() { w.DeletePool(s.ID) }
		if old := w.Pool(s.ID); old != nil {
			undo = func() { w.PutPool(*old) }
		}
		if spec, ok := s.Spec.(topology.Pool); ok {
			return func() []pipeline.Unit { return w.PutPool(pipeline.Pool{ID: s.ID, Pool: spec}) }, undo
		}
		return func() []pipeline.Unit { return w.DeletePool(s.ID) }, undo
	case store.CollectionNetworks:
		if w.HasNetwork(s.ID) {
			undo = func() { w.PutNetwork(pipeline.Network{ID: s.ID}) }
		} else {
			undo = func() { w.DeleteNetwork(s.ID) }
		}
		if s.Spec != nil {
			return func() []pipeline.Unit { return w.PutNetwork(pipeline.Network{ID: s.ID}) }, undo
		}
		return func() []pipeline.Unit { return w.DeleteNetwork(s.ID) }, undo
	case store.CollectionNodes:
		old := w.Node(s.ID)
		undo = func() { w.DeleteNode(s.ID) }
		if old != nil {
			undo = func() { w.PutNode(*old) }
		}
		if spec, ok := s.Spec.(topology.Node); ok {
			n := p.plug(pipeline.Node{ID: s.ID, Node: spec})
			return func() []pipeline.Unit { return w.PutNode(n) }, undo
		}
		return func() []pipeline.Unit { return w.DeleteNode(s.ID) }, undo
	}
	return nothing, func() {}
}

// supposedStatus is where a port would be found.
func (p *planner) supposedStatus(spec topology.Port, st topology.PortStatus) topology.PortStatus {
	alive := func(string) bool { return true }
	for _, sw := range p.switches {
		if n := p.world.Node(sw.node); n != nil && n.DatapathID == sw.session.dpid {
			st = topology.Attach(st, sw.node, sw.ifaces[spec.Interface], alive)
		}
	}
	return st
}
