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

// underway is how long a frame may take from one node's datapath into another's.
const underway = 50 * time.Millisecond

// A job is one switch's part in a round.
type job struct {
	sw      *swtch
	session *session
	node    pipeline.Node
	have    *flowset.Set      // what the switch held at the start
	made    []flowset.Changes // carried out
	when    []time.Time       // by when each of made was
	losing  []uint32          // taps whose counting flows go
	need    time.Duration     // for the switch to add up what they counted
	heard   tally             // what these had counted
	unheard error             // why that is not known
	phases  pipeline.Plan
	off     flowset.Changes // takes the epoch off
	timeout time.Duration   // of each commit
	err     error
}

// startRound starts changing every switch that differs; false when none does.
func (p *planner) startRound() bool {
	var jobs []*job
	for _, sw := range p.switches {
		if sw.want == nil || sw.have == nil || !sw.refused.IsZero() {
			continue
		}
		var changes flowset.Changes
		if sw.all {
			changes = flowset.Diff(sw.have, sw.want)
		} else {
			changes = flowset.DiffKeys(sw.have, sw.want, slices.Collect(maps.Keys(sw.keys)),
				slices.Collect(maps.Keys(sw.groups)), slices.Collect(maps.Keys(sw.meters))...)
		}
		sw.all = false
		clear(sw.keys)
		clear(sw.groups)
		clear(sw.meters)
		if !changes.Empty() {
			jobs = append(jobs, p.newJob(sw, changes))
			continue
		}
		if sw.node == "" {
			sw.have, sw.want = nil, nil // emptied: from now on it is left alone
		}
		p.accepted(sw)
	}
	if len(jobs) == 0 {
		return false
	}
	p.busy = true
	version, revision, started := p.version, p.revision, time.Now()
	p.beside(func() {
		p.c.carryOut(p.ctx, jobs)
		p.post(p.ctx, func(p *planner) { p.roundDone(jobs, version, revision, started) })
	})
	return true
}

func (p *planner) newJob(sw *swtch, changes flowset.Changes) *job {
	j := &job{sw: sw, session: sw.session, have: sw.have, timeout: p.c.config.CommitTimeout}
	if n := p.world.Node(sw.node); n != nil {
		j.node = *n
	}
	if sw.ports {
		j.node.TunnelPort = 0 // it is on the other bridge
	}
	var overlay pipeline.Overlay
	switch {
	case p.c.config.NoEpochs || sw.node == "":
	case sw.ports:
		overlay = sw.epoch.WholeBridge()
	default:
		overlay = sw.epoch.For(p.world, sw.node, sw.want, changes)
	}
	on, off := overlay.Over(sw.have, sw.want, changes)
	j.phases = pipeline.Phases(on)
	j.off = off
	j.losing, j.need = p.lastWords(sw.node, changes)
	p.c.metrics.changes.Add(float64(changes.Len()))
	return j
}

// carryOut takes all jobs through the phases together.
func (c *Controller) carryOut(ctx context.Context, jobs []*job) {
	sentinels := make(map[*job]uint64)
	c.together(jobs, func(j *job) { j.listen(ctx) })
	for _, phase := range []int{pipeline.PhaseReady, pipeline.PhaseFirst} {
		c.together(jobs, func(j *job) { j.commit(ctx, j.phases[phase]) })
	}
	var gain, others []*job
	for _, j := range jobs {
		if f, ok := pipeline.SentinelFlow(&j.node, c.nextSentinel()); ok && j.matters() {
			sentinels[j] = f.Cookie
		}
		if pipeline.Gains(j.phases[pipeline.PhaseRest]) {
			gain = append(gain, j)
		} else {
			others = append(others, j)
		}
	}
	// The first frames into a cold tunnel are lost: those of a port that arrives, and those that
	// from now on go to a monitor alone.
	if len(gain) > 0 || slices.ContainsFunc(jobs, (*job).diverts) {
		c.tunnels.warmUp(ctx)
	}
	rest := func(j *job) { j.commit(ctx, j.phases[pipeline.PhaseRest], sentinelMessages(j, sentinels[j])...) }
	c.together(gain, rest)
	c.together(others, rest)
	failed := map[*session]bool{}
	for _, j := range jobs {
		failed[j.session] = j.err != nil
	}
	c.together(jobs, func(j *job) {
		if j.matters() {
			c.prove(ctx, j, sentinels[j], failed)
		}
	})
	// Only now does no datapath send any more what the last phase takes away. What was sent before
	// may still be on its way, and a label that meets no flow leaves a megaflow that drops it
	// behind, which would outlive the label's return.
	if slices.ContainsFunc(jobs, func(j *job) bool { return !j.phases[pipeline.PhaseLast].Empty() }) {
		select {
		case <-time.After(underway):
		case <-ctx.Done():
		}
	}
	c.together(jobs, func(j *job) {
		var drop []openflow.Message
		if sentinels[j] != 0 {
			f, _ := pipeline.SentinelFlow(&j.node, 0)
			drop = []openflow.Message{&openflow.FlowMod{Command: openflow.FlowDeleteStrict, Flow: f}}
		}
		j.commit(ctx, pipeline.Join(j.phases[pipeline.PhaseLast], j.off), drop...)
	})
}

