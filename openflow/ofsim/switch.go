package ofsim

import (
	"fmt"
	"slices"

	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/flowset"
)

// A Switch holds ports, flows and groups. It is not safe for concurrent use.
type Switch struct {
	dpid   openflow.DPID
	ports  map[openflow.PortNo]*port
	set    *flowset.Set
	tables map[openflow.TableID][]*entry // highest priority first, then by key
	groups map[openflow.GroupID]*group
	// dropping are the meters that drop every frame now.
	dropping map[uint32]bool
	choose   func(Choice) int
}

type port struct {
	name string
	down bool
	// tunnel is the switch's own address where this is a tunnel port, else zero.
	tunnel uint32
	// peer is the other end of a patch port, else nil.
	peer *end
}

// An entry is a flow ready to be looked up.
type entry struct {
	key   flowset.Key
	flow  openflow.Flow
	terms []term
}

// A group is a group with its buckets in the order in which they execute.
type group struct {
	openflow.Group
	run [][]openflow.Action
}

// NewSwitch makes a switch without ports, flows and groups.
func NewSwitch(dpid openflow.DPID) *Switch {
	s := &Switch{dpid: dpid, ports: map[openflow.PortNo]*port{}, dropping: map[uint32]bool{}, choose: byKey}
	s.clear()
	return s
}

func (s *Switch) clear() {
	s.set = &flowset.Set{}
	s.tables = map[openflow.TableID][]*entry{}
	s.groups = map[openflow.GroupID]*group{}
}

// DPID is the switch's datapath id.
func (s *Switch) DPID() openflow.DPID { return s.dpid }

// AddPort adds a port, or names it anew.
func (s *Switch) AddPort(no openflow.PortNo, name string) { s.ports[no] = &port{name: name} }

// RemovePort removes a port. Flows that output to it stay, and output nothing.
func (s *Switch) RemovePort(no openflow.PortNo) { delete(s.ports, no) }

// SetDown takes a port down or up. A port that is down sends nothing, and fast-failover groups
// that watch it take the next bucket. A port that does not exist stays so.
func (s *Switch) SetDown(no openflow.PortNo, down bool) {
	if p := s.ports[no]; p != nil {
		p.down = down
	}
}

// SetDropping says whether a meter, there or not yet, is above its rate: it then drops every frame
// until told otherwise. Meters begin by dropping nothing.
func (s *Switch) SetDropping(meter uint32, drop bool) { s.dropping[meter] = drop }

// SetChoose has f decide which link a multipath and which bucket a select group takes, for tests
// that want it fixed. f gives a number from 0 to Links-1; more is taken modulo Links. Nil, as in
// the beginning, is a hash of the Key.
func (s *Switch) SetChoose(f func(Choice) int) {
	if s.choose = f; f == nil {
		s.choose = byKey
	}
}

// PortName is the name of a port, empty for one that does not exist.
func (s *Switch) PortName(no openflow.PortNo) string {
	if p := s.ports[no]; p != nil {
		return p.name
	}
	return ""
}

// Set is what the switch holds. The caller must not change it, and clones it to keep it.
func (s *Switch) Set() *flowset.Set { return s.set }

// Replace empties the switch and fills it with a copy of the set. On an error, which names what a
// real switch would refuse, the switch is left with a part of it.
func (s *Switch) Replace(set *flowset.Set) error {
	s.clear()
	for _, m := range set.Meters() {
		s.set.PutMeter(m)
	}
	for _, g := range set.Groups() {
		if err := s.putGroup(g); err != nil {
			return err
		}
	}
	for k, f := range set.AllFlows() {
		if err := s.check(&f); err != nil {
			return err
		}
		s.set.PutFlow(f)
		s.tables[f.Table] = append(s.tables[f.Table], &entry{k, f, compile(f.Match)})
	}
	for _, t := range s.tables {
		slices.SortFunc(t, func(a, b *entry) int { return a.key.Compare(b.key) })
	}
	return nil
}

