package pipeline

import (
	"slices"
	"sort"
	"strings"

	"github.com/flowtap/flowtap/openflow"
)

// flooding delivers broadcast, multicast and unknown destinations: on the sender's node to its
// own members and once to each other node, there to the members only. Copies are made on the
// sender's node, for the targets of all nodes at once, because only there a monitor with many
// targets can be given one copy (floodProgram).
func (b *builder) flooding(id string) {
	label := b.w.labels[NetworkLabel(id)]
	if label == 0 || !b.w.here(id, b.n.ID) {
		return
	}
	cookie := b.cookie(KindNetwork, id, label)
	local, remote := floodGroups(label)
	toLocal := []openflow.Action{openflow.ApplyGroup{ID: local}}
	toAll := append(b.floodProgram(id, label), set(RegOrigin, originFlooded), openflow.ApplyGroup{ID: local}, openflow.ApplyGroup{ID: remote})
	net, fromHere := reg(RegNetwork, label), reg(RegOrigin, originLocal)
	add := func(priority uint16, actions []openflow.Action, fields ...openflow.MatchField) {
		b.flow(openflow.Flow{Table: TableForward, Priority: priority, Cookie: cookie, Match: match(append(fields, net)...), Apply: actions})
	}
	add(prioFlooded, toLocal, reg(RegOrigin, originFlooded))
	add(prioMulticast, toAll, fromHere, multicast())

	gw := b.w.gateway(id)
	if gw == nil {
		add(prioUnknown, toAll, fromHere)
		return
	}
	// Unknown destinations are behind the gateway, but for the gateway itself.
	if here := b.w.attachment(gw, b.n.ID); here != 0 {
		add(prioUnknownGW, toAll, fromHere, inPort(here))
	}
	if b.w.returnsAt(gw, b.n.ID) {
		add(prioUnknownGW, toAll, fromHere, reg(RegSender, gw.Num))
	}
	// From here it is the same flow as without a gateway, so that one change turns flooding off or
	// on together with the copies that belong to it (Phases).
	for _, from := range []openflow.MatchField{fromHere, reg(RegOrigin, originTunnel), reg(RegOrigin, originBehind)} {
		f := b.reach(gw)
		f.Priority, f.Cookie, f.Match = prioUnknown, cookie, match(net, from)
		b.flow(f)
	}
}

func floodGroups(label uint32) (local, remote openflow.GroupID) {
	return openflow.GroupID(groupFloodLocal + label), openflow.GroupID(groupFloodRemote + label)
}

// members makes the two groups of a network: this node's members, and the other nodes.
func (b *builder) members(id string, label uint32) {
	local, remote := floodGroups(label)
	var ports []openflow.PortNo
	nodes, next := map[string]bool{}, map[openflow.PortNo]openflow.TableID{}
	for _, p := range b.w.members[id] {
		for _, a := range p.Status.Attachments {
			if a.Node == b.n.ID {
				ports = append(ports, a.OFPort)
				if next[a.OFPort] = TableOutput; b.w.divertsIn(p.ID) && b.w.attachment(p, b.n.ID) != 0 {
					next[a.OFPort] = TableTapIn
				}
			} else if b.w.nodes[a.Node] != nil {
				nodes[a.Node] = true
			}
		}
	}
	sort.Slice(ports, func(i, j int) bool { return ports[i] < ports[j] })
	var toPorts, toNodes []openflow.Bucket
	for _, p := range ports {
		toPorts = append(toPorts, bucket(set(RegOut, uint32(p)), openflow.Resubmit{Port: openflow.PortInPort, Table: next[p]}))
	}
	if b.n.TunnelPort != 0 {
		for _, n := range sortedKeys(nodes) {
			toNodes = append(toNodes, bucket(set(RegOrigin, originFlooding), tunnelTo(b.w.nodes[n]), openflow.Resubmit{Port: openflow.PortInPort, Table: TableEncap}))
		}
	}
	b.group(local, toPorts...)
	b.group(remote, toNodes...)
}

