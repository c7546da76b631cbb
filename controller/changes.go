package controller

import (
	"context"
	"sync"

	"github.com/flowtap/flowtap/flowtap/pipeline"
	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/flowset"
)

// changes are the flows of a session's switch that others changed, as the switch reports them. A
// switch without a flow monitor is left to audits.
type changes struct {
	mu      sync.Mutex // guards all below
	watched bool
	// waiting is what the planner has not taken yet, maxReported at most: a suspicion needs but one.
	waiting []openflow.FlowUpdate
	posted  bool
}

// maxReported bounds reports that wait for the planner.
const maxReported = 4096

// watch has a switch report changes of flows, once.
func (c *changes) watch(ctx context.Context, s *session) {
	c.mu.Lock()
	watched := c.watched
	c.watched = true
	c.mu.Unlock()
	if watched {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	// Whatever else is wrong is found by the reading that follows.
	_ = s.conn.MonitorFlows(ctx)
}

// add takes reports; true where the planner should be told.
func (c *changes) add(updates openflow.FlowMonitorReply) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, u := range updates {
		if u.Event != openflow.FlowAbbreviated && len(c.waiting) < maxReported { // else it is ours
			c.waiting = append(c.waiting, u)
		}
	}
	tell := len(c.waiting) > 0 && !c.posted
	c.posted = c.posted || tell
	return tell
}

func (c *changes) take() []openflow.FlowUpdate {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.waiting
	c.waiting, c.posted = nil, false
	return all
}

// flowsChanged takes what a switch reports of its flows.
func (c *Controller) flowsChanged(ctx context.Context, s *session, m *openflow.MultipartReply) {
	updates, ok := m.Body.(openflow.FlowMonitorReply)
	if ok && s.changes.add(updates) {
		c.planner.post(ctx, func(p *planner) { p.reported(s) })
	}
}

// reported looks whether changes by others concern us: flows of ours, and flows in the place of ours.
func (p *planner) reported(s *session) {
	updates := s.changes.take()
	sw := p.switches[s.dpid]
	if sw == nil || sw.session != s || sw.have == nil {
		return
	}
	for i := range updates {
		f := &updates[i].Flow
		_, _, ours := pipeline.Ours(f.Cookie)
		if !ours {
			_, ours = sw.have.Flow(flowset.KeyOf(f))
		}
		if ours {
			p.suspect(sw, "the switch reported it")
			return
		}
	}
}
