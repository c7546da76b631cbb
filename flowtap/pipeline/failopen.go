package pipeline

import (
	"fmt"
	"slices"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/topology"
)

// A redirect with fail_mode open lets its flow pass while the monitor cannot be reached. Where the
// monitor is attached to the target's own switch, that switch sees its port go down and needs nobody:
// a fast-failover group (OpenFlow 1.3.5 section 5.6.1). Elsewhere the group is changed when the
// tunnel there, or back, is known to be dead (PutTunnel), or the monitor is nowhere.

//
// A redirect to a spread pool does so while no member serves. Which member has a frame is settled alike
// on all nodes; where that one cannot be reached from a node, its frames pass it by there.

// A bypass is where a frame goes on that passes its monitor by, the range of the groups for it, and how
// spread is told of it.
type bypass struct {
	groups openflow.GroupID
	next   openflow.TableID
	how    uint32
}

var (
	passOut     = bypass{groupPassOut, TableForward, howOpenOut}
	passIn      = bypass{groupPassIn, TableOutput, howOpenIn}
	passFlooded = bypass{groupPassFlooded, TableOutput, howOpenFlooded} // the monitor has its copy from elsewhere
)

// away gives the actions that take a redirected frame to the monitor.
func (b *builder) away(t *Tap, pass bypass) []openflow.Action {
	network, pool := b.w.networkOf(t), b.w.spreadOf(t)
	switch open := t.FailMode == flowtap.FailOpen; {
	case open && pool != nil:
		return b.spread(pool, pass.how)
	case open:
		return []openflow.Action{openflow.ApplyGroup{ID: b.bypassGroup(pass, network, t.Dst)}}
	case pass == passFlooded:
		return nil
	case pool != nil:
		return b.spread(pool, howDivert)
	}
	return b.tagged(network, t.Dst, false, openflow.ApplyGroup{ID: copyGroup(b.w.labels[MonitorLabel(t.Dst)])})
}

func (b *builder) bypassGroup(pass bypass, network, monitor string) openflow.GroupID {
	return pass.groups + openflow.GroupID(b.w.labels[ViaLabel(network, monitor)])
}

// opened gives the networks of this node whose redirects to a monitor fail open, sorted.
func (b *builder) opened(p *Port) (networks []string) {
	for _, n := range sortedKeys(b.w.opens[p.ID]) {
		if b.w.labels[NetworkLabel(n)] != 0 && b.w.labels[ViaLabel(n, p.ID)] != 0 && b.w.here(n, b.n.ID) && b.w.numbered(n, p.ID) {
			networks = append(networks, n)
		}
	}
	return networks
}

// bypasses makes the groups of a network's redirects to a monitor that fail open.
func (b *builder) bypasses(p *Port, here openflow.PortNo, label uint32, network string) {
	for _, pass := range []bypass{passOut, passIn, passFlooded} {
		var buckets []openflow.Bucket
		for _, first := range b.towards(p, here, label) {
			if !b.w.serves(b.n.ID, p) {
				break
			}
			if first.Actions = b.tagged(network, p.ID, false, first.Actions...); pass == passFlooded {
				first.Actions = nil
			}
			if first.WatchGroup = groupAlive; p.Status.Node == b.n.ID {
				first.WatchPort, first.WatchGroup = here, openflow.GroupAny
			}
			buckets = append(buckets, first)
		}
		past := bucket(openflow.Resubmit{Port: openflow.PortInPort, Table: pass.next})
		past.WatchGroup = groupAlive
		b.groups = append(b.groups, openflow.Group{ID: b.bypassGroup(pass, network, p.ID), Type: openflow.GroupTypeFastFailover, Buckets: append(buckets, past)})
	}
}

// serves reports whether a monitor can be reached from a node, and its frames come back there.
func (w *World) serves(node string, m *Port) bool {
	entrance := w.ports[w.entranceOf(m.ID)]
	up := func(p *Port) bool { return p != nil && p.Status.Node != "" && !p.Status.LinkDown() }
	return up(m) && up(entrance) && !w.dead[Tunnel{node, m.Status.Node}] && !w.dead[Tunnel{entrance.Status.Node, node}]
}

