package pipeline

import (
	"strings"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/topology"
)

// A Unit is a part of a switch's flows that is recomputed as a whole. What a switch should hold
// is the union of its units, no two of which make the same flow or group; so a change to the
// world costs its units, not the world.
type Unit struct {
	Kind UnitKind
	ID   string
}

// UnitKind says what a unit's ID names.
type UnitKind uint8

// Kinds of unit.
const (
	UnitEverything UnitKind = iota // not a unit: every unit may have changed
	UnitBase                       // what every switch holds; no id
	UnitNetwork                    // labels, groups of members
	UnitPort                       // a VM's or gateway's port: its place, guard, forwarding
	UnitMonitor                    // a monitor's port: delivery and its group of copies
	UnitTap                        // a contract's flows at its target, and its rate
	UnitFlood                      // a network's flooding and the order in which contracts on it are looked up
	UnitTarget                     // a port's contracts on flooded frames, as far as decided for it alone
	UnitReturn                     // what comes back from monitors of a port's redirects, and what is flooded to it
	UnitPool                       // a pool's group of copies, or its slices
	UnitCube                       // contracts on flooded frames that are decided together: network/stage/match
)

// Units gives every unit of the world, for a recomputation of everything.
func (w *World) Units() []Unit {
	us := make([]Unit, 0, 1+len(w.networks)+len(w.ports)+len(w.taps))
	us = append(us, Unit{Kind: UnitBase})
	for _, id := range sortedKeys(w.networks) {
		us = append(us, Unit{UnitNetwork, id}, Unit{UnitFlood, id})
	}
	for _, id := range sortedKeys(w.pools) {
		us = append(us, Unit{UnitPool, id})
	}
	for _, id := range sortedKeys(w.ports) {
		us = append(us, w.unitOfPort(id))
		if h := w.holds[id]; h != nil {
			us = append(us, Unit{UnitTarget, id}, Unit{UnitReturn, id})
		}
	}
	for _, network := range sortedKeys(w.floods) {
		for _, name := range sortedKeys(w.floods[network].stages) {
			for _, key := range sortedKeys(w.floods[network].stages[name].cubes) {
				us = append(us, unitOfCube(cubeRef{network, name, key}))
			}
		}
	}
	for _, id := range sortedKeys(w.taps) {
		us = append(us, Unit{UnitTap, id})
	}
	return us
}

func (w *World) unitOfPort(id string) Unit {
	if p := w.ports[id]; p != nil && p.Kind == topology.KindMonitor {
		return Unit{UnitMonitor, id}
	}
	return Unit{UnitPort, id}
}

// unitsOfPort gives what a port has a part in, and what those have a part in who are said to be
// at the same place.
func (w *World) unitsOfPort(p *Port) []Unit {
	if p == nil {
		return nil
	}
	us := w.unitsOfOne(p)
	for _, a := range p.Status.Attachments {
		for _, o := range w.at[spot{a.Node, a.OFPort}] {
			if o.ID != p.ID {
				us = append(us, w.unitsOfOne(o)...)
			}
		}
	}
	return us
}

// unitsOfOne gives a port's own unit, the flooding of its network, the contracts on it or towards
// it, those that name it, and the other members that share an address or depend on it.
func (w *World) unitsOfOne(p *Port) []Unit {
	us := []Unit{{UnitPort, p.ID}, {UnitMonitor, p.ID}, {UnitReturn, p.ID}}
	if p.Network != "" {
		us = append(us, Unit{UnitNetwork, p.Network})
		us = append(us, w.unitsOfFlood(p)...)
		us = append(us, w.unitsOfAnonymous(p.Network)...)
		for id := range w.pools {
			if len(w.dead) > 0 && w.tapped[PoolLabel(id)][p.Network] > 0 { // from where its members are reached
				us = append(us, Unit{UnitPool, id})
			}
		}
	} else {
		us = append(us, w.unitsOfTransit(p.ID)...)
		for monitor := range w.arms[p.ID] {
			us = append(us, w.unitsOfTransit(monitor)...)
		}
		if p.Tag == topology.TagVLAN {
			for id, t := range w.tapsTo(p.ID) {
				us = append(append(us, Unit{UnitTap, id}, Unit{UnitPort, t.Src}, Unit{UnitReturn, t.Src}), w.unitsOfFloods(w.networkOf(t))...)
			}
		}
		for pool := range w.poolsOf[p.ID] {
			us = append(us, Unit{UnitPool, pool})
		}
	}
	us = append(us, w.unitsNaming(p.ID)...)
	for id, t := range w.tapsBySrc[p.ID] {
		us = append(us, Unit{UnitTap, id})
		us = append(us, w.unitsOfMonitors(t)...)
		for _, m := range w.monitorsOf(t) {
			if len(w.diverted[p.Network][m]) == 1 { // the first or last redirect of the network there
				us = append(us, w.unitsOfTransit(m)...)
			}
		}
	}
	for _, a := range p.uses() {
		for id := range w.using[a] {
			us = append(us, Unit{UnitPort, id}, Unit{UnitReturn, id})
			us = append(us, w.unitsNaming(id)...)
		}
	}
	if !w.alone(p) {
		return us
	}
	// The first or last member of a network on a node brings or takes all that leads to the others.
	us = append(us, w.unitsOfFloods(p.Network)...)
	for id, m := range w.members[p.Network] {
		us = append(us, Unit{UnitPort, id})
		for tap, t := range w.tapsBySrc[m.ID] {
			if us = append(us, w.unitsOfMonitors(t)...); t.limited() {
				us = append(us, Unit{UnitTap, tap})
			}
		}
	}
	return us
}

