package pipeline

import (
	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/openflow"
)

// comeback is what a port's redirects need beyond the diversion itself (tap): on the nodes of their
// monitors' entrances the flows that accept what is given back, and where the port is attached the
// decisions on what was flooded to it.
//
// A frame that comes in by an entrance is taken for what it says it is. It is accepted as having
// left a target when the contract that governs the target's sent frames redirects it to a monitor of
// this entrance; else as being on its way to a target, by the contracts on received frames; else as
// an answer in an endpoint's name, which is a reply to a frame that a contract redirects. Nothing
// else passes.
func (b *builder) comeback(p *Port) {
	label := b.w.labels[NetworkLabel(p.Network)]
	if label == 0 || len(b.w.diverted[p.Network]) == 0 {
		return
	}
	for entrance, here := range b.w.entrances(p.Network, b.n.ID) {
		r := b.returner(p, entrance, here)
		r.sent()
		r.received()
		r.answers()
	}
	if here := b.w.attachment(p, b.n.ID); here != 0 && b.w.divertsIn(p.ID) {
		b.floodedTo(p, here)
	}
}

// A returner writes the flows of one target for one entrance.
type returner struct {
	*builder
	p       *Port
	monitor string                // whose entrance it is
	here    []openflow.MatchField // in_port and network: the same MACs may be in several networks
}

func (b *builder) returner(p *Port, entrance string, here openflow.PortNo) returner {
	return returner{b, p, b.w.monitorAt(entrance), []openflow.MatchField{inPort(here), reg(RegNetwork, b.w.labels[NetworkLabel(p.Network)])}}
}

// with adds where the frame comes in.
func (r returner) with(fields ...openflow.MatchField) []openflow.MatchField {
	return append(append([]openflow.MatchField(nil), fields...), r.here...)
}

// mine reports whether a contract redirects to the monitor of the entrance; where it leads to a spread
// pool, whether it may.
func (r returner) mine(t *Tap) bool { return r.w.diverts(t) && r.w.leads(t, r.monitor) }

// lowest is the priority below which no contract of the target in a direction is the entrance's;
// false where none is.
func (r returner) lowest(d flowtap.Direction) (low int, any bool) {
	for _, t := range r.w.tapsBySrc[r.p.ID] {
		if len(t.cubes(d)) > 0 && r.mine(t) && (!any || t.Priority < low) {
			low, any = t.Priority, true
		}
	}
	return low, any
}

// contracts calls f for the target's contracts in force that decide about frames in a direction.
func (r returner) contracts(d flowtap.Direction, f func(t *Tap, mine bool)) {
	low, any := r.lowest(d)
	if !any {
		return
	}
	for _, id := range sortedKeys(r.w.tapsBySrc[r.p.ID]) {
		t := r.w.tapsBySrc[r.p.ID][id]
		if mine := r.mine(t); mine || r.w.inForce(t) && t.Priority > low {
			f(t, mine)
		}
	}
}

func (r returner) via() openflow.Action {
	return set(RegSeenBy, r.w.labels[MonitorLabel(r.monitor)]|seenVia)
}

// accept adds a flow; one that is not the entrance's leads on to the next table. So does one of a spread
// pool, which in between is to choose this monitor, or else the frame is not the entrance's either.
func (r returner) accept(table openflow.TableID, priority uint16, t *Tap, mine bool, m openflow.Match, marks ...openflow.Action) {
	f := openflow.Flow{Table: table, Priority: priority, Cookie: Cookie(KindReturn, t.Num), Match: m,
		Apply: marks, Goto: TableForward}
	how, next := uint32(howSent), TableReturnIn
	switch table {
	case TableReturnIn:
		if how, next = howArrives, TableAnswer; priority < bandOwn {
			how = howBehind
		}
	case TableAnswer:
		how, next = howAnswers, 0
	}
	pool := r.w.spreadOf(t)
	switch {
	case !mine:
		f.Cookie, f.Apply, f.Goto = Cookie(KindTapFlood, t.Num), nil, next
	case pool != nil:
		f.Apply, f.Goto = r.spread(pool, how|r.w.labels[MonitorLabel(r.monitor)]), next
		if table == TableReturn {
			f.Apply = append([]openflow.Action{set(RegSender, r.p.Num)}, f.Apply...)
		}
	}
	r.once(f)
}

