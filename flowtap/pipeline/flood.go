package pipeline

import (
	"sort"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/openflow"
)

// flooding delivers broadcast, multicast and unknown destinations: on the sender's node to its
// own members and once to each other node, there to the members only. Copies are made on the
// sender's node, for the targets of all nodes at once, because only there a monitor with many
// targets can be given one copy (floodProgram).
func (b *builder) flooding(id string, label uint32) {
	cookie := Cookie(KindNetwork, label)
	local, remote := b.floodGroups(id, label)
	toLocal := []openflow.Action{openflow.ApplyGroup{ID: local}}
	toAll := append(b.floodProgram(id, label), openflow.ApplyGroup{ID: local}, openflow.ApplyGroup{ID: remote})
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
	// From here it is the same flow as without a gateway, so that one change turns flooding off or
	// on together with the copies that belong to it (Phases).
	for _, from := range []openflow.MatchField{fromHere, reg(RegOrigin, originTunnel)} {
		f := b.reach(gw)
		f.Priority, f.Cookie, f.Match = prioUnknown, cookie, match(net, from)
		b.flow(f)
	}
}

// floodGroups makes the two groups of a network: this node's members, and the other nodes.
func (b *builder) floodGroups(id string, label uint32) (local, remote openflow.GroupID) {
	local, remote = openflow.GroupID(groupFloodLocal+label), openflow.GroupID(groupFloodRemote+label)
	var ports []openflow.PortNo
	nodes := map[string]bool{}
	for _, p := range b.w.members[id] {
		for _, a := range p.Status.Attachments {
			if a.Node == b.n.ID {
				ports = append(ports, a.OFPort)
			} else if b.w.nodes[a.Node] != nil {
				nodes[a.Node] = true
			}
		}
	}
	sort.Slice(ports, func(i, j int) bool { return ports[i] < ports[j] })
	var toPorts, toNodes []openflow.Bucket
	for _, p := range ports {
		toPorts = append(toPorts, bucket(set(RegOut, uint32(p)), openflow.Resubmit{Port: openflow.PortInPort, Table: TableOutput}))
	}
	if b.n.TunnelPort != 0 {
		for _, n := range sortedKeys(nodes) {
			toNodes = append(toNodes, bucket(set(RegOrigin, originFlooding), tunnelTo(b.w.nodes[n]), openflow.Resubmit{Port: openflow.PortInPort, Table: TableEncap}))
		}
	}
	b.group(local, toPorts...)
	b.group(remote, toNodes...)
	return local, remote
}

// maxStages bounds a flood program: an action list has 64 KiB. Targets beyond it share a stage
// and so may be copied their own broadcasts.
const maxStages = 1000

// Priorities in the flood table, above those of contracts (tapPriority, at most 2,011).
const (
	floodSkip   = 4000 // the destination has this frame
	floodSender = 3000 // the target is the sender
)

// floodProgram decides, on the sender's node, which destinations get a copy of a flooded frame:
// each destination that some target's governing contract leads to, once, where the sender is no
// target of its own frame. The answer is a list of look-ups in the flood table, a stage for each
// destination D:
//
//   - one look-up for the contracts towards D on all targets together: any hit copies. It has the
//     contracts of which no other one of the target takes frames, and which cannot be the
//     sender's own alone;
//   - one look-up for each target left over, with that target's contracts in order of priority
//     and nothing at all if it is the sender.
//
// A copy notes D in RegCopied, which ends D's stage.
func (b *builder) floodProgram(id string, network uint32) []openflow.Action {
	stages := b.stages(id)
	var program []openflow.Action
	for _, s := range stages {
		program = append(program, set(RegStage, s.label))
		b.floodFlow(floodSkip, Cookie(KindNetwork, network), nil, network, s.label, 0, reg(RegSeenBy, s.label))
		b.floodFlow(floodSkip, Cookie(KindNetwork, network), nil, network, s.label, 0, reg(RegCopied, s.label))
		lookup := func(target uint32) {
			program = append(program, set(RegTarget, target), openflow.Resubmit{Port: openflow.PortInPort, Table: TableFlood})
		}
		if s.shared(b, network) {
			lookup(0)
		}
		for _, target := range sortedKeys(s.alone) {
			p := b.w.ports[target]
			lookup(p.Num)
			b.lone(p, s, network)
		}
	}
	return program
}

// A stage is one destination of a flood program.
type stage struct {
	label  uint32
	cubes  map[string]*sharedCube // contracts decided together, by match
	alone  map[string]bool        // targets decided one by one
	copies []openflow.Action
}

// A sharedCube is one match and the contracts that have it.
type sharedCube struct {
	match openflow.Match
	taps  []*Tap
}

