package policy

import (
	"time"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/flowtap/ftc"
	"github.com/flowtap/flowtap/flowtap/placement"
	"github.com/flowtap/flowtap/topology"
)

const (
	// rateTau is the time constant by which rates of flows are smoothed; what nodes and monitors say is smoothed already.
	rateTau = 5 * time.Second
	// countedWithin is how long after it was counted a status may say so: one that is older has counted nothing since.
	countedWithin = 10 * time.Second
	// countedOver is over which time counters make a rate at least: switches add theirs up twice a second.
	countedOver = 2 * time.Second
)

// A meter makes a rate of a tap's counters.
type meter struct {
	bytes uint64
	at    time.Time // when they were read; while blank, when the tap was first seen
	blank bool      // nothing was counted yet
	rate  float64
	known bool
}

// next takes a status, and is idle when it stays as it is.
func (m meter) next(st flowtap.TapStatus, now time.Time) meter {
	at := time.Time{}
	for _, n := range st.Nodes {
		if n.ReadAt.After(at) {
			at = n.ReadAt
		}
	}
	bytes := st.Counters.MatchedBytes
	switch {
	case m.at.IsZero() && at.IsZero():
		return meter{at: now, blank: true}
	case m.at.IsZero(), m.blank && !at.IsZero(), bytes < m.bytes:
		return meter{bytes: bytes, at: at}
	case bytes > m.bytes && at.Sub(m.at) >= countedOver:
		return meter{bytes: bytes, at: at, rate: float64(bytes-m.bytes) / at.Sub(m.at).Seconds(), known: true}
	case bytes > m.bytes:
		return m // too early
	case now.Sub(m.at) > countedWithin:
		m.rate, m.known = 0, true
	}
	return m
}

// measure gives what is known of nodes, monitors and flows.
func (p *placer) measure(w *World, wants []placement.Want, now time.Time) placement.Loads {
	meters := map[string]meter{}
	policyOf := map[string]string{}
	for policy, some := range p.wants {
		for _, one := range some {
			policyOf[one.ID] = policy
		}
	}
	ids := map[string]bool{}
	sample := placement.Sample{At: now}
	for _, one := range wants {
		ids[one.ID] = true
		project, own := topology.SplitID(policyOf[one.ID])
		sample.Flows = append(sample.Flows, placement.Rates([]placement.Want{one}, p.placed.State, func(t flowtap.Tap) (float64, bool) {
			id := topology.Qualify(project, ftc.TapID(own, t))
			stored := w.Taps[id]
			if stored == nil || stored.Spec.Dst != t.Dst {
				return 0, false // not yet as it was decided
			}
			m := p.meters[id].next(stored.Status, now)
			meters[id] = m
			return m.rate, m.known
		})...)
	}
	p.meters = meters
	loads, err := p.loads.Without(func(id string) bool { return !ids[id] }).Add(sample, rateTau)
	if err != nil { // the clock went back
		loads = p.loads
	}
	return loads.With(nodesOf(w, loads, p.placed.State), monitorsOf(w))
}

// monitorsOf gives all monitors. Those of the project default are the provider's.
func monitorsOf(w *World) (out []placement.Monitor) {
	for id, p := range w.Ports {
		if p.Spec.Kind != topology.KindMonitor {
			continue
		}
		m := placement.Monitor{ID: id, Node: p.Status.Node, Provider: topology.ProjectOf(id) == topology.DefaultProject,
			Down: p.Status.State != topology.PortActive && p.Status.State != topology.PortMigrating}
		if l := p.Status.Monitor; l != nil {
			m.Capacity, m.Share = l.Capacity, l.Share
			m.CPU, m.Received = placement.Figure{Value: l.CPU, At: l.At}, placement.Figure{Value: l.Received, At: l.At}
		}
		out = append(out, m)
	}
	return out
}

// nodesOf gives all nodes. Of what a link carries, copies are taken off: they are what is to be placed.
func nodesOf(w *World, loads placement.Loads, s placement.State) (out []placement.Node) {
	sent, received := map[string]float64{}, map[string]float64{}
	for id, held := range s.Flows {
		node, rates := loads.Rates(id)
		for i, h := range held {
			if m := w.Ports[h.Monitor]; m != nil && i < len(rates) && m.Status.Node != node {
				sent[node] += rates[i]
				received[m.Status.Node] += rates[i]
			}
		}
	}
	for id, n := range w.Nodes {
		node := placement.Node{ID: id}
		if l := n.Status.Load; l != nil {
			if !l.At.IsZero() {
				node.CPU = placement.Figure{Value: l.CPU, At: l.At}
			}
			if !l.LinkAt.IsZero() {
				node.Link = l.Link
				node.Sent = placement.Figure{Value: max(0, l.Sent-sent[id]), At: l.LinkAt}
				node.Received = placement.Figure{Value: max(0, l.Received-received[id]), At: l.LinkAt}
			}
		}
		out = append(out, node)
	}
	return out
}
