package pipeline

import (
	"net/netip"
	"slices"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/topology"
)

// A place is a port of a switch.
type place struct {
	dpid openflow.DPID
	port openflow.PortNo
}

// A verdict is what must become of one frame. It follows from the plan's words, not from flows:
//
//   - a monitor's frames go nowhere, a guarded port's forged ones neither;
//   - a known destination gets the frame where it is active; an unknown one is behind the gateway
//     in use, if there is one; everything else is flooded to all members, wherever they are
//     attached; nobody gets what bears his own address or what he sent;
//   - of a port's contracts in a direction the one with the highest priority that has the frame
//     governs it. Each monitor that the sender's governing contract (out), or that of another port that
//     receives it (in), leads to, gets one copy.
//
// What a contract says of the sender (in_port, metadata) is known by MAC where the frame reaches its
// target by tunnel alone, and truly where it is flooded, which is decided where it enters.
type verdict struct {
	receivers map[place]bool
	// mayReceive: a second place of the sender itself, while it is in two.
	mayReceive map[place]bool
	copies     map[string]bool // monitors
	// mayCopy: a target that a flooded frame was sent to, and that did not get it because it bears
	// the target's own address, which only a port without security can forge.
	mayCopy map[string]bool
	// sender and receiver contracts in force, by port: what the interleaving test compares.
	governs map[governed]string // monitor
}

// governed names a port and a direction.
type governed struct {
	port string
	dir  flowtap.Direction
}

type oracle struct{ w *World }

// members gives the ports of a network in order of id.
func (o oracle) members(network string) (ps []*Port) {
	for _, id := range o.w.Ports() {
		if p := o.w.Port(id); p.Network == network && p.Kind != topology.KindMonitor {
			ps = append(ps, p)
		}
	}
	return ps
}

// owner is whose address a MAC is: who declares it, else who used it first.
func (o oracle) owner(network string, m topology.MAC) *Port {
	var learned *Port
	for _, p := range o.members(network) {
		if p.MAC == m {
			return p
		}
		if p.MAC.IsZero() && slices.Contains(p.Status.LearnedMACs, m) && (learned == nil || p.Num < learned.Num) {
			learned = p
		}
	}
	return learned
}

func (o oracle) ipOwner(network string, ip netip.Addr) *Port {
	var learned *Port
	for _, p := range o.members(network) {
		if slices.Contains(p.IPs, ip) {
			return p
		}
		if len(p.IPs) == 0 && slices.Contains(p.Status.LearnedIPs, ip) && (learned == nil || p.Num < learned.Num) {
			learned = p
		}
	}
	return learned
}

// passes says whether guard lets a frame of p pass.
func (o oracle) passes(p *Port, f frame) bool {
	if p.Kind == topology.KindGateway || !p.MAC.IsZero() && !p.PortSecurity {
		return true
	}
	v := f.view
	mine := func(m topology.MAC) bool { return o.owner(p.Network, m) == p }
	if who := o.owner(p.Network, v.EthSrc); who != p && (who != nil || !p.MAC.IsZero() || len(p.Status.LearnedMACs) >= topology.MaxLearned) {
		return false
	}
	isND := v.ICMPType == neighborSolicit || v.ICMPType == neighborAdvert
	isND = isND && v.EthType == etherIPv6 && v.Proto == protoICMPv6
	if mine(v.EthSrc) { // an address that nobody knows yet is taken at its word
		if v.EthType == etherARP && v.ARPSHA != v.EthSrc {
			return false
		}
		for _, option := range []topology.MAC{v.NDSLL, v.NDTLL} {
			if isND && !option.IsZero() && option != v.EthSrc {
				return false
			}
		}
	}
	if len(p.IPs) == 0 {
		return o.freeIP(p, v)
	}
	switch v.EthType {
	case etherARP:
		return v.ARPSPA == anyIPv4 || slices.Contains(p.IPs, v.ARPSPA)
	case etherIPv4:
		return slices.Contains(p.IPs, v.IPSrc) || v.IPSrc == anyIPv4 && v.Proto == protoUDP && v.SrcPort == 68 && v.DstPort == 67
	case etherIPv6:
		return o.passes6(p, v, isND)
	}
	return true
}

// freeIP: a port that declares no IP may use what is nobody else's.
func (o oracle) freeIP(p *Port, v flowtap.Frame) bool {
	var claims []netip.Addr
	switch {
	case v.EthType == etherARP:
		claims = append(claims, v.ARPSPA)
	case v.EthType == etherIPv4 || v.EthType == etherIPv6:
		claims = append(claims, v.IPSrc)
		if v.EthType == etherIPv6 && v.Proto == protoICMPv6 && v.ICMPType == neighborAdvert {
			claims = append(claims, v.NDTarget)
		}
	}
	for _, ip := range claims {
		if who := o.ipOwner(p.Network, ip); who != nil && who != p {
			return false
		}
	}
	return true
}

func (o oracle) passes6(p *Port, v flowtap.Frame, isND bool) bool {
	v6 := false
	for _, ip := range p.IPs {
		v6 = v6 || ip.Is6()
	}
	own := func(ip netip.Addr) bool {
		if !v6 {
			return linkLocal.Contains(ip)
		}
		return slices.Contains(p.IPs, ip) || !p.MAC.IsZero() && ip == linkLocalOf(p.MAC)
	}
	icmp := v.Proto == protoICMPv6
	if v.IPSrc == unspecified {
		return icmp && (v.ICMPType == mldReport || v.ICMPType == mldReportV2 || v.ICMPType == routerSolicit ||
			v.ICMPType == neighborSolicit && own(v.NDTarget))
	}
	return own(v.IPSrc) && !(isND && v.ICMPType == neighborAdvert && !own(v.NDTarget))
}

