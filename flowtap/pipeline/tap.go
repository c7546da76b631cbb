package pipeline

import (
	"slices"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/topology"
)

// tap is a contract's flows at its target: copies of what the target sends, made where it is
// attached, and of what is delivered to it alone. Flooded frames are in flood.go.
func (b *builder) tap(t *Tap) {
	p, label := b.w.ports[t.Src], b.w.labelOf(t.dest)
	if p == nil || !b.w.inForce(t) {
		return
	}
	b.limit(t)
	here := b.w.attachment(p, b.n.ID)
	if here == 0 {
		return
	}
	if pool := b.w.spreadOf(t); pool != nil {
		b.tapSpread(p, here, t, pool)
		return
	}
	if t.Action == flowtap.Redirect {
		b.divert(p, here, t)
		return
	}
	toMonitor := b.copies(t)
	if marked := label != 0 && b.w.labels[SeenLabel(p.Network, t.dest)] != 0; marked || t.limited() {
		actions := toMonitor
		if !t.limited() {
			actions = append(slices.Clone(toMonitor), set(RegSeenBy, label))
		}
		for _, c := range t.out {
			for _, m := range b.sent(p, here, c) {
				b.flow(openflow.Flow{Table: TableTapOut, Priority: tapPriority(t.Priority), Cookie: Cookie(KindTap, t.Num), Match: m,
					Apply: actions, Goto: TableForward})
			}
		}
	}
	for _, c := range t.in {
		for _, m := range b.received(p, here, c) {
			for _, s := range b.seen(t) {
				if seen, ok := conjunction(m, []openflow.MatchField{seenBy(s.label)}); ok {
					b.flow(openflow.Flow{Table: TableTapIn, Priority: tapPriority(t.Priority) + 1, Cookie: Cookie(s.kind, t.Num), Match: seen, Apply: b.copiesOf(t, s.rest), Goto: TableOutput})
				}
			}
			b.flow(openflow.Flow{Table: TableTapIn, Priority: tapPriority(t.Priority), Cookie: Cookie(KindTap, t.Num), Match: m,
				Apply: toMonitor, Goto: TableOutput})
		}
	}
}

// divert is a redirect's flows at its target: the flow goes to the monitor alone. On the receiving side
// a frame that the monitor gave back passes; one of which it was sent a copy will be given back, and
// what passes here is that one.
func (b *builder) divert(p *Port, here openflow.PortNo, t *Tap) {
	add := func(table openflow.TableID, above uint16, kind Kind, next openflow.TableID, actions []openflow.Action, m openflow.Match, more ...openflow.MatchField) {
		if m, ok := conjunction(m, more); ok {
			b.flow(openflow.Flow{Table: table, Priority: tapPriority(t.Priority) + above, Cookie: Cookie(kind, t.Num), Match: m, Apply: actions, Goto: next})
		}
	}
	label := b.w.labels[MonitorLabel(t.Dst)]
	for _, c := range t.out {
		for _, m := range b.sent(p, here, c) {
			add(TableTapOut, 0, KindTap, 0, b.away(t, passOut), m)
		}
	}
	for _, c := range t.in {
		for _, m := range b.received(p, here, c) {
			add(TableTapIn, 1, KindTapSeen, TableOutput, nil, m, reg(RegSeenBy, label|seenVia))
			add(TableTapIn, 1, KindTapSeen, 0, nil, m, reg(RegSeenBy, label))
			add(TableTapIn, 0, KindTap, 0, b.away(t, passIn), m)
		}
	}
}

// seenBy matches what a monitor has had, as a copy or to give back.
func seenBy(label uint32) openflow.MatchField {
	return openflow.UintMask(RegSeenBy, uint64(label), seenLabel)
}

// sent turns a cube into matches on what target p sends from here. A cube that says the frame
// entered elsewhere, or goes to a port of unknown address, has no frames.
func (b *builder) sent(p *Port, here openflow.PortNo, c flowtap.Cube) (ms []openflow.Match) {
	if c.InPort != "" && c.InPort != p.ID {
		return nil
	}
	for _, fields := range b.goingTo(p, c) {
		ms = append(ms, match(append(fields, inPort(here))...))
	}
	return ms
}

