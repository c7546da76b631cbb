package store

import (
	"slices"

	"github.com/flowtap/flowtap/access"
	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/topology"
)

// links are the ties between an object and the rest of the store, all of which the transaction that
// writes the object proves.
type links struct {
	refs    []ref
	uniques []unique
	// src is the port whose set of taps this object belongs to; only taps have one.
	src string
	// dies are keys that are deleted with the object.
	dies []string
	// project is the one whose quota counts the object; empty is none.
	project string
}

// in puts an object into its project.
func (l links) in(project string) links {
	if l.project = project; project != topology.DefaultProject && project != "" {
		l.refs = append(l.refs, ref{"project", CollectionProjects, project})
	}
	return l
}

// ref is a field that names another object.
type ref struct{ field, collection, id string }

// unique is a value that only one object may have. value is the index key, shown what the user wrote.
type unique struct{ field, name, value, shown string }

func nodeLinks(_ string, n *topology.Node) links {
	l := links{uniques: []unique{
		{"datapath_id", "node.datapath_id", n.DatapathID.String(), n.DatapathID.String()},
	}}
	if d := n.TunnelDatapathID; d != 0 { // no bridge is two nodes', nor two parts of one
		l.uniques = append(l.uniques, unique{"tunnel_datapath_id", "node.datapath_id", d.String(), d.String()})
	}
	if n.TunnelIP.IsValid() {
		ip := n.TunnelIP.Unmap().String()
		l.uniques = append(l.uniques, unique{"tunnel_ip", "node.tunnel_ip", ip, ip})
	}
	return l
}

// networkLinks: a network's VLAN is free again when the network is gone.
func networkLinks(id string, _ *topology.Network) links {
	return links{dies: []string{labelKey(VLANKey(id))}}.in(topology.ProjectOf(id))
}

// portLinks: a monitor is in no network, so its addresses are not held against anybody's. A monitor
// is the return port of one other at most: what comes back by it would be two monitors' else.
func portLinks(id string, p *topology.Port) links {
	l := links{dies: []string{guardKey(id)}}.in(topology.ProjectOf(id))
	if p.ReturnPort != "" {
		l.refs = append(l.refs, ref{"return_port", CollectionPorts, p.ReturnPort})
		l.uniques = append(l.uniques, returnPort(p.ReturnPort))
	}
	if p.Network != "" || p.Kind != topology.KindMonitor {
		l.refs = append(l.refs, ref{"network", CollectionNetworks, p.Network})
	}
	name := p.Interface
	if name == "" {
		name = id
	}
	l.uniques = append(l.uniques, unique{"interface", "port.interface", name, name})
	if p.Network == "" {
		return l
	}
	if !p.MAC.IsZero() {
		l.uniques = append(l.uniques, unique{"mac", "port.mac", p.Network + "/" + p.MAC.String(), p.MAC.String()})
	}
	for _, a := range p.IPs {
		ip := a.Unmap().String()
		u := unique{"ips", "port.ip", p.Network + "/" + ip, ip}
		if !slices.Contains(l.uniques, u) {
			l.uniques = append(l.uniques, u)
		}
	}
	return l
}

func returnPort(port string) unique {
	return unique{"return_port", "port.return_port", port, port}
}

func poolLinks(id string, p *topology.Pool) links {
	l := links{}.in(topology.ProjectOf(id))
	for i, m := range p.Members {
		l.refs = append(l.refs, ref{topology.MemberField(i), CollectionPorts, m.Port})
	}
	return l
}

// tapLinks: a tap towards a pool has no dst. A policy's tap does not hold its port: with the port its reasons
// go, and so does the tap.
func tapLinks(id string, t *flowtap.Tap) links {
	l := links{src: t.Src}.in(topology.ProjectOf(id))
	if t.Policy == "" {
		l.refs = append(l.refs, ref{"src", CollectionPorts, t.Src})
	}
	if t.Dst != "" || t.DstPool == "" {
		l.refs = append(l.refs, ref{"dst", CollectionPorts, t.Dst})
	}
	if t.DstPool != "" {
		l.refs = append(l.refs, ref{"dst_pool", CollectionPools, t.DstPool})
	}
	return l
}

// policyLinks: its taps do not refer to it, and it may go before them. Whoever withdraws them finds them by their
// Policy.
func policyLinks(id string, _ *flowtap.Policy) links { return links{}.in(topology.ProjectOf(id)) }

func projectLinks(string, *access.Project) links { return links{} }

func tokenLinks(_ string, t *access.Token) links { return links{}.in(t.Project) }