// maxAlone bounds the targets of a network that are decided one by one.
const maxAlone = 1000

// Priorities in the flood table, above those of contracts (tapPriority, at most 2,011).
const (
	floodSkip   = 4000 // the destination has this frame
	floodSender = 3000 // the target is the sender
)

// lookupPool marks, in RegTarget, the look-up for all contracts towards a spread pool together; the
// pool's label is below it.
const lookupPool = 1 << 31

// floodProgram decides, on the sender's node, which destinations (copy.go) get a copy of a flooded frame:
// each destination that some target's governing contract leads to, once, where the sender is no
// target of its own frame. The answer is a list of look-ups in the flood table, a stage for each
// destination D:
//
//   - one look-up for the contracts towards D on all targets together (floodCube): any hit copies.
//     It has the contracts of which no other one of the target takes frames, and which cannot be
//     the sender's own alone;
//   - one for the contracts towards each spread pool that D is a member of: a hit puts the frame to the
//     member that the pool chooses, which copies if that is D;
//   - one look-up for each target left over (floodTarget), with that target's contracts in order of
//     priority and nothing at all if it is the sender.
//
// A copy notes D in RegCopied, which ends D's stage. Matches on what differs between nodes, port
// names and tunnels, are always left over. So are contracts with a rate limit, in a stage after
// the other ones of their destination: each makes its own copy, and notes nothing.
func (b *builder) floodProgram(id string, network uint32) []openflow.Action {
	f := b.w.floods[id]
	if f == nil {
		return nil
	}
	var program []openflow.Action
	for _, name := range b.stages(f) {
		s, number := f.stages[name], b.w.stageNumber(name)
		program = append(program, set(RegStage, number))
		for _, label := range b.w.satisfies(strings.TrimSuffix(name, limitedSuffix)) {
			b.floodFlow(floodSkip, Cookie(KindNetwork, network), nil, network, number, 0, seenBy(label))
			b.floodFlow(floodSkip, Cookie(KindNetwork, network), nil, network, number, 0, reg(RegCopied, label))
		}
		for _, c := range b.w.copyPoolsOf(monitorOf(name)) {
			for _, label := range b.w.satisfiesAll(c, strings.TrimSuffix(name, limitedSuffix)) {
				b.floodFlow(floodSkip, Cookie(KindNetwork, network), nil, network, number, 0, seenBy(label))
			}
		}
		lookup := func(target uint32) {
			program = append(program, set(RegTarget, target), openflow.Resubmit{Port: openflow.PortInPort, Table: TableFlood})
		}
		shared, alone := s.multi > 0, map[string]bool{}
		for target := range s.forced {
			alone[target] = true
		}
		for target := range s.single {
			if b.w.aloneAt(f, s, target, b.n.ID) {
				alone[target] = true
			}
			shared = shared || !b.w.loneCubes(f, s, target, b.n.ID)
		}
		if shared {
			lookup(0)
		}
		for _, pool := range sortedKeys(s.pools) {
			if n := b.w.labels[PoolLabel(pool)]; n != 0 {
				lookup(lookupPool | n)
			}
		}
		for _, target := range sortedKeys(alone) {
			lookup(b.w.ports[target].Num)
		}
	}
	return program
}

// stages gives a flood's stages that have labels, in order.
func (b *builder) stages(f *flood) (names []string) {
	for s := range f.stages {
		if b.w.stageNumber(s) != 0 && b.w.labels[MonitorLabel(monitorOf(s))] != 0 {
			names = append(names, s)
		}
	}
	slices.SortFunc(names, b.w.compareStages)
	return names
}

