package controller

import (
	"context"
	"slices"
	"time"

	"github.com/flowtap/flowtap/flowtap/pipeline"
	"github.com/flowtap/flowtap/openflow"
)

const (
	// sentinelRounds is how many changes of the sentinel must be seen. A sweep of the
	// revalidators that begins before a change may show the first of them early; the third proves
	// a whole sweep after it.
	sentinelRounds = 3
	sentinelEvery  = time.Millisecond
	// sentinelTimeout is how long a proof is waited for. What follows takes labels away, so it is
	// long: a switch short of CPU has been seen to need more than half a second.
	sentinelTimeout = 2 * time.Second
	// sentinelPatience is when a switch that has not proven a change is asked whether it lives.
	sentinelPatience = 300 * time.Millisecond
)

func (c *Controller) nextSentinel() uint32 { return c.sentinels.Add(1) }

func sentinelMessages(j *job, cookie uint64) []openflow.Message {
	if cookie == 0 {
		return nil
	}
	f, _ := pipeline.SentinelFlow(&j.node, 0)
	f.Cookie = cookie
	return []openflow.Message{&openflow.FlowMod{Command: openflow.FlowAdd, Flow: f}}
}

// prove returns when the switch's datapath acts on what has been committed. A barrier does not
// tell: megaflows are revalidated after it. Another node sends frames to a flow that goes to the
// controller and whose cookie changes with each round; the cookie that comes back is the one the
// datapath has. Where no other node can help, the longest time this took anywhere is waited.
func (c *Controller) prove(ctx context.Context, j *job, cookie uint64, failed map[*session]bool) {
	if j.err != nil {
		return
	}
	started := time.Now()
	helpers := slices.DeleteFunc(c.tunnels.helpers(j.session.dpid), func(h helper) bool { return failed[h.session] })
	if cookie != 0 && len(helpers) > 0 {
		if c.proveBySentinel(ctx, j, cookie, helpers) {
			took := time.Since(started)
			c.metrics.proof.Observe(took.Seconds())
			for {
				longest := c.longestProof.Load()
				if int64(took) <= longest || c.longestProof.CompareAndSwap(longest, int64(took)) {
					return
				}
			}
		}
		if j.err != nil || ctx.Err() != nil {
			return
		}
		c.log.Warn("no sentinel came back; waiting instead", "node", j.node.ID)
	}
	wait := max(c.config.SettleTime, min(2*time.Duration(c.longestProof.Load()), sentinelTimeout))
	select {
	case <-time.After(wait):
	case <-ctx.Done():
	}
}

func (c *Controller) proveBySentinel(ctx context.Context, j *job, cookie uint64, helpers []helper) bool {
	ctx, cancel := context.WithTimeout(ctx, sentinelTimeout)
	defer cancel()
	tick := time.NewTicker(sentinelEvery)
	defer tick.Stop()
	patience := time.After(sentinelPatience)
	for round := 0; ; {
		if j.session.sentinel.Load() == cookie {
			if round++; round == sentinelRounds {
				return true
			}
			cookie = pipeline.Cookie(pipeline.KindSentinel, c.nextSentinel())
			if j.session.conn.Send(ctx, sentinelMessages(j, cookie)...) != nil {
				return false
			}
		}
		for _, h := range helpers {
			// One that takes nothing more keeps nobody waiting.
			soon, cancel := context.WithTimeout(ctx, sentinelEvery)
			_ = h.session.conn.Send(soon, &openflow.PacketOut{Data: probeFrame(h.session.dpid, j.session.dpid),
				Actions: pipeline.SendTunnelled(h.node, &j.node, pipeline.LabelSentinel)})
			cancel()
		}
		for waiting := true; waiting; {
			select {
			case <-j.session.sentinelSeen:
				waiting = j.session.sentinel.Load() != cookie // another one with the old cookie
			case <-tick.C:
				waiting = false
			case <-patience:
				if j.barrier(ctx); j.err != nil {
					return false
				}
			case <-ctx.Done():
				return false
			}
		}
	}
}