// received turns a cube into matches on what is delivered to port number out. A frame that
// entered at a port of this node is told by that port, else by the sender's MAC, which guard
// makes equivalent; a MAC says nothing about frames from this node's own ports.
func (b *builder) received(p *Port, out openflow.PortNo, c flowtap.Cube) (ms []openflow.Match) {
	for _, fields := range b.goingTo(p, c) {
		fields = append(fields, reg(RegOut, uint32(out)))
		if c.InPort == "" {
			ms = append(ms, match(fields...))
			continue
		}
		for _, from := range b.from(p, c.InPort) {
			if m, ok := conjunction(fields, from); ok {
				ms = append(ms, m)
			}
		}
	}
	return ms
}

// peer finds a port that a contract of target p names. One of another network is none: nothing
// goes between them, and its addresses may be those of p's own peers.
func (w *World) peer(p *Port, named string) *Port {
	if o := w.ports[named]; o != nil && o.Network == p.Network {
		return o
	}
	return nil
}

// from gives the ways in which a frame to a target shows that it entered at a port.
func (b *builder) from(target *Port, port string) (ways [][]openflow.MatchField) {
	p := b.w.peer(target, port)
	if p == nil {
		return nil
	}
	if here := b.w.attachment(p, b.n.ID); here != 0 {
		ways = append(ways, []openflow.MatchField{inPort(here)})
	}
	for _, m := range b.w.addresses(p) {
		ways = append(ways, []openflow.MatchField{reg(RegOrigin, originTunnel), mac(openflow.FieldEthSrc, m)})
	}
	return append(ways, b.givenBack(p)...)
}

// goingTo adds the destination MAC of a reversed in_port: a list of fields for each address that
// the port has.
func (b *builder) goingTo(target *Port, c flowtap.Cube) (ways [][]openflow.MatchField) {
	if c.ToPort == "" {
		return [][]openflow.MatchField{append([]openflow.MatchField(nil), c.Fields...)}
	}
	p := b.w.peer(target, c.ToPort)
	if p == nil {
		return nil
	}
	for _, m := range b.w.addresses(p) {
		if fields, ok := conjunction(c.Fields, []openflow.MatchField{mac(openflow.FieldEthDst, m)}); ok {
			ways = append(ways, fields)
		}
	}
	return ways
}

// conjunction joins two lists of fields; false where they contradict.
func conjunction(a, b []openflow.MatchField) (openflow.Match, bool) {
	out := append(openflow.Match(nil), a...)
	for _, f := range b {
		merged := false
		for i, have := range out {
			if have.Field != f.Field {
				continue
			}
			for j := range f.Value {
				if (have.Value[j]^f.Value[j])&have.Mask[j]&f.Mask[j] != 0 {
					return nil, false
				}
				out[i].Value[j] |= f.Value[j]
				out[i].Mask[j] |= f.Mask[j]
			}
			merged = true
		}
		if !merged {
			out = append(out, f)
		}
	}
	return match(out...), true
}

// senders restores, for frames that come by tunnel, the metadata that their sender's port gave
// them, where contracts could look at it.
func (b *builder) senders(network string, label uint32) {
	for _, p := range b.w.members[network] {
		if p.Metadata == 0 || p.Kind == topology.KindMonitor {
			continue
		}
		for _, m := range b.w.addresses(p) {
			b.flow(openflow.Flow{Table: TableSender, Priority: prioClassify, Cookie: Cookie(KindPort, p.Num),
				Match: match(reg(RegNetwork, label), mac(openflow.FieldEthSrc, m)),
				Apply: []openflow.Action{openflow.Set(openflow.FieldMetadata, uint64(p.Metadata))}, Goto: TableForward})
			if b.w.transits(network, b.n.ID) {
				b.flow(openflow.Flow{Table: TableComeback, Priority: prioClassify, Cookie: Cookie(KindPort, p.Num),
					Match: match(reg(RegNetwork, label), mac(openflow.FieldEthSrc, m)),
					Apply: []openflow.Action{openflow.Set(openflow.FieldMetadata, uint64(p.Metadata))}, Goto: TableReturn})
			}
		}
	}
}