// PutTunnel notes whether a tunnel that was seen to work has stopped. One that nothing is known of
// counts as working, so that a controller that starts changes nothing.
func (w *World) PutTunnel(t Tunnel, dead bool) (units []Unit) {
	if w.dead[t] == dead {
		return nil
	}
	if delete(w.dead, t); dead {
		w.dead[t] = true
	}
	concerns := func(monitor string) bool {
		m, entrance := w.ports[monitor], w.ports[w.entranceOf(monitor)]
		return m != nil && m.Status.Node == t.To || entrance != nil && entrance.Status.Node == t.From
	}
	for monitor := range w.opens {
		if concerns(monitor) {
			units = append(units, Unit{UnitMonitor, monitor})
		}
	}
	for monitor, pools := range w.poolsOf {
		if concerns(monitor) {
			for id := range pools {
				units = append(units, Unit{UnitPool, id})
			}
		}
	}
	return units
}

// reached reports whether a member of a spread pool can be reached, and what is redirected to it comes back, from any other
// node with targets of the pool's contracts, if there is one. It is the same for all nodes.
func (w *World) reached(p *Pool, m *Port) bool {
	var entrance *Port // where anything comes back
	for n := range w.tapped[PoolLabel(p.ID)] {
		if len(w.diverted[n][m.ID]) > 0 {
			if entrance = w.ports[m.entrance()]; entrance == nil || entrance.Status.Node == "" || entrance.Status.LinkDown() {
				return false
			}
		}
	}
	if len(w.dead) == 0 {
		return true
	}
	others := false
	for id := range w.nodes {
		if id == m.Status.Node || !w.targetsOn(p, id) {
			continue
		}
		if !w.dead[Tunnel{id, m.Status.Node}] && (entrance == nil || !w.dead[Tunnel{entrance.Status.Node, id}]) {
			return true
		}
		others = true
	}
	return !others
}

// targetsOn reports whether a node, as far as anybody knows, has ports of networks whose contracts lead to a pool.
func (w *World) targetsOn(p *Pool, node string) bool {
	for n := range w.tapped[PoolLabel(p.ID)] {
		for _, o := range w.present[presence{n, node}] {
			if slices.ContainsFunc(o.Status.Attachments, func(a topology.Attachment) bool { return a.Node == node && !a.Lost }) {
				return true
			}
		}
	}
	return false
}

// passesUnmonitored says why a redirect lets its flow, or a part of it, pass: its monitor is away, or no
// member of its pool serves, or one cannot be reached from where the target is; "" if it does not.
func passesUnmonitored(w *World, t *Tap) (why string) {
	if t.FailMode != flowtap.FailOpen || !w.diverts(t) {
		return ""
	}
	src := w.ports[t.Src]
	if src.Status.Node == "" {
		return ""
	}
	away := func(monitor string) bool {
		m := w.ports[monitor]
		return m == nil || !w.serves(src.Status.Node, m)
	}
	if t.DstPool == "" {
		if !away(t.Dst) {
			return ""
		}
		return fmt.Sprintf("monitor %s cannot be reached; the flow passes unmonitored, since fail_mode is open", t.Dst)
	}
	slicesOf, lost, which := Slices(w.serving(w.pools[t.DstPool])), 0, ""
	for _, m := range slicesOf {
		if m == "" || away(m) {
			lost, which = lost+1, m
		}
	}
	switch {
	case lost == 0:
		return ""
	case lost == SlicesOfPool:
		return fmt.Sprintf("no member of pool %s can be reached; the flow passes unmonitored, since fail_mode is open", t.DstPool)
	}
	return fmt.Sprintf("monitor %s cannot be reached from node %s; %d of %d slices of the flow pass unmonitored, since fail_mode is open", which, src.Status.Node, lost, SlicesOfPool)
}
