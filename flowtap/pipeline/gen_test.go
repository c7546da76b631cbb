package pipeline

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/topology"
)

// drawn draws a value in one piece, so that a failure does not print every small decision.
func drawn[T any](t *rapid.T, make func(draws) T) T {
	return rapid.Custom(func(t *rapid.T) quiet[T] { return quiet[T]{make(draws{t})} }).Draw(t, "case").v
}

type quiet[T any] struct{ v T }

func (quiet[T]) String() string   { return "see below" }
func (quiet[T]) GoString() string { return "see below" }

// draws makes random worlds, changes and frames of what rapid draws.
type draws struct{ *rapid.T }

func (d draws) n(limit int) int { return rapid.IntRange(0, limit-1).Draw(d.T, "n") }

// chance is less likely the more rapid shrinks.
func (d draws) chance(percent int) bool { return d.n(100) >= 100-percent }

func one[T any](d draws, from ...T) T { return from[d.n(len(from))] }

var (
	netNames = []string{"red", "green", "blue"}
	monitors = []string{"ids1", "ids2", "ids3"}
	pools    = []string{"ids1", "some", "more"} // one has a monitor's name
)

const perNetwork = 5

// portName is the id of member i, from 1, of network k; its ordinal is unique in the lab.
func portName(k, i int) (id string, ordinal int) {
	return fmt.Sprintf("%c%d", netNames[k][0], i), 10*(k+1) + i
}

func ordinalOf(id string) int {
	if i := slices.Index(monitors, id); i >= 0 {
		return 1 + i
	}
	for k, n := range netNames {
		if id[0] == n[0] {
			return 10*(k+1) + int(id[1]-'0')
		}
	}
	panic(id)
}

// world draws a whole world at rest.
func (d draws) world() *lab {
	l := newLab(1 + d.n(4))
	nets := 1 + one(d, 0, 0, 1, 1, 2)
	for k := range nets {
		l.w.PutNetwork(Network{netNames[k]})
		for i := range 1 + d.n(perNetwork) {
			d.putPort(l, k, i+1)
		}
	}
	for _, id := range monitors[:1+d.n(3)] {
		d.putMonitor(l, id)
	}
	if d.chance(60) {
		for _, id := range pools[:1+d.n(len(pools))] {
			d.putPool(l, id)
		}
	}
	for range d.n(9) {
		d.putTap(l)
	}
	for range one(d, 0, 0, 2, 4) {
		d.tunnel(l)
	}
	l.number()
	return l
}

// where draws attachments: mostly one, sometimes two or none.
func (d draws) where(l *lab, id string) topology.PortStatus {
	nodes := len(l.w.Nodes())
	first := 1 + d.n(max(1, nodes))
	switch {
	case d.chance(7):
		return topology.PortStatus{State: topology.PortPending}
	case d.chance(10) && nodes > 1:
		return status(ordinalOf(id), first, 1+first%nodes)
	}
	return status(ordinalOf(id), first)
}

func (d draws) putPort(l *lab, k, i int) []Unit {
	id, _ := portName(k, i)
	p := topology.Port{Network: netNames[k], Kind: topology.KindVM, Interface: id, Metadata: one[topology.Metadata](d, 0, 0, 1, 2)}
	if d.chance(20) {
		p.Kind = topology.KindGateway
	}
	if !d.chance(20) {
		p.MAC = macOf(i)
		p.PortSecurity = p.Kind == topology.KindVM && !d.chance(20)
	}
	switch d.n(4) {
	case 0, 1:
		p.IPs = []netip.Addr{ip4Of(i), ip6Of(i)}
	case 2:
		p.IPs = []netip.Addr{ip4Of(i)}
	}
	st := d.where(l, id)
	if p.MAC.IsZero() && p.Kind == topology.KindVM && d.chance(60) {
		st.LearnedMACs = []topology.MAC{macOf(i)}
		if d.chance(20) {
			st, _ = topology.LearnMAC(p, st, macOf(one(d, 7, 1+d.n(perNetwork))))
		}
	}
	if len(p.IPs) == 0 && p.Kind == topology.KindVM && d.chance(60) {
		st.LearnedIPs = []netip.Addr{ip4Of(one(d, i, i, 1+d.n(perNetwork))), ip6Of(i)}
	}
	return l.put(id, p, st)
}

func (d draws) putMonitor(l *lab, id string) []Unit {
	p := topology.Port{Kind: topology.KindMonitor, Interface: id}
	if d.chance(25) {
		p.ReturnPort = one(d, monitors...)
	}
	if d.chance(25) {
		p.Tag = topology.TagVLAN
	}
	st := d.where(l, id)
	switch d.n(3) {
	case 0:
		p.MAC = monitorMAC(id)
	case 1:
		st.LearnedMACs = []topology.MAC{monitorMAC(id)}
	}
	if d.chance(7) {
		st = topology.Link(st, st.Node, true, func(string) bool { return true })
	}
	us := l.put(id, p, st)
	return append(us, l.lawful()...)
}

