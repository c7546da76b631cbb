package controller

import (
	"context"
	"slices"
)

type waiter struct {
	ctx      context.Context // at its end nobody waits any more
	revision int64
	done     chan struct{}
}

// settled reports whether every connected, registered switch has been read and differs in nothing.
func (p *planner) settled() bool {
	for _, sw := range p.switches {
		if sw.want != nil && (sw.have == nil || sw.all || len(sw.keys)+len(sw.groups) > 0) && sw.refused.IsZero() {
			return false
		}
	}
	return true
}

// Settled returns when everything up to a store revision has been carried out on every connected
// switch and its statuses are written, or ctx ends.
func (c *Controller) Settled(ctx context.Context, revision int64) error {
	done := make(chan struct{})
	c.planner.post(ctx, func(p *planner) {
		if p.done >= revision {
			close(done)
		} else {
			p.waiters = append(p.waiters, waiter{ctx, revision, done})
		}
	})
	select {
	case <-done:
		c.statuses.flush(ctx)
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *planner) letGo(revision int64) {
	p.done = max(p.done, revision)
	p.waiters = slices.DeleteFunc(p.waiters, func(w waiter) bool {
		if w.revision > p.done {
			return false
		}
		close(w.done)
		return true
	})
}
