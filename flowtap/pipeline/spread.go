package pipeline

import (
	"slices"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/topology"
)

// A contract that leads to a spread pool resubmits to spread, which hashes the frame; slice finds the
// member whose slice that is, and give does with the frame what the contract wants, as RegHow says. So
// the pool's slices are in one place on each node, whatever the number of contracts.
//
// The hash is of IP addresses, protocol and ports (of TCP, UDP and SCTP), of what is not IP of MACs, VLAN
// id and Ethertype, and symmetric. It leaves the ports out of every fragment, the first one too, so all
// fragments of a datagram are at one member, though not always the one that has the connection's whole
// datagrams. Hashing addresses alone would never part those, but all connections between two hosts would be
// one, and those through a gateway of one client too.
const spreadBy = openflow.HashSymmetricL3L4UDP

// Registers of spread. They are those of flooding and guard, and free elsewhere; a flood look-up that
// hits has no use for its RegTarget any more.
var (
	RegPool = openflow.FieldReg(7) // label of the pool, with the slice in the upper 8 bits; then of the member chosen
	RegHow  = openflow.FieldReg(6) // what is to be done; flood: the stage, whose monitor gets a copy if it is chosen
)

// Values of RegHow; howSent to howAnswers have the label of the monitor that gave the frame back.
const (
	howCopy    = 1 << 24 // copy to the member, unless it has the frame, and note it as seen
	howDivert  = 2 << 24 // send to the member alone; what it gave back is delivered
	howPass    = 3 << 24 // a flooded frame: deliver it if the member gave it back
	howSent    = 4 << 24 // return: accept if the member it is
	howArrives = 5 << 24 // return-in: the same
	howBehind  = 6 << 24 // return-in: the same, to a destination behind the gateway
	howAnswers = 7 << 24 // answer: the same
	// As howDivert where a frame is sent, where it is received, and as howPass; of redirects that fail
	// open: where nobody serves, or the member cannot be reached from here, the frame goes on.
	howOpenOut     = 8 << 24
	howOpenIn      = 9 << 24
	howOpenFlooded = 10 << 24
	// As howCopy, in a form (formBits) of copies; and for a contract with a rate limit, RegLimited, nothing noted.
	howFormed  = 11 << 24
	howLimited = 12 << 24
	howMask    = 15 << 24 // the part that is not a label
)

// prioAccepted is the priority, above all contracts of return-in and answer, of what spread accepted.
const prioAccepted = 7100

// Priorities in give.
const (
	giveSeen = 110
	giveTo   = 100
)

// spread gives the actions by which a frame is put to one member of a pool.
func (b *builder) spread(p *Pool, how uint32) []openflow.Action {
	return append([]openflow.Action{set(RegHow, how)}, b.choose(p)...)
}

func (b *builder) choose(p *Pool) []openflow.Action {
	return []openflow.Action{set(RegPool, b.w.labels[PoolLabel(p.ID)]), openflow.Resubmit{Port: openflow.PortInPort, Table: TableSpread}}
}

// spreadBase is the part of spread that does not depend on pools.
func (b *builder) spreadBase() {
	c := Cookie(KindBase, 0)
	b.flow(openflow.Flow{Table: TableSpread, Priority: prioMiss, Cookie: c, Goto: TableSlice, Apply: []openflow.Action{openflow.Multipath{
		Fields: spreadBy, Algorithm: openflow.LinkModulo, Links: SlicesOfPool, Field: RegPool, Offset: 24, Bits: 8}}})
	// Nobody serves.
	b.flow(openflow.Flow{Table: TableSlice, Priority: prioMiss, Cookie: c, Apply: []openflow.Action{set(RegPool, 0)}, Goto: TableGive})
	for _, pass := range []bypass{passOut, passIn, passFlooded} {
		b.flow(openflow.Flow{Table: TableGive, Priority: giveTo, Cookie: c, Match: match(reg(RegPool, 0), reg(RegHow, pass.how)),
			Apply: []openflow.Action{openflow.Resubmit{Port: openflow.PortInPort, Table: pass.next}}})
	}
	// Not accepted: whose frame it is was said before.
	b.flow(openflow.Flow{Table: TableGive, Priority: prioMiss, Cookie: c, Match: match(openflow.UintMask(RegHow, howSent, howMask)),
		Apply: []openflow.Action{set(RegSender, 0)}})
	for origin, table := range map[uint32]openflow.TableID{originLocal: TableReturnIn, originDone: TableAnswer, originBehind: TableAnswer} {
		b.flow(openflow.Flow{Table: table, Priority: prioAccepted, Cookie: c, Match: match(reg(RegOrigin, originAccepted+origin)),
			Apply: []openflow.Action{set(RegOrigin, origin)}, Goto: TableForward})
	}
}

