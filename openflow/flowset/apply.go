package flowset

import (
	"fmt"

	"github.com/flowtap/flowtap/openflow"
)

// Apply makes the changes in the order of Before, Messages and After. It refuses what does not fit the set, as a
// sign that the changes were made for another one, and then leaves the set half changed: apply to
// a Clone where that matters.
func (s *Set) Apply(c Changes) error {
	for _, m := range c.MeterAdd {
		if _, ok := s.meters[m.ID]; ok {
			return fmt.Errorf("add meter %d: it is there", m.ID)
		}
		s.PutMeter(m)
	}
	for _, m := range c.MeterModify {
		if _, ok := s.meters[m.ID]; !ok {
			return fmt.Errorf("modify meter %d: there is none", m.ID)
		}
		s.PutMeter(m)
	}
	for _, g := range c.GroupAdd {
		if _, ok := s.groups[g.ID]; ok {
			return fmt.Errorf("add group %d: it is there", g.ID)
		}
		s.PutGroup(g)
	}
	for _, g := range c.GroupModify {
		if _, ok := s.groups[g.ID]; !ok {
			return fmt.Errorf("modify group %d: there is none", g.ID)
		}
		s.PutGroup(g)
	}
	for _, f := range c.FlowAdd {
		s.PutFlow(f)
	}
	for _, list := range [][]openflow.Flow{c.FlowModify, c.FlowReplace} {
		for i := range list {
			k := KeyOf(&list[i])
			if _, ok := s.flows[k]; !ok {
				return fmt.Errorf("modify flow %v: there is none", k)
			}
			s.PutFlow(list[i])
		}
	}
	for i := range c.FlowDelete {
		s.DeleteFlow(KeyOf(&c.FlowDelete[i]))
	}
	for _, id := range c.GroupDelete {
		s.DeleteGroup(id)
	}
	for _, id := range c.MeterDelete {
		s.DeleteMeter(id)
	}
	return nil
}