// copyIn copies for a contract in a stage of flooding, if its spread pool chooses the stage's monitor, and notes it
// where it counts.
func (b *builder) copyIn(t *Tap, stage string) []openflow.Action {
	monitor := monitorOf(stage)
	if pool := b.w.spreadOf(t); pool != nil && t.limited() {
		return apart(append([]openflow.Action{set(RegLimited, t.Num)}, b.choose(pool)...)...)
	} else if pool != nil {
		return b.choose(pool)
	}
	if t.limited() {
		return b.copyFor(t, monitor)
	}
	return append(b.copyFor(t, monitor), set(RegCopied, b.w.labels[MonitorLabel(destination(monitor, t.form()))]))
}

// floodCube is the flow of one match that is decided for all its targets together.
func (b *builder) floodCube(r cubeRef) {
	network, label := b.w.labels[NetworkLabel(r.network)], b.w.stageNumber(r.stage)
	f := b.w.floods[r.network]
	if f == nil || f.stages[r.stage] == nil || network == 0 || b.w.networks[r.network] == nil || label == 0 || !b.w.here(r.network, b.n.ID) {
		return
	}
	s := f.stages[r.stage]
	c := s.cubes[r.key]
	if c == nil {
		return
	}
	var first *Tap
	for target, t := range c.taps { // a match can be that of thousands: only a number that is lower is looked at closer
		if first != nil && first.Num < t.Num || !b.w.inForce(t) {
			continue
		}
		if len(c.taps) == 1 && b.w.loneCubes(f, s, target, b.n.ID) {
			return
		}
		first = t
	}
	if first == nil {
		return
	}
	actions, target := b.copyIn(first, r.stage), int64(-1)
	if c.pool != "" {
		pool := b.w.labels[PoolLabel(c.pool)]
		if pool == 0 {
			return
		}
		target = int64(lookupPool | pool)
	}
	b.floodFlow(tapPriority(0), Cookie(KindTap, first.Num), actions, network, label, target, c.match...)
}

// floodTarget is the look-ups that are for one target.
func (b *builder) floodTarget(p *Port) {
	network := b.w.labels[NetworkLabel(p.Network)]
	f := b.w.floods[p.Network]
	if f == nil || network == 0 || b.w.networks[p.Network] == nil || b.w.holds[p.ID] == nil || !b.w.here(p.Network, b.n.ID) {
		return
	}
	for _, name := range b.stages(f) {
		if b.w.aloneAt(f, f.stages[name], p.ID, b.n.ID) {
			b.lone(p, name, network)
		}
	}
}

// lone writes the look-up that decides for one target in one stage.
func (b *builder) lone(p *Port, name string, network uint32) {
	stage := b.w.stageNumber(name)
	if here := b.w.attachment(p, b.n.ID); here != 0 {
		b.floodFlow(floodSender, Cookie(KindNetwork, network), nil, network, stage, int64(p.Num), inPort(here))
	}
	if b.w.returnsAt(p, b.n.ID) {
		b.floodFlow(floodSender, Cookie(KindNetwork, network), nil, network, stage, int64(p.Num), reg(RegSender, p.Num))
	}
	for _, id := range sortedKeys(b.w.tapsBySrc[p.ID]) {
		t := b.w.tapsBySrc[p.ID][id]
		if !b.w.inForce(t) {
			continue
		}
		kind, actions := KindTapFlood, []openflow.Action(nil)
		if slices.Contains(b.w.stagesOf(t), name) {
			kind, actions = KindTap, b.copyIn(t, name)
		}
		for _, m := range b.flooded(p, t) {
			b.floodFlow(tapPriority(t.Priority), Cookie(kind, t.Num), actions, network, stage, int64(p.Num), m...)
		}
	}
}