// slices says which member has which slice.
func (b *builder) slices(p *Pool, label uint32) {
	for slice, member := range Slices(b.w.serving(p)) {
		if member == "" {
			return
		}
		b.flow(openflow.Flow{Table: TableSlice, Priority: prioClassify, Cookie: Cookie(KindPool, label), Match: match(reg(RegPool, uint32(slice)<<24|label)),
			Apply: []openflow.Action{set(RegPool, b.w.labels[MonitorLabel(member)])}, Goto: TableGive})
	}
}

// give says what is done with a frame for which a member was chosen.
func (b *builder) give(p *Port, label uint32) {
	add := func(priority uint16, how uint32, actions []openflow.Action, more ...openflow.MatchField) {
		b.flow(openflow.Flow{Table: TableGive, Priority: priority, Cookie: Cookie(KindMonitor, p.Num),
			Match: match(append(more, reg(RegPool, label), reg(RegHow, how))...), Apply: actions})
	}
	to := func(table openflow.TableID) openflow.Action {
		return openflow.Resubmit{Port: openflow.PortInPort, Table: table}
	}
	forms := b.formsGiven(p)
	sends := func(network string, of ...openflow.MatchField) {
		add(giveTo, howDivert, b.copyTo(network, p.ID), of...)
		for _, f := range forms {
			dst := b.w.labels[MonitorLabel(destination(p.ID, f.form))]
			if !f.limited {
				copies := b.copyInForm(network, p.ID, f.form)
				add(giveTo, f.how(), append(slices.Clone(copies), set(RegSeenBy, dst)), of...)
				add(giveTo, dst, append(slices.Clone(copies), set(RegCopied, dst)), of...)
			}
		}
	}
	if !b.w.tags(p.ID) {
		sends("")
	} else {
		for _, network := range sortedKeys(b.w.tapped[p.ID]) {
			if n := b.w.labels[NetworkLabel(network)]; n != 0 && b.w.here(network, b.n.ID) && b.w.numbered(network, p.ID) {
				sends(network, reg(RegNetwork, n))
			}
		}
	}
	back := reg(RegSeenBy, label|seenVia)
	for _, f := range forms {
		dst := destination(p.ID, f.form)
		if f.limited {
			add(giveTo, f.how(), []openflow.Action{to(TableLimit)})
			add(giveTo, stageLimited|b.w.labels[MonitorLabel(dst)], []openflow.Action{to(TableLimit)})
		}
		satisfied := b.w.satisfies(dst)
		for _, c := range b.w.copyPoolsOf(p.ID) {
			satisfied = append(satisfied, b.w.satisfiesAll(c, dst)...)
		}
		for _, s := range satisfied {
			add(giveSeen, f.how(), nil, seenBy(s))
		}
	}
	add(giveSeen, howDivert, []openflow.Action{to(TableOutput)}, back)
	add(giveSeen, howDivert, nil, reg(RegSeenBy, label))
	add(giveTo, howPass, []openflow.Action{to(TableOutput)}, back)
	add(giveSeen, howOpenIn, []openflow.Action{to(TableOutput)}, back)
	add(giveSeen, howOpenIn, nil, reg(RegSeenBy, label))
	add(giveSeen, howOpenFlooded, []openflow.Action{to(TableOutput)}, back)
	for _, network := range b.opened(p) {
		for _, pass := range []bypass{passOut, passIn, passFlooded} {
			add(giveTo, pass.how, []openflow.Action{openflow.ApplyGroup{ID: b.bypassGroup(pass, network, p.ID)}}, reg(RegNetwork, b.w.labels[NetworkLabel(network)]))
		}
	}
	add(giveTo, howSent|label, []openflow.Action{set(RegSeenBy, label|seenVia), set(RegOrigin, originAccepted+originLocal)})
	add(giveTo, howArrives|label, []openflow.Action{set(RegSeenBy, seenAll), set(RegOrigin, originAccepted+originDone)})
	add(giveTo, howBehind|label, []openflow.Action{set(RegSeenBy, seenAll), set(RegOrigin, originAccepted+originBehind)})
	add(giveTo, howAnswers|label, []openflow.Action{set(RegSeenBy, label|seenVia), set(RegOrigin, originAnswer), to(TableForward)})
}

