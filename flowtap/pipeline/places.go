package pipeline

import (
	"net/netip"

	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/topology"
)

// attachment gives the port number of p on a node, zero where it is not attached. A number that
// two ports are said to have is neither's, as between the reports of a switch that numbered its
// ports anew; the tunnel's own number is nobody's.
func (w *World) attachment(p *Port, node string) openflow.PortNo {
	for _, a := range p.Status.Attachments {
		if a.Node != node {
			continue
		}
		n := w.nodes[node]
		if n != nil && n.holds(a.OFPort) || len(w.at[spot{node, a.OFPort}]) > 1 {
			return 0
		}
		return a.OFPort
	}
	return 0
}

// here reports whether a node has to know a network: members are there, or frames come back there.
func (w *World) here(network, node string) bool {
	return w.inhabited(network, node) || w.transits(network, node)
}

// inhabited reports whether any member of a network is attached to a node.
func (w *World) inhabited(network, node string) bool {
	for _, p := range w.present[presence{network, node}] {
		if w.attachment(p, node) != 0 {
			return true
		}
	}
	return false
}

// addresses gives the MACs that are the port's: the declared one, or those learned that are
// nobody else's.
func (w *World) addresses(p *Port) (macs []topology.MAC) {
	if !p.MAC.IsZero() {
		return []topology.MAC{p.MAC}
	}
	for _, m := range p.Status.LearnedMACs {
		if w.owns(p, address{network: p.Network, mac: m}) {
			macs = append(macs, m)
		}
	}
	return macs
}

// ips gives the IPs that are the port's in the same sense.
func (w *World) ips(p *Port) (ips []netip.Addr) {
	if len(p.IPs) > 0 {
		return p.IPs
	}
	for _, ip := range p.Status.LearnedIPs {
		if w.owns(p, address{network: p.Network, ip: ip}) {
			ips = append(ips, ip)
		}
	}
	return ips
}

// owns settles who has an address that p uses: who declares it, and of those who only use it the
// port that was made first. A port cannot keep by use what another is given by declaration.
func (w *World) owns(p *Port, a address) bool {
	for _, o := range w.using[a] {
		if o == p {
			continue
		}
		mine, theirs := p.declares(a), o.declares(a)
		if theirs && !mine || theirs == mine && o.Num < p.Num {
			return false
		}
	}
	return true
}

func (p *Port) declares(a address) bool {
	if !a.ip.IsValid() {
		return p.MAC == a.mac
	}
	return len(p.IPs) > 0
}

// uses lists the addresses that a port declares or, declaring none, has learned.
func (p *Port) uses() (as []address) {
	macs, ips := p.Status.LearnedMACs, p.Status.LearnedIPs
	if !p.MAC.IsZero() {
		macs = []topology.MAC{p.MAC}
	}
	if len(p.IPs) > 0 {
		ips = p.IPs
	}
	for _, m := range macs {
		as = append(as, address{network: p.Network, mac: m})
	}
	for _, ip := range ips {
		as = append(as, address{network: p.Network, ip: ip})
	}
	return as
}

// portAt finds who has a port number on a node, nil where that is nobody or unclear.
func (w *World) portAt(s spot) *Port {
	for _, p := range w.at[s] {
		if w.attachment(p, s.node) != 0 {
			return p
		}
	}
	return nil
}
