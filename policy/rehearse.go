package policy

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/flowtap/ftc"
)

// A Rehearsal is what a policy would do if it was written.
type Rehearsal struct {
	Diagnostics []flowtap.Diagnostic
	// Put has taps as they would be, by inside ids; of these, Was has those that are there now, as they are. Delete has
	// those that would go.
	Put, Was, Delete map[string]flowtap.Tap
}

// Rehearse says what would become of the taps of a policy if it was p; nil: if it was deleted.
func (r *Runner) Rehearse(ctx context.Context, id string, p *flowtap.Policy) (Rehearsal, error) {
	done := make(chan Rehearsal, 1)
	select {
	case r.inbox <- func() { done <- r.rehearse(id, p) }:
	case <-ctx.Done():
		return Rehearsal{}, ctx.Err()
	}
	select {
	case out := <-done:
		return out, nil
	case <-ctx.Done():
		return Rehearsal{}, ctx.Err()
	}
}

func (r *Runner) rehearse(id string, p *flowtap.Policy) Rehearsal {
	out := Rehearsal{Put: map[string]flowtap.Tap{}, Was: map[string]flowtap.Tap{}, Delete: map[string]flowtap.Tap{}}
	if p == nil {
		for id, t := range r.world.byPolicy[id] {
			out.Delete[id] = t.Spec
		}
		return out
	}
	c := newCompiled(id, *p, r.limits)
	d := decide(r.world, c, 0, r.suppose(c))
	ds := d.faults
	if c.program != nil {
		ds = append(slices.Clone(c.text), ds...)
	}
	out.Diagnostics = ftc.Report(ds)
	if d.faults.Errors() {
		return out
	}
	for id, t := range d.change.Put {
		out.Put[id] = t
		if have := r.world.Taps[id]; have != nil {
			out.Was[id] = have.Spec
		}
	}
	for _, id := range d.change.Delete {
		out.Delete[id] = r.world.Taps[id].Spec
	}
	return out
}

// suppose gives where everything would be if a policy was there.
func (r *Runner) suppose(c *compiled) *placer {
	p := *r.placer
	p.wants = maps.Clone(p.wants)
	if wanted, faults := c.wanted(r.world); !faults.Errors() && p.put(r.world, c, wanted, time.Now()) {
		if _, err := p.place(r.world, time.Now()); err != nil {
			return r.placer
		}
	}
	return &p
}