// tunnel draws what is known of a tunnel.
func (d draws) tunnel(l *lab) []Unit {
	nodes := l.w.Nodes()
	return l.w.PutTunnel(Tunnel{one(d, nodes...), one(d, nodes...)}, d.chance(60))
}

// lawful deletes contracts that the API would not allow: to a monitor whose entrance is for another
// network, or another monitor.
func (l *lab) lawful() (us []Unit) {
	for again := true; again; {
		again = false
		for _, id := range l.w.Taps() {
			t := l.w.Tap(id)
			bad := !l.w.suits(t)
			for _, m := range l.w.monitorsOf(t) {
				e := l.w.entranceOf(m)
				bad = bad || t.Action == flowtap.Redirect && l.w.monitorAt(e) != m || l.w.networkAt(e) != "" && l.w.tags(m) != l.w.tags(l.w.monitorAt(e))
			}
			if bad {
				us, again = append(us, l.w.DeleteTap(id)...), true
			}
		}
	}
	return us
}

// putPool draws a pool of monitors that exist. One that contracts redirect to stays of mode spread.
func (d draws) putPool(l *lab, id string) []Unit {
	_, mons := l.targets()
	if len(mons) == 0 {
		return nil
	}
	p := Pool{ID: id, Pool: topology.Pool{Mode: one(d, topology.PoolSpread, topology.PoolCopy)}}
	for _, t := range l.w.Taps() {
		if t := l.w.Tap(t); t.DstPool == id && t.Action == flowtap.Redirect {
			p.Mode = topology.PoolSpread
		}
	}
	for _, m := range mons {
		if len(p.Members) == 0 && m == mons[len(mons)-1] || d.chance(60) {
			p.Members = append(p.Members, topology.PoolMember{Port: m, Weight: 1 + d.n(3)})
		}
	}
	us := l.w.PutPool(p)
	return append(us, l.lawful()...)
}
func monitorMAC(id string) topology.MAC { return topology.MAC{2, 0, 0, 0, 0xee, byte(ordinalOf(id))} }

// aboveRate is a rate limit that lets nothing pass in TestMediation; all others let everything pass.
var aboveRate = flowtap.RateLimit{PPS: 7}

// targets gives the ids of ports that can have contracts, and of monitors.
func (l *lab) targets() (vms, mons []string) {
	for _, id := range l.w.Ports() {
		if l.w.Port(id).Kind == topology.KindMonitor {
			mons = append(mons, id)
		} else {
			vms = append(vms, id)
		}
	}
	return vms, mons
}

// matchPool makes overlaps likely. %p stands for a port of the target's network.
var matchPool = []string{"", "", "", "nw_proto=TCP", "udp", "arp", "icmp", "ip", "ipv6", "tcp,tp_dst=80", "nw_proto=TCP; tp_dst=80", "tcp,tp_src=80",
	"nw_dst=10.0.0.2", "nw_src=10.0.0.1", "nw_src=10.0.0.0/30", "dl_dst=ff:ff:ff:ff:ff:ff", "dl_dst=01:00:00:00:00:00/01:00:00:00:00:00",
	"dl_src=02:00:00:00:00:01", "dl_dst=02:00:00:00:00:02", "in_port=%p", "in_port=%p", "in_port=%p,tcp", "metadata=0x1", "metadata=0x2", "dl_vlan=5", "vlan_tci=0",
	"tun_id=0", "tun_id=0x65", "tun_id=0x66", "tun_src=172.16.0.1", "tun_dst=172.16.0.2", "tun_src=0.0.0.0", "icmp6", "icmp6,icmp_type=135", "icmp6,icmp_type=136,nd_target=2001:db8::1",
	"reg8=0", "reg9=1", "arp,arp_op=1", "arp,arp_spa=10.0.0.1", "dl_type=0x88b5", "udp,tp_dst=67", "table=in", "table=out"}

