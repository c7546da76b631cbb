package pipeline

import (
	"fmt"
	"slices"

	"github.com/flowtap/flowtap/topology"
)

// change draws one change of the world, gentle as ordinary operation makes them: contracts,
// places, learned addresses, metadata. It says what it did.
func (d draws) change(l *lab) (did string, us []Unit) {
	vms, mons := l.targets()
	taps := l.w.Taps()
	nodes := len(l.w.Nodes())
	switch d.n(11) {
	case 10:
		if nodes > 0 {
			did, us = "hear of a tunnel", d.tunnel(l)
		}
	case 9:
		id := one(d, pools...)
		did, us = "put pool "+id, d.putPool(l, id)
	case 0, 1, 2:
		us = d.putTap(l)
		did = "put a tap"
	case 3:
		if len(taps) > 0 {
			id := one(d, taps...)
			did, us = "delete tap "+id, l.w.DeleteTap(id)
		}
	case 4, 5, 6:
		all := slices.Concat(vms, mons)
		if len(all) == 0 {
			break
		}
		id := one(d, all...)
		p := l.w.Port(id)
		st, what := d.moved(p.Status, ordinalOf(id), nodes)
		did, us = what+" "+id, l.put(id, p.Port, st)
	case 7:
		if len(vms) == 0 {
			break
		}
		id := one(d, vms...)
		p := l.w.Port(id)
		st := p.Status
		if d.chance(50) {
			st, _ = topology.LearnMAC(p.Port, st, macOf(1+d.n(7)))
		} else {
			st, _ = topology.LearnIP(p.Port, st, ip4Of(1+d.n(7)))
		}
		did, us = "learn of "+id, l.put(id, p.Port, st)
	case 8:
		if len(vms) == 0 {
			break
		}
		id := one(d, vms...)
		spec := l.w.Port(id).Port
		spec.Metadata = one[topology.Metadata](d, 0, 1, 2)
		did, us = "new metadata of "+id, l.put(id, spec, l.w.Port(id).Status)
	}
	return did, us
}

// turnover draws a port or monitor that is made, made anew with another number, or deleted.
func (d draws) turnover(l *lab) (did string, us []Unit) {
	if d.chance(30) {
		id := one(d, monitors...)
		us = l.w.DeletePort(id)
		return "make anew " + id, append(us, d.putMonitor(l, id)...)
	}
	k, i := d.n(len(netNames)), 1+d.n(perNetwork)
	id, _ := portName(k, i)
	if !l.w.HasNetwork(netNames[k]) {
		return "", nil
	}
	if us = l.w.DeletePort(id); us != nil && d.chance(50) {
		return "delete " + id, us
	}
	return "make anew " + id, append(us, d.putPort(l, k, i)...)
}

// moved changes where a port is: plugged in or out somewhere, or its first frame sent elsewhere.
func (d draws) moved(st topology.PortStatus, ordinal, nodes int) (topology.PortStatus, string) {
	n := 1 + d.n(max(1, nodes))
	node := nodeName(n)
	there := slices.ContainsFunc(st.Attachments, func(a topology.Attachment) bool { return a.Node == node })
	alive := func(string) bool { return true }
	switch {
	case there && len(st.Attachments) > 1 && d.chance(50):
		return topology.Arrive(st, node), "arrive on " + node
	case there:
		return topology.Attach(st, node, 0, alive), "detach from " + node
	case len(st.Attachments) > 1:
		return topology.Attach(st, st.Attachments[1].Node, 0, alive), "detach from " + st.Attachments[1].Node
	}
	return topology.Attach(st, node, ofport(ordinal, n), alive), "attach to " + node
}

// upheaval draws a change that is rarer: objects made, deleted or made again, addresses declared,
// port numbers mixed up, nodes and labels gone.
func (d draws) upheaval(l *lab) (did string, us []Unit) {
	vms, mons := l.targets()
	k := d.n(len(netNames))
	switch d.n(10) {
	case 9:
		id := one(d, pools...)
		return "delete pool " + id, l.w.DeletePool(id)
	case 0, 1:
		i := 1 + d.n(perNetwork)
		id, _ := portName(k, i)
		return "put " + id, d.putPort(l, k, i)
	case 2:
		if len(vms) > 0 {
			id := one(d, vms...)
			return "delete " + id, l.w.DeletePort(id)
		}
	case 3:
		id := one(d, monitors...)
		if slices.Contains(mons, id) && d.chance(50) {
			return "delete " + id, l.w.DeletePort(id)
		}
		return "put " + id, d.putMonitor(l, id)
	case 4:
		if l.w.HasNetwork(netNames[k]) && d.chance(50) {
			return "delete network " + netNames[k], l.w.DeleteNetwork(netNames[k])
		}
		return "put network " + netNames[k], l.w.PutNetwork(Network{netNames[k]})
	case 5:
		i := 1 + d.n(3)
		if l.w.Node(nodeName(i)) != nil && d.chance(50) {
			return "delete node " + nodeName(i), l.w.DeleteNode(nodeName(i))
		}
		return "put node " + nodeName(i), l.putNode(i)
	case 6:
		if ids := l.w.Nodes(); len(ids) > 0 {
			n := *l.w.Node(one(d, ids...))
			if split != nil && d.chance(30) {
				n = labNode(n.ordinal(), !n.Split())
				return fmt.Sprintf("%s has another bridge, or no second one any more", n.ID), l.w.PutNode(n)
			}
			if is := labNode(n.ordinal(), n.Split()); n.TunnelPort == 0 {
				n.TunnelPort, n.Patch = is.TunnelPort, is.Patch
			} else if n.TunnelPort = 0; n.Split() && d.chance(50) {
				n.TunnelPort, n.Patch = is.TunnelPort, is.Patch-n.Patch
			}
			return fmt.Sprintf("tunnel port of %s is %d", n.ID, n.TunnelPort), l.w.PutNode(n)
		}
	case 7:
		if keys := sortedKeys(l.w.labels); len(keys) > 0 {
			key := one(d, keys...)
			if d.chance(50) {
				return "delete label " + key, l.w.DeleteLabel(key)
			}
			l.labels++
			return "renumber " + key, l.w.PutLabel(key, l.labels)
		}
	case 8:
		if ids := l.w.Ports(); len(ids) > 0 { // a number that may be another's, or the tunnel's
			id := one(d, ids...)
			p := l.w.Port(id)
			no := ofport(ordinalOf(one(d, ids...)), 1)
			if d.chance(10) {
				no = tunnelNo
			}
			st := topology.Attach(p.Status, nodeName(1), no, func(string) bool { return true })
			return fmt.Sprintf("%s is at n1:%d", id, no), l.put(id, p.Port, st)
		}
	}
	return "", nil
}
