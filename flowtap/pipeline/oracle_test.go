package pipeline

import (
	"fmt"
	"hash/fnv"
	"net/netip"
	"regexp"
	"slices"
	"strings"

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
//   - a guarded port's forged frames go nowhere;
//   - a known destination gets the frame where it is active; an unknown one is behind the gateway
//     in use, if there is one; everything else is flooded to all members, wherever they are
//     attached; nobody gets what bears his own address or what he sent;
//   - of a port's contracts in a direction the one with the highest priority that has the frame
//     governs it. Each monitor that the sender's governing contract (out), or that of another port that
//     receives it (in), leads to, gets one copy; if it redirects, the port's part ends there;
//   - copies may have a form of their own (cut, readdressed) and be held back by a rate: one that is neither
//     makes all others for that monitor needless, one of a form others of that form, one with a rate none;
//   - a contract that leads to a pool means, for one frame, all members of a copy pool, or the member of
//     a spread pool that has the frame's slice, which the tests choose (sliceOf);
//   - every monitor gives back what it gets, by its entrance (comeBack), as an inline appliance does.
//     What was redirected goes on from there, everything else goes nowhere.
//
// What a contract says of the sender (in_port, metadata) is known by MAC where the frame reaches its
// target by tunnel alone, and truly where it is flooded, which is decided where it enters.
type verdict struct {
	receivers map[place]int
	// mayReceive: a second place of the sender itself, while it is in two.
	mayReceive map[place]bool
	copies     map[copied]int
	// mayCopy: a target that a flooded frame was sent to, and that did not get it because it bears
	// the target's own address, which only a port without security can forge.
	mayCopy map[copied]int
	// sender and receiver contracts in force, by port: what the interleaving test compares.
	governs map[governed]string // destination
	// vague: whether a monitor gives a frame back hangs on one that it may or may not have had.
	vague bool
}

// copied is copies of a form at a monitor.
type copied struct {
	monitor string
	form    form
}

// A copying is a contract and one of the monitors that it copies to.
type copying struct {
	*Tap
	monitor string
}

func (c copying) copied() copied { return copied{c.monitor, c.form()} }

// satisfies says whether a copy makes another one needless.
func (c copied) satisfies(o copied) bool {
	return c.monitor == o.monitor && (c.form == form{} || c.form == o.form)
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

// governing gives the contract of port p that governs a frame in a direction; nil for none.
func (o oracle) governing(p *Port, dir flowtap.Direction, v flowtap.Frame) (governs *Tap) {
	for _, id := range o.w.Taps() {
		t := o.w.Tap(id)
		if t.Src == p.ID && o.inForce(t) && (governs == nil || t.Priority > governs.Priority) && o.has(t, dir, v) {
			governs = t
		}
	}
	return governs
}

// entrance is the port by which a monitor gives frames back.
func (o oracle) entrance(monitor string) string {
	if m := o.w.Port(monitor); m != nil && m.ReturnPort != "" {
		return m.ReturnPort
	}
	return monitor
}

// monitorOf is the monitor that gives frames back by an entrance: the first that names it, else the
// port itself.
func (o oracle) monitorOf(entrance string) (first *Port) {
	for _, id := range o.w.Ports() {
		if p := o.w.Port(id); p.Kind == topology.KindMonitor && o.entrance(id) == entrance && (first == nil || first.ID == entrance || id != entrance && p.Num < first.Num) {
			first = p
		}
	}
	return first
}

// networkOf is the one network that may come in by an entrance: of those with redirects to its monitor
// the first.
func (o oracle) networkOf(entrance string) (first string) {
	m := o.monitorOf(entrance)
	for _, id := range o.w.Taps() {
		t := o.w.Tap(id)
		p := o.w.Port(t.Src)
		if t.Enabled && o.w.redirects(t) && p != nil && m != nil && o.mayLead(t, m.ID) && (first == "" || p.Network < first) {
			first = p.Network
		}
	}
	return first
}

// admits reports whether frames of a network may come in by an entrance: of any network, by its tag,
// where the monitor wants tags.
func (o oracle) admits(entrance, network string) bool {
	m := o.monitorOf(entrance)
	if m == nil || m.Tag != topology.TagVLAN {
		return network != "" && o.networkOf(entrance) == network
	}
	for _, id := range o.w.Taps() {
		t := o.w.Tap(id)
		if p := o.w.Port(t.Src); t.Enabled && o.w.redirects(t) && o.mayLead(t, m.ID) && p != nil && p.Network == network {
			return true
		}
	}
	return false
}

// inForce: an enabled contract whose monitors' entrances are for no other network, or monitor.
func (o oracle) inForce(t *Tap) bool {
	p := o.w.Port(t.Src)
	for _, m := range o.mayLeadTo(t) {
		e := o.entrance(m)
		n, at := o.networkOf(e), o.monitorOf(e)
		if n != "" && (at == nil || at.ID != m || t.optioned() || t.DstPool != "" && o.w.Pool(t.DstPool).Mode == topology.PoolCopy) {
			return false
		}
		if p != nil && (o.admits(e, p.Network) || at != nil && at.Tag == topology.TagVLAN && t.Action != flowtap.Redirect) {
			n = p.Network
		}
		if p == nil || o.w.Port(m) == nil || n != p.Network && (n != "" || t.Action == flowtap.Redirect) {
			return false
		}
	}
	return t.Enabled && p != nil && len(o.mayLeadTo(t)) > 0
}

// mayLeadTo gives the monitors that a contract may send frames to.
func (o oracle) mayLeadTo(t *Tap) (ms []string) {
	if t.DstPool == "" {
		return []string{t.Dst}
	}
	if p := o.w.Pool(t.DstPool); p != nil {
		for _, m := range p.Members {
			ms = append(ms, m.Port)
		}
	}
	return ms
}

func (o oracle) mayLead(t *Tap, monitor string) bool {
	return slices.Contains(o.mayLeadTo(t), monitor)
}

// leadsTo gives the monitors that a contract sends a frame to.
func (o oracle) leadsTo(t *Tap, f frame) []string {
	p := o.w.Pool(t.DstPool)
	if t.DstPool == "" || p != nil && p.Mode == topology.PoolCopy {
		return o.mayLeadTo(t)
	}
	var there, reached []topology.PoolMember
	for _, m := range p.Members {
		if port := o.w.Port(m.Port); port != nil && port.Status.Node != "" && !port.Status.LinkDown() {
			if there = append(there, m); o.reached(p, m.Port) {
				reached = append(reached, m)
			}
		}
	}
	if len(reached) > 0 {
		there = reached
	}
	if m := Slices(there)[sliceOf(f)]; m != "" {
		return []string{m}
	}
	return nil
}

// reached: a member of a spread pool that has the slices of one that is not. Some other node with ports of the
// pool's contracts' networks, if there is one, reaches it and is reached, and what is redirected to it comes back.
func (o oracle) reached(p *Pool, member string) bool {
	networks, nodes := map[string]bool{}, map[string]bool{}
	enabled := func(f func(t *Tap, network string)) {
		for _, id := range o.w.Taps() {
			if t := o.w.Tap(id); t.Enabled && o.w.Port(t.Src) != nil {
				f(t, o.w.Port(t.Src).Network)
			}
		}
	}
	enabled(func(t *Tap, network string) { networks[network] = networks[network] || t.DstPool == p.ID })
	e, back := o.w.Port(o.entrance(member)), false
	enabled(func(t *Tap, network string) {
		back = back || networks[network] && o.w.redirects(t) && o.mayLead(t, member)
	})
	if back && (e == nil || e.Status.Node == "" || e.Status.LinkDown()) {
		return false
	}
	for network, in := range networks {
		for _, m := range o.members(network) {
			for _, a := range m.Status.Attachments {
				nodes[a.Node] = nodes[a.Node] || in && o.w.Node(a.Node) != nil && a.Node != o.w.Port(member).Status.Node
			}
		}
	}
	some := false
	for node, other := range nodes {
		some = some || other
		if other && !o.w.dead[Tunnel{node, o.w.Port(member).Status.Node}] && !(back && o.w.dead[Tunnel{e.Status.Node, node}]) {
			return true
		}
	}
	return !some
}

// reaches says whether a monitor gets what a node sends it, and what it gives back comes there.
func (o oracle) reaches(node, monitor string) bool {
	m, e := o.w.Port(monitor), o.w.Port(o.entrance(monitor))
	for _, p := range []*Port{m, e} {
		if p == nil || p.Kind != topology.KindMonitor || p.Status.Node == "" || p.Status.LinkDown() {
			return false
		}
	}
	return !o.w.dead[Tunnel{node, m.Status.Node}] && !o.w.dead[Tunnel{e.Status.Node, node}]
}

// sliceOf is the slice of spread pools that the tests have a frame in.
func sliceOf(f frame) int {
	h := fnv.New32a()
	_, _ = h.Write(f.bytes)
	return int(h.Sum32() % SlicesOfPool)
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

// A journey is one frame's way, with what it has left to do.
type journey struct {
	oracle
	*verdict
	network string
	f       frame
	held    []string // monitors that have the frame to give back
}

// judge says what must become of a frame that port p sends from node.
func (o oracle) judge(p *Port, node string, f frame) verdict {
	v := verdict{receivers: map[place]int{}, mayReceive: map[place]bool{}, copies: map[copied]int{}, mayCopy: map[copied]int{}, governs: map[governed]string{}}
	if p.Kind != topology.KindMonitor && !o.passes(p, f) {
		return v
	}
	j := &journey{oracle: o, verdict: &v, network: p.Network, f: f}
	if p.Kind == topology.KindMonitor {
		j.in(p, node)
	} else {
		j.sent(p, node)
	}
	for n := 0; len(j.held) > 0; n++ {
		if n > 50 {
			panic(fmt.Sprintf("a frame without end\n%s%s from %s %v held %v", describe(o.w), p.ID, node, f, j.held))
		}
		m := j.held[0]
		j.held = j.held[1:]
		if e := o.w.Port(o.entrance(m)); e != nil && e.Kind == topology.KindMonitor && e.Status.Node != "" {
			j.in(e, e.Status.Node)
		}
	}
	return v
}

// toMonitor has a monitor get the frame, if it is anywhere. A switch does not send a frame out of the
// port that it came in by, as when a monitor's port is another one's entrance.
func (j *journey) toMonitor(c copying, x pass, node string) {
	if m := j.w.Port(c.monitor); j.arrivesAt(c) && !(x.entrance == c.monitor && x.node == node && m.Status.Node == node) {
		j.copies[c.copied()]++
		j.held = append(j.held, c.monitor)
	}
}

// arrivesAt says whether a contract's copies get to its monitor.
func (j *journey) arrivesAt(c copying) bool {
	m := j.w.Port(c.monitor)
	known := m != nil && (!m.MAC.IsZero() || len(m.Status.LearnedMACs) > 0)
	return m != nil && m.Status.Node != "" && c.RateLimit != aboveRate && (known || !c.RewriteDstMAC)
}

func (j *journey) mayBeCopied(c copying) {
	if j.arrivesAt(c) {
		j.mayCopy[c.copied()]++
		j.vague = j.vague || j.networkOf(j.entrance(c.monitor)) != ""
	}
}

// A pass is what has happened to a frame so far: the copies that monitors have surely had (seen), or the one that gave
// it back after it had left its sender (via).
type pass struct {
	from     *Port // sender; nil where it cannot be told
	node     string
	here     bool // it entered on node, by the sender's port
	seen     []copied
	via      string
	entrance string // by which it was given back
	view     flowtap.Frame
}

func (j *journey) sent(p *Port, node string) {
	x := pass{from: p, node: node, here: true, view: j.view(p)}
	x.view.Metadata = uint64(p.Metadata)
	if t := j.governing(p, flowtap.Out, x.view); t != nil {
		j.governs[governed{p.ID, flowtap.Out}] = t.leadsTo()
		switch {
		case j.lets(t, node):
		case t.Action == flowtap.Redirect:
			for _, m := range j.leadsTo(t, j.f) {
				j.toMonitor(copying{t, m}, x, node)
			}
			return
		default:
			for _, m := range j.leadsTo(t, j.f) {
				c := copying{t, m}
				if j.toMonitor(c, x, node); !t.limited() {
					x.seen = append(x.seen, c.copied())
				}
			}
		}
	}
	j.route(x)
}

// view is the frame with the names of its endpoints.
func (j *journey) view(from *Port) flowtap.Frame {
	v := j.f.view
	if from != nil {
		v.InPort, v.Metadata = from.ID, uint64(from.Metadata)
	}
	if owner := j.owner(j.network, v.EthDst); owner != nil {
		v.ToPort = owner.ID
	}
	return v
}

func (j *journey) route(x pass) {
	owner, gw := j.owner(j.network, j.f.view.EthDst), j.gatewayOf(j.network)
	switch {
	case !j.f.multicast() && owner != nil:
		j.deliver(x, owner)
	case !j.f.multicast() && gw != nil && gw != x.from:
		j.deliver(x, gw)
	default:
		j.flood(x)
	}
}

// deliver sends a frame to one port.
func (j *journey) deliver(x pass, to *Port) {
	if to.Status.Node == "" || j.bears(to, j.f) || to == x.from && x.here && x.node == to.Status.Node {
		return
	}
	if to == x.from && x.here {
		j.mayReceive[j.active(to)] = true
		for _, t := range j.w.Taps() {
			for _, m := range j.mayLeadTo(j.w.Tap(t)) {
				j.mayBeCopied(copying{j.w.Tap(t), m})
			}
		}
		return
	}
	v := x.view
	v.ToPort = to.ID
	if to.Status.Node != x.node {
		if !j.f.multicast() {
			v.InPort, v.Metadata = "", 0
			if from := j.owner(j.network, v.EthSrc); from != nil {
				v.InPort, v.Metadata = from.ID, uint64(from.Metadata)
			}
		}
		j.tunnel(&v, j.network, x.node, to.Status.Node)
	}
	t := j.governing(to, flowtap.In, v)
	if t == nil {
		j.receivers[j.active(to)]++
		return
	}
	j.governs[governed{to.ID, flowtap.In}] = t.leadsTo()
	ms := j.leadsTo(t, j.f)
	if t.Action != flowtap.Redirect || slices.Contains(ms, x.via) || j.lets(t, to.Status.Node) && !slices.ContainsFunc(ms, func(m string) bool { return x.had(copying{t, m}) }) {
		j.receivers[j.active(to)]++
	}
	for _, m := range ms {
		if c := (copying{t, m}); x.via != m && !x.had(c) && !j.lets(t, to.Status.Node) { // of a redirect: else it has one already, and will give that back
			j.toMonitor(c, x, to.Status.Node)
		}
	}
}

// had says whether a monitor has had what makes a copy needless.
func (x pass) had(c copying) bool {
	return slices.ContainsFunc(x.seen, func(s copied) bool { return s.satisfies(c.copied()) })
}

// flood sends a frame to all members but the sender.
func (j *journey) flood(x pass) {
	var due, maybe []copying
	for _, to := range j.members(j.network) {
		if to.Status.Node == "" {
			continue
		}
		if to == x.from {
			for _, a := range to.Status.Attachments {
				if a.Node != x.node && x.here && !j.bears(to, j.f) {
					j.mayReceive[j.place(a)] = true
				}
			}
			continue
		}
		v := x.view
		v.ToPort = to.ID
		if to.Status.Node != x.node {
			j.tunnel(&v, j.network, x.node, to.Status.Node)
		}
		t := j.governing(to, flowtap.In, v)
		if t != nil {
			for _, m := range j.leadsTo(t, j.f) {
				switch c := (copying{t, m}); {
				case m == x.via || x.had(c):
				case j.bears(to, j.f):
					maybe = append(maybe, c)
				default:
					due = append(due, c)
				}
			}
		}
		if j.bears(to, j.f) {
			continue
		}
		if t != nil {
			j.governs[governed{to.ID, flowtap.In}] = t.leadsTo()
		}
		// Where the port is decides anew whether a redirect keeps the frame from it.
		for _, a := range to.Status.Attachments {
			v := x.view
			v.ToPort = to.ID
			if a.Node != x.node {
				v.InPort, v.Metadata = "", 0
				if from := j.owner(j.network, v.EthSrc); from != nil {
					v.InPort, v.Metadata = from.ID, uint64(from.Metadata)
				}
				j.tunnel(&v, j.network, x.node, a.Node)
			}
			if !j.divertsIn(to) {
				j.receivers[j.place(a)]++
			} else if t := j.governing(to, flowtap.In, v); t == nil || t.Action != flowtap.Redirect || slices.Contains(j.leadsTo(t, j.f), x.via) || j.lets(t, a.Node) {
				j.receivers[j.place(a)]++
			}
		}
	}
	j.copyFlooded(x, due, maybe)
}

// copyFlooded makes the copies of a flooded frame that contracts are due, or may get.
func (j *journey) copyFlooded(x pass, due, maybe []copying) {
	strict := func(a, b copying) int { // what satisfies most comes first
		rank := func(c copying) int {
			switch {
			case c.limited():
				return 2
			case c.form() != form{}:
				return 1
			}
			return 0
		}
		return rank(a) - rank(b)
	}
	slices.SortStableFunc(due, strict)
	slices.SortStableFunc(maybe, strict)
	satisfied := func(by []copying, c copying, other bool) bool {
		return slices.ContainsFunc(by, func(m copying) bool {
			return !m.limited() && m.copied().satisfies(c.copied()) && !(other && m.copied() == c.copied() && !c.limited())
		})
	}
	var made []copying
	for _, c := range due {
		switch {
		case satisfied(made, c, false):
		case satisfied(maybe, c, true):
			j.mayBeCopied(c)
		default:
			j.toMonitor(c, x, x.node)
			made = append(made, c)
		}
	}
	var might []copying
	for _, c := range maybe {
		if !satisfied(made, c, false) && !slices.ContainsFunc(might, func(m copying) bool { return !m.limited() && !c.limited() && m.copied() == c.copied() }) {
			j.mayBeCopied(c)
			might = append(might, c)
		}
	}
}

// lets reports whether a redirect lets a frame pass at a node because its monitor cannot be reached from there, or
// no member of its pool serves.
func (j *journey) lets(t *Tap, node string) bool {
	if t.Action != flowtap.Redirect || t.FailMode != flowtap.FailOpen {
		return false
	}
	for _, m := range j.leadsTo(t, j.f) {
		return !j.reaches(node, m)
	}
	return true
}

func (o oracle) divertsIn(p *Port) bool {
	for _, id := range o.w.Taps() {
		if t := o.w.Tap(id); t.Src == p.ID && t.Action == flowtap.Redirect && o.inForce(t) && len(t.Cubes(flowtap.In)) > 0 {
			return true
		}
	}
	return false
}

// in is a frame that comes in by an entrance. It is taken for what it says it is.
func (j *journey) in(e *Port, node string) {
	network := j.networkOf(e.ID)
	if m := j.monitorOf(e.ID); m != nil && m.Tag == topology.TagVLAN {
		network = j.network // as its tag says
	}
	if !j.admits(e.ID, network) {
		return
	}
	j.network = network
	monitor := j.monitorOf(e.ID).ID
	mine := func(t *Tap) bool {
		return t != nil && t.Action == flowtap.Redirect && slices.Contains(j.leadsTo(t, j.f), monitor)
	}
	mayBe := func(t *Tap) bool { return t.Action == flowtap.Redirect && j.mayLead(t, monitor) }
	from, to := j.owner(network, j.f.view.EthSrc), j.owner(network, j.f.view.EthDst)
	x := pass{from: from, node: node, entrance: e.ID, view: j.view(from)}

	// Left a target?
	target := from
	if from == nil {
		if target = j.anonymous(network); target == to {
			target = nil
		}
		x.from = target
	}
	if target != nil {
		v := x.view
		v.InPort = target.ID
		if t := j.governing(target, flowtap.Out, v); mine(t) {
			x.via, x.view.InPort = monitor, target.ID
			j.route(x)
			return
		}
	}
	x.from = from

	// On its way to one?
	gw := j.gatewayOf(network)
	back := to
	if to == nil && gw != nil && !j.f.multicast() {
		back = gw
	}
	switch {
	case j.f.multicast() || back == nil:
		j.backTo(x, mine, mayBe)
		return
	default:
		if t := j.arrives(back, x.view, mayBe); mine(t) {
			if back.Status.Node != "" && !j.bears(back, j.f) {
				j.receivers[j.active(back)]++
			}
			return
		}
	}

	// An answer?
	for _, answer := range []struct {
		who *Port
		dir flowtap.Direction
	}{{to, flowtap.Out}, {from, flowtap.In}} {
		if answer.who == nil || answer.dir == flowtap.In && j.f.multicast() {
			continue
		}
		var best *Tap
		for _, id := range j.w.Taps() {
			t := j.w.Tap(id)
			if t.Src == answer.who.ID && mayBe(t) && j.inForce(t) && (best == nil || t.Priority > best.Priority) && j.answers(t, answer.dir, x.view) {
				best = t
			}
		}
		if best != nil {
			if x.via = monitor; mine(best) && to != nil && !j.f.multicast() {
				j.deliver(x, to)
			}
			return
		}
	}
}

// anonymous is the target whose redirected frames may bear any MAC.
func (o oracle) anonymous(network string) (first *Port) {
	for _, id := range o.w.Taps() {
		t := o.w.Tap(id)
		p := o.w.Port(t.Src)
		if p == nil || p.Network != network || t.Action != flowtap.Redirect || !o.inForce(t) || len(t.Cubes(flowtap.Out)) == 0 {
			continue
		}
		secured := p.PortSecurity || p.Kind == topology.KindVM && p.MAC.IsZero()
		if !secured && (first == nil || p.Num < first.Num) {
			first = p
		}
	}
	return first
}

// arrives gives the contract that governs a frame given back on its way to a port. Nothing is known
// any more of the tunnel that it came by: what hangs on that is believed of the contracts that may be
// the entrance's, and of others not.
func (j *journey) arrives(to *Port, v flowtap.Frame, mayBe func(*Tap) bool) (governs *Tap) {
	v.ToPort = to.ID
	for _, id := range j.w.Taps() {
		t := j.w.Tap(id)
		if t.Src != to.ID || !j.inForce(t) || governs != nil && t.Priority < governs.Priority {
			continue
		}
		plain, tunnel := withoutTunnelFields(t)
		if (mayBe(t) || !tunnel) && j.has(plain, flowtap.In, v) {
			governs = t
		}
	}
	return governs
}

var tunnelField = regexp.MustCompile(`tun_[a-z]+=[^,;]*`)

// withoutTunnelFields gives a contract that says nothing of tunnels, and whether it did.
func withoutTunnelFields(t *Tap) (*Tap, bool) {
	text := t.Match.String()
	left := strings.Trim(tunnelField.ReplaceAllString(text, ""), ",; ")
	m, err := flowtap.ParseMatch(left)
	if err != nil {
		panic(err)
	}
	plain := t.Tap
	plain.Match = m
	return newTap(t.ID, t.Num, plain), left != text
}

// answers says whether a frame is a reply to those that a contract has in a direction.
func (j *journey) answers(t *Tap, dir flowtap.Direction, v flowtap.Frame) bool {
	plain, _ := withoutTunnelFields(t)
	if oneWay(plain.Match) {
		return false
	}
	back := map[flowtap.Direction]flowtap.Direction{flowtap.In: flowtap.Out, flowtap.Out: flowtap.In}[dir]
	if plain.Direction != flowtap.Both {
		if plain.Direction != dir {
			return false
		}
		r := plain.Tap
		r.Match, r.Direction = r.Match.Reverse(), back
		plain = newTap(t.ID, t.Num, r)
	}
	if dir == flowtap.Out {
		v.ToPort = t.Src
	} else {
		v.InPort = t.Src
	}
	return j.has(plain, back, v)
}

// backTo gives a flooded frame back to those of a monitor's targets whose contracts have it.
func (j *journey) backTo(x pass, mine, mayBe func(*Tap) bool) {
	for _, to := range j.members(j.network) {
		if j.bears(to, j.f) || !j.divertsIn(to) {
			continue
		}
		if t := j.arrives(to, x.view, mayBe); !mine(t) {
			continue
		}
		for _, a := range to.Status.Attachments {
			j.receivers[j.place(a)]++
		}
	}
}

// tunnel fills in what a frame's tunnel says: the network's label, whatever else travels with it.
func (o oracle) tunnel(f *flowtap.Frame, network, from, to string) {
	f.TunID = uint64(o.w.Label(NetworkLabel(network)))
	f.TunSrc, f.TunDst = o.w.Node(from).TunnelIP, o.w.Node(to).TunnelIP
}
