package controller

import (
	"context"
	"time"

	"github.com/flowtap/flowtap/openflow"
)

// portInterval is the time between two readings of the counters of a switch's ports (OpenFlow 1.3.5 §7.3.5.6).
const portInterval = 2 * time.Second

// pollPorts reads the ports' counters of each node's switches, where somebody asks.
func (p *planner) pollPorts() {
	now := time.Now()
	for _, sw := range p.switches {
		if p.c.counted == nil || sw.node == "" || sw.have == nil || sw.polling || now.Before(sw.pollsAfter) {
			continue
		}
		sw.polling, sw.pollsAfter = true, now.Add(portInterval)
		p.beside(func() {
			ctx, cancel := context.WithTimeout(p.ctx, readTimeout)
			stats, err := sw.session.conn.PortStats(ctx, openflow.PortAny)
			cancel()
			at := time.Now()
			p.post(p.ctx, func(p *planner) {
				sw.polling = false
				if err != nil || p.switches[sw.session.dpid] != sw || sw.node == "" {
					return // what is wrong with it is found otherwise; figures grow stale meanwhile
				}
				byNo := make(map[openflow.PortNo]openflow.PortStats, len(stats))
				for _, s := range stats {
					byNo[s.Port] = s
				}
				named := make(map[string]openflow.PortStats, len(stats))
				for name, no := range sw.ifaces {
					if s, ok := byNo[no]; ok && int64(s.RxBytes) >= 0 && int64(s.TxBytes) >= 0 { // #nosec G115 -- all ones is "not kept"
						named[name] = s
					}
				}
				p.c.counted(sw.node, at, named)
			})
		})
	}
}