// Apply makes changes in the order of their Before, Messages and After. As on a switch, deleting a
// group or a meter deletes the flows that use it. It stops at the first change that a switch would refuse: a group that is
// there already or not there, a flow with an unmet prerequisite or an unknown group. What came
// before stays; use a bundle's semantics, if wanted, by Replace with a Clone of the old Set.
func (s *Switch) Apply(c flowset.Changes) error {
	for _, m := range c.MeterAdd {
		if _, ok := s.set.Meter(m.ID); ok {
			return s.refuse("meter %d exists", m.ID)
		}
		s.set.PutMeter(m)
	}
	for _, m := range c.MeterModify {
		if _, ok := s.set.Meter(m.ID); !ok {
			return s.refuse("meter %d does not exist", m.ID)
		}
		s.set.PutMeter(m)
	}
	for _, g := range c.GroupAdd {
		if s.groups[g.ID] != nil {
			return s.refuse("group %d exists", g.ID)
		}
		if err := s.putGroup(g); err != nil {
			return err
		}
	}
	for _, g := range c.GroupModify {
		if s.groups[g.ID] == nil {
			return s.refuse("group %d does not exist", g.ID)
		}
		if err := s.putGroup(g); err != nil {
			return err
		}
	}
	for _, list := range [][]openflow.Flow{c.FlowAdd, c.FlowModify, c.FlowReplace} {
		for i := range list {
			if err := s.putFlow(list[i]); err != nil {
				return err
			}
		}
	}
	for i := range c.FlowDelete {
		s.deleteFlow(flowset.KeyOf(&c.FlowDelete[i]))
	}
	for _, id := range c.GroupDelete {
		s.deleteGroup(id)
	}
	for _, id := range c.MeterDelete {
		s.set.DeleteMeter(id)
		s.deleteWhere(func(f *openflow.Flow) bool { return f.Meter == id })
	}
	return nil
}

func (s *Switch) refuse(format string, args ...any) error {
	return fmt.Errorf("switch %v: %s", s.dpid, fmt.Sprintf(format, args...))
}

func (s *Switch) putGroup(g openflow.Group) error {
	run := make([][]openflow.Action, len(g.Buckets))
	for i, b := range g.Buckets {
		if err := checkActions(b.Actions, nil); err != nil {
			return s.refuse("group %d bucket %d: %v", g.ID, i, err)
		}
		if g.Type == openflow.GroupTypeFastFailover && b.WatchPort == openflow.PortAny && b.WatchGroup == openflow.GroupAny {
			return s.refuse("group %d bucket %d: fast failover that watches nothing", g.ID, i)
		}
		run[i] = actionSet(b.Actions)
	}
	if g.Type == openflow.GroupTypeIndirect && len(g.Buckets) != 1 {
		return s.refuse("group %d: indirect with %d buckets", g.ID, len(g.Buckets))
	}
	if g.Type > openflow.GroupTypeFastFailover {
		return s.refuse("group %d: type %d", g.ID, g.Type)
	}
	s.set.PutGroup(g)
	s.groups[g.ID] = &group{g, run}
	return nil
}

func (s *Switch) deleteGroup(id openflow.GroupID) {
	delete(s.groups, id)
	s.set.DeleteGroup(id)
	s.deleteWhere(func(f *openflow.Flow) bool { return usesGroup(f.Apply, id) })
}

func usesGroup(actions []openflow.Action, id openflow.GroupID) bool {
	for a := range openflow.EveryAction(actions) {
		if g, ok := a.(openflow.ApplyGroup); ok && g.ID == id {
			return true
		}
	}
	return false
}

func (s *Switch) deleteWhere(bad func(*openflow.Flow) bool) {
	for _, t := range s.tables {
		for _, e := range slices.Clone(t) {
			if bad(&e.flow) {
				s.deleteFlow(e.key)
			}
		}
	}
}

func (s *Switch) putFlow(f openflow.Flow) error {
	if err := s.check(&f); err != nil {
		return err
	}
	k := flowset.KeyOf(&f)
	e := &entry{k, f, compile(f.Match)}
	t := s.tables[k.Table]
	at, found := search(t, k)
	if found {
		t[at] = e
	} else {
		s.tables[k.Table] = slices.Insert(t, at, e)
	}
	s.set.PutFlow(f)
	return nil
}

func (s *Switch) deleteFlow(k flowset.Key) {
	t := s.tables[k.Table]
	if at, found := search(t, k); found {
		s.tables[k.Table] = slices.Delete(t, at, at+1)
	}
	s.set.DeleteFlow(k)
}

func search(t []*entry, k flowset.Key) (int, bool) {
	return slices.BinarySearchFunc(t, k, func(e *entry, k flowset.Key) int { return e.key.Compare(k) })
}

// lookup finds the flow for a key. A first fragment shows its ports and ICMP type, a later one has
// zeros: Open vSwitch's OFPC_FRAG_NX_MATCH, which our connections ask for.
func (s *Switch) lookup(t openflow.TableID, k *key) *entry {
	for _, e := range s.tables[t] {
		if k.matches(e.terms) {
			return e
		}
	}
	return nil
}
