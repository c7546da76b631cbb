package pipeline

import (
	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/topology"
)

// maxLearned bounds the MACs and the IPs taken from the wire for a port that declares none.
const maxLearned = 8

// port is a VM's or gateway's place: who it is, what it may say, and how frames reach it.
func (b *builder) port(p *Port) {
	label := b.w.labels[NetworkLabel(p.Network)]
	if label == 0 {
		return
	}
	if here := b.w.attachment(p, b.n.ID); here != 0 {
		b.classify(p, here, label)
		if guarded(p) {
			b.guard(p, here)
			b.address(p, here)
		}
		for _, m := range b.w.addresses(p) {
			// A frame never goes back to the port whose address it bears, whatever way it took.
			b.flow(openflow.Flow{Table: TableOutput, Priority: prioClassify, Cookie: Cookie(KindPort, p.Num),
				Match: match(reg(RegOut, uint32(here)), mac(openflow.FieldEthSrc, m))})
		}
		if b.w.anonymous(p.Network) == p {
			b.flow(openflow.Flow{Table: TableOutput, Priority: prioClassify, Cookie: Cookie(KindPort, p.Num),
				Match: match(reg(RegOut, uint32(here)), reg(RegSender, p.Num))})
		}
		b.ownFrames(p, here)
	}
	if b.w.here(p.Network, b.n.ID) {
		for _, m := range b.w.addresses(p) {
			f := b.reach(p)
			f.Priority, f.Cookie = prioUnicast, b.cookie(KindPort, p.Network, p.Num)
			f.Match = match(reg(RegNetwork, label), mac(openflow.FieldEthDst, m))
			b.flow(f)
		}
	}
	if b.w.transits(p.Network, b.n.ID) {
		// What a monitor gives back is judged by this port's contracts, or by none.
		for _, m := range b.w.addresses(p) {
			known := openflow.Flow{Priority: prioKnown, Cookie: Cookie(KindPort, p.Num)}
			known.Table, known.Match, known.Goto = TableReturn, match(reg(RegNetwork, label), mac(openflow.FieldEthSrc, m)), TableReturnIn
			b.flow(known)
			known.Table, known.Match, known.Goto = TableReturnIn, match(reg(RegNetwork, label), mac(openflow.FieldEthDst, m)), TableAnswer
			b.flow(known)
		}
	}
}

// ownFrames keeps what a port sends to itself, or what bears its address, from its contracts on
// received frames: output does not deliver it, so nobody may have a copy.
func (b *builder) ownFrames(p *Port, here openflow.PortNo) {
	if !b.w.contracts(p.ID, flowtap.In) {
		return
	}
	drop := func(from openflow.MatchField) {
		b.flow(openflow.Flow{Table: TableTapIn, Priority: prioOwn, Cookie: Cookie(KindPort, p.Num),
			Match: match(reg(RegOut, uint32(here)), from)})
	}
	drop(inPort(here))
	for _, m := range b.w.addresses(p) {
		drop(mac(openflow.FieldEthSrc, m))
	}
}

// classify gives a port's frames their network and metadata.
func (b *builder) classify(p *Port, here openflow.PortNo, label uint32) {
	actions := []openflow.Action{set(RegNetwork, label)}
	if p.Metadata != 0 {
		actions = append(actions, openflow.Set(openflow.FieldMetadata, uint64(p.Metadata)))
	}
	f := openflow.Flow{Table: TableClassify, Priority: prioClassify, Cookie: Cookie(KindPort, p.Num),
		Match: match(inPort(here)), Apply: actions, Goto: TableGuard}
	if !guarded(p) {
		extra, next := b.pass(p, here)
		f.Apply, f.Goto = append(f.Apply, extra...), next
	} else if c := claims(p); c != 0 {
		f.Apply = append(f.Apply, set(RegClaims, c))
	}
	b.flow(f)
}

// pass is where a port's accepted frames go: past its contracts if it has any. Frames from a
// place where the port is not active yet tell the controller that it has arrived.
func (b *builder) pass(p *Port, here openflow.PortNo) ([]openflow.Action, openflow.TableID) {
	var actions []openflow.Action
	if p.Status.Node != b.n.ID {
		actions = b.tell(p, here)
	}
	if b.w.contracts(p.ID, flowtap.Out) {
		return actions, TableTapOut
	}
	return actions, TableForward
}

// reach is the forwarding to one port: out here, through the tunnel, or nowhere.
func (b *builder) reach(p *Port) openflow.Flow {
	f := openflow.Flow{Table: TableForward}
	at := b.w.nodes[p.Status.Node]
	switch here := b.w.attachment(p, b.n.ID); {
	case p.Status.Node == b.n.ID && here != 0:
		f.Apply = []openflow.Action{set(RegOut, uint32(here))}
		f.Goto = TableOutput
		if b.w.contracts(p.ID, flowtap.In) {
			f.Goto = TableTapIn
		}
	case at != nil && at.ID != b.n.ID && b.n.TunnelPort != 0:
		f.Apply = []openflow.Action{tunnelTo(at)}
		f.Goto = TableEncap
	}
	return f
}

// claims gives the RegClaims bits of a guarded port.
func claims(p *Port) (c uint32) {
	if p.MAC.IsZero() {
		c |= claimsMAC
	}
	if len(p.IPs) == 0 {
		c |= claimsIP
	}
	return c
}

// guarded reports whether a port is held to its own addresses, declared or learned.
func guarded(p *Port) bool {
	return p.PortSecurity || p.Kind == topology.KindVM && p.MAC.IsZero()
}
