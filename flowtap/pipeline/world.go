package pipeline

import (
	"net/netip"
	"slices"
	"sort"
	"strings"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/topology"
)

// World is everything that decides what switches should hold: the wanted objects, where ports
// are, and the label numbers. Its owner changes it with the Put and Delete methods, each of which
// answers with the units (see Unit) that the change touches. It is not safe for concurrent use;
// any number of goroutines may call Desired while nobody changes it.
type World struct {
	nodes    map[string]*Node
	networks map[string]*Network
	ports    map[string]*Port
	taps     map[string]*Tap
	pools    map[string]*Pool
	labels   map[string]uint32
	missing  map[string]bool // label keys needed and not yet numbered

	members    map[string]map[string]*Port // ports by network
	tapsBySrc  map[string]map[string]*Tap
	tapsByDst  map[string]map[string]*Tap           // by destination (leadsTo)
	poolsOf    map[string]map[string]*Pool          // by member
	naming     map[string]map[string]*Tap           // taps whose match names a port as in_port
	at         map[spot]map[string]*Port            // ports by node and port number
	present    map[presence]map[string]*Port        // members by network and node
	using      map[address]map[string]*Port         // members by an address declared or learned
	holds      map[string]*hold                     // by target: what its contracts have put into the next three
	floods     map[string]*flood                    // by network
	seen       map[string]map[string]int            // contracts on sent frames, by network and destination or copy pool
	tapped     map[string]map[string]int            // contracts, by monitor or pool, and network
	forms      map[string]map[formAt]int            // contracts whose copies are not simply all frames, by monitor
	arms       map[string]map[string]bool           // monitors, by the port they give frames back by
	diverted   map[string]map[string]map[string]int // redirects, by network, monitor and target
	divertedTo map[string]map[string]int            // redirects, by monitor and network
	opens      map[string]map[string]int            // redirects that fail open, by monitor and network
	dead       map[Tunnel]bool
	keys       map[uint32]string // label keys by number
}

// A spot is a place on a switch, a presence a network on a node, a formAt a form in which a network's
// frames are copied, an address a MAC or IP in a network.
type (
	spot struct {
		node string
		port openflow.PortNo
	}
	presence struct{ network, node string }
	formAt   struct {
		form    form
		limited bool
		network string
	}
	address struct {
		network string
		mac     topology.MAC
		ip      netip.Addr
	}
)

// A Node is a registered node. TunnelPort is zero while its switch has no tunnel interface. Of a node
// of two bridges Patch is the number of the patch port on the tunnel bridge, and PortPatch that on the port
// bridge; zero while there is none.
type Node struct {
	ID string
	topology.Node
	TunnelPort       openflow.PortNo
	Patch, PortPatch openflow.PortNo
}

// Same reports whether two nodes are the same to the pipeline.
func (n *Node) Same(o *Node) bool {
	return n.DatapathID == o.DatapathID && n.TunnelDatapathID == o.TunnelDatapathID && n.TunnelIP == o.TunnelIP &&
		n.TunnelPort == o.TunnelPort && n.Patch == o.Patch && n.PortPatch == o.PortPatch
}

// A Network is known by its id alone.
type Network struct{ ID string }

// A Port with its number, which cookies carry, and where it is attached.
type Port struct {
	ID  string
	Num uint32
	topology.Port
	Status topology.PortStatus
}

// A Tap with its number and its flow, resolved into cubes for each direction.
type Tap struct {
	ID  string
	Num uint32
	flowtap.Tap
	out, in []flowtap.Cube
	// Where copies go, and in which stage of flooding (copy.go).
	dest, stage string
	// Replies to what the target sent, and to what was sent to it: what a monitor may answer.
	answersOut, answersIn []flowtap.Cube
}

