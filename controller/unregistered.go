package controller

import (
	"cmp"
	"slices"
	"time"

	"github.com/flowtap/flowtap/openflow"
)

// A Stranger is a connected switch that no node names. It is left as it is.
type Stranger struct {
	DPID    openflow.DPID
	Version string
	Since   time.Time
}

// Unregistered gives the connected switches that no node names, by datapath id.
func (c *Controller) Unregistered() []Stranger {
	known := c.observer.registered.Load()
	var out []Stranger
	for _, s := range c.sessions.list() {
		if known == nil || !(*known)[s.dpid] {
			out = append(out, Stranger{s.dpid, s.conn.Desc().Software, s.since})
		}
	}
	slices.SortFunc(out, func(a, b Stranger) int { return cmp.Compare(a.DPID, b.DPID) })
	return out
}