// stages sorts a network's contracts on received frames by destination and by how they can be
// decided.
func (b *builder) stages(id string) []*stage {
	byLabel := map[uint32]*stage{}
	for _, p := range b.w.members[id] {
		if p.Status.Node == "" {
			continue
		}
		top := b.w.topPriority(p.ID)
		for _, t := range b.w.tapsBySrc[p.ID] {
			label := b.w.labels[MonitorLabel(t.Dst)]
			if !t.Enabled || len(t.in) == 0 || label == 0 {
				continue
			}
			s := byLabel[label]
			if s == nil {
				s = &stage{label: label, cubes: map[string]*sharedCube{}, alone: map[string]bool{},
					copies: []openflow.Action{openflow.ApplyGroup{ID: copyGroup(label)}, set(RegCopied, label)}}
				byLabel[label] = s
			}
			if t.Priority < top && b.w.shadowed(t) {
				s.alone[p.ID] = true
				continue
			}
			for _, m := range b.flooded(p, t) {
				key := matchKey(m)
				if s.cubes[key] == nil {
					s.cubes[key] = &sharedCube{match: m}
				}
				s.cubes[key].taps = append(s.cubes[key].taps, t)
			}
		}
	}
	stages := make([]*stage, 0, len(byLabel))
	total := 0
	for _, s := range byLabel {
		stages = append(stages, s)
		total += 1 + len(s.alone)
	}
	sort.Slice(stages, func(i, j int) bool { return stages[i].label < stages[j].label })
	for _, s := range stages {
		for _, key := range sortedKeys(s.cubes) {
			c := s.cubes[key]
			sort.Slice(c.taps, func(i, j int) bool { return c.taps[i].Num < c.taps[j].Num })
			target := b.w.ports[c.taps[0].Src]
			if c.targets() > 1 || b.w.attachment(target, b.n.ID) == 0 {
				continue
			}
			// This match is one local target's alone: its own frames must not be copied to it.
			if !s.alone[target.ID] {
				if total++; total > maxStages {
					continue
				}
				s.alone[target.ID] = true
			}
			delete(s.cubes, key)
		}
	}
	return stages
}

func (c *sharedCube) targets() int {
	seen := map[string]bool{}
	for _, t := range c.taps {
		seen[t.Src] = true
	}
	return len(seen)
}

// shared writes the look-up that decides contracts together; false where there are none.
func (s *stage) shared(b *builder, network uint32) bool {
	for _, key := range sortedKeys(s.cubes) {
		c := s.cubes[key]
		b.floodFlow(tapPriority(0), Cookie(KindTap, c.taps[0].Num), s.copies, network, s.label, -1, c.match...)
	}
	return len(s.cubes) > 0
}

// lone writes the look-up that decides for one target.
func (b *builder) lone(p *Port, s *stage, network uint32) {
	if here := b.w.attachment(p, b.n.ID); here != 0 {
		b.floodFlow(floodSender, Cookie(KindNetwork, network), nil, network, s.label, int64(p.Num), inPort(here))
	}
	for _, id := range sortedKeys(b.w.tapsBySrc[p.ID]) {
		t := b.w.tapsBySrc[p.ID][id]
		label := b.w.labels[MonitorLabel(t.Dst)]
		if !t.Enabled || label == 0 {
			continue
		}
		kind, actions := KindTapFlood, []openflow.Action(nil)
		if label == s.label {
			kind, actions = KindTap, s.copies
		}
		for _, m := range b.flooded(p, t) {
			b.floodFlow(tapPriority(t.Priority), Cookie(kind, t.Num), actions, network, s.label, int64(p.Num), m...)
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
			if ok && c.InPort != "" {
				from := b.w.peer(p, c.InPort)
				if from == nil || b.w.attachment(from, b.n.ID) == 0 {
					continue // entered elsewhere, flooded from there
				}
				fields, ok = conjunction(fields, []openflow.MatchField{inPort(b.w.attachment(from, b.n.ID))})
			}
			if !ok {
				continue
			}
			// Cubes that differ in what is settled here become one.
			if m := match(fields...); !seen[matchKey(m)] {
				seen[matchKey(m)] = true
				ms = append(ms, m)
			}
		}
	}
	return ms
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

// topPriority is the highest priority of a port's enabled contracts on received frames.
func (w *World) topPriority(port string) int {
	top := -1
	for _, t := range w.tapsBySrc[port] {
		if t.Enabled && len(t.in) > 0 {
			top = max(top, t.Priority)
		}
	}
	return top
}

// shadowed reports whether another contract of the same target may govern frames of t and leads
// elsewhere.
func (w *World) shadowed(t *Tap) bool {
	for _, o := range w.tapsBySrc[t.Src] {
		if o.Priority > t.Priority && o.Enabled && o.Dst != t.Dst && len(o.in) > 0 {
			if _, meet := flowtap.Intersect(t.Match, o.Match); meet || t.Direction == flowtap.Both || o.Direction == flowtap.Both {
				return true
			}
		}
	}
	return false
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
