package pipeline

import "github.com/flowtap/flowtap/openflow"

// network is what a node needs to carry a network: the meaning of its tunnel labels, the labels
// it sends under, and who is where. A node without members of the network holds nothing of it.
func (b *builder) network(id string) {
	label := b.w.labels[NetworkLabel(id)]
	if label == 0 || !b.w.here(id, b.n.ID) {
		return
	}
	b.labelsOf(id, label)
	b.senders(id, label)
	b.networkClaims(id, label)
	b.members(id, label)
	b.backGroups(id, Cookie(KindNetwork, label), label)
	b.backTo(id)
}

// labelsOf gives the network's labels their meaning here, and frames that leave theirs.
func (b *builder) labelsOf(id string, label uint32) {
	cookie := Cookie(KindNetwork, label)
	b.crossing(label, label, 0, cookie)
	b.crossingFlooded(id, label|LabelFlooded, 0, cookie)
	for _, monitor := range sortedKeys(b.w.diverted[id]) {
		dst := b.w.labels[MonitorLabel(monitor)]
		if via := b.w.labels[ViaLabel(id, monitor)]; via != 0 && dst != 0 {
			b.crossing(via, label, dst|seenVia, cookie)
			b.toTunnel(via, cookie, reg(RegNetwork, label), reg(RegSeenBy, dst|seenVia), reg(RegOrigin, originAnswer))
			b.crossingFlooded(id, via|LabelFlooded, dst|seenVia, cookie)
			if p := b.w.anonymous(id); p != nil {
				b.crossingFlooded(id, via|LabelFlooded|LabelReturned, dst|seenVia, cookie, p.Num)
			}
		}
	}
	if len(b.w.diverted[id]) > 0 {
		b.crossing(label|LabelReturned, label, seenAll, cookie)
		for _, origin := range []uint32{originDone, originBehind} {
			b.toTunnel(label|LabelReturned, cookie, reg(RegNetwork, label), reg(RegSeenBy, seenAll), reg(RegOrigin, origin))
		}
	}
	for _, d := range b.w.seenBy(id) {
		dst := b.w.labelOf(d)
		if seen := b.w.labels[SeenLabel(id, d)]; seen != 0 && dst != 0 {
			b.crossing(seen, label, dst, cookie)
		}
	}
}

// crossing carries (network, seen-by) between nodes as one tunnel label, both ways.
func (b *builder) crossing(tunnelLabel, network, seen uint32, cookie uint64) {
	if b.n.TunnelPort == 0 {
		return
	}
	actions := []openflow.Action{set(RegNetwork, network), set(RegOrigin, originTunnel)}
	if seen != 0 {
		// Contracts see the network's label as tun_id, whatever else the frame carries.
		actions = append(actions, set(RegSeenBy, seen), openflow.Set(openflow.FieldTunnelID, uint64(network)))
	}
	b.fromTunnel(tunnelLabel, cookie, TableSender, actions...)
	b.toTunnel(tunnelLabel, cookie, reg(RegNetwork, network), reg(RegSeenBy, seen), reg(RegOrigin, originLocal))
}

// crossingFlooded carries flooded frames between nodes, both ways.
func (b *builder) crossingFlooded(id string, tunnelLabel, seen uint32, cookie uint64, sender ...uint32) {
	network := b.w.labels[NetworkLabel(id)]
	fields := []openflow.MatchField{reg(RegNetwork, network), reg(RegOrigin, originFlooding)}
	actions := []openflow.Action{set(RegNetwork, network), set(RegOrigin, originFlooded)}
	if seen != 0 {
		fields, actions = append(fields, reg(RegSeenBy, seen)), append(actions, set(RegSeenBy, seen))
	}
	for _, num := range sender {
		fields, actions = append(fields, reg(RegSender, num)), append(actions, set(RegSender, num))
	}
	next := TableForward
	if len(b.w.diverted[id]) > 0 { // redirects look at where a frame comes from once more at the target
		next, actions = TableSender, append(actions, openflow.Set(openflow.FieldTunnelID, uint64(network)))
	}
	b.fromTunnel(tunnelLabel, cookie, next, actions...)
	b.toTunnel(tunnelLabel, cookie, fields...)
}

// toTunnel sends frames under a label, to the node that tun_dst names.
func (b *builder) toTunnel(label uint32, cookie uint64, fields ...openflow.MatchField) {
	if b.n.TunnelPort == 0 {
		return
	}
	b.flow(openflow.Flow{Table: TableEncap, Priority: prioUnknown + uint16(len(fields)), Cookie: cookie, Match: match(fields...),
		Apply: []openflow.Action{openflow.Set(openflow.FieldTunnelID, uint64(label)), openflow.Output{Port: b.n.TunnelPort}}})
}

// seenBy gives the destinations and copy pools that contracts of a network surely copy sent frames to, sorted.
func (w *World) seenBy(network string) []string { return sortedKeys(w.seen[network]) }