// sent accepts what the target sent.
func (r returner) sent() {
	anonymous, sender := r.w.anonymous(r.p.Network) == r.p, set(RegSender, r.p.Num)
	if _, any := r.lowest(flowtap.Out); any && anonymous {
		for _, m := range r.w.addresses(r.p) {
			r.flow(openflow.Flow{Table: TableReturn, Priority: prioToSelf, Cookie: Cookie(KindPort, r.p.Num),
				Match: match(r.with(mac(openflow.FieldEthDst, m))...), Goto: TableReturnIn})
		}
	}
	r.contracts(flowtap.Out, func(t *Tap, mine bool) {
		for _, c := range t.out {
			if c.InPort != "" && c.InPort != r.p.ID {
				continue
			}
			for _, fields := range r.goingTo(r.p, c) {
				for _, m := range r.w.addresses(r.p) {
					if m, ok := conjunction(fields, r.with(mac(openflow.FieldEthSrc, m))); ok {
						r.accept(TableReturn, bandOwn+tapPriority(t.Priority), t, mine, m, r.via(), sender)
					}
				}
				if anonymous {
					r.accept(TableReturn, bandAny+tapPriority(t.Priority), t, mine, match(r.with(fields...)...), r.via(), sender)
				}
			}
		}
	})
}

// received accepts what was on its way to the target alone. What was flooded is in backTo.
func (r returner) received() {
	gateway := r.w.gateway(r.p.Network) == r.p
	r.contracts(flowtap.In, func(t *Tap, mine bool) {
		for _, c := range t.in {
			for _, fields := range r.arriving(c, mine) {
				for _, m := range r.w.addresses(r.p) {
					if m, ok := conjunction(fields, r.with(mac(openflow.FieldEthDst, m))); ok {
						r.accept(TableReturnIn, bandOwn+tapPriority(t.Priority), t, mine, m, set(RegSeenBy, seenAll), set(RegOrigin, originDone))
					}
				}
				if gateway {
					r.accept(TableReturnIn, bandAny+tapPriority(t.Priority), t, mine, match(r.with(fields...)...), set(RegSeenBy, seenAll), set(RegOrigin, originBehind))
				}
			}
		}
	})
}

// arriving gives a cube on received frames as it shows in one that comes back: a port that it
// entered by is told by MAC, and of the tunnel that it came by nothing is left. What hangs on that
// is accepted when it is the entrance's, and is no reason to refuse it when it is not.
func (r returner) arriving(c flowtap.Cube, mine bool) (ways [][]openflow.MatchField) {
	for _, c := range withoutTunnel([]flowtap.Cube{c}, mine) {
		for _, fields := range r.goingTo(r.p, c) {
			if c.InPort == "" {
				ways = append(ways, fields)
				continue
			}
			x := r.w.peer(r.p, c.InPort)
			if x == nil {
				continue
			}
			for _, m := range r.w.addresses(x) {
				if both, ok := conjunction(fields, []openflow.MatchField{mac(openflow.FieldEthSrc, m)}); ok {
					ways = append(ways, both)
				}
			}
		}
	}
	return ways
}

// withoutTunnel takes out of cubes what they say of the tunnel by which a frame came; without mine,
// the cubes that say anything of it.
func withoutTunnel(cubes []flowtap.Cube, mine bool) (left []flowtap.Cube) {
	for _, c := range cubes {
		var kept []openflow.MatchField
		for _, f := range c.Fields {
			switch f.Field {
			case openflow.FieldTunSrc, openflow.FieldTunDst, openflow.FieldTunnelID:
			default:
				kept = append(kept, f)
			}
		}
		if mine || len(kept) == len(c.Fields) {
			c.Fields = kept
			left = append(left, c)
		}
	}
	return left
}

// answers accepts replies in an endpoint's name: to the target's own frames, and in the target's
// name to frames that others sent it. They go to known destinations only, and are never flooded.
func (r returner) answers() {
	add := func(band uint16, t *Tap, fields []openflow.MatchField, own ...openflow.MatchField) {
		if m, ok := conjunction(fields, r.with(own...)); ok {
			r.accept(TableAnswer, band+tapPriority(t.Priority), t, true, m, r.via(), set(RegOrigin, originAnswer))
		}
	}
	for _, id := range sortedKeys(r.w.tapsBySrc[r.p.ID]) {
		t := r.w.tapsBySrc[r.p.ID][id]
		if !r.mine(t) {
			continue
		}
		for _, m := range r.w.addresses(r.p) {
			for _, c := range t.answersOut {
				for _, fields := range r.arriving(c, true) {
					add(bandOwn, t, fields, mac(openflow.FieldEthDst, m))
				}
			}
			for _, c := range t.answersIn {
				for _, fields := range r.arriving(c, true) {
					add(bandAny, t, fields, mac(openflow.FieldEthSrc, m), unicast())
				}
			}
		}
	}
}

