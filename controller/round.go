package controller

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/flowtap/flowtap/flowtap/pipeline"
	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/flowset"
	"github.com/flowtap/flowtap/openflow/ofconn"
)

// commitTimeout bounds one phase on one switch; a switch that takes longer loses its connection
// and is read back when it returns.
const commitTimeout = 5 * time.Second

// A job is one switch's part in a round.
type job struct {
	sw      *swtch
	session *session
	node    pipeline.Node
	have    *flowset.Set // the round's own while it runs
	phases  [3]flowset.Changes
	off     flowset.Changes // takes the epoch off
	proven  bool            // the datapath has been seen to act on the change
	err     error
}

// startRound starts changing every switch that differs; false when none does.
func (p *planner) startRound() bool {
	var jobs []*job
	for _, sw := range p.switches {
		if sw.node == "" || sw.have == nil || !sw.refused.IsZero() {
			continue
		}
		var changes flowset.Changes
		if sw.all {
			changes = flowset.Diff(sw.have, sw.want)
		} else {
			changes = flowset.DiffKeys(sw.have, sw.want, slices.Collect(maps.Keys(sw.keys)), slices.Collect(maps.Keys(sw.groups)))
		}
		sw.all = false
		clear(sw.keys)
		clear(sw.groups)
		if !changes.Empty() {
			jobs = append(jobs, p.newJob(sw, changes))
		}
	}
	if len(jobs) == 0 {
		return false
	}
	p.busy = true
	revision, started := p.revision, time.Now()
	go func() {
		p.c.carryOut(p.ctx, jobs)
		p.post(p.ctx, func(p *planner) { p.roundDone(jobs, revision, started) })
	}()
	return true
}

func (p *planner) newJob(sw *swtch, changes flowset.Changes) *job {
	j := &job{sw: sw, session: sw.session, node: *p.world.Node(sw.node), have: sw.have}
	var overlay pipeline.Overlay
	if !p.c.config.NoEpochs {
		overlay = sw.epoch.For(p.world, sw.node, sw.want, changes)
	}
	on, off := overlay.Over(sw.have, sw.want, changes)
	j.phases[0], j.phases[1], j.phases[2] = pipeline.Phases(on)
	j.off = off
	p.c.metrics.changes.Add(float64(changes.Len()))
	return j
}

// carryOut takes all jobs through the phases together.
func (c *Controller) carryOut(ctx context.Context, jobs []*job) {
	sentinels := make(map[*job]uint64)
	c.together(jobs, func(j *job) { j.commit(ctx, j.phases[0]) })
	var gain, others []*job
	for _, j := range jobs {
		if f, ok := pipeline.SentinelFlow(&j.node, c.nextSentinel()); ok && j.matters() {
			sentinels[j] = f.Cookie
		}
		if pipeline.Gains(j.phases[1]) {
			gain = append(gain, j)
		} else {
			others = append(others, j)
		}
	}
	rest := func(j *job) { j.commit(ctx, j.phases[1], sentinelMessages(j, sentinels[j])...) }
	c.together(gain, rest)
	c.together(others, rest)
	c.together(jobs, func(j *job) {
		if j.matters() {
			c.prove(ctx, j, sentinels[j])
		}
	})
	// Only now does no datapath send any more what the last phase takes away.
	c.together(jobs, func(j *job) {
		var drop []openflow.Message
		if sentinels[j] != 0 {
			f, _ := pipeline.SentinelFlow(&j.node, 0)
			drop = []openflow.Message{&openflow.FlowMod{Command: openflow.FlowDeleteStrict, Flow: f}}
		}
		j.commit(ctx, pipeline.Join(j.phases[2], j.off), drop...)
	})
}

// matters reports whether frames that already flow are treated otherwise after the change: it does
// more than tell what a new label means.
func (j *job) matters() bool { return !j.phases[1].Empty() || pipeline.Floods(j.phases[0]) }

func (c *Controller) together(jobs []*job, f func(*job)) {
	var wg sync.WaitGroup
	for _, j := range jobs {
		wg.Go(func() { f(j) })
	}
	wg.Wait()
}

// commit has the switch carry out changes, and messages besides, in one bundle.
func (j *job) commit(ctx context.Context, changes flowset.Changes, besides ...openflow.Message) {
	if j.err != nil || changes.Empty() && len(besides) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	if j.err = j.session.conn.Commit(ctx, append(changes.Messages(), besides...)); j.err == nil {
		j.err = j.have.Apply(changes)
	}
}

// roundDone takes note of what came of a round.
func (p *planner) roundDone(jobs []*job, revision int64, started time.Time) {
	p.busy = false
	p.c.metrics.round.Observe(time.Since(started).Seconds())
	for _, j := range jobs {
		j.sw.commits++
		if p.switches[j.session.dpid] != j.sw || j.sw.node != j.node.ID {
			continue // gone, or another node's meanwhile
		}
		if j.err == nil {
			p.c.metrics.commits.WithLabelValues("ok").Inc()
			continue
		}
		var refused *ofconn.CommitError
		switch {
		case errors.As(j.err, &refused):
			p.c.metrics.commits.WithLabelValues("refused").Inc()
			p.log.Error("the switch refuses a change", "node", j.node.ID, "error", j.err)
			j.sw.refused, j.sw.all = time.Now(), true
			j.sw.status.Reason = "the switch refuses a change: " + j.err.Error()
			p.c.statuses.node(j.node.ID, j.sw.status)
		case p.ctx.Err() == nil:
			p.c.metrics.commits.WithLabelValues("unknown").Inc()
			p.log.Warn("the outcome of a change is unknown; the switch will be read back", "node", j.node.ID, "error", j.err)
			j.sw.have, j.sw.all = nil, true
			_ = j.session.conn.Close()
		}
	}
	if p.revision == revision && len(p.dirty) == 0 {
		return // step lets go
	}
	for _, sw := range p.switches {
		if sw.node != "" && sw.have == nil {
			return // left behind
		}
	}
	p.restateDue(revision)
	p.letGo(revision)
}
