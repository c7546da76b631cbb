package flowset

import (
	"cmp"
	"iter"
	"maps"
	"slices"

	"github.com/flowtap/flowtap/openflow"
)

// A Set is the flows, by Key, and groups and meters, by id, of one switch. The zero value is empty. It is
// not safe for concurrent use.
type Set struct {
	flows  map[Key]openflow.Flow
	groups map[openflow.GroupID]openflow.Group
	meters map[uint32]openflow.Meter
}

// PutFlow adds a flow in place of the one with the same key.
func (s *Set) PutFlow(f openflow.Flow) {
	if s.flows == nil {
		s.flows = map[Key]openflow.Flow{}
	}
	s.flows[KeyOf(&f)] = f
}

// PutGroup adds a group in place of the one with the same id.
func (s *Set) PutGroup(g openflow.Group) {
	if s.groups == nil {
		s.groups = map[openflow.GroupID]openflow.Group{}
	}
	s.groups[g.ID] = g
}

// PutMeter adds a meter in place of the one with the same id.
func (s *Set) PutMeter(m openflow.Meter) {
	if s.meters == nil {
		s.meters = map[uint32]openflow.Meter{}
	}
	s.meters[m.ID] = m
}

// DeleteFlow removes a flow, if it is there.
func (s *Set) DeleteFlow(k Key) { delete(s.flows, k) }

// DeleteGroup removes a group, if it is there. Unlike a switch it leaves alone the flows that
// use it: a Set says what somebody wants or has seen, not how a switch behaves.
func (s *Set) DeleteGroup(id openflow.GroupID) { delete(s.groups, id) }

// DeleteMeter removes a meter, if it is there, and leaves alone the flows that use it.
func (s *Set) DeleteMeter(id uint32) { delete(s.meters, id) }

// Flow finds a flow.
func (s *Set) Flow(k Key) (openflow.Flow, bool) { f, ok := s.flows[k]; return f, ok }

// Group finds a group.
func (s *Set) Group(id openflow.GroupID) (openflow.Group, bool) { g, ok := s.groups[id]; return g, ok }

// Meter finds a meter.
func (s *Set) Meter(id uint32) (openflow.Meter, bool) { m, ok := s.meters[id]; return m, ok }

// Len counts flows and groups.
func (s *Set) Len() (flows, groups int) { return len(s.flows), len(s.groups) }

// Flows gives the flows in the order of their keys. The outer slice is the caller's.
func (s *Set) Flows() []openflow.Flow {
	out := make([]openflow.Flow, 0, len(s.flows))
	for _, k := range slices.SortedFunc(maps.Keys(s.flows), Key.Compare) {
		out = append(out, s.flows[k])
	}
	return out
}

// AllFlows goes through the flows in no order.
func (s *Set) AllFlows() iter.Seq2[Key, openflow.Flow] { return maps.All(s.flows) }

// Groups gives the groups in the order of their ids. The outer slice is the caller's.
func (s *Set) Groups() []openflow.Group {
	return slices.SortedFunc(maps.Values(s.groups), func(a, b openflow.Group) int { return cmp.Compare(a.ID, b.ID) })
}

// Meters gives the meters in the order of their ids. The outer slice is the caller's.
func (s *Set) Meters() []openflow.Meter {
	return slices.SortedFunc(maps.Values(s.meters), func(a, b openflow.Meter) int { return cmp.Compare(a.ID, b.ID) })
}

// Clone copies the set; changing one leaves the other as it is.
func (s *Set) Clone() *Set {
	return &Set{maps.Clone(s.flows), maps.Clone(s.groups), maps.Clone(s.meters)}
}

// Equal reports whether both hold the same.
func (s *Set) Equal(o *Set) bool {
	return maps.EqualFunc(s.flows, o.flows, func(a, b openflow.Flow) bool { return a.Cookie == b.Cookie && sameWork(&a, &b) }) &&
		maps.EqualFunc(s.groups, o.groups, sameGroup) && maps.EqualFunc(s.meters, o.meters, sameMeter)
}
