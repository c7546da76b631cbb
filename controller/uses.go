package controller

import (
	"maps"
	"slices"

	"github.com/flowtap/flowtap/flowtap/pipeline"
)

// tunnelUses is which tunnels networks and contracts need. Asking pipeline for all of them costs
// every contract; this costs what a change touches. It belongs to the planner.
type tunnelUses struct {
	nodes  map[string]map[string]int // attachments by network and node
	ofTap  map[string][]pipeline.Tunnel
	taps   map[pipeline.Tunnel]map[string]bool
	meshed map[pipeline.Tunnel]int // networks that join two nodes
}

func newTunnelUses() *tunnelUses {
	return &tunnelUses{nodes: map[string]map[string]int{}, ofTap: map[string][]pipeline.Tunnel{},
		taps: map[pipeline.Tunnel]map[string]bool{}, meshed: map[pipeline.Tunnel]int{}}
}

// place takes note that a port was at some nodes and is at others. It reports whether the
// network reaches other nodes than before.
func (u *tunnelUses) place(p *pipeline.Port, by int) (changed bool) {
	if p == nil || p.Network == "" {
		return false
	}
	for _, a := range p.Status.Attachments {
		at := u.nodes[p.Network]
		if at == nil {
			at = map[string]int{}
			u.nodes[p.Network] = at
		}
		was := at[a.Node]
		at[a.Node] += by
		switch now := at[a.Node]; {
		case was == 0 && now > 0:
			u.mesh(at, a.Node, 1)
			changed = true
		case was > 0 && now == 0:
			delete(at, a.Node)
			u.mesh(at, a.Node, -1)
			changed = true
		}
		if len(at) == 0 {
			delete(u.nodes, p.Network)
		}
	}
	return changed
}

// mesh adds or takes the tunnels between one node of a network and its others.
func (u *tunnelUses) mesh(nodes map[string]int, node string, by int) {
	for other := range nodes {
		if other == node {
			continue
		}
		for _, t := range []pipeline.Tunnel{{From: node, To: other}, {From: other, To: node}} {
			if u.meshed[t] += by; u.meshed[t] == 0 {
				delete(u.meshed, t)
			}
		}
	}
}

// tap looks at a contract anew.
func (u *tunnelUses) tap(w *pipeline.World, id string) {
	now := pipeline.TapTunnels(w, id)
	if slices.Equal(now, u.ofTap[id]) {
		return
	}
	for _, t := range u.ofTap[id] {
		delete(u.taps[t], id)
		if len(u.taps[t]) == 0 {
			delete(u.taps, t)
		}
	}
	delete(u.ofTap, id)
	if len(now) > 0 {
		u.ofTap[id] = now
	}
	for _, t := range now {
		if u.taps[t] == nil {
			u.taps[t] = map[string]bool{}
		}
		u.taps[t][id] = true
	}
}

// all looks at every contract anew.
func (u *tunnelUses) all(w *pipeline.World) {
	for id := range u.ofTap {
		if w.Tap(id) == nil {
			u.tap(w, id)
		}
	}
	for _, id := range w.Taps() {
		u.tap(w, id)
	}
}

// by gives the contracts whose copies take a tunnel.
func (u *tunnelUses) by(t pipeline.Tunnel) []string { return slices.Collect(maps.Keys(u.taps[t])) }

// tunnels gives every tunnel in use.
func (u *tunnelUses) tunnels() map[pipeline.Tunnel]bool {
	in := make(map[pipeline.Tunnel]bool, len(u.meshed)+len(u.taps))
	for t := range u.meshed {
		in[t] = true
	}
	for t := range u.taps {
		in[t] = true
	}
	return in
}

// moved takes note that a port is, or will be, elsewhere; its contracts are looked at again, and
// where its network comes to a node or leaves one, all contracts of that network are.
func (p *planner) moved(old, now *pipeline.Port) {
	// In this order, so that a port that stays leaves its network's nodes as they are.
	came := p.uses.place(now, 1)
	left := p.uses.place(old, -1)
	var ids []string
	for _, port := range []*pipeline.Port{old, now} {
		if port == nil {
			continue
		}
		ids = append(ids, p.world.TapsBy(port.ID)...)
		if !came && !left || port.Network == "" {
			continue
		}
		for _, id := range p.world.Taps() {
			if src := p.world.Port(p.world.Tap(id).Src); src != nil && src.Network == port.Network {
				ids = append(ids, id)
			}
		}
	}
	for _, id := range ids {
		p.mark([]pipeline.Unit{{Kind: pipeline.UnitTap, ID: id}})
	}
	p.restateTaps(ids)
}

// poolMoved has the contracts that lead to a pool looked at again.
func (p *planner) poolMoved(pool string) {
	ids := p.world.TapsToPool(pool)
	for _, id := range ids {
		p.mark([]pipeline.Unit{{Kind: pipeline.UnitTap, ID: id}})
	}
	p.restateTaps(ids)
}