// floodedTo decides what of the frames flooded to a port passes, here where it is attached. Copies
// were made where the frames were flooded; one that a redirect governs is dropped unless the
// monitor gave it back. Frames given back to the monitor's targets alone pass where such a redirect
// governs, and nowhere else.
func (b *builder) floodedTo(p *Port, here openflow.PortNo) {
	out := reg(RegOut, uint32(here))
	add := func(priority uint16, cookie uint64, next openflow.TableID, actions []openflow.Action, fields []openflow.MatchField, more ...openflow.MatchField) {
		if m, ok := conjunction(fields, append(more, out)); ok {
			b.once(openflow.Flow{Table: TableTapIn, Priority: bandFlooded + priority, Cookie: cookie, Match: m, Apply: actions, Goto: next})
		}
	}
	passes := func(priority uint16, kind Kind, t *Tap, how uint32, fields []openflow.MatchField, more ...openflow.MatchField) {
		pool := b.w.spreadOf(t)
		if pool == nil {
			add(priority, Cookie(kind, t.Num), TableOutput, nil, fields, more...)
		} else if m, ok := conjunction(fields, append(more, out)); ok {
			b.once(openflow.Flow{Table: TableTapIn, Priority: bandFlooded + priority, Cookie: Cookie(kind, t.Num), Match: m, Apply: b.spread(pool, how)})
		}
	}
	flooded, returned := reg(RegOrigin, originFlooded), reg(RegOrigin, originReturned)
	add(0, Cookie(KindPort, p.Num), TableOutput, nil, nil, flooded)
	governing := b.inForceIn(p)
	vias := map[string]openflow.MatchField{}
	for _, t := range governing {
		if !b.w.diverts(t) {
			continue
		}
		for _, m := range b.w.monitorsOf(t) {
			if label := b.w.labels[MonitorLabel(m)]; label != 0 {
				vias[m] = reg(RegSeenBy, label|seenVia)
			}
		}
	}
	for _, t := range governing {
		priority := tapPriority(t.Priority)
		for _, fields := range b.floodedFrom(p, t.in) {
			if b.w.diverts(t) {
				how := uint32(howPass)
				if t.FailMode == flowtap.FailOpen {
					how = howOpenFlooded
				}
				for _, m := range b.w.monitorsOf(t) {
					if via, ok := vias[m]; ok {
						passes(priority+1, KindTapSeen, t, how, fields, flooded, via)
					}
				}
				add(priority, Cookie(KindDivert, t.Num), 0, b.away(t, passFlooded), fields, flooded)
			} else {
				add(priority, Cookie(KindTapFlood, t.Num), TableOutput, nil, fields, flooded)
			}
		}
		for monitor, via := range vias {
			mine := t.Action == flowtap.Redirect && b.w.leads(t, monitor)
			for _, fields := range b.floodedFrom(p, withoutTunnel(t.in, mine)) {
				if mine {
					passes(priority, KindReturn, t, howPass, fields, returned, via)
				} else {
					add(priority, Cookie(KindDivert, t.Num), 0, nil, fields, returned, via)
				}
			}
		}
	}
}

// inForceIn gives a port's contracts in force on received frames.
func (b *builder) inForceIn(p *Port) (ts []*Tap) {
	for _, id := range sortedKeys(b.w.tapsBySrc[p.ID]) {
		if t := b.w.tapsBySrc[p.ID][id]; len(t.in) > 0 && b.w.inForce(t) {
			ts = append(ts, t)
		}
	}
	return ts
}

// floodedFrom gives the matches of a contract's cubes on frames that were flooded to it here.
func (b *builder) floodedFrom(p *Port, cubes []flowtap.Cube) (all [][]openflow.MatchField) {
	seen := map[string]bool{}
	add := func(fields []openflow.MatchField) {
		if m := match(fields...); !seen[matchKey(m)] {
			seen[matchKey(m)] = true
			all = append(all, m)
		}
	}
	for _, c := range cubes {
		for _, fields := range b.goingTo(p, c) {
			ways := b.enteringHere(p, c.InPort)
			if from := b.w.peer(p, c.InPort); from != nil && b.n.TunnelPort != 0 {
				for _, m := range b.w.addresses(from) {
					ways = append(ways, []openflow.MatchField{inPort(b.n.TunnelPort), mac(openflow.FieldEthSrc, m)})
				}
			}
			for _, way := range ways {
				if m, ok := conjunction(fields, way); ok {
					add(m)
				}
			}
		}
	}
	return all
}

