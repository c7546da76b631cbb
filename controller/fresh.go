package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/flowtap/flowtap/flowtap/pipeline"
	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/flowset"
	"github.com/flowtap/flowtap/openflow/ofconn"
	"github.com/flowtap/flowtap/topology"
)

// ReadCounters has the switches concerned by a tap asked for its counters now, and returns when they
// are in its status. It returns early with ctx's error; other errors name the node that could not be
// asked, and the counters of the others are in the status then. A tap that the controller does not
// know yet has none.
func (c *Controller) ReadCounters(ctx context.Context, tap string) error {
	answer := make(chan freshAsked, 1)
	c.planner.post(ctx, func(p *planner) { answer <- p.askFresh(tap) })
	var asked freshAsked
	select {
	case asked = <-answer:
	case <-ctx.Done():
		return ctx.Err()
	}
	errs := make([]error, len(asked.of))
	var wg sync.WaitGroup
	for i, of := range asked.of {
		wg.Go(func() {
			if of.session == nil {
				errs[i] = fmt.Errorf("node %s is not connected", of.node)
				return
			}
			err := addUp(ctx, of.session.conn, c.config.SettleTime)
			var t tally
			if err == nil {
				t, err = readTaps(ctx, of.session.conn, []uint32{asked.num})
			}
			if err != nil {
				errs[i] = fmt.Errorf("node %s: %w", of.node, err)
				return
			}
			c.planner.post(ctx, func(p *planner) {
				if sw := p.switches[of.session.dpid]; sw != nil && sw.node == of.node {
					p.c.counts.take(of.node, of.session.dpid, t)
				}
			})
		})
	}
	wg.Wait()
	written := make(chan struct{})
	c.planner.post(ctx, func(p *planner) { p.countTaps(); close(written) })
	select {
	case <-written:
		c.statuses.flushTap(ctx, tap)
	case <-ctx.Done():
	}
	return errors.Join(append(errs, ctx.Err())...)
}

// freshAsked is a tap's number and the switches to ask.
type freshAsked struct {
	num uint32
	of  []asked
}

type asked struct {
	node    string
	session *session // nil: not connected
}

func (p *planner) askFresh(tap string) (f freshAsked) {
	r := p.taps[tap]
	if r == nil {
		return f
	}
	f.num = r.num
	for _, id := range pipeline.TapNodes(p.world, tap) {
		n := p.world.Node(id)
		if n == nil {
			continue
		}
		a := asked{node: id}
		if sw := p.bridge(id, n.Pipeline()); sw != nil {
			a.session = sw.session
		}
		f.of = append(f.of, a)
	}
	return f
}

