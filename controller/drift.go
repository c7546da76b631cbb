package controller

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/flowtap/flowtap/flowtap/pipeline"
	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/flowset"
	"github.com/flowtap/flowtap/topology"
)

// Drift is a difference, which no round of ours made, between what a switch holds and what it was left
// with. Three things find it: the switch reports flows that others change (changes.go), groups and
// meters are looked at every groupInterval, and everything every AuditInterval. The first two only
// raise a suspicion; what has become of it is always found by reading the switch back.

const (
	// groupInterval is the pause between looks at a switch's groups and meters, of which it reports nothing.
	groupInterval = 500 * time.Millisecond
	// lookPause is the pause between two readings out of suspicion, so that rounds get their turn
	// whatever somebody does to a switch. A reading that takes longer is followed by as long a pause.
	lookPause = 50 * time.Millisecond
	// lookPatience is how long rounds wait for a reading out of suspicion: it is of no use when a round
	// changes the switch meanwhile.
	lookPatience = time.Second
	// groupShare bounds the share of a switch's time that looking at its groups may take: one in so many.
	groupShare = 20
)

// suspect has a switch read back as soon as no round is under way.
func (p *planner) suspect(sw *swtch, what string) {
	if sw.suspicion == "" {
		sw.suspicion = what
	}
}

// investigate begins reading back the switches under suspicion. It reports whether rounds should wait.
func (p *planner) investigate() (wait bool) {
	now := time.Now()
	for _, sw := range p.switches {
		if sw.suspicion != "" && sw.have != nil && sw.node != "" && !sw.reading {
			if pause := sw.lookAfter.Sub(now); pause > 0 {
				p.wake(sw, pause)
				continue
			}
			sw.lookBegan = now
			p.compare(sw)
		}
		wait = wait || sw.reading && now.Sub(sw.lookBegan) < lookPatience
	}
	return wait
}

// wake has step look at a switch again after a pause.
func (p *planner) wake(sw *swtch, pause time.Duration) {
	if sw.waking {
		return
	}
	sw.waking = true
	p.beside(func() {
		select {
		case <-p.ctx.Done():
		case <-time.After(pause):
			p.post(p.ctx, func(*planner) { sw.waking = false })
		}
	})
}

// audit reads every switch back while nothing is changing it.
func (p *planner) audit() {
	for _, sw := range p.switches {
		if sw.node != "" && sw.have != nil && !sw.reading {
			p.compare(sw)
		}
	}
}

// compare reads a switch back. What differs from what it was left with is drift: it is counted, and
// the next round repairs it. Where a change overlapped the reading nothing can be said: a suspicion stays.
func (p *planner) compare(sw *swtch) {
	sw.reading = true
	suspicion, commits, busy := sw.suspicion, sw.commits, p.busy
	sw.suspicion = "" // what is reported from now on is new
	p.beside(func() {
		began := time.Now()
		r := readSwitch(p.ctx, sw.session.conn)
		p.post(p.ctx, func(p *planner) {
			sw.reading = false
			sw.lookAfter = time.Now().Add(max(lookPause, time.Since(began)))
			if p.switches[sw.session.dpid] == sw && sw.outdated {
				p.read(sw)
			}
			if p.switches[sw.session.dpid] != sw || sw.node == "" || sw.have == nil || r.err != nil {
				return
			}
			p.count(sw, r)
			if busy || p.busy || sw.commits != commits {
				if suspicion != "" {
					p.suspect(sw, suspicion)
				}
				return
			}
			if p.drifted(sw, flowset.Diff(sw.have, r.set), suspicion) {
				sw.have, sw.all = r.set, true
			}
		})
	})
}

