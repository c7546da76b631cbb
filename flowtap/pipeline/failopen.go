package pipeline

import (
	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/topology"
)

// A redirect with fail_mode open lets its flow pass while the monitor cannot be reached. Where the
// monitor is attached to the target's own switch, that switch sees its port go down and needs nobody:
// a fast-failover group (OpenFlow 1.3.5 section 5.6.1). Elsewhere the group is changed when the
// tunnel there, or back, is known to be dead (PutTunnel), or the monitor is nowhere.

// A bypass is where a frame goes on that passes its monitor by, and the range of the groups for it.
type bypass struct {
	groups openflow.GroupID
	next   openflow.TableID
}

var (
	passOut     = bypass{groupPassOut, TableForward}
	passIn      = bypass{groupPassIn, TableOutput}
	passFlooded = bypass{groupPassFlooded, TableOutput} // the monitor has its copy from elsewhere
)

// away gives the actions that take a redirected frame to the monitor.
func (b *builder) away(t *Tap, pass bypass) []openflow.Action {
	network := b.w.networkOf(t)
	switch {
	case t.FailMode == flowtap.FailOpen && t.DstPool == "":
		return []openflow.Action{openflow.ApplyGroup{ID: pass.groups + openflow.GroupID(b.w.labels[ViaLabel(network, t.Dst)])}}
	case pass == passFlooded:
		return nil
	}
	return b.tagged(network, t.Dst, false, openflow.ApplyGroup{ID: copyGroup(b.w.labels[MonitorLabel(t.Dst)])})
}

// bypasses makes the groups of a network's redirects to a monitor that fail open.
func (b *builder) bypasses(p *Port, here openflow.PortNo, label uint32, network string, via uint32) {
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
		b.groups = append(b.groups, openflow.Group{ID: pass.groups + openflow.GroupID(via), Type: openflow.GroupTypeFastFailover, Buckets: append(buckets, past)})
	}
}

// serves reports whether a monitor can be reached from a node, and its frames come back there.
func (w *World) serves(node string, m *Port) bool {
	entrance := w.ports[w.entranceOf(m.ID)]
	up := func(p *Port) bool { return p != nil && p.Status.Node != "" && p.Status.State != topology.PortDown }
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
	for monitor := range w.opens {
		entrance := w.ports[w.entranceOf(monitor)]
		if m := w.ports[monitor]; m != nil && m.Status.Node == t.To || entrance != nil && entrance.Status.Node == t.From {
			units = append(units, Unit{UnitMonitor, monitor})
		}
	}
	return units
}

// PassesUnmonitored reports whether a redirect lets its flow pass because its monitor is away.
func PassesUnmonitored(w *World, id string) bool {
	t := w.taps[id]
	if t == nil || t.FailMode != flowtap.FailOpen || t.DstPool != "" || !w.diverts(t) {
		return false
	}
	src, m := w.ports[t.Src], w.ports[t.Dst]
	return src.Status.Node != "" && (m == nil || !w.serves(src.Status.Node, m))
}