// NewWorld gives an empty world.
func NewWorld() *World {
	return &World{
		nodes: map[string]*Node{}, networks: map[string]*Network{}, ports: map[string]*Port{},
		taps: map[string]*Tap{}, pools: map[string]*Pool{}, poolsOf: map[string]map[string]*Pool{}, labels: map[string]uint32{}, missing: map[string]bool{},
		members: map[string]map[string]*Port{}, tapsBySrc: map[string]map[string]*Tap{},
		tapsByDst: map[string]map[string]*Tap{}, naming: map[string]map[string]*Tap{},
		at: map[spot]map[string]*Port{}, present: map[presence]map[string]*Port{},
		using: map[address]map[string]*Port{}, keys: map[uint32]string{},
		holds: map[string]*hold{}, floods: map[string]*flood{}, seen: map[string]map[string]int{}, tapped: map[string]map[string]int{},
		arms: map[string]map[string]bool{}, forms: map[string]map[formAt]int{}, diverted: map[string]map[string]map[string]int{}, divertedTo: map[string]map[string]int{},
		opens: map[string]map[string]int{}, dead: map[Tunnel]bool{},
	}
}

// Node, Port and Tap look objects up; nil where there is none.
func (w *World) Node(id string) *Node { return w.nodes[id] }
func (w *World) Port(id string) *Port { return w.ports[id] }
func (w *World) Tap(id string) *Tap   { return w.taps[id] }

// Nodes gives all node ids, sorted.
func (w *World) Nodes() []string { return sortedKeys(w.nodes) }

// Networks gives all network ids, sorted.
func (w *World) Networks() []string { return sortedKeys(w.networks) }

// HasNetwork reports whether a network exists.
func (w *World) HasNetwork(id string) bool { return w.networks[id] != nil }

// Members counts a network's ports.
func (w *World) Members(network string) int { return len(w.members[network]) }

// Taps gives all tap ids, sorted.
func (w *World) Taps() []string { return sortedKeys(w.taps) }

// Ports gives all port ids, sorted.
func (w *World) Ports() []string { return sortedKeys(w.ports) }

// TapsOf gives the ids of the taps that have this port as target or monitor, sorted.
func (w *World) TapsOf(port string) []string {
	both := map[string]*Tap{}
	for id, t := range w.tapsBySrc[port] {
		both[id] = t
	}
	for id, t := range w.tapsTo(port) {
		both[id] = t
	}
	return sortedKeys(both)
}

// Label gives the number of a label key, zero where it has none yet.
func (w *World) Label(key string) uint32 { return w.labels[key] }

// MissingLabels gives the keys that need a number before Desired is complete, sorted.
func (w *World) MissingLabels() []string { return sortedKeys(w.missing) }

// PutNode adds or replaces a node. Every unit of every switch may change.
func (w *World) PutNode(n Node) []Unit {
	if old := w.nodes[n.ID]; old != nil && old.Same(&n) {
		w.nodes[n.ID] = &n
		return nil
	}
	w.nodes[n.ID] = &n
	return []Unit{{Kind: UnitEverything}}
}

// DeleteNode removes a node.
func (w *World) DeleteNode(id string) []Unit {
	if w.nodes[id] == nil {
		return nil
	}
	delete(w.nodes, id)
	return []Unit{{Kind: UnitEverything}}
}

// PutNetwork adds or replaces a network.
func (w *World) PutNetwork(n Network) []Unit {
	w.networks[n.ID] = &n
	w.need(NetworkLabel(n.ID))
	return append(w.unitsOfFloods(n.ID), Unit{UnitNetwork, n.ID})
}

// DeleteNetwork removes a network.
func (w *World) DeleteNetwork(id string) []Unit {
	delete(w.networks, id)
	delete(w.missing, NetworkLabel(id))
	return append(w.unitsOfFloods(id), Unit{UnitNetwork, id})
}

// PutLabel numbers a label key.
func (w *World) PutLabel(key string, n uint32) []Unit {
	delete(w.missing, key)
	if w.labels[key] == n {
		return nil
	}
	if !strings.HasPrefix(key, VLANKey("")) {
		delete(w.keys, w.labels[key])
	}
	if w.labels[key] = n; !strings.HasPrefix(key, VLANKey("")) {
		w.keys[n] = key
	}
	return w.unitsOfLabel(key)
}

// DeleteLabel forgets a number, and that one is needed.
func (w *World) DeleteLabel(key string) []Unit {
	delete(w.missing, key)
	if !strings.HasPrefix(key, VLANKey("")) {
		delete(w.keys, w.labels[key])
	}
	delete(w.labels, key)
	return w.unitsOfLabel(key)
}

func (w *World) need(key string) {
	if w.labels[key] == 0 {
		w.missing[key] = true
	}
}

