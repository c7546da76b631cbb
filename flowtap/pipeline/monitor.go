package pipeline

import "github.com/flowtap/flowtap/openflow"

// monitor is a security VM's place: where it is attached, copies that come by tunnel are handed
// to it and whatever it sends is dropped; wherever a target of its contracts may be, a group
// leads to it. All contracts towards it share that group, so a monitor that moves costs one
// group-mod a node.
func (b *builder) monitor(p *Port) {
	label := b.w.labels[MonitorLabel(p.ID)]
	if label == 0 {
		return
	}
	cookie := Cookie(KindMonitor, p.Num)
	here := b.w.attachment(p, b.n.ID)
	if here != 0 {
		b.entrance(p, here)
		b.fromTunnel(label, cookie, TableDeliver, set(RegDeliver, label))
		b.flow(openflow.Flow{Table: TableDeliver, Priority: prioClassify, Cookie: cookie,
			Match: match(reg(RegDeliver, label)), Apply: []openflow.Action{openflow.Output{Port: here}}})
	}
	if b.w.copiesFrom(b.n.ID, p.ID) {
		b.group(copyGroup(label), b.towards(p, here, label)...)
		for _, network := range b.opened(p) {
			b.bypasses(p, here, label, network)
		}
		if b.w.spreads(p.ID) {
			b.give(p, label)
		}
	}
	b.forms(p, here, label)
}

// entrance lets in what contracts redirected to a monitor that gives frames back here, and nothing else.
func (b *builder) entrance(p *Port, here openflow.PortNo) {
	drop := openflow.Flow{Table: TableClassify, Priority: prioInject, Cookie: Cookie(KindInject, p.Num), Match: match(inPort(here))}
	if b.w.learns(p) {
		drop.Apply = b.tell(p, here)
	}
	b.flow(drop)
	in := openflow.Flow{Table: TableClassify, Priority: prioClassify, Cookie: Cookie(KindMonitor, p.Num), Match: match(inPort(here)), Goto: TableComeback}
	admitted := 0
	for _, id := range sortedKeys(b.w.divertedTo[b.w.monitorAt(p.ID)]) {
		network := b.w.labels[NetworkLabel(id)]
		switch {
		case network == 0 || !b.w.admits(p.ID, id):
			continue
		case b.w.tags(b.w.monitorAt(p.ID)):
			b.untagged(in, b.w.labels[VLANKey(id)], network)
		default:
			in.Apply = []openflow.Action{set(RegNetwork, network)}
			b.flow(in)
		}
		admitted++
	}
	if admitted == 0 {
		return
	}
	drop.Table, drop.Priority = TableAnswer, prioMiss
	b.flow(drop)
}

// towards gives the bucket that takes a copy to a monitor: none while it is nowhere.
func (b *builder) towards(p *Port, here openflow.PortNo, label uint32) []openflow.Bucket {
	to, actions := b.way(p, here, label)
	if to == 0 {
		return nil
	}
	return []openflow.Bucket{bucket(append(actions, openflow.Output{Port: to})...)}
}

// way gives the port to a monitor, and what is to be set before a frame goes there; zero while the
// monitor is nowhere.
func (b *builder) way(p *Port, here openflow.PortNo, label uint32) (openflow.PortNo, []openflow.Action) {
	if p.Status.Node == b.n.ID {
		return here, nil
	}
	at := b.w.nodes[p.Status.Node]
	if at == nil || b.n.TunnelPort == 0 {
		return 0, nil
	}
	// A frame that came by the tunnel port is not sent out of it unless in_port is cleared.
	return b.n.TunnelPort, []openflow.Action{openflow.Set(openflow.FieldInPort, 0),
		tunnelTo(at), openflow.Set(openflow.FieldTunnelID, uint64(label))}
}

// copiesFrom reports whether frames on a node may have to be copied to a monitor or pool: an enabled
// contract's network is present there.
func (w *World) copiesFrom(node, destination string) bool {
	for network := range w.tapped[destination] {
		if w.here(network, node) {
			return true
		}
	}
	return false
}

func copyGroup(label uint32) openflow.GroupID { return openflow.GroupID(groupCopy + label) }
