package pipeline

import (
	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/flowset"
)

// Over gives the changes that lead from have to the desired state with the overlay on it, and
// those that then lead to the desired state itself. changes is the difference of have and want.
func (o Overlay) Over(have, want *flowset.Set, changes flowset.Changes) (on, off flowset.Changes) {
	if o.Empty() {
		return changes, flowset.Changes{}
	}
	gate := map[flowset.Key]bool{}
	for _, k := range o.Remove {
		gate[k] = true
	}
	open := func(flows []openflow.Flow) (left []openflow.Flow) {
		for _, f := range flows {
			if !gate[flowset.KeyOf(&f)] {
				left = append(left, f)
			}
		}
		return left
	}
	on = changes
	on.FlowAdd, on.FlowModify, on.FlowReplace = open(changes.FlowAdd), open(changes.FlowModify), open(changes.FlowReplace)
	for _, k := range o.Remove {
		if f, ok := have.Flow(k); ok {
			on.FlowDelete = append(on.FlowDelete, f)
		}
		if f, ok := want.Flow(k); ok {
			off.FlowAdd = append(off.FlowAdd, f)
		}
	}
	on.FlowAdd = append(on.FlowAdd, o.Put...)
	off.FlowDelete = append(off.FlowDelete, o.Put...)
	return on, off
}

// Join puts two changes into one; they must not concern the same flows, groups or meters.
func Join(a, b flowset.Changes) flowset.Changes {
	return flowset.Changes{
		MeterAdd: append(a.MeterAdd, b.MeterAdd...), MeterModify: append(a.MeterModify, b.MeterModify...), MeterDelete: append(a.MeterDelete, b.MeterDelete...),
		GroupAdd: append(a.GroupAdd, b.GroupAdd...), GroupModify: append(a.GroupModify, b.GroupModify...),
		FlowAdd: append(a.FlowAdd, b.FlowAdd...), FlowModify: append(a.FlowModify, b.FlowModify...),
		FlowReplace: append(a.FlowReplace, b.FlowReplace...), FlowDelete: append(a.FlowDelete, b.FlowDelete...),
		GroupDelete: append(a.GroupDelete, b.GroupDelete...),
	}
}

// SentinelFlow sends what arrives under the sentinel's label to the controller, with a cookie
// that tells which round of a datapath barrier the datapath acts on. Zero where the node has no tunnel.
func SentinelFlow(n *Node, round uint32) (openflow.Flow, bool) {
	return openflow.Flow{Table: TableClassify, Priority: prioSentinel, Cookie: Cookie(KindSentinel, round),
		Match: match(inPort(n.TunnelPort), openflow.Uint(openflow.FieldTunnelID, LabelSentinel)),
		Apply: []openflow.Action{openflow.Output{Port: openflow.PortController, MaxLen: 64}}}, n.TunnelPort != 0
}

// SendTunnelled gives the actions of a packet-out from one node that arrives at another under a label.
func SendTunnelled(from, to *Node, label uint32) []openflow.Action {
	return []openflow.Action{tunnelTo(to), openflow.Set(openflow.FieldTunnelID, uint64(label)), openflow.Output{Port: from.TunnelPort}}
}
