package pipeline

import (
	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/flowset"
)

// Phases parts one switch's change so that across switches the receiving side is ready before
// the sending side starts, and goes after it stopped. All switches finish a phase before any
// begins the next:
//
//   - first: what a switch must know before others send it something new (labels, deliveries),
//     the copies of flooded frames, which other nodes' targets depend on, and new contracts on what
//     is delivered here, because unknown destinations are led to a gateway by flows of this phase;
//   - rest: everything else, in one bundle; switches that gained a port (Gains) before the others;
//   - last: labels that nobody sends any more.
func Phases(c flowset.Changes) (first, rest, last flowset.Changes) {
	first.GroupAdd = c.GroupAdd
	rest.GroupModify, rest.GroupDelete = c.GroupModify, c.GroupDelete
	for _, f := range c.FlowAdd {
		if receives(&f) || f.Table == TableFlood || floods(&f) || f.Table == TableTapIn {
			first.FlowAdd = append(first.FlowAdd, f)
		} else {
			rest.FlowAdd = append(rest.FlowAdd, f)
		}
	}
	copies := func(f *openflow.Flow) bool { return floods(f) || f.Table == TableFlood }
	first.FlowModify, rest.FlowModify = part(c.FlowModify, copies)
	first.FlowReplace, rest.FlowReplace = part(c.FlowReplace, copies)
	gates := restated(c.FlowAdd)
	for _, f := range c.FlowDelete {
		switch {
		case receives(&f) && gates[flowset.KeyOf(&f)]:
			first.FlowDelete = append(first.FlowDelete, f) // with its restatement
		case receives(&f):
			last.FlowDelete = append(last.FlowDelete, f)
		case f.Table == TableFlood, floods(&f):
			first.FlowDelete = append(first.FlowDelete, f)
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
			if f := &flows[i]; floods(f) || f.Table == TableFlood || f.Table == TableTapIn {
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
