package pipeline

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/flowset"
)

// TestUnitsAddUp: recomputing only the units that a change names gives what recomputing everything
// gives, on every node, whatever happens in whatever order.
func TestUnitsAddUp(t *testing.T) { inLayouts(t, unitsAddUp) }

func unitsAddUp(t *testing.T) {
	rapidly(t, cases(75), func(rt *rapid.T) {
		var l *lab
		nodes := map[string]*Shares{}
		for i := 1; i <= 4; i++ {
			nodes[nodeName(i)] = &Shares{}
		}
		var story []string
		update := func(us []Unit) {
			for id, s := range nodes {
				before := s.Want().Clone()
				keys, groups, meters := s.Update(l.w, id, us)
				named := before.Clone()
				if err := named.Apply(flowset.DiffKeys(before, s.Want(), keys, groups, meters...)); err != nil || !named.Equal(s.Want()) {
					rt.Fatalf("after %q: %s: Update names too few keys: %v", story, id, err)
				}
			}
		}
		drawn(rt, func(d draws) *lab {
			l = d.world()
			update([]Unit{{Kind: UnitEverything}})
			for range 30 {
				did, us := "", []Unit(nil)
				if d.chance(50) {
					did, us = d.upheaval(l)
				} else {
					did, us = d.change(l)
				}
				if len(l.w.MissingLabels()) > 0 && !d.chance(10) {
					us = append(us, l.number()...)
				}
				story = append(story, did)
				update(us)
				for id, s := range nodes {
					full, err := desired(l.w, id)
					if err != nil {
						rt.Fatalf("after %q: %v\n%s", story, err, describe(l.w))
					}
					if !full.Equal(s.Want()) {
						rt.Fatalf("after %q: %s differs (missing or left behind):\n%s\n%s", story, id, difference(s.Want(), full), describe(l.w))
					}
				}
			}
			return l
		})
	})
}

// difference prints what leads from one set to another.
func difference(have, want *flowset.Set) (text string) {
	c := flowset.Diff(have, want)
	for name, flows := range map[string][]openflow.Flow{"add": c.FlowAdd, "modify": c.FlowModify, "replace": c.FlowReplace, "delete": c.FlowDelete} {
		for _, f := range flows {
			text += fmt.Sprintf("%s %v\n", name, f)
		}
	}
	for _, g := range append(c.GroupAdd, c.GroupModify...) {
		text += fmt.Sprintf("put %v\n", g)
	}
	for _, m := range append(c.MeterAdd, c.MeterModify...) {
		text += fmt.Sprintf("put meter %v\n", m)
	}
	return text + fmt.Sprintf("delete groups %v meters %v\n", c.GroupDelete, c.MeterDelete)
}
