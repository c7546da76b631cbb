package controller

import (
	"strconv"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/flowtap/pipeline"
	"github.com/flowtap/flowtap/store"
)

// A tapRecord is what the planner knows of a contract besides the world.
type tapRecord struct {
	num      uint32
	revision int64
	status   flowtap.TapStatus // as last written
}

// tapWanted takes note of a contract that is new or changed.
func (p *planner) tapWanted(t *store.Tap) {
	r := p.taps[t.ID]
	if r == nil || r.num != t.Num {
		r = &tapRecord{num: t.Num, status: t.Status}
		p.taps[t.ID] = r
		p.c.counts.adopt(t.ID, t.Num, t.Status.Nodes)
	}
	p.c.counts.diverts(t.Num, t.Spec.Action == flowtap.Redirect)
	r.revision = t.Revision
	p.restateTaps([]string{t.ID})
}

func (p *planner) tapGone(id string) {
	if r := p.taps[id]; r != nil {
		p.c.counts.forget(r.num)
	}
	delete(p.taps, id)
	p.unmonitored(id, false)
}

// restateTaps has the state of contracts looked at once the switches have carried out what they
// are asked now.
func (p *planner) restateTaps(ids []string) {
	p.version++
	for _, id := range ids {
		p.restate[id] = p.version
	}
}

// restateDue writes the state of the ports and contracts whose last change the switches have
// carried out.
func (p *planner) restateDue(upTo int64) {
	for id, since := range p.arrived {
		if since > upTo {
			continue
		}
		port := p.world.Port(id)
		if port != nil && !p.up(port.Status.Node) {
			continue // another time
		}
		delete(p.arrived, id)
		if port != nil {
			p.c.statuses.port(id, port.Status)
		}
	}
	if len(p.restate) == 0 {
		return
	}
	health := pipeline.Health{Up: p.up, Warm: p.warm}
	for id, since := range p.restate {
		r := p.taps[id]
		if since > upTo {
			continue
		}
		if r != nil && r.status.State == flowtap.TapActive && p.starting() && !p.complete(id) {
			continue // another time
		}
		delete(p.restate, id)
		if r == nil {
			continue
		}
		st, unmonitored := pipeline.State(p.world, id, r.status.State, health)
		p.unmonitored(id, unmonitored)
		p.c.counts.into(&st, r.num)
		st.Revision = strconv.FormatInt(r.revision, 10)
		if !st.Equal(r.status) {
			r.status = st
			p.c.statuses.tap(id, st)
		}
	}
}

// unmonitored counts the redirects that let their flow, or a part of it, pass because a monitor is away.
func (p *planner) unmonitored(tap string, passes bool) {
	if delete(p.passing, tap); passes {
		p.passing[tap] = true
	}
	p.c.metrics.passing.Set(float64(len(p.passing)))
}

// starting reports whether switches may still be on their way back to a controller that just
// started. Their dataplanes go on meanwhile, so what was said of contracts stays.
func (p *planner) starting() bool { return p.sinceStart() < p.c.config.Grace }

// complete reports whether every node of a contract is connected.
func (p *planner) complete(id string) bool {
	for _, n := range pipeline.TapNodes(p.world, id) {
		if !p.up(n) {
			return false
		}
	}
	return true
}

func (p *planner) warm(t pipeline.Tunnel) bool {
	from, to := p.world.Node(t.From), p.world.Node(t.To)
	return from != nil && to != nil && p.c.tunnels.warm(from.Pipeline(), to.Pipeline())
}

// countTaps writes the counters of contracts that changed since they were last written.
func (p *planner) countTaps() {
	for num := range p.c.counts.fresh {
		t := p.c.counts.taps[num]
		r := p.taps[t.id]
		if r.status.State == "" {
			continue // with its state
		}
		delete(p.c.counts.fresh, num)
		st := r.status
		p.c.counts.into(&st, num)
		if !st.Equal(r.status) {
			r.status = st
			p.c.statuses.tap(t.id, st)
		}
	}
}
