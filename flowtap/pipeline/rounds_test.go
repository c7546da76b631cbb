package pipeline

import (
	"fmt"
	"maps"
	"slices"

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

// A fleet is the switches of a world, and what a controller knows of each.
type fleet struct {
	fabric *ofsim.Fabric
	have   map[string]*flowset.Set
	epochs map[string]*Epoch
}

func newFleet(w *World) (*fleet, error) {
	f := &fleet{fabric: fabric(w), have: map[string]*flowset.Set{}, epochs: map[string]*Epoch{}}
	for _, id := range w.Nodes() {
		set, err := desired(w, id)
		if err != nil {
			return nil, err
		}
		f.have[id], f.epochs[id] = set, &Epoch{}
	}
	return f, install(f.fabric, w)
}

// A commit is one bundle for one switch.
type commit struct {
	node    string
	name    string
	changes flowset.Changes
}

// plan gives the bundles that lead all switches to a world's desired state, in groups within which
// any order may happen, as the controller's rounds carry them out.
func (f *fleet) plan(w *World) (stages [][]commit, err error) {
	stages = make([][]commit, 5) // ready, first, rest of those that gain a port, rest of the others, last
	for _, id := range w.Nodes() {
		want, err := desired(w, id)
		if err != nil {
			return nil, err
		}
		changes := flowset.Diff(f.have[id], want)
		if changes.Empty() {
			continue
		}
		overlay := f.epochs[id].For(w, id, want, changes)
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
	if err := f.have[c.node].Apply(c.changes); err != nil {
		return fmt.Errorf("%s %s: %w", c.node, c.name, err)
	}
	sw := f.fabric.Switch(w.Node(c.node).DatapathID)
	if err := sw.Apply(c.changes); err != nil {
		return fmt.Errorf("%s %s: %w", c.node, c.name, err)
	}
	if !sw.Set().Equal(f.have[c.node]) {
		return fmt.Errorf("%s %s: the switch holds something else than the controller thinks:\n%s", c.node, c.name, difference(f.have[c.node], sw.Set()))
	}
	return nil
}

// settled says whether every switch holds exactly what it should.
func (f *fleet) settled(w *World) error {
	for _, id := range slices.Sorted(maps.Keys(f.have)) {
		want, err := desired(w, id)
		if err != nil {
			return err
		}
		if !want.Equal(f.have[id]) {
			return fmt.Errorf("%s does not end as it should:\n%s", id, difference(f.have[id], want))
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
