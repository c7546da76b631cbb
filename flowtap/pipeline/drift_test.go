package pipeline

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/flowtap/flowtap/openflow/flowset"
)

// TestDriftIsRepaired: whatever somebody did to the flows and groups of ours, one round, with or
// without a change of the world, ends in the desired state.
func TestDriftIsRepaired(t *testing.T) { inLayouts(t, driftIsRepaired) }

func driftIsRepaired(t *testing.T) {
	rapidly(t, cases(30), func(rt *rapid.T) {
		drawn(rt, func(d draws) *lab {
			l := d.world()
			f, err := newFleet(l.w)
			if err != nil {
				rt.Fatal(err)
			}
			for range 6 {
				var story []string
				for range d.n(3) {
					did, _ := d.change(l)
					story = append(story, did)
				}
				l.number()
				f.plug(l.w, l.w)
				for _, id := range sortedBridges(f.have) {
					story = append(story, d.drift(f.have[id]))
					if err := f.fabric.Switch(id.dpid).Replace(f.have[id]); err != nil {
						rt.Fatal(err)
					}
				}
				stages, err := f.plan(l.w)
				if err != nil {
					rt.Fatal(err)
				}
				for _, c := range slices.Concat(stages...) {
					if err := f.commit(l.w, c); err != nil {
						rt.Fatalf("%v after %q\n%s", err, story, describe(l.w))
					}
				}
				if err := f.settled(l.w); err != nil {
					rt.Fatalf("%v after %q\n%s", err, story, describe(l.w))
				}
			}
			return l
		})
	})
}

// drift damages at most a few flows of a switch: another cookie, no actions, gone.
func (d draws) drift(set *flowset.Set) (did string) {
	flows := set.Flows()
	if len(flows) == 0 {
		return ""
	}
	for range d.n(3) {
		f := one(d, flows...)
		switch d.n(3) {
		case 0:
			set.DeleteFlow(flowset.KeyOf(&f))
			did += "; deleted "
		case 1:
			f.Apply, f.Goto = nil, 0
			set.PutFlow(f)
			did += "; emptied "
		case 2:
			f.Cookie++
			set.PutFlow(f)
			did += "; new cookie of "
		}
		did += f.String()
	}
	return did
}