// PutPort adds or replaces a port.
func (w *World) PutPort(p Port) []Unit {
	old := w.ports[p.ID]
	units := w.unitsOfPort(old)
	crowded := w.crowds(old, &p)
	w.forgetPort(old)
	w.ports[p.ID] = &p
	for _, a := range p.Status.Attachments {
		addTo(w.at, spot{a.Node, a.OFPort}, p.ID, &p)
	}
	if p.Kind == topology.KindMonitor {
		w.need(MonitorLabel(p.ID))
		addTo(w.arms, p.entrance(), p.ID, true)
		for _, t := range w.tapsTo(p.ID) {
			w.needSeen(t)
		}
	} else {
		addTo(w.members, p.Network, p.ID, &p)
		for _, a := range p.Status.Attachments {
			addTo(w.present, presence{p.Network, a.Node}, p.ID, &p)
		}
		for _, a := range p.uses() {
			addTo(w.using, a, p.ID, &p)
		}
	}
	for _, t := range w.tapsBySrc[p.ID] {
		w.needSeen(t)
	}
	w.index(&p)
	return append(append(units, w.unitsOfPort(&p)...), crowded()...)
}

// DeletePort removes a port.
func (w *World) DeletePort(id string) []Unit {
	old := w.ports[id]
	if old == nil {
		return nil
	}
	units := w.unitsOfPort(old)
	crowded := w.crowds(old)
	delete(w.ports, id)
	delete(w.missing, MonitorLabel(id))
	w.forgetPort(old)
	return append(units, crowded()...)
}

// forgetPort takes a port out of the indices.
func (w *World) forgetPort(p *Port) {
	if p == nil {
		return
	}
	w.unindex(p.ID)
	removeFrom(w.arms, p.entrance(), p.ID)
	removeFrom(w.members, p.Network, p.ID)
	for _, a := range p.Status.Attachments {
		removeFrom(w.at, spot{a.Node, a.OFPort}, p.ID)
		removeFrom(w.present, presence{p.Network, a.Node}, p.ID)
	}
	for _, a := range p.uses() {
		removeFrom(w.using, a, p.ID)
	}
}

// PutTap adds or replaces a tap.
func (w *World) PutTap(id string, num uint32, tap flowtap.Tap) []Unit {
	units := w.DeleteTap(id)
	t := newTap(id, num, tap)
	return append(units, w.withTarget(t, func() {
		w.taps[id] = t
		addTo(w.tapsBySrc, tap.Src, id, t)
		addTo(w.tapsByDst, t.leadsTo(), id, t)
		for _, c := range slices.Concat(t.out, t.in) {
			for _, named := range []string{c.InPort, c.ToPort} {
				if named != "" {
					addTo(w.naming, named, id, t)
				}
			}
		}
		w.needSeen(t)
	})...)
}

// DeleteTap removes a tap.
func (w *World) DeleteTap(id string) []Unit {
	t := w.taps[id]
	if t == nil {
		return nil
	}
	return w.withTarget(t, func() {
		delete(w.taps, id)
		removeFrom(w.tapsBySrc, t.Src, id)
		removeFrom(w.tapsByDst, t.leadsTo(), id)
		for _, c := range slices.Concat(t.out, t.in) {
			removeFrom(w.naming, c.InPort, id)
			removeFrom(w.naming, c.ToPort, id)
		}
	})
}

// withTarget changes the contracts of t's target, and gives what that touches.
func (w *World) withTarget(t *Tap, change func()) (units []Unit) {
	p := w.ports[t.Src]
	if p == nil {
		change()
		return w.unitsOfTap(t)
	}
	crowded := w.crowds(p)
	units = append(w.unitsOfTap(t), w.unitsOfFlood(p)...)
	monitors := w.monitorsOf(t)
	seen, diverted, transit := map[string]bool{}, map[string]bool{}, map[string][]Unit{}
	for _, d := range slices.Concat(monitors, w.marks(t), []string{t.leadsTo(), t.dest}) {
		seen[d], diverted[d], transit[d] = w.seen[p.Network][d] > 0, len(w.diverted[p.Network][d]) > 0, w.unitsOfTransit(d)
	}
	w.unindex(p.ID)
	change()
	w.index(p)
	for d := range seen {
		is, diverts := w.seen[p.Network][d] > 0, len(w.diverted[p.Network][d]) > 0
		if is != seen[d] {
			units = append(units, Unit{UnitNetwork, p.Network})
		}
		if diverts != diverted[d] {
			units = append(append(units, transit[d]...), w.unitsOfTransit(d)...)
		}
		if is != seen[d] || diverts != diverted[d] {
			for pool := range w.poolsOf[monitorOf(d)] {
				units = append(units, Unit{UnitPool, pool})
			}
		}
	}
	if t.Action == flowtap.Redirect {
		units = append(append(units, Unit{UnitNetwork, p.Network}), w.unitsOfAnonymous(p.Network)...)
	}
	return append(append(units, w.unitsOfFlood(p)...), crowded()...)
}

