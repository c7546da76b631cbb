package pipeline

import (
	"strings"

	"github.com/flowtap/flowtap/openflow"
)

// Desired gives every flow, group and meter that a node's switch should hold, of two bridges the one
// with the tunnel (PortBridge has the other). Flows come unsorted, no
// two with the same table, priority and match. It is the reference: what incremental updates
// (Part) add up to must equal it.
func Desired(w *World, node string) (flows []openflow.Flow, groups []openflow.Group, meters []openflow.Meter) {
	for _, u := range w.Units() {
		f, g, m := Part(w, node, u)
		flows, groups, meters = append(flows, f...), append(groups, g...), append(meters, m...)
	}
	return flows, groups, meters
}

// Part gives one unit's share of Desired: nothing where the unit, or the node, is no more.
func Part(w *World, node string, u Unit) ([]openflow.Flow, []openflow.Group, []openflow.Meter) {
	n := w.nodes[node]
	if n == nil {
		return nil, nil, nil
	}
	b := &builder{w: w, n: n.folded()}
	switch u.Kind {
	case UnitBase:
		b.base()
	case UnitNetwork:
		if w.networks[u.ID] != nil {
			b.network(u.ID)
		}
	case UnitPort:
		if p := w.ports[u.ID]; p != nil && w.unitOfPort(u.ID) == u {
			b.port(p)
		}
	case UnitMonitor:
		if p := w.ports[u.ID]; p != nil && w.unitOfPort(u.ID) == u {
			b.monitor(p)
		}
	case UnitFlood:
		if w.networks[u.ID] != nil {
			b.flooding(u.ID)
		}
	case UnitTarget:
		if p := w.ports[u.ID]; p != nil {
			b.floodTarget(p)
		}
	case UnitReturn:
		if p := w.ports[u.ID]; p != nil {
			b.comeback(p)
		}
	case UnitCube:
		r := cubeRef{}
		r.network, r.key, _ = strings.Cut(u.ID, "/")
		r.stage, r.key, _ = strings.Cut(r.key, "/")
		b.floodCube(r)
	case UnitPool:
		if p := w.pools[u.ID]; p != nil {
			b.pool(p)
		}
	case UnitTap:
		if t := w.taps[u.ID]; t != nil {
			b.tap(t)
		}
	}
	if n.Split() {
		b.flows, b.groups = n.apart(b.flows, b.groups)
	}
	return b.flows, b.groups, b.meters
}
