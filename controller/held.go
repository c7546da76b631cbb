package controller

import (
	"maps"
	"slices"

	"github.com/flowtap/flowtap/flowtap/pipeline"
	"github.com/flowtap/flowtap/store"
)

// held are taps whose change is under way (store.Plan): the world has them as they were before, until the part of the change
// that says so is gone, with which all of its taps are what is stored by then.
type held struct {
	plans map[string]store.Plan
	taps  map[string]*heldTap
}

type heldTap struct {
	plans int        // that speak of it
	now   *store.Tap // as it is stored; nil: it is not
}

func newHeld() held { return held{map[string]store.Plan{}, map[string]*heldTap{}} }

// planned takes a part of a change that is new, or gone where plan is nil.
func (p *planner) planned(key string, plan store.Plan) (units []pipeline.Unit) {
	h := &p.held
	if old := h.plans[key]; plan == nil {
		delete(h.plans, key)
		for _, id := range slices.Sorted(maps.Keys(old)) {
			t := h.taps[id]
			if t.plans--; t.plans == 0 {
				delete(h.taps, id)
				units = append(units, p.tap(id, t.now)...)
			}
		}
		return units
	} else if old != nil {
		return nil
	}
	h.plans[key] = plan
	for _, id := range slices.Sorted(maps.Keys(plan)) {
		if t := h.taps[id]; t != nil {
			t.plans++
			continue // the first that speaks of it says what it was
		}
		h.taps[id] = &heldTap{plans: 1} // what is stored by now is said next
		have, was := p.world.Tap(id), plan[id]
		if (have == nil) != (was == nil) || have != nil && have.Tap != was.Spec {
			units = append(units, p.tap(id, was)...) // a controller that begins finds it changed
		}
	}
	return units
}

// storedTap takes a tap as it is stored; nil: it is not.
func (p *planner) storedTap(id string, t *store.Tap) []pipeline.Unit {
	if h := p.held.taps[id]; h != nil {
		h.now = t
		return nil
	}
	return p.tap(id, t)
}

// tap puts a tap into the world, or takes it out.
func (p *planner) tap(id string, t *store.Tap) []pipeline.Unit {
	if t == nil {
		p.tapGone(id)
		return p.world.DeleteTap(id)
	}
	p.tapWanted(t)
	return p.world.PutTap(id, t.Num, t.Spec)
}