// floodFlow adds a flow of the flood table. target 0 is any look-up of the stage, -1 the shared one.
func (b *builder) floodFlow(priority uint16, cookie uint64, actions []openflow.Action, network, stage uint32, target int64, fields ...openflow.MatchField) {
	all := append([]openflow.MatchField{reg(RegNetwork, network), reg(RegStage, stage)}, fields...)
	if target == -1 {
		all = append(all, reg(RegTarget, 0))
	} else if target > 0 {
		all = append(all, reg(RegTarget, uint32(target)))
	}
	b.flow(openflow.Flow{Table: TableFlood, Priority: priority, Cookie: cookie, Match: match(all...), Apply: actions})
}

// flooded gives the matches of a contract on frames flooded from this node to target p.
func (b *builder) flooded(p *Port, t *Tap) (ms []openflow.Match) {
	seen := map[string]bool{}
	for _, c := range t.in {
		for _, fields := range b.goingTo(p, c) {
			fields, ok := b.throughTunnel(p, fields)
			if !ok {
				continue
			}
			for _, way := range b.enteringHere(p, c.InPort) {
				m, ok := conjunction(fields, way)
				// Cubes that differ in what is settled here become one.
				if ok && !seen[matchKey(m)] {
					seen[matchKey(m)] = true
					ms = append(ms, m)
				}
			}
		}
	}
	return ms
}

// enteringHere gives the ways in which a frame that is flooded from here shows that it entered by a
// port: its number, or its MAC in what a monitor gives back. One that entered elsewhere is flooded
// from there.
func (b *builder) enteringHere(target *Port, port string) (ways [][]openflow.MatchField) {
	if port == "" {
		return [][]openflow.MatchField{nil}
	}
	from := b.w.peer(target, port)
	if from == nil {
		return nil
	}
	if here := b.w.attachment(from, b.n.ID); here != 0 {
		ways = append(ways, []openflow.MatchField{inPort(here)})
	}
	return append(ways, b.givenBack(from)...)
}

// givenBack gives the ways in which a frame shows that it is one of a port's and was given back here: it
// was taken for one, or is an answer in the port's name.
func (b *builder) givenBack(from *Port) (ways [][]openflow.MatchField) {
	for _, entrance := range b.w.entrances(from.Network, b.n.ID) {
		ways = append(ways, []openflow.MatchField{inPort(entrance), reg(RegSender, from.Num)})
		for _, m := range b.w.addresses(from) {
			ways = append(ways, []openflow.MatchField{inPort(entrance), mac(openflow.FieldEthSrc, m)})
		}
	}
	return ways
}

// throughTunnel settles what a contract says of the tunnel by which a flooded frame will reach
// its target: on this node by none, on another from here to there under the network's label.
func (b *builder) throughTunnel(p *Port, fields []openflow.MatchField) (left []openflow.MatchField, ok bool) {
	will := map[openflow.Field]openflow.MatchField{}
	for _, f := range []openflow.Field{openflow.FieldTunSrc, openflow.FieldTunDst, openflow.FieldTunnelID} {
		will[f] = openflow.Uint(f, 0)
	}
	if at := b.w.nodes[p.Status.Node]; at != nil && at.ID != b.n.ID {
		will[openflow.FieldTunSrc] = addr(openflow.FieldTunSrc, b.n.TunnelIP)
		will[openflow.FieldTunDst] = addr(openflow.FieldTunDst, at.TunnelIP)
		will[openflow.FieldTunnelID] = openflow.Uint(openflow.FieldTunnelID, uint64(b.w.labels[NetworkLabel(p.Network)]))
	}
	for _, f := range fields {
		v, tunnel := will[f.Field]
		if !tunnel {
			left = append(left, f)
		} else if _, ok := conjunction([]openflow.MatchField{v}, []openflow.MatchField{f}); !ok {
			return nil, false
		}
	}
	return left, true
}

func matchKey(m openflow.Match) string {
	b := make([]byte, 0, len(m)*36)
	for _, f := range m {
		b = append(b, byte(f.Field>>16), byte(f.Field>>8), byte(f.Field))
		b = append(b, f.Value[:]...)
		b = append(b, f.Mask[:]...)
	}
	return string(b)
}
