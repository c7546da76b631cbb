package pipeline

import (
	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/flowset"
)

// Phases parts one switch's change so that across switches the receiving side is ready before
// the sending side starts, and goes after it stopped. All switches finish a phase before any
// begins the next:
//
//   - first: what a switch must know before others send it something new (labels, deliveries, what
//     monitors may give back), the copies of flooded frames, which other nodes' targets depend on,
//     and new contracts on what is delivered here that copy, because unknown destinations are led
//     to a gateway by flows of this phase;
//   - rest: everything else, in one bundle; switches that gained a port (Gains) before the others;
//   - last: labels that nobody sends any more.
func Phases(c flowset.Changes) (first, rest, last flowset.Changes) {
	first.GroupAdd = c.GroupAdd
	rest.GroupModify, last.GroupDelete = c.GroupModify, c.GroupDelete
	for _, f := range c.FlowAdd {
		if receives(&f) || comesBack(&f) && !anonymous(&f) || f.Table == TableFlood || floods(&f) || copiesIn(&f) {
			first.FlowAdd = append(first.FlowAdd, f)
		} else {
			rest.FlowAdd = append(rest.FlowAdd, f)
		}
	}
	early := func(f *openflow.Flow) bool { return floods(f) || f.Table == TableFlood || comesBack(f) }
	first.FlowModify, rest.FlowModify = part(c.FlowModify, early)
	first.FlowReplace, rest.FlowReplace = part(c.FlowReplace, early)
	// An entrance that another network gets is shut in between: frames of the old one may still come
	// back. Of frames that bear any MAC nobody but one target may be taken for the sender, or two
	// monitors could give one back to each other without end.
	for _, flows := range []*[]openflow.Flow{&first.FlowModify, &first.FlowReplace} {
		var apart []openflow.Flow
		apart, *flows = part(*flows, func(f *openflow.Flow) bool { return letsIn(f) || anonymous(f) })
		first.FlowDelete, rest.FlowAdd = append(first.FlowDelete, apart...), append(rest.FlowAdd, apart...)
	}
	gates := restated(c.FlowAdd)
	for _, f := range c.FlowDelete {
		gate := gates[flowset.KeyOf(&f)] // goes with its restatement
		switch {
		case anonymous(&f), f.Table == TableFlood, floods(&f):
			first.FlowDelete = append(first.FlowDelete, f)
		case receives(&f) && gate, inTransit(&f) && gate:
			first.FlowDelete = append(first.FlowDelete, f)
		case receives(&f), inTransit(&f):
			last.FlowDelete = append(last.FlowDelete, f)
		default:
			rest.FlowDelete = append(rest.FlowDelete, f)
		}
	}
	return first, rest, last
}

// Gains reports whether a change brings a port to the switch.
func Gains(c flowset.Changes) bool {
	for _, f := range c.FlowAdd {
		if f.Table == TableClassify && f.Priority <= prioClassify && !has(f.Match, openflow.FieldTunnelID) && has(f.Match, openflow.FieldInPort) {
			return true
		}
	}
	return false
}

// Copies reports whether a first phase concerns frames that already flow: it has flood programs or
// contracts.
func Copies(c flowset.Changes) bool {
	for _, flows := range [][]openflow.Flow{c.FlowAdd, c.FlowModify, c.FlowReplace} {
		for i := range flows {
			if f := &flows[i]; floods(f) || f.Table == TableFlood || copiesIn(f) {
				return true
			}
		}
	}
	return false
}

// receives tells flows that only say what a frame from another node means.
func receives(f *openflow.Flow) bool {
	return f.Table == TableClassify && has(f.Match, openflow.FieldTunnelID) || f.Table == TableSender || f.Table == TableDeliver
}

// comesBack tells the flows that only concern what monitors give back. An entrance that is a gate is
// restated with the rest: by then all that lies behind it has changed.
func comesBack(f *openflow.Flow) bool {
	switch f.Table {
	case TableComeback, TableReturn, TableReturnIn, TableAnswer:
		return true
	}
	return inTransit(f) || letsIn(f) && !has(f.Match, openflow.FieldPktMark)
}

// inTransit tells the forwarding of a network of which a node has no members.
func inTransit(f *openflow.Flow) bool {
	kind, _, _ := Ours(f.Cookie)
	return kind == KindTransit
}

// letsIn tells an entrance's flow.
func letsIn(f *openflow.Flow) bool { return f.Table == TableClassify && f.Goto == TableComeback }

// anonymous tells flows that take what comes back for a target's whatever MAC it bears.
func anonymous(f *openflow.Flow) bool {
	return f.Table == TableReturn && prioMiss < f.Priority && f.Priority < prioToSelf
}

// copiesIn tells contracts on received frames that divert nothing.
func copiesIn(f *openflow.Flow) bool {
	return f.Table == TableTapIn && f.Goto == TableOutput && !has(f.Match, RegOrigin)
}

// floods tells the flows that run a flood program.
func floods(f *openflow.Flow) bool {
	origin, ok := value(f.Match, RegOrigin)
	return f.Table == TableForward && ok && origin == originLocal
}

// restated gives the keys of the gates that an epoch's flows stand for.
func restated(adds []openflow.Flow) map[flowset.Key]bool {
	gates := map[flowset.Key]bool{}
	for _, f := range adds {
		if !has(f.Match, openflow.FieldPktMark) {
			continue
		}
		gate := openflow.Flow{Table: f.Table, Priority: f.Priority + 1}
		for _, m := range f.Match {
			if m.Field != openflow.FieldPktMark {
				gate.Match = append(gate.Match, m)
			}
		}
		gates[flowset.KeyOf(&gate)] = true
	}
	return gates
}

func part(flows []openflow.Flow, is func(*openflow.Flow) bool) (yes, no []openflow.Flow) {
	for _, f := range flows {
		if is(&f) {
			yes = append(yes, f)
		} else {
			no = append(no, f)
		}
	}
	return yes, no
}
