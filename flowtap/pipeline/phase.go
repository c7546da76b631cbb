package pipeline

import (
	"slices"

	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/flowset"
)

// A Plan is one switch's change in phases. All switches finish a phase before any begins the next.
type Plan [4]flowset.Changes

// The phases of a plan.
const (
	// PhaseReady is what a switch must know before it is sent something new: what labels mean,
	// deliveries, what monitors may give back. Rates and forms of copies, too.
	PhaseReady = iota
	// PhaseFirst is pools, the copies of flooded frames, which other nodes' targets depend on, new contracts
	// on what is delivered here, because unknown destinations are led to a gateway by flows of this phase,
	// new MACs of ports that are here, and the sending of new labels, which what pools choose needs.
	PhaseFirst
	// PhaseRest is everything else; switches that gained a port (Gains) come before the others.
	PhaseRest
	// PhaseLast is labels that nobody sends any more, and groups that nothing uses.
	PhaseLast
)

// Phases parts one switch's change so that across switches the receiving side is ready before
// the sending side starts, and goes after it stopped.
func Phases(c flowset.Changes) (p Plan) {
	p[PhaseReady].MeterAdd, p[PhaseReady].MeterModify, p[PhaseLast].MeterDelete = c.MeterAdd, c.MeterModify, c.MeterDelete
	p[PhaseReady].GroupAdd = c.GroupAdd
	p[PhaseRest].GroupModify, p[PhaseLast].GroupDelete = c.GroupModify, c.GroupDelete
	for _, f := range c.FlowAdd {
		if unflooded, ok := delivered(f); ok {
			p[PhaseFirst].FlowModify = append(p[PhaseFirst].FlowModify, f)
			f = unflooded
		}
		into := &p[phaseOf(&f, true)].FlowAdd
		*into = append(*into, f)
	}
	// An entrance that another network gets is shut in between: frames of the old one may still come
	// back. Of frames that bear any MAC nobody but one target may be taken for the sender, or two
	// monitors could give one back to each other without end.
	apart := func(f *openflow.Flow) bool {
		if !letsIn(f) && !anonymous(f) {
			return false
		}
		p[PhaseFirst].FlowDelete, p[PhaseRest].FlowAdd = append(p[PhaseFirst].FlowDelete, *f), append(p[PhaseRest].FlowAdd, *f)
		return true
	}
	for _, f := range c.FlowModify {
		if into := &p[phaseOf(&f, false)].FlowModify; !apart(&f) {
			*into = append(*into, f)
		}
	}
	for _, f := range c.FlowReplace {
		if into := &p[phaseOf(&f, false)].FlowReplace; !apart(&f) {
			*into = append(*into, f)
		}
	}
	// What is to lead no more to a limit that now leads elsewhere.
	relimited := map[uint32]bool{}
	for _, f := range slices.Concat(c.FlowModify, c.FlowReplace) {
		if _, tap, _ := Ours(f.Cookie); f.Table == TableLimit {
			relimited[tap] = true
		}
	}
	gates := restated(c.FlowAdd)
	for _, f := range c.FlowDelete {
		phase := PhaseRest
		if unflooded, ok := delivered(f); ok {
			p[PhaseFirst].FlowModify = append(p[PhaseFirst].FlowModify, unflooded)
		}
		switch gate := gates[flowset.KeyOf(&f)]; {
		case anonymous(&f), f.Table == TableFlood, floods(&f), relimited[ofContract(&f)]:
			phase = PhaseFirst
		case gate && (receives(&f) || inTransit(&f)):
			phase = PhaseReady // with its restatement
		case receives(&f), shapes(&f), inTransit(&f):
			phase = PhaseLast
		}
		p[phase].FlowDelete = append(p[phase].FlowDelete, f)
	}
	return p
}

// phaseOf gives the phase of a flow that is added, or changed.
func phaseOf(f *openflow.Flow, added bool) int {
	switch {
	case f.Table == TableFlood, floods(f), chooses(f), !added && f.Table == TableLimit:
		return PhaseFirst
	case added && (receives(f) || shapes(f)), comesBack(f) && !(added && anonymous(f)):
		return PhaseReady
	case added && (delivers(f) || hands(f) || f.Table == TableEncap):
		return PhaseFirst
	}
	return PhaseRest
}

// delivered changes a flow that takes back what a target sent, and that is new or to go, so that meanwhile it
// delivers and does not flood. The node may make no copies for this target yet, or any more, nor leave it out of
// them: flooded from here, the frame would pass contracts unseen, or come to monitors as if the target
// got it, and two could give it back to each other until the change is over.
func delivered(f openflow.Flow) (openflow.Flow, bool) {
	kind, _, _ := Ours(f.Cookie)
	if f.Table != TableReturn || kind != KindReturn || anonymous(&f) {
		return f, false
	}
	f.Apply = slices.Clone(f.Apply)
	for i, a := range f.Apply {
		if a, ok := a.(openflow.SetField); ok && a.Field == RegHow { // of a spread pool: give does the rest
			how := openflow.MatchField{Field: a.Field, Value: a.Value}
			f.Apply[i], f.Goto = set(RegHow, uint32(how.Uint64())&^howMask|howAnswers), 0
			return f, true
		}
	}
	f.Apply = append(f.Apply, set(RegOrigin, originAnswer))
	return f, true
}