// how tells give of a form of copies.
func (f formAt) how() uint32 {
	bits := uint32(f.form.cut) // 16 of them (flowtap.MaxTruncate)
	if f.form.rewrite {
		bits |= 1 << 16
	}
	switch {
	case f.limited:
		return howLimited | bits
	case bits != 0:
		return howFormed | bits
	}
	return howCopy
}

// formsGiven gives the ways in which a member may have to be copied to on this node, the simple one first.
func (b *builder) formsGiven(p *Port) []formAt {
	fs := []formAt{{}}
	for at := range b.w.forms[p.ID] {
		f := formAt{form: at.form, limited: at.limited}
		if !slices.Contains(fs, f) && b.w.here(at.network, b.n.ID) && b.w.labels[MonitorLabel(destination(p.ID, f.form))] != 0 {
			fs = append(fs, f)
		}
	}
	return fs
}

// spreads reports whether a monitor is a member of spread pools.
func (w *World) spreads(monitor string) bool {
	for _, p := range w.poolsOf[monitor] {
		if p.Mode == topology.PoolSpread {
			return true
		}
	}
	return false
}

// tapSpread is the flows of a contract that leads to a spread pool, at its target.
func (b *builder) tapSpread(p *Port, here openflow.PortNo, t *Tap, pool *Pool) {
	out, in, next := b.away(t, passOut), b.away(t, passIn), [2]openflow.TableID{}
	if t.Action != flowtap.Redirect {
		if out = b.spread(pool, formAt{form: t.form(), limited: t.limited()}.how()); t.limited() {
			out = apart(append([]openflow.Action{set(RegLimited, t.Num)}, out...)...)
		}
		next = [2]openflow.TableID{TableForward, TableOutput}
		in = out
	}
	for _, c := range t.out {
		for _, m := range b.sent(p, here, c) {
			b.flow(openflow.Flow{Table: TableTapOut, Priority: tapPriority(t.Priority), Cookie: Cookie(KindTap, t.Num), Match: m, Apply: out, Goto: next[0]})
		}
	}
	for _, c := range t.in {
		for _, m := range b.received(p, here, c) {
			// Mostly it is the pool that had a member see the frame: these are for counting.
			for _, member := range b.w.monitorsOf(t) {
				for _, label := range b.w.satisfies(destination(member, t.form())) {
					if m, ok := conjunction(m, []openflow.MatchField{seenBy(label)}); ok && label != 0 {
						b.flow(openflow.Flow{Table: TableTapIn, Priority: tapPriority(t.Priority) + 1, Cookie: Cookie(KindTapSeen, t.Num), Match: m, Apply: in, Goto: next[1]})
					}
				}
			}
			b.flow(openflow.Flow{Table: TableTapIn, Priority: tapPriority(t.Priority), Cookie: Cookie(KindTap, t.Num), Match: m, Apply: in, Goto: next[1]})
		}
	}
}
