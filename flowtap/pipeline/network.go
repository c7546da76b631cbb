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
}

// labelsOf gives the network's labels their meaning here, and frames that leave theirs.
func (b *builder) labelsOf(id string, label uint32) {
	cookie := Cookie(KindNetwork, label)
	b.crossing(label, label, 0, cookie)
	b.toTunnel(label|LabelFlooded, cookie, reg(RegNetwork, label), reg(RegOrigin, originFlooding))
	b.fromTunnel(label|LabelFlooded, cookie, TableForward, set(RegNetwork, label), set(RegOrigin, originFlooded))
	for _, monitor := range b.w.seenBy(id) {
		dst := b.w.labels[MonitorLabel(monitor)]
		if seen := b.w.labels[SeenLabel(id, monitor)]; seen != 0 && dst != 0 {
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

// toTunnel sends frames under a label, to the node that tun_dst names.
func (b *builder) toTunnel(label uint32, cookie uint64, fields ...openflow.MatchField) {
	if b.n.TunnelPort == 0 {
		return
	}
	b.flow(openflow.Flow{Table: TableEncap, Priority: prioUnknown, Cookie: cookie, Match: match(fields...),
		Apply: []openflow.Action{openflow.Set(openflow.FieldTunnelID, uint64(label)), openflow.Output{Port: b.n.TunnelPort}}})
}

// seenBy gives the monitors that contracts of a network copy sent frames to, sorted.
func (w *World) seenBy(network string) []string { return sortedKeys(w.seen[network]) }
