package pipeline

import (
	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/flowset"
)

// Shares keeps one node's desired state up to date unit by unit. The zero value is that of a
// world without units. A flow, group or meter may pass from one unit to another, as the classify flow of
// a port number that another port gets, so what goes is taken out before anything is put in.
type Shares struct {
	Ports bool // it is that of the port bridge of a node of two
	want  flowset.Set
	units map[Unit]share
}

// share is what one unit makes.
type share struct {
	keys   []flowset.Key
	groups []openflow.GroupID
	meters []uint32
}

func (s *Shares) part(w *World, node string, u Unit) ([]openflow.Flow, []openflow.Group, []openflow.Meter) {
	if !s.Ports {
		return Part(w, node, u)
	}
	return PortPart(w, node, u), nil, nil
}

// Want is the desired state. It belongs to the Shares: it changes with the next Update.
func (s *Shares) Want() *flowset.Set { return &s.want }

// Update recomputes units, as World's methods name them, and says which flows, groups and meters may be
// other than before; some may come twice.
func (s *Shares) Update(w *World, node string, units []Unit) (keys []flowset.Key, groups []openflow.GroupID, meters []uint32) {
	todo := map[Unit]bool{}
	for _, u := range units {
		todo[u] = true
	}
	if todo[Unit{Kind: UnitEverything}] {
		for _, u := range w.Units() {
			todo[u] = true
		}
		for u := range s.units {
			todo[u] = true
		}
	}
	if s.units == nil {
		s.units = map[Unit]share{}
	}
	for u := range todo {
		old := s.units[u]
		for _, k := range old.keys {
			s.want.DeleteFlow(k)
		}
		for _, id := range old.groups {
			s.want.DeleteGroup(id)
		}
		for _, id := range old.meters {
			s.want.DeleteMeter(id)
		}
		keys, groups, meters = append(keys, old.keys...), append(groups, old.groups...), append(meters, old.meters...)
	}
	for u := range todo {
		var now share
		fs, gs, ms := s.part(w, node, u)
		for i := range fs {
			now.keys = append(now.keys, flowset.KeyOf(&fs[i]))
			s.want.PutFlow(fs[i])
		}
		for i := range gs {
			now.groups = append(now.groups, gs[i].ID)
			s.want.PutGroup(gs[i])
		}
		for _, m := range ms {
			now.meters = append(now.meters, m.ID)
			s.want.PutMeter(m)
		}
		keys, groups, meters = append(keys, now.keys...), append(groups, now.groups...), append(meters, now.meters...)
		if len(now.keys)+len(now.groups)+len(now.meters) == 0 {
			delete(s.units, u)
		} else {
			s.units[u] = now
		}
	}
	return keys, groups, meters
}