// drifted counts drift and writes it into the node's status; false where there is none.
func (p *planner) drifted(sw *swtch, drift flowset.Changes, found string) bool {
	if drift.Empty() {
		return false
	}
	what := fmt.Sprintf("%s: %s", describe(drift), found)
	if found == "" {
		what = describe(drift) + ": found by the audit"
	}
	p.log.Warn("drift: the switch does not hold what it was left with", "node", sw.node, "differences", drift.Len(), "what", what)
	p.drift[sw.node] += uint64(drift.Len()) // #nosec G115 -- a length is not negative
	st := p.nodes[sw.node]
	st.LastDrift = &topology.Drift{At: time.Now().UTC().Truncate(time.Millisecond), What: what}
	p.nodes[sw.node] = st
	p.stateNode(sw.node)
	p.c.metrics.drift.WithLabelValues(sw.node).Add(float64(drift.Len()))
	return true
}

// describe says what others did to a switch, given what turned it from what it was into what it is.
func describe(drift flowset.Changes) string {
	var text string
	say := func(n int, what string) {
		if n == 0 {
			return
		}
		if text != "" {
			text += ", "
		}
		text += fmt.Sprintf("%d %s", n, what)
	}
	say(len(drift.FlowDelete), "flows gone")
	say(len(drift.FlowModify)+len(drift.FlowReplace), "flows changed")
	say(len(drift.FlowAdd), "flows added")
	say(len(drift.GroupDelete), "groups gone")
	say(len(drift.GroupModify), "groups changed")
	say(len(drift.GroupAdd), "groups added")
	say(len(drift.MeterDelete), "meters gone")
	say(len(drift.MeterModify), "meters changed")
	say(len(drift.MeterAdd), "meters added")
	return text
}

// lookAtGroups reads the groups and meters of every switch where that is due and cheap.
func (p *planner) lookAtGroups() {
	now := time.Now()
	for _, sw := range p.switches {
		if sw.node == "" || sw.have == nil || sw.reading || sw.grouping || now.Before(sw.groupsAfter) || p.busy {
			continue
		}
		sw.grouping = true
		commits := sw.commits
		p.beside(func() {
			began := time.Now()
			groups, meters, err := readGroups(p.ctx, sw.session)
			p.post(p.ctx, func(p *planner) {
				sw.grouping = false
				sw.groupsTook = groupsCost(sw.groupsTook, time.Since(began))
				sw.groupsAfter = time.Now().Add(max(0, groupShare*sw.groupsTook-groupInterval))
				if err == nil && sw.have != nil && !p.busy && sw.commits == commits && !sameGroups(sw.have, groups, meters) {
					p.suspect(sw, "groups or meters changed")
				}
			})
		})
	}
}

// groupsCost is what a look at a switch's groups is taken to cost, after one that took so long. A look may take
// long because a machine is busy with something else: only one after the other doubles what is believed.
func groupsCost(believed, took time.Duration) time.Duration {
	return min(took, 2*max(believed, groupInterval/groupShare))
}

// readGroups reads what a switch has of our groups and meters.
func readGroups(ctx context.Context, s *session) (groups []openflow.Group, meters []openflow.Meter, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	if groups, err = s.conn.DumpGroups(ctx); err != nil {
		return nil, nil, err
	}
	if meters, err = s.conn.DumpMeters(ctx); err != nil {
		return nil, nil, err
	}
	groups = slices.DeleteFunc(groups, func(g openflow.Group) bool { return !pipeline.OurGroup(g.ID) })
	meters = slices.DeleteFunc(meters, func(m openflow.Meter) bool { return !pipeline.OurMeter(m.ID) })
	return groups, meters, nil
}

// sameGroups reports whether a switch's groups and meters are those of a set.
func sameGroups(have *flowset.Set, groups []openflow.Group, meters []openflow.Meter) bool {
	is, was := &flowset.Set{}, &flowset.Set{}
	for _, g := range groups {
		is.PutGroup(g)
	}
	for _, m := range meters {
		is.PutMeter(m)
	}
	for _, g := range have.Groups() {
		was.PutGroup(g)
	}
	for _, m := range have.Meters() {
		was.PutMeter(m)
	}
	return flowset.Diff(was, is).Empty()
}
