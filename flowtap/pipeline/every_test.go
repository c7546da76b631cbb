package pipeline

import (
	"fmt"
	"math/bits"
	"testing"

	"pgregory.net/rapid"

	"github.com/flowtap/flowtap/openflow/flowset"
)

// mostAtOnce bounds the bundles of one phase whose subsets are all tried: three nodes have at most so many,
// unless a change concerns both bridges of some.
const mostAtOnce = 4

// TestEveryInterleaving changes worlds, and between two phases of a change tries every state that the
// switches can be in: each subset of a phase's bundles carried out, which is what any order of them
// passes through. TestInterleaving draws orders, of many more changes.
func TestEveryInterleaving(t *testing.T) { inLayouts(t, everyInterleaving) }

func everyInterleaving(t *testing.T) {
	states, frames, most := 0, 0, 0
	rapidly(t, max(cases(100), 50), func(rt *rapid.T) { // of which -short makes a fifth; fewer are all dull
		drawn(rt, func(d draws) *lab {
			l := d.world()
			f, err := newFleet(l.w)
			if err != nil {
				rt.Fatalf("%v\n%s", err, describe(l.w))
			}
			for range 3 {
				x := transit{before: snapshot(l.w), fabric: f.fabric}
				did, _ := d.change(l)
				x.story = []string{did}
				stages := x.begin(rt, l, f)
				for _, stage := range stages {
					before, after := make([]*flowset.Set, len(stage)), make([]*flowset.Set, len(stage))
					for i, c := range stage {
						before[i] = f.have[c.bridge].Clone()
						if err := f.commit(l.w, c); err != nil {
							rt.Fatalf("%v\n%s", err, x)
						}
						after[i] = f.have[c.bridge].Clone()
					}
					past := x.story
					if len(stage) > mostAtOnce {
						continue // TestInterleaving's
					}
					for done := range 1 << len(stage) {
						x.story = past
						for i, c := range stage {
							set := before[i]
							if done>>i&1 == 1 {
								set, x.story = after[i], append(x.story[:len(x.story):len(x.story)], fmt.Sprintf("%s %s", c.node, c.name))
							}
							if err := f.fabric.Switch(c.dpid).Replace(set); err != nil {
								rt.Fatalf("%v\n%s", err, x)
							}
						}
						states, most = states+1, max(most, bits.Len(uint(done)))
						frames += x.look(rt, d, 4)
					}
				}
				if err := f.settled(l.w); err != nil {
					rt.Fatalf("%v\n%s", err, x)
				}
			}
			return l
		})
	})
	if most < 3 {
		t.Errorf("no phase had three bundles to try in every order, only %d", most)
	}
	t.Logf("%d states of at most %d bundles at once, %d frames", states, most, frames)
}