// backTo accepts, at an entrance, what was flooded: it goes to those targets of the entrance's
// monitor whose contracts have it. Where they lead to a spread pool, whether it chooses this monitor is
// found out at the target (floodedTo). Destinations that nobody bears are behind the gateway, if there
// is one (received).
func (b *builder) backTo(id string) {
	for entrance, here := range b.w.entrances(id, b.n.ID) {
		monitor := b.w.monitorAt(entrance)
		via := b.w.labels[ViaLabel(id, monitor)]
		actions := []openflow.Action{set(RegSeenBy, b.w.labels[MonitorLabel(monitor)]|seenVia), set(RegOrigin, originReturned),
			openflow.ApplyGroup{ID: openflow.GroupID(groupBackLocal + via)}, openflow.ApplyGroup{ID: openflow.GroupID(groupBackRemote + via)}}
		for _, p := range b.w.divertees(id, monitor) {
			r := b.returner(p, entrance, here)
			for _, t := range b.inForceIn(p) {
				if !r.mine(t) {
					continue
				}
				for _, c := range t.in {
					for _, fields := range r.arriving(c, true) {
						b.back(prioReturnMC, t, actions, fields, r.with(multicast())...)
						if b.w.gateway(id) == nil {
							b.back(prioReturnUC, t, actions, fields, r.with(unicast())...)
						}
					}
				}
			}
		}
	}
}

// back adds a flow of backTo; of several contracts that make the same one the first has it.
func (b *builder) back(priority uint16, t *Tap, actions []openflow.Action, fields []openflow.MatchField, more ...openflow.MatchField) {
	m, ok := conjunction(fields, more)
	if !ok {
		return
	}
	b.once(openflow.Flow{Table: TableReturnIn, Priority: priority, Cookie: Cookie(KindReturn, t.Num), Match: m, Apply: actions})
}

// divertees gives the ports whose received frames are redirected to a monitor.
func (w *World) divertees(network, monitor string) (ps []*Port) {
	for _, id := range sortedKeys(w.diverted[network][monitor]) {
		for _, t := range w.tapsBySrc[id] {
			if w.leads(t, monitor) && len(t.in) > 0 && w.diverts(t) {
				ps = append(ps, w.ports[id])
				break
			}
		}
	}
	return ps
}

// backGroups makes the groups that carry flooded frames back to a monitor's targets: to those here,
// and to the nodes of the others.
func (b *builder) backGroups(id string, cookie uint64, label uint32) {
	for _, monitor := range sortedKeys(b.w.diverted[id]) {
		via, dst := b.w.labels[ViaLabel(id, monitor)], b.w.labels[MonitorLabel(monitor)]
		targets := b.w.divertees(id, monitor)
		if via == 0 || dst == 0 || len(targets) == 0 {
			continue
		}
		var toPorts, toNodes []openflow.Bucket
		nodes := map[string]bool{}
		for _, p := range targets {
			for _, a := range p.Status.Attachments {
				if a.Node == b.n.ID {
					toPorts = append(toPorts, bucket(set(RegOut, uint32(a.OFPort)), openflow.Resubmit{Port: openflow.PortInPort, Table: TableTapIn}))
				} else if b.w.nodes[a.Node] != nil {
					nodes[a.Node] = true
				}
			}
		}
		local, remote := openflow.GroupID(groupBackLocal+via), openflow.GroupID(groupBackRemote+via)
		if len(toPorts) > 0 || b.w.transits(id, b.n.ID) {
			b.group(local, toPorts...)
		}
		if len(toPorts) > 0 {
			b.fromTunnel(via|LabelReturned, cookie, TableSender, set(RegNetwork, label), set(RegOrigin, originReturned),
				set(RegSeenBy, dst|seenVia), openflow.Set(openflow.FieldTunnelID, uint64(label)))
			b.flow(openflow.Flow{Table: TableForward, Priority: prioReturned, Cookie: cookie,
				Match: match(reg(RegNetwork, label), reg(RegOrigin, originReturned), reg(RegSeenBy, dst|seenVia)),
				Apply: []openflow.Action{openflow.ApplyGroup{ID: local}}})
		}
		if !b.w.transits(id, b.n.ID) {
			continue
		}
		if b.n.TunnelPort != 0 {
			for _, n := range sortedKeys(nodes) {
				toNodes = append(toNodes, bucket(openflow.Set(openflow.FieldInPort, 0), tunnelTo(b.w.nodes[n]),
					openflow.Set(openflow.FieldTunnelID, uint64(via|LabelReturned)), openflow.Output{Port: b.n.TunnelPort}))
			}
		}
		b.group(remote, toNodes...)
	}
}