// matters reports whether frames that already flow are treated otherwise after the change: it does
// more than tell what a new label means.
func (j *job) matters() bool {
	return !j.phases[pipeline.PhaseRest].Empty() || pipeline.Copies(j.phases[pipeline.PhaseFirst])
}

// diverts reports whether the change begins to take frames to a monitor that gives them back, or takes
// them there from, or to, another node than before.
func (j *job) diverts() bool {
	return slices.ContainsFunc(j.phases[:], pipeline.Diverts)
}

func (c *Controller) together(jobs []*job, f func(*job)) {
	var wg sync.WaitGroup
	for _, j := range jobs {
		wg.Go(func() { f(j) })
	}
	wg.Wait()
}

// commit has the switch carry out changes, and messages besides, in one bundle; meters, which cannot be in
// it, before it or after it.
func (j *job) commit(ctx context.Context, changes flowset.Changes, besides ...openflow.Message) {
	if j.err != nil || changes.Empty() && len(besides) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, j.timeout)
	defer cancel()
	ms := changes.Messages()
	for _, m := range ms {
		// Open vSwitch keeps the counters of a flow that is added in the place of another one:
		// they would count for the wrong object.
		if f, ok := m.(*openflow.FlowMod); ok && f.Command == openflow.FlowAdd {
			f.Flags |= openflow.FlowResetCounts
		}
	}
	conn := j.session.conn
	if j.err = conn.SendAll(ctx, changes.Before()); j.err == nil {
		j.err = conn.Commit(ctx, append(ms, besides...))
	}
	if j.err == nil {
		j.err = conn.SendAll(ctx, changes.After())
	}
	if j.err == nil {
		j.made, j.when = append(j.made, changes), append(j.when, time.Now())
	}
}

// took takes note of what a job's switch now holds; false where it has to be read.
func (p *planner) took(j *job) bool {
	for _, c := range j.made {
		if err := j.sw.have.Apply(c); err != nil {
			p.log.Error("a change did not fit what the switch held", "node", j.node.ID, "error", err)
			return false
		}
	}
	return true
}

// accepted takes note that a switch no longer refuses what is asked of it.
func (p *planner) accepted(sw *swtch) {
	if sw.refusal != "" {
		sw.refusal = ""
		p.stateNode(sw.node)
	}
}

// barrier asks the switch whether it lives.
func (j *job) barrier(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, j.timeout)
	defer cancel()
	j.err = j.session.conn.Barrier(ctx)
}

// roundDone takes note of what came of a round.
func (p *planner) roundDone(jobs []*job, version, revision int64, started time.Time) {
	p.busy = false
	p.c.metrics.round.Observe(time.Since(started).Seconds())
	for _, j := range jobs {
		j.sw.commits++
		sw := j.sw
		p.heed(j)
		if p.switches[j.session.dpid] != sw || sw.want == nil {
			continue // gone
		}
		if known := sw.have == j.have; !known || !p.took(j) { // another node's meanwhile
			sw.have, sw.all = nil, true
			p.read(sw)
			continue
		}
		if j.err == nil {
			p.c.metrics.commits.WithLabelValues("ok").Inc()
			p.accepted(sw)
			continue
		}
		var refused *ofconn.CommitError
		var meter *ofconn.MessageError
		switch {
		case sw.suspicion != "" && errors.As(j.err, &refused):
			// It refers to what somebody took away meanwhile.
			sw.have, sw.all = nil, true
			p.read(sw)
		case errors.As(j.err, &refused), errors.As(j.err, &meter) && !errors.Is(j.err, ofconn.ErrOutcomeUnknown):
			p.c.metrics.commits.WithLabelValues("refused").Inc()
			p.log.Error("the switch refuses a change", "node", j.node.ID, "error", j.err)
			sw.refused, sw.refusal, sw.all = time.Now(), j.err.Error(), true
			p.stateNode(sw.node)
			p.restateTaps(p.world.Taps())
		case p.ctx.Err() == nil:
			p.c.metrics.commits.WithLabelValues("unknown").Inc()
			p.log.Warn("the outcome of a change is unknown; the switch will be read back", "node", j.node.ID, "error", j.err)
			sw.have, sw.all = nil, true
			p.hangUp(sw.session)
		}
	}
	if p.version == version {
		return // step lets go
	}
	for _, sw := range p.switches {
		if sw.want != nil && sw.have == nil {
			return // left behind
		}
	}
	p.restateDue(version)
	p.letGo(revision)
}