// unitsNaming gives the contracts that name a port as in_port.
func (w *World) unitsNaming(port string) (us []Unit) {
	for id, t := range w.naming[port] {
		us = append(us, Unit{UnitTap, id}, Unit{UnitTarget, t.Src}, Unit{UnitReturn, t.Src})
	}
	return us
}

// alone reports whether a port is, or may be, the only member of its network on some node.
func (w *World) alone(p *Port) bool {
	for _, a := range p.Status.Attachments {
		others := false
		for _, o := range w.present[presence{p.Network, a.Node}] {
			others = others || o.ID != p.ID && w.attachment(o, a.Node) != 0
		}
		if !others {
			return true
		}
	}
	return false
}

func (w *World) unitsOfTap(t *Tap) []Unit {
	return append(w.unitsOfMonitors(t), Unit{UnitTap, t.ID}, Unit{UnitPort, t.Src}, Unit{UnitReturn, t.Src})
}

// unitsOfMonitors gives the ways to a contract's monitors.
func (w *World) unitsOfMonitors(t *Tap) (us []Unit) {
	for _, m := range w.monitorsOf(t) {
		us = append(us, Unit{UnitMonitor, m})
		for pool := range w.poolsOf[m] { // which serve depends on what their networks need
			us = append(us, Unit{UnitPool, pool})
		}
	}
	if t.DstPool != "" {
		us = append(us, Unit{UnitPool, t.DstPool})
	}
	return us
}

func (w *World) networkOf(t *Tap) string {
	if p := w.ports[t.Src]; p != nil {
		return p.Network
	}
	return ""
}

func (w *World) unitsOfLabel(key string) []Unit {
	kind, rest, _ := strings.Cut(key, "/")
	switch kind {
	case "dst":
		rest = monitorOf(rest)
		us := []Unit{{UnitMonitor, rest}}
		for id, t := range w.tapsTo(rest) {
			us = append(us, Unit{UnitTap, id}, Unit{UnitPort, t.Src}, Unit{UnitReturn, t.Src})
		}
		for pool := range w.poolsOf[rest] {
			us = append(us, Unit{UnitPool, pool})
		}
		us = append(us, w.unitsOfTransit(rest)...)
		for network := range w.tapped[rest] {
			us = append(us, w.unitsOfFloods(network)...)
			us = append(us, Unit{UnitNetwork, network})
		}
		return us
	case "net":
		us := w.unitsOfNetwork(rest)
		for monitor := range w.diverted[rest] {
			us = append(us, Unit{UnitMonitor, w.entranceOf(monitor)})
		}
		return us
	case "vlan":
		us := w.unitsOfNetwork(rest)
		for monitor := range w.divertedTo {
			if w.tags(monitor) {
				us = append(us, w.unitsOfTransit(monitor)...)
			}
		}
		return us
	case "pool":
		return w.unitsOfPool(monitorOf(rest))
	case "via":
		network, monitor, _ := strings.Cut(rest, "/")
		us := append(w.unitsOfTransit(monitor), w.unitsOfNetwork(network)...)
		for pool := range w.poolsOf[monitor] {
			us = append(us, Unit{UnitPool, pool})
		}
		return us
	default: // seen/network/destination
		network, monitor, _ := strings.Cut(rest, "/")
		monitor = monitorOf(monitor)
		us := []Unit{{UnitNetwork, network}}
		for pool := range w.poolsOf[monitor] {
			us = append(us, Unit{UnitPool, pool})
		}
		for id, t := range w.tapsByDst[monitor] {
			if w.networkOf(t) == network {
				us = append(us, Unit{UnitTap, id}, Unit{UnitPort, t.Src})
			}
		}
		return us
	}
}

// contracts reports whether a port has enabled contracts in a direction.
func (w *World) contracts(port string, d flowtap.Direction) bool {
	for _, t := range w.tapsBySrc[port] {
		if len(t.cubes(d)) > 0 && w.inForce(t) {
			return true
		}
	}
	return false
}

func (t *Tap) cubes(d flowtap.Direction) []flowtap.Cube {
	if d == flowtap.Out {
		return t.out
	}
	return t.in
}