// Gains reports whether a change brings a port to the switch: its classify flow is new, and no
// restatement of what is there.
func Gains(c flowset.Changes) bool {
	there := map[flowset.Key]bool{}
	for _, f := range c.FlowDelete {
		if f.Table == TableClassify {
			there[flowset.KeyOf(&f)] = true
		}
	}
	for _, f := range c.FlowAdd {
		if f.Table == TableClassify && f.Priority <= prioClassify && !has(f.Match, openflow.FieldTunnelID) && has(f.Match, openflow.FieldInPort) &&
			!(restates(&f) && there[gateOf(&f)]) {
			return true
		}
	}
	return false
}

// Diverts reports whether a change adds what takes back a monitor's frames: a redirect begins there, or
// its monitor or its target arrives.
func Diverts(c flowset.Changes) bool {
	return slices.ContainsFunc(c.FlowAdd, func(f openflow.Flow) bool {
		kind, _, _ := Ours(f.Cookie)
		return kind == KindReturn
	})
}

// Copies reports whether a first phase concerns frames that already flow: it has flood programs or
// contracts.
func Copies(c flowset.Changes) bool {
	for _, flows := range [][]openflow.Flow{c.FlowAdd, c.FlowModify, c.FlowReplace} {
		for i := range flows {
			if f := &flows[i]; floods(f) || f.Table == TableFlood || delivers(f) {
				return true
			}
		}
	}
	return false
}

// receives tells flows that only say what a frame from another node means.
func receives(f *openflow.Flow) bool {
	if kind, _, _ := Ours(f.Cookie); kind == KindCut {
		return true
	}
	return f.Table == TableClassify && has(f.Match, openflow.FieldTunnelID) || f.Table == TableSender || f.Table == TableDeliver
}

// chooses tells the flows of spread pools: contracts of the first phase lead there, and the stages of flood
// programs change with the members that are chosen.
func chooses(f *openflow.Flow) bool { return f.Table == TableSlice || f.Table == TableGive }

// ofContract gives the number of the tap whose frames a flow of tap-out or tap-in copies; zero of others.
func ofContract(f *openflow.Flow) uint32 {
	if kind, tap, _ := Ours(f.Cookie); kind == KindTap && (f.Table == TableTapOut || f.Table == TableTapIn) {
		return tap
	}
	return 0
}

// shapes tells flows that copies, of contracts for a monitor and of frames for the controller, are led to on
// their way.
func shapes(f *openflow.Flow) bool {
	return f.Table == TableLimit || f.Table == TableCut || f.Table == TableTell
}

// comesBack tells the flows that only concern what monitors give back. An entrance that is a gate is
// restated with the rest: by then all that lies behind it has changed.
func comesBack(f *openflow.Flow) bool {
	switch f.Table {
	case TableComeback, TableReturn, TableReturnIn, TableAnswer:
		return true
	}
	return inTransit(f) || letsIn(f) && !restates(f)
}

// inTransit tells the forwarding of a network of which a node has no members.
func inTransit(f *openflow.Flow) bool {
	kind, _, _ := Ours(f.Cookie)
	return kind == KindTransit
}

// letsIn tells an entrance's flow.
func letsIn(f *openflow.Flow) bool {
	return f.Table == TableClassify && (f.Goto == TableComeback || slices.Contains(f.Apply, openflow.Action(openflow.ApplyGroup{ID: groupParse})))
}

// anonymous tells flows that take what comes back for a target's whatever MAC it bears.
func anonymous(f *openflow.Flow) bool {
	return f.Table == TableReturn && prioMiss < f.Priority && f.Priority < prioToSelf
}

// delivers tells contracts on what is delivered to one port alone.
func delivers(f *openflow.Flow) bool { return f.Table == TableTapIn && !has(f.Match, RegOrigin) }

// hands tells the forwarding to a port of this node: a MAC that was learned is known here before
// others send frames for it here alone.
func hands(f *openflow.Flow) bool {
	return f.Table == TableForward && (f.Goto == TableOutput || f.Goto == TableTapIn) && has(f.Match, openflow.FieldEthDst)
}

// floods tells the flows that run a flood program.
func floods(f *openflow.Flow) bool {
	origin, ok := value(f.Match, RegOrigin)
	return f.Table == TableForward && ok && origin == originLocal
}

// restates tells the restatement of a gate, which looks at one bit of pkt_mark.
func restates(f *openflow.Flow) bool {
	m, ok := f.Match.Get(openflow.FieldPktMark)
	return ok && !slices.Equal(m.Mask[:4], []byte{0xff, 0xff, 0, 0})
}

// restated gives the keys of the gates that an epoch's flows stand for.
func restated(adds []openflow.Flow) map[flowset.Key]bool {
	gates := map[flowset.Key]bool{}
	for _, f := range adds {
		if !restates(&f) {
			continue
		}
		gates[gateOf(&f)] = true
	}
	return gates
}

// gateOf gives the key of the gate that a flow restates.
func gateOf(f *openflow.Flow) flowset.Key {
	gate := openflow.Flow{Table: f.Table, Priority: f.Priority + 1}
	for _, m := range f.Match {
		if m.Field != openflow.FieldPktMark {
			gate.Match = append(gate.Match, m)
		}
	}
	return flowset.KeyOf(&gate)
}