// gatewayOf is the network's gateway in use.
func (o oracle) gatewayOf(network string) *Port {
	for _, p := range o.members(network) {
		if p.Kind == topology.KindGateway && p.Status.Node != "" {
			return p
		}
	}
	return nil
}

func (o oracle) bears(p *Port, f frame) bool { return o.owner(p.Network, f.view.EthSrc) == p }

func (o oracle) place(a topology.Attachment) place {
	return place{o.w.Node(a.Node).DatapathID, a.OFPort}
}

func (o oracle) active(p *Port) place {
	return o.place(topology.Attachment{Node: p.Status.Node, OFPort: p.Status.OFPort})
}

// governing gives the monitor that port p's contracts in a direction lead a frame to.
func (o oracle) governing(p *Port, dir flowtap.Direction, v flowtap.Frame) (monitor string) {
	top := -1
	for _, id := range o.w.Taps() {
		t := o.w.Tap(id)
		if t.Src == p.ID && t.Enabled && t.Priority > top && o.has(t, dir, v) {
			top, monitor = t.Priority, t.Dst
		}
	}
	return monitor
}

// has says whether a contract has a frame in a direction.
func (o oracle) has(t *Tap, dir flowtap.Direction, v flowtap.Frame) bool {
	v.Table = dir
	switch t.Direction {
	case flowtap.Both:
		// A match that names a table is one way only: it has no reply direction.
		return t.Match.Matches(v) || !oneWay(t.Match) && t.Match.Reverse().Matches(v)
	case dir:
		return t.Match.Matches(v)
	}
	return false
}

func oneWay(m flowtap.Match) bool {
	s := m.String()
	return s == "table=in" || s == "table=out"
}

// judge says what must become of a frame that port p sends from node.
func (o oracle) judge(p *Port, node string, f frame) verdict {
	v := verdict{receivers: map[place]bool{}, mayReceive: map[place]bool{}, copies: map[string]bool{}, mayCopy: map[string]bool{}, governs: map[governed]string{}}
	if p.Kind == topology.KindMonitor || !o.passes(p, f) {
		return v
	}
	copyTo := func(to map[string]bool, monitor string) {
		if m := o.w.Port(monitor); m != nil && m.Status.Node != "" {
			to[monitor] = true
		}
	}
	sent := f.view
	sent.InPort, sent.Metadata = p.ID, uint64(p.Metadata)
	owner := o.owner(p.Network, sent.EthDst)
	if owner != nil {
		sent.ToPort = owner.ID
	}
	if d := o.governing(p, flowtap.Out, sent); d != "" {
		v.governs[governed{p.ID, flowtap.Out}] = d
		copyTo(v.copies, d)
	}
	gw := o.gatewayOf(p.Network)
	switch {
	case !f.multicast() && owner != nil:
		o.deliver(&v, p, node, owner, sent, f, copyTo)
	case !f.multicast() && gw != nil && gw != p:
		o.deliver(&v, p, node, gw, sent, f, copyTo)
	default:
		o.flood(&v, p, node, sent, f, copyTo)
	}
	return v
}

// deliver sends a frame to one port.
func (o oracle) deliver(v *verdict, p *Port, node string, to *Port, sent flowtap.Frame, f frame, copyTo func(map[string]bool, string)) {
	if to.Status.Node == "" || o.bears(to, f) || to == p && node == p.Status.Node {
		return
	}
	if to == p {
		v.mayReceive[o.active(to)] = true
		for _, t := range o.w.Taps() {
			copyTo(v.mayCopy, o.w.Tap(t).Dst)
		}
		return
	}
	v.receivers[o.active(to)] = true
	sent.ToPort = to.ID
	if to.Status.Node != node {
		sent.InPort, sent.Metadata = "", 0
		if from := o.owner(p.Network, sent.EthSrc); from != nil {
			sent.InPort, sent.Metadata = from.ID, uint64(from.Metadata)
		}
		o.tunnel(&sent, p.Network, node, to.Status.Node)
	}
	if d := o.governing(to, flowtap.In, sent); d != "" {
		v.governs[governed{to.ID, flowtap.In}] = d
		copyTo(v.copies, d)
	}
}

// flood sends a frame to all members but the sender.
func (o oracle) flood(v *verdict, p *Port, node string, sent flowtap.Frame, f frame, copyTo func(map[string]bool, string)) {
	for _, to := range o.members(p.Network) {
		if to.Status.Node == "" {
			continue
		}
		if to == p {
			for _, a := range to.Status.Attachments {
				if a.Node != node && !o.bears(to, f) {
					v.mayReceive[o.place(a)] = true
				}
			}
			continue
		}
		if !o.bears(to, f) {
			for _, a := range to.Status.Attachments {
				v.receivers[o.place(a)] = true
			}
		}
		got := sent
		got.ToPort = to.ID
		if to.Status.Node != node {
			o.tunnel(&got, p.Network, node, to.Status.Node)
		}
		d := o.governing(to, flowtap.In, got)
		switch {
		case d == "":
		case o.bears(to, f):
			copyTo(v.mayCopy, d)
		default:
			v.governs[governed{to.ID, flowtap.In}] = d
			copyTo(v.copies, d)
		}
	}
}

// tunnel fills in what a frame's tunnel says: the network's label, whatever else travels with it.
func (o oracle) tunnel(f *flowtap.Frame, network, from, to string) {
	f.TunID = uint64(o.w.Label(NetworkLabel(network)))
	f.TunSrc, f.TunDst = o.w.Node(from).TunnelIP, o.w.Node(to).TunnelIP
}
