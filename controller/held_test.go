package controller

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/store"
)

// TestAChangeOfManyTransactionsIsSeenAtOnce: whoever looks at whatever moment, also one who begins in the midst of it,
// has the taps that were there before or those that are there then, and nothing in between.
func TestAChangeOfManyTransactionsIsSeenAtOnce(t *testing.T) {
	l := newLab(t, 0, quick())
	l.stop()
	rapid.Check(t, func(rt *rapid.T) {
		num := uint32(0)
		tap := func(id string) *store.Tap {
			num++
			spec := copyTap("web", "ids", flowtap.In)
			spec.Priority = rapid.IntRange(0, 5).Draw(rt, "priority")
			return &store.Tap{Meta: store.Meta{ID: id, Num: num, Revision: int64(num)}, Spec: spec}
		}
		stored := map[string]*store.Tap{}
		for i := range rapid.IntRange(0, 8).Draw(rt, "before") {
			stored[fmt.Sprint("t", i)] = tap(fmt.Sprint("t", i))
		}
		before, plans := maps.Clone(stored), map[string]store.Plan{}
		everything := func() (b store.Batch) {
			b.Reset = true
			for _, key := range slices.Sorted(maps.Keys(plans)) {
				b.Events = append(b.Events, store.Event{Collection: store.CollectionPlans, ID: key, Object: plans[key]})
			}
			for _, id := range slices.Sorted(maps.Keys(stored)) {
				b.Events = append(b.Events, store.Event{Collection: store.CollectionTaps, ID: id, Object: stored[id]})
			}
			return b
		}
		p := newPlanner(l.ctl)
		p.follow(everything())
		var pending []store.Event
		chunks := rapid.IntRange(1, 4).Draw(rt, "chunks")
		for chunk := range chunks {
			plan := store.Plan{}
			var events []store.Event
			for k := range rapid.IntRange(1, 3).Draw(rt, "taps") {
				id := fmt.Sprint("t", chunk*3+k)
				plan[id] = stored[id]
				e := store.Event{Collection: store.CollectionTaps, ID: id}
				if rapid.Bool().Draw(rt, "gone") {
					delete(stored, id)
				} else {
					stored[id] = tap(id)
					e.Object = stored[id]
				}
				events = append(events, e)
			}
			if chunk == chunks-1 {
				for key := range plans {
					events = append(events, store.Event{Collection: store.CollectionPlans, ID: key})
				}
				clear(plans)
			} else {
				key := fmt.Sprint("p/", chunk)
				plans[key] = plan
				events = append(events, store.Event{Collection: store.CollectionPlans, ID: key, Object: plan})
			}
			// In a revision the events are in any order but that a plan is not behind its taps.
			slices.SortStableFunc(events, func(a, b store.Event) int {
				return map[string]int{store.CollectionPlans: 0, store.CollectionTaps: 1}[a.Collection] - map[string]int{store.CollectionPlans: 0, store.CollectionTaps: 1}[b.Collection]
			})
			switch pending = append(pending, events...); rapid.IntRange(0, 3).Draw(rt, "delivered") {
			case 0: // with the next one
				continue
			case 1: // somebody else leads
				p = newPlanner(l.ctl)
				p.follow(everything())
			case 2: // it fell behind
				p.follow(everything())
			default:
				p.follow(store.Batch{Events: pending})
			}
			pending = nil
			want := before
			if len(plans) == 0 {
				want = stored
			}
			requireTaps(rt, want, p)
		}
		p.follow(store.Batch{Events: pending})
		requireTaps(rt, stored, p)
		require.Empty(rt, p.held.taps)
	})
}

func requireTaps(t require.TestingT, want map[string]*store.Tap, p *planner) {
	got := map[string]flowtap.Tap{}
	for _, id := range p.world.Taps() {
		got[id] = p.world.Tap(id).Tap
	}
	wanted := map[string]flowtap.Tap{}
	for id, t := range want {
		wanted[id] = t.Spec
	}
	require.Equal(t, wanted, got)
}
