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
	// settles is how long what a monitor or a link carries may be measured too late, after something moved.
	settles = 20 * time.Second
)

// A meter makes a rate of a tap's counters: bytes a second of what it gives its monitor.
type meter struct {
	last  flowtap.Counters
	at    time.Time // when they were read; while blank, when the tap was first seen
	blank bool      // nothing was counted yet
	rate  float64
	known bool
}

// next takes a status, and is idle when it stays as it is. Copies have so many bytes at most, 0 being all.
func (m meter) next(st flowtap.TapStatus, truncate int, now time.Time) meter {
	at := time.Time{}
	for _, n := range st.Nodes {
		if n.ReadAt.After(at) {
			at = n.ReadAt
		}
	}
	c := st.Counters
	switch {
	case m.at.IsZero() && at.IsZero():
		return meter{at: now, blank: true}
	case m.at.IsZero(), m.blank && !at.IsZero(), c.MatchedBytes < m.last.MatchedBytes,
		c.MatchedBytes > m.last.MatchedBytes && at.Before(m.at): // the clock was put back
		return meter{last: c, at: at}
	case c.MatchedBytes > m.last.MatchedBytes && at.Sub(m.at) >= countedOver:
		return meter{last: c, at: at, rate: copied(m.last, c, truncate) / at.Sub(m.at).Seconds(), known: true}
	case !m.blank && now.Sub(at) > countedWithin, m.blank && now.Sub(m.at) > countedWithin:
		// Until a while ago nothing more was counted, of which we would know.
		return meter{last: c, at: now.Add(-countedWithin), blank: m.blank, known: true}
	}
	return m // too early
}

// copied is how many bytes of copies were given between two readings.
func copied(was, is flowtap.Counters, truncate int) float64 {
	more := func(was, is uint64) float64 { return float64(is) - float64(was) }
	bytes := more(was.MatchedBytes, is.MatchedBytes) - more(was.DroppedBytes, is.DroppedBytes)
	if truncate > 0 {
		bytes = min(bytes, float64(truncate)*(more(was.MatchedPackets, is.MatchedPackets)-more(was.DroppedPackets, is.DroppedPackets)))
	}
	return max(0, bytes)
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
		node := w.Nodes[one.Node]
		counted := node != nil && node.Status.State == topology.NodeConnected // else counters stay as they are
		sample.Flows = append(sample.Flows, placement.Rates([]placement.Want{one}, p.placed.State, func(t flowtap.Tap) (float64, bool) {
			id := topology.Qualify(project, ftc.TapID(own, t))
			stored := w.Taps[id]
			if stored == nil || stored.Spec.Dst != t.Dst || !counted {
				return 0, false // not yet as it was decided, or not known
			}
			m := p.meters[id].next(stored.Status, t.Truncate, now)
			meters[id] = m
			return m.rate, m.known
		})...)
	}
	p.meters = meters
	loads, err := p.loads.Without(func(id string) bool { return !ids[id] }).Add(sample, rateTau)
	if err != nil { // the clock went back
		loads = p.loads
	}
	b := p.besides(w, loads, now)
	p.others = b.others
	return loads.With(nodesOf(w, b), monitorsOf(w, b))
}

// besides tells what of measured rates, bytes a second, is by nothing that is placed.
type besides struct {
	placed         map[placement.Resource]float64 // by rates of flows
	before, others map[placement.Resource]float64
	unsettled      func(placement.Resource) bool
}

func (p *placer) besides(w *World, loads placement.Loads, now time.Time) *besides {
	b := &besides{placed: map[placement.Resource]float64{}, before: p.others, others: map[placement.Resource]float64{},
		unsettled: func(r placement.Resource) bool {
			at, moved := p.moved[r]
			return moved && now.Sub(at) < settles
		}}
	for id, held := range p.placed.State.Flows {
		node, rates := loads.Rates(id)
		for i, h := range held {
			if i >= len(rates) {
				break
			}
			for _, r := range carriers(w, node, h.Monitor) {
				b.placed[r] += rates[i]
			}
		}
	}
	return b
}

// carriers are what carries a flow from its target's node to its monitor: the monitor, and where they are apart, two links.
func carriers(w *World, node, monitor string) []placement.Resource {
	m := w.Ports[monitor]
	if m == nil {
		return nil
	}
	out := []placement.Resource{{Kind: placement.OfMonitor, ID: monitor}}
	if m.Status.Node != node {
		out = append(out, placement.Resource{Kind: placement.OfSent, ID: node}, placement.Resource{Kind: placement.OfRecv, ID: m.Status.Node})
	}
	return out
}

// of gives the part of a measured rate. A measurement shows a move late, so for a while after one the part is what it was.
func (b *besides) of(kind, id string, measured float64) float64 {
	r := placement.Resource{Kind: kind, ID: id}
	part, known := b.before[r]
	if !known || !b.unsettled(r) {
		part = max(0, measured-b.placed[r])
	}
	b.others[r] = part
	return part
}

// noteMoves remembers where flows have just moved.
func (p *placer) noteMoves(w *World, now time.Time) {
	moved := map[placement.Resource]time.Time{}
	for r, at := range p.moved {
		if now.Sub(at) < settles {
			moved[r] = at
		}
	}
	for _, m := range p.placed.Moves {
		if m.From == "" {
			continue
		}
		node, _ := p.loads.Rates(m.Flow)
		for _, monitor := range []string{m.From, m.To} {
			for _, r := range carriers(w, node, monitor) {
				moved[r] = now
			}
		}
	}
	p.moved = moved
}

// monitorsOf gives all monitors. Those of the project default are the provider's.
func monitorsOf(w *World, b *besides) (out []placement.Monitor) {
	for id, p := range w.Ports {
		if p.Spec.Kind != topology.KindMonitor {
			continue
		}
		m := placement.Monitor{ID: id, Node: p.Status.Node, Provider: topology.ProjectOf(id) == topology.DefaultProject,
			Down: p.Status.State != topology.PortActive && p.Status.State != topology.PortMigrating}
		if l := p.Status.Monitor; l != nil {
			m.Capacity, m.Share = l.Capacity, l.Share
			m.CPU, m.Received = placement.Figure{Value: l.CPU, At: l.At}, placement.Figure{Value: l.Received, At: l.At}
			m.Learned = placement.Learned{Idle: l.Idle, Bears: l.Bears}
			m.Other = b.of(placement.OfMonitor, id, l.Received)
		}
		out = append(out, m)
	}
	return out
}

// nodesOf gives all nodes. Of what a link carries, copies are taken off: they are what is to be placed.
func nodesOf(w *World, b *besides) (out []placement.Node) {
	for id, n := range w.Nodes {
		node := placement.Node{ID: id}
		if l := n.Status.Load; l != nil {
			if !l.At.IsZero() {
				node.CPU = placement.Figure{Value: l.CPU, At: l.At}
			}
			if !l.LinkAt.IsZero() {
				node.Link = l.Link
				node.Sent = placement.Figure{Value: b.of(placement.OfSent, id, l.Sent), At: l.LinkAt}
				node.Received = placement.Figure{Value: b.of(placement.OfRecv, id, l.Received), At: l.LinkAt}
			}
		}
		out = append(out, node)
	}
	return out
}