// addUp has a switch bring the counters of its flows up to date. Open vSwitch adds up what its datapath
// counted at least every half second, and after each change of flows: so a change that comes to
// nothing, and the time that adding up takes.
func addUp(ctx context.Context, conn *ofconn.Conn, need time.Duration) error {
	if err := conn.Commit(ctx, nothing()); err != nil || need == 0 {
		return err
	}
	select {
	case <-time.After(need):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// readTaps reads the flows and meters that count for some taps.
func readTaps(ctx context.Context, conn *ofconn.Conn, taps []uint32) (t tally, err error) {
	t.from, t.taps = time.Now(), taps
	for _, num := range taps {
		for _, kind := range append(slices.Clone(tapKinds), pipeline.KindLimit) {
			// Open vSwitch finds whole cookies without looking at every flow.
			flows, err := conn.FlowStats(ctx, openflow.FlowFilter{Table: openflow.TableAll, Cookie: pipeline.Cookie(kind, num), CookieMask: 1<<64 - 1})
			if err != nil {
				return t, err
			}
			t.flows = append(t.flows, flows...)
		}
	}
	t.meters, err = readMeters(ctx, conn, t.flows)
	t.to = time.Now()
	return t, err
}

// noPort is an input port number that no switch has. Open vSwitch has none from 0xff00 on, and takes
// no flows for those.
const noPort = 65001

// nothing adds a flow and takes it away in one bundle.
func nothing() []openflow.Message {
	f := openflow.Flow{Table: pipeline.TableClassify, Cookie: pipeline.Cookie(pipeline.KindSentinel, 0),
		Match: openflow.Match{openflow.Uint(openflow.FieldInPort, noPort)}}
	return []openflow.Message{&openflow.FlowMod{Flow: f}, &openflow.FlowMod{Command: openflow.FlowDeleteStrict, Flow: f}}
}

// readMeters reads the meters that flows use.
func readMeters(ctx context.Context, conn *ofconn.Conn, flows []openflow.FlowStats) ([]openflow.MeterStats, error) {
	for i := range flows {
		if flows[i].Flow.Meter != 0 {
			return conn.MeterStats(ctx, openflow.MeterAll)
		}
	}
	return nil, nil
}

// manyTaps is how many taps are asked for one by one.
const manyTaps = 32

// lastWords gives the taps whose counting flows, or meters, a change takes away from a node's switch, unless
// the taps themselves go, and how long the switch needs to add up what they counted. What a port that
// has left counted is added up already. Most switches need a fraction of the time in which all have acted.
func (p *planner) lastWords(node string, c flowset.Changes) (taps []uint32, need time.Duration) {
	seen := map[uint32]bool{}
	add := func(num uint32) {
		known := p.c.counts.taps[num]
		if known == nil || seen[num] {
			return
		}
		seen[num] = true
		taps = append(taps, num)
		if p.attached(known.id, node) {
			need = p.c.config.SettleTime / 2
		}
	}
	for _, flows := range [][]openflow.Flow{c.FlowDelete, c.FlowReplace} {
		for i := range flows {
			kind, num, _ := pipeline.Ours(flows[i].Cookie)
			if ofTap(kind) && counted(kind) || kind == pipeline.KindLimit {
				add(num)
			}
		}
	}
	for _, m := range c.MeterModify { // counts anew then
		if num, ok := pipeline.OfMeter(m.ID); ok {
			add(num)
		}
	}
	return taps, need
}

// attached reports whether a tap's target is on a node.
func (p *planner) attached(tap, node string) bool {
	t := p.world.Tap(tap)
	if t == nil || p.world.Port(t.Src) == nil {
		return false
	}
	return slices.ContainsFunc(p.world.Port(t.Src).Status.Attachments, func(a topology.Attachment) bool { return a.Node == node })
}

// listen reads what flows counted that the job is about to take away. A switch that refuses to tell
// is not kept from changing; one that does not answer at all has not answered the job.
func (j *job) listen(ctx context.Context) {
	if len(j.losing) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, j.timeout)
	defer cancel()
	err := addUp(ctx, j.session.conn, j.need)
	switch {
	case err != nil:
	case len(j.losing) <= manyTaps:
		j.heard, err = readTaps(ctx, j.session.conn, j.losing)
	default:
		r := readSwitch(ctx, j.session.conn)
		j.heard, err = r.tally, r.err
	}
	if err == nil {
		return
	}
	j.heard, j.unheard = tally{}, err
	if ctx.Err() != nil || j.session.conn.Err() != nil {
		j.err = err
	}
}

// heed adds what a job heard, and takes note of the flows that are no more.
func (p *planner) heed(j *job) {
	node, dpid := j.node.ID, j.session.dpid
	if node == "" {
		return
	}
	if j.unheard != nil && j.err == nil {
		p.log.Error("the switch does not tell what its flows counted before they go", "node", node, "error", j.unheard)
	}
	if !j.heard.to.IsZero() {
		p.c.counts.take(node, dpid, j.heard)
	}
	for i, c := range j.made {
		p.c.counts.ended(node, dpid, c.FlowDelete, j.when[i])
		p.c.counts.ended(node, dpid, c.FlowReplace, j.when[i])
	}
	if len(j.losing) > 0 {
		p.countTaps()
	}
}

// flushTap waits until a tap's status, as given so far, is in the store, or ctx ends.
func (w *statusWriter) flushTap(ctx context.Context, id string) {
	stop := context.AfterFunc(ctx, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.idle.Broadcast()
	})
	defer stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	for ctx.Err() == nil {
		if _, waits := w.taps[id]; !waits && !w.busy["taps/"+id] {
			return
		}
		w.idle.Wait()
	}
}