// crowds notes whether the networks of ports are crowded, and later gives all of the flooding of
// those of which that has changed.
func (w *World) crowds(ports ...*Port) func() []Unit {
	is := func(network string) bool { f := w.floods[network]; return f != nil && f.crowded() }
	was := map[string]bool{}
	for _, p := range ports {
		if p != nil {
			was[p.Network] = is(p.Network)
		}
	}
	return func() (us []Unit) {
		for network, before := range was {
			if is(network) != before {
				us = append(us, w.unitsOfFloods(network)...)
			}
		}
		return us
	}
}

// needSeen asks for the label that carries between nodes that a contract's destination had a frame,
// and for the destination's own.
func (w *World) needSeen(t *Tap) {
	p := w.ports[t.Src]
	for _, m := range w.monitorsOf(t) {
		if f := t.form(); t.Enabled && f != (form{}) {
			w.need(MonitorLabel(destination(m, f)))
		}
	}
	switch {
	case p == nil || !t.Enabled:
		return
	case t.Action == flowtap.Redirect:
		for _, m := range w.monitorsOf(t) {
			w.need(ViaLabel(p.Network, m))
		}
	case len(t.out) > 0:
		for _, d := range w.marks(t) {
			if w.need(SeenLabel(p.Network, d)); w.poolOf(t) != nil && d == t.dest {
				w.need(d)
			}
		}
	}
	if slices.ContainsFunc(w.monitorsOf(t), w.tags) {
		w.need(VLANKey(p.Network))
	}
}

// marks gives what frames that a contract copies where they are sent may be marked with: its
// monitor, its copy pool, or a member of its spread pool, and the form.
func (w *World) marks(t *Tap) []string {
	if t.limited() {
		return nil
	}
	if w.spreadOf(t) != nil {
		return w.stagesOf(t)
	}
	return []string{t.dest}
}

// newTap resolves a contract into cubes.
func newTap(id string, num uint32, tap flowtap.Tap) *Tap {
	t := &Tap{ID: id, Num: num, Tap: tap, out: tap.Cubes(flowtap.Out), in: tap.Cubes(flowtap.In)}
	t.dest = destination(t.leadsTo(), t.form())
	if t.stage = t.dest; t.limited() {
		t.stage += limitedSuffix
	}
	if tap.Action != flowtap.Redirect {
		return t
	}
	back := tap
	switch tap.Direction {
	case flowtap.Both:
		if len(t.out) > 0 && len(t.in) > 0 { // else the match names a table, and has no reply direction
			t.answersOut, t.answersIn = t.in, t.out
		}
	case flowtap.Out:
		back.Match, back.Direction = tap.Match.Reverse(), flowtap.In
		t.answersOut = back.Cubes(flowtap.In)
	case flowtap.In:
		back.Match, back.Direction = tap.Match.Reverse(), flowtap.Out
		t.answersIn = back.Cubes(flowtap.Out)
	}
	return t
}

// gateway gives the network's gateway in use: the attached one with the smallest id.
func (w *World) gateway(network string) *Port {
	var g *Port
	for _, p := range w.members[network] {
		if p.Kind == topology.KindGateway && p.Status.Node != "" && (g == nil || p.ID < g.ID) {
			g = p
		}
	}
	return g
}

func addTo[A, K comparable, V any](m map[A]map[K]V, key A, id K, v V) {
	if m[key] == nil {
		m[key] = map[K]V{}
	}
	m[key][id] = v
}

func removeFrom[A, K comparable, V any](m map[A]map[K]V, key A, id K) {
	delete(m[key], id)
	if len(m[key]) == 0 {
		delete(m, key)
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