// putTap draws a contract that does not overlap another one of its target at its priority, and
// perhaps replaces one. No change where there is no room.
func (d draws) putTap(l *lab) []Unit {
	vms, mons := l.targets()
	if len(vms) == 0 || len(mons) == 0 {
		return nil
	}
	// Few targets have many contracts.
	src := vms[d.n(min(len(vms), 1+d.n(len(vms))))]
	text := one(d, matchPool...)
	if strings.Contains(text, "%p") {
		var peers []string
		for _, id := range vms {
			if l.w.Port(id).Network == l.w.Port(src).Network || d.chance(5) {
				peers = append(peers, id)
			}
		}
		text = strings.ReplaceAll(text, "%p", one(d, peers...))
	}
	m, err := flowtap.ParseMatch(text)
	if err != nil {
		panic(err)
	}
	id := fmt.Sprintf("t%d", d.n(12))
	t := flowtap.Tap{Src: src, Dst: one(d, mons...), Match: m, Direction: one(d, flowtap.In, flowtap.Out, flowtap.Both, flowtap.Both),
		Action: one(d, flowtap.Forward, flowtap.Forward, flowtap.Redirect), Priority: one(d, 0, 5, 10, 1000), Enabled: !d.chance(8), FailMode: "closed"}
	if t.Action == flowtap.Redirect && d.chance(35) {
		t.FailMode = flowtap.FailOpen
	}
	if t.Action == flowtap.Forward && d.chance(50) {
		t.Truncate, t.RewriteDstMAC = one(d, 0, 20, 20, 60), d.chance(30)
		t.RateLimit = one(d, flowtap.RateLimit{}, flowtap.RateLimit{}, flowtap.RateLimit{KBPS: 1000}, aboveRate)
	}
	if strings.HasPrefix(text, "table=") {
		t.Direction = flowtap.Both
	}
	if ids := l.w.Pools(); len(ids) > 0 && d.chance(45) {
		t.Dst, t.DstPool = "", one(d, ids...)
		if l.w.Pool(t.DstPool).Mode == topology.PoolCopy {
			t.Action, t.FailMode = flowtap.Forward, flowtap.FailClosed
		}
	}
	if !l.allowed(id, t) {
		return nil
	}
	return append(l.tap(id, t), l.lawful()...)
}

// allowed says whether a contract does not overlap another.
func (l *lab) allowed(id string, t flowtap.Tap) bool {
	for _, o := range l.w.Taps() {
		if _, _, meet := flowtap.Overlap(t, l.w.Tap(o).Tap); meet && o != id {
			return false
		}
	}
	return true
}

// frame draws a frame that a port sends: mostly its own, sometimes a lie.
func (d draws) frame(w *World, p *Port) frame {
	own := int(p.ID[len(p.ID)-1] - '0')
	if p.Kind == topology.KindMonitor {
		own = 1 + d.n(perNetwork)
	}
	liar := d.chance(25)
	who := func() int { // whom the frame says it comes from
		if liar && d.chance(50) {
			return one(d, 1, 2, 3, 7)
		}
		return own
	}
	src := macOf(who())
	to := 1 + d.n(perNetwork)
	dst := macOf(to)
	switch d.n(10) {
	case 0, 1, 2:
		dst = broadcast
	case 3:
		dst = allNodes6
	case 4:
		dst = macOf(9) // nobody's
	case 5:
		if d.chance(30) {
			dst = macOf(own)
		}
	}
	ip6 := func(i int) netip.Addr {
		if d.chance(30) {
			return linkLocalOf(macOf(i))
		}
		return ip6Of(i)
	}
	var f frame
	switch d.n(13) {
	case 0, 1:
		f = transport(src, dst, ip4Of(who()), ip4Of(to), 6, one[uint16](d, 80, 4000), one[uint16](d, 80, 81))
	case 2:
		f = transport(src, dst, ip6(who()), ip6Of(to), 6, one[uint16](d, 80, 4000), one[uint16](d, 80, 81))
	case 3:
		f = transport(src, dst, ip4Of(who()), ip4Of(to), protoUDP, 53, 53)
	case 4:
		f = transport(src, dst, one(d, anyIPv4, ip4Of(who())), netip.AddrFrom4([4]byte{255, 255, 255, 255}), protoUDP, one[uint16](d, 68, 69), 67)
	case 5:
		f = ping(src, dst, ip4Of(who()), ip4Of(to))
	case 6:
		f = ping(src, dst, ip6(who()), ip6Of(to))
	case 7, 8:
		f = arp(src, dst, one[uint16](d, 1, 2), macOf(who()), one(d, ip4Of(who()), ip4Of(who()), anyIPv4), ip4Of(to))
	case 9:
		f = nd(src, dst, one(d, ip6(who()), unspecified), neighborSolicit, ip6(one(d, to, own)), one(d, macOf(who()), topology.MAC{}))
	case 10:
		f = nd(src, dst, ip6(who()), neighborAdvert, ip6(who()), one(d, macOf(who()), topology.MAC{}))
	case 11:
		f = icmp6(src, dst, one(d, unspecified, ip6(who())), one[uint8](d, mldReport, routerSolicit, mldReportV2, 134))
	default:
		f = other(src, dst)
	}
	if d.chance(10) {
		f = f.tagged(one[uint16](d, 5, 6, 0x6005))
	}
	return f
}
