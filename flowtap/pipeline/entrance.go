package pipeline

import (
	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/openflow"
)

// An entrance is the port by which a monitor gives redirected frames back: its own, or the return
// port of a two-armed one. It is for one monitor and one network, since a frame that comes back does
// not say which one it is of.

// entranceOf gives the id of a monitor's entrance.
func (w *World) entranceOf(monitor string) string {
	if m := w.ports[monitor]; m != nil {
		return m.entrance()
	}
	return monitor
}

func (p *Port) entrance() string {
	if p.ReturnPort != "" {
		return p.ReturnPort
	}
	return p.ID
}

// monitorAt gives the monitor whose entrance a port is: of several that name it as their return port
// the one that was made first, else the port itself; "" for none.
func (w *World) monitorAt(entrance string) (first string) {
	for m := range w.arms[entrance] {
		if first == "" || first == entrance || m != entrance && w.ports[m].Num < w.ports[first].Num {
			first = m
		}
	}
	return first
}

// admits reports whether frames of a network may come in by an entrance.
func (w *World) admits(entrance, network string) bool {
	monitor := w.monitorAt(entrance)
	if w.tags(monitor) {
		return w.divertedTo[monitor][network] > 0 && w.labels[VLANKey(network)] != 0
	}
	return network != "" && w.networkAt(entrance) == network
}

// networkAt gives the network of what comes in by an entrance without a tag, "" where nothing may.
func (w *World) networkAt(entrance string) (network string) {
	for n := range w.divertedTo[w.monitorAt(entrance)] {
		if network == "" || n < network {
			network = n
		}
	}
	return network
}

// diverts reports whether a contract is a redirect that can be carried out: its monitor's entrance
// is for the target's network, and all labels have numbers.
func (w *World) diverts(t *Tap) bool {
	p := w.ports[t.Src]
	if !w.redirects(t) || !t.Enabled || p == nil || w.labelOf(t.leadsTo()) == 0 {
		return false
	}
	for _, m := range w.monitorsOf(t) {
		entrance := w.entranceOf(m)
		if w.monitorAt(entrance) == m && w.admits(entrance, p.Network) {
			continue
		}
		if t.DstPool == "" || w.ports[m] != nil && w.numbered(p.Network, m) {
			return false
		}
	}
	// Members of a pool without a number do not serve.
	return t.DstPool != "" || w.labels[ViaLabel(p.Network, t.Dst)] != 0
}

// inForce reports whether a contract has flows: a redirect only as a whole, and copies not where they
// would be given back into another network.
func (w *World) inForce(t *Tap) bool {
	if t.Action == flowtap.Redirect {
		return w.diverts(t)
	}
	if t.DstPool != "" { // members without numbers do not serve
		return t.Enabled && w.poolOf(t) != nil && w.labelOf(t.leadsTo()) != 0 && w.suits(t)
	}
	return t.Enabled && w.numbered(w.networkOf(t), t.Dst) && w.labelOf(t.dest) != 0 && w.suits(t)
}

// suits reports whether a contract is of the monitor and the network that its monitor's entrance is
// for, if that is for any; of a pool, all members'.
func (w *World) suits(t *Tap) bool {
	_, unfit := w.unfit(t)
	return !unfit
}

// unfit gives the monitor of a contract whose entrance is for another network or monitor. A copy pool has
// no monitor that gives frames back: copies that come back by one member would be copied to the others,
// and those would give them back again. Nor does one get copies of other forms, or limited ones: they do not
// stand for the frame, and would come back beside it.
func (w *World) unfit(t *Tap) (monitor string, any bool) {
	for _, m := range w.monitorsOf(t) {
		entrance := w.entranceOf(m)
		network := w.networkAt(entrance)
		fits := network == "" || w.monitorAt(entrance) == m && (network == w.networkOf(t) || w.tags(m)) && !t.optioned() && (t.DstPool == "" || w.spreadOf(t) != nil)
		if !fits && (t.DstPool == "" || w.ports[m] != nil) {
			return m, true
		}
	}
	return "", false
}

