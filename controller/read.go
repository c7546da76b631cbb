package controller

import (
	"context"
	"time"

	"github.com/flowtap/flowtap/flowtap/pipeline"
	"github.com/flowtap/flowtap/openflow/flowset"
	"github.com/flowtap/flowtap/openflow/ofconn"
)

// readTimeout bounds reading a switch back.
const readTimeout = 30 * time.Second

// A reading is what a switch was found to hold of ours.
type reading struct {
	set     *flowset.Set
	tally   tally // ours
	foreign int   // flows that are not ours
	err     error
}

func readSwitch(ctx context.Context, conn *ofconn.Conn) reading {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	r := reading{set: &flowset.Set{}}
	r.tally.from = time.Now()
	flows, err := conn.DumpFlows(ctx)
	if err != nil {
		return reading{err: err}
	}
	for _, f := range flows {
		if _, _, ours := pipeline.Ours(f.Flow.Cookie); !ours {
			r.foreign++
			continue
		}
		r.set.PutFlow(f.Flow)
		r.tally.flows = append(r.tally.flows, f)
	}
	if r.tally.meters, err = readMeters(ctx, conn, r.tally.flows); err != nil {
		return reading{err: err}
	}
	r.tally.to = time.Now()
	groups, err := conn.DumpGroups(ctx)
	if err != nil {
		return reading{err: err}
	}
	for _, g := range groups {
		if pipeline.OurGroup(g.ID) {
			r.set.PutGroup(g)
		}
	}
	meters, err := conn.DumpMeters(ctx)
	if err != nil {
		return reading{err: err}
	}
	for _, m := range meters {
		if pipeline.OurMeter(m.ID) {
			r.set.PutMeter(m)
		}
	}
	return r
}

// read finds out what a switch holds, after it connected or when an outcome is in doubt.
func (p *planner) read(sw *swtch) {
	if sw.reading { // again then, since this one may have begun too early
		sw.outdated = true
		return
	}
	sw.reading, sw.outdated = true, false
	sw.suspicion = "" // what is reported from now on is new
	p.beside(func() {
		sw.session.changes.watch(p.ctx, sw.session) // before it is read, or something could go unseen
		r := readSwitch(p.ctx, sw.session.conn)
		p.post(p.ctx, func(p *planner) {
			sw.reading = false
			switch {
			case p.switches[sw.session.dpid] != sw || sw.want == nil:
			case r.err != nil:
				p.log.Error("cannot read the switch; closing its connection", "node", sw.node, "error", r.err)
				p.hangUp(sw.session)
			case sw.outdated:
				p.read(sw)
			default:
				p.know(sw, r)
			}
		})
	})
}

// know takes a reading for what the switch holds.
func (p *planner) know(sw *swtch, r reading) {
	sw.have, sw.all = r.set, true
	if left := p.left[sw.session.dpid]; left != nil && sw.commits == 0 {
		p.drifted(sw, flowset.Diff(left, r.set), "while it was not connected")
	}
	delete(p.left, sw.session.dpid)
	if sw.commits == 0 {
		if c := flowset.Diff(r.set, sw.want); !c.Empty() {
			p.log.Info("switch differs from what it should hold", "node", sw.node, "changes", c.Len())
		}
	}
	p.count(sw, r)
	p.restateTaps(p.world.Taps())
}

// count takes the counters of a reading.
func (p *planner) count(sw *swtch, r reading) {
	if sw.node == "" {
		return
	}
	if !sw.ports { // where nothing is counted for anybody
		p.c.counts.take(sw.node, sw.session.dpid, r.tally)
	}
	flows, groups := sw.have.Len()
	if sw.flows != flows || sw.groupCount != groups || sw.foreign != r.foreign {
		sw.flows, sw.groupCount, sw.foreign = flows, groups, r.foreign
		p.stateNode(sw.node)
	}
	p.countTaps()
	p.c.metrics.count(p.c.counts, p.world)
}
