package pipeline

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/flowset"
	"github.com/flowtap/flowtap/openflow/ofsim"
)

// snapshot copies a world.
func snapshot(w *World) *World {
	c := NewWorld()
	for _, id := range w.Nodes() {
		c.PutNode(*w.Node(id))
	}
	for _, id := range w.Networks() {
		c.PutNetwork(Network{id})
	}
	for _, id := range w.Ports() {
		c.PutPort(*w.Port(id))
	}
	for _, id := range w.Pools() {
		c.PutPool(*w.Pool(id))
	}
	for _, id := range w.Taps() {
		c.PutTap(id, w.Tap(id).Num, w.Tap(id).Tap)
	}
	for t := range w.dead {
		c.PutTunnel(t, true)
	}
	for key, n := range w.labels {
		c.PutLabel(key, n)
	}
	return c
}

// A fleet is the bridges of a world, and what a controller knows of each.
type fleet struct {
	fabric *ofsim.Fabric
	have   map[bridge]*flowset.Set
	epochs map[bridge]*Epoch
}

// A bridge is one of a node's.
type bridge struct {
	node string
	dpid openflow.DPID
}

// bridges gives what every bridge of a world should hold.
func bridges(w *World) (map[bridge]*flowset.Set, error) {
	all := map[bridge]*flowset.Set{}
	for _, id := range w.Nodes() {
		n := w.Node(id)
		set, err := desired(w, id)
		if err != nil {
			return nil, err
		}
		if all[bridge{id, n.Pipeline()}] = set; n.Split() {
			all[bridge{id, n.DatapathID}] = portBridge(w, id)
		}
	}
	return all, nil
}

func (b bridge) ports(w *World) bool { return w.Node(b.node).Pipeline() != b.dpid }

func newFleet(w *World) (*fleet, error) {
	have, err := bridges(w)
	if err != nil {
		return nil, err
	}
	f := &fleet{fabric: fabric(w), have: have, epochs: map[bridge]*Epoch{}}
	for b := range have {
		f.epochs[b] = f.newEpoch(w, b, 0)
	}
	return f, install(f.fabric, w)
}

func (f *fleet) newEpoch(w *World, b bridge, seed uint32) *Epoch {
	if b.ports(w) {
		return NewPortEpoch(seed)
	}
	return NewEpoch(seed)
}

func sortedBridges[V any](m map[bridge]V) []bridge {
	return slices.SortedFunc(maps.Keys(m), func(a, b bridge) int { return cmp.Compare(a.dpid, b.dpid) })
}

// A commit is one bundle for one bridge.
type commit struct {
	bridge
	name    string
	changes flowset.Changes
}

// plan gives the bundles that lead all switches to a world's desired state, in groups within which
// any order may happen, as the controller's rounds carry them out.
func (f *fleet) plan(w *World) (stages [][]commit, err error) {
	stages = make([][]commit, 5) // ready, first, rest of those that gain a port, rest of the others, last
	wants, err := bridges(w)
	if err != nil {
		return nil, err
	}
	for _, id := range sortedBridges(wants) {
		want := wants[id]
		changes := flowset.Diff(f.have[id], want)
		if changes.Empty() {
			continue
		}
		overlay := f.epochs[id].For(w, id.node, want, changes)
		on, off := overlay.Over(f.have[id], want, changes)
		plan := Phases(on)
		stages[0] = append(stages[0], commit{id, "ready", plan[PhaseReady]})
		stages[1] = append(stages[1], commit{id, "first", plan[PhaseFirst]})
		gains := 3
		if Gains(plan[PhaseRest]) {
			gains = 2
		}
		stages[gains] = append(stages[gains], commit{id, "rest", plan[PhaseRest]})
		stages[4] = append(stages[4], commit{id, "last and epoch off", Join(plan[PhaseLast], off)})
	}
	for i := range stages {
		stages[i] = slices.DeleteFunc(stages[i], func(c commit) bool { return c.changes.Empty() })
	}
	return stages, nil
}

// commit carries one bundle out.
func (f *fleet) commit(w *World, c commit) error {
	have := f.have[c.bridge]
	if err := have.Apply(c.changes); err != nil {
		return fmt.Errorf("%s %s: %w", c.node, c.name, err)
	}
	sw := f.fabric.Switch(c.dpid)
	if err := sw.Apply(c.changes); err != nil {
		return fmt.Errorf("%s %s: %w", c.node, c.name, err)
	}
	if !sw.Set().Equal(have) {
		return fmt.Errorf("%s %s: the switch holds something else than the controller thinks:\n%s", c.node, c.name, difference(have, sw.Set()))
	}
	return nil
}

// settled says whether every switch holds exactly what it should.
func (f *fleet) settled(w *World) error {
	wants, err := bridges(w)
	if err != nil {
		return err
	}
	for _, id := range sortedBridges(f.have) {
		if want := wants[id]; !want.Equal(f.have[id]) {
			return fmt.Errorf("%v does not end as it should:\n%s", id, difference(f.have[id], want))
		}
	}
	return nil
}

// plug makes the switches' ports those of a world.
func (f *fleet) plug(before, now *World) {
	for _, s := range attachments(before) {
		if n := now.Node(s.at.Node); n != nil {
			f.fabric.Switch(n.DatapathID).RemovePort(s.at.OFPort)
		}
	}
	for _, s := range attachments(now) {
		f.fabric.Switch(now.Node(s.at.Node).DatapathID).AddPort(s.at.OFPort, s.p.ID)
	}
}