// divertsIn reports whether a redirect concerns what is delivered to a port.
func (w *World) divertsIn(port string) bool {
	for _, t := range w.tapsBySrc[port] {
		if len(t.in) > 0 && w.diverts(t) {
			return true
		}
	}
	return false
}

// entrances gives the attached entrances of a network on a node, by id, with their port numbers.
func (w *World) entrances(network, node string) map[string]openflow.PortNo {
	var es map[string]openflow.PortNo
	for monitor := range w.diverted[network] {
		e := w.entranceOf(monitor)
		p := w.ports[e]
		if p == nil || !w.admits(e, network) {
			continue
		}
		if here := w.attachment(p, node); here != 0 {
			if es == nil {
				es = map[string]openflow.PortNo{}
			}
			es[e] = here
		}
	}
	return es
}

// transits reports whether frames of a network come back from a monitor on a node.
func (w *World) transits(network, node string) bool { return len(w.entrances(network, node)) > 0 }

// returnsAt reports whether what a port sent may come back on a node, and be flooded there.
func (w *World) returnsAt(p *Port, node string) bool {
	if p == nil || len(w.diverted[p.Network]) == 0 {
		return false
	}
	for _, t := range w.tapsBySrc[p.ID] {
		if len(t.out) == 0 || !w.diverts(t) {
			continue
		}
		for _, m := range w.monitorsOf(t) {
			if e := w.ports[w.entranceOf(m)]; e != nil && w.attachment(e, node) != 0 {
				return true
			}
		}
	}
	return false
}

// anonymous gives the target of a network whose redirected frames may bear any MAC, as those of a
// router behind a gateway: of several the one that was made first; nil for none.
func (w *World) anonymous(network string) (first *Port) {
	for _, targets := range w.diverted[network] {
		for id := range targets {
			if p := w.ports[id]; p != nil && !guarded(p) && (first == nil || p.Num < first.Num) && w.redirectsOut(id) {
				first = p
			}
		}
	}
	return first
}

func (w *World) redirectsOut(port string) bool {
	for _, t := range w.tapsBySrc[port] {
		if len(t.out) > 0 && w.diverts(t) {
			return true
		}
	}
	return false
}

// unitsOfTransit gives everything of the networks that a monitor's entrance is for, or may have been
// for: where an entrance is decides on which nodes a network has to be known.
func (w *World) unitsOfTransit(monitor string) (us []Unit) {
	networks := map[string]bool{}
	entrance := w.entranceOf(monitor)
	for m := range w.arms[entrance] {
		for n := range w.divertedTo[m] {
			networks[n] = true
		}
	}
	if len(networks) > 0 {
		for m := range w.arms[entrance] {
			for n := range w.tapped[m] {
				networks[n] = true
			}
		}
		us = append(us, Unit{UnitMonitor, entrance}, Unit{UnitMonitor, monitor})
	}
	for n := range networks {
		us = append(us, w.unitsOfNetwork(n)...)
	}
	return us
}

// unitsOfNetwork gives everything of a network.
func (w *World) unitsOfNetwork(network string) []Unit {
	us := append(w.unitsOfFloods(network), Unit{UnitNetwork, network})
	for id := range w.members[network] {
		us = append(us, Unit{UnitPort, id}, Unit{UnitReturn, id})
		for tap, t := range w.tapsBySrc[id] {
			us = append(us, Unit{UnitTap, tap})
			for _, m := range w.monitorsOf(t) {
				us = append(us, Unit{UnitMonitor, m}, Unit{UnitMonitor, w.entranceOf(m)})
			}
			if t.DstPool != "" {
				us = append(us, Unit{UnitPool, t.DstPool})
			}
		}
	}
	return us
}

// unitsOfAnonymous gives the targets of a network one of which stands for frames with any MAC, and
// the gateways, one of which stands for frames to any.
func (w *World) unitsOfAnonymous(network string) (us []Unit) {
	for _, targets := range w.diverted[network] {
		for id := range targets {
			if p := w.ports[id]; p != nil && !guarded(p) {
				us = append(us, Unit{UnitReturn, id}, Unit{UnitPort, id}, Unit{UnitNetwork, network})
			}
		}
	}
	return us
}
