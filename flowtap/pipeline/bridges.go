package pipeline

import (
	"slices"

	"github.com/flowtap/flowtap/openflow"
)

// A node of two bridges has its ports on one, the port bridge, and the tunnel interface on the other, the
// tunnel bridge; a pair of patch ports joins them (OpenStack's br-int and br-tun). The whole pipeline is on
// the tunnel bridge. It is what one bridge would hold, put through apart (below): flows that say which port
// a frame entered by, or leaves by, say so across the patch. Of all that belongs to a frame Open vSwitch
// lets only pkt_mark cross, so its upper half carries the port's number there and back. The port
// bridge (PortBridge) knows no networks, contracts or ports, but for monitors whose copies it cuts.
//
// Port numbers of the two bridges have nothing to do with each other. Behind classify in_port is a number
// of the port bridge, or insideTunnel for what came by the tunnel.

// Interfaces of the patch ports on the port bridge and the tunnel bridge, as OpenStack names them.
const (
	PatchToTunnels = "patch-tun"
	PatchToPorts   = "patch-int"
)

// Split reports whether a node has two bridges.
func (n *Node) Split() bool { return n.TunnelDatapathID != 0 }

// Pipeline is the bridge that holds the pipeline, which is the one with the tunnel interface.
func (n *Node) Pipeline() openflow.DPID {
	if n.Split() {
		return n.TunnelDatapathID
	}
	return n.DatapathID
}

// insideTunnel is the tunnel interface's number behind classify: one that no port has.
const insideTunnel = 65002

// markedPort is the part of pkt_mark that carries a port's number. Epochs use bits below it.
var markedPort = openflow.Bits{Field: openflow.FieldPktMark, Offset: 16, N: 16}

const markedPortMask = 0xffff0000

func portMark(p openflow.PortNo) openflow.MatchField {
	return openflow.UintMask(openflow.FieldPktMark, uint64(p)<<16, markedPortMask)
}

// holds reports whether a port number is one of the node's own, and so no port's that is attached.
func (n *Node) holds(p openflow.PortNo) bool {
	if !n.Split() {
		return p == n.TunnelPort
	}
	return p == n.PortPatch || p == insideTunnel
}

// folded gives a node as if its bridges were one.
func (n *Node) folded() *Node {
	if !n.Split() || n.TunnelPort == 0 {
		return n
	}
	one := *n
	one.TunnelPort = insideTunnel
	return &one
}

// PortBridge is what the port bridge of a node holds: frames of every port go to the tunnel bridge, and those
// from there to the port that they name. Nil where there is one bridge, or no patch port.
func PortBridge(n *Node) []openflow.Flow {
	if !n.Split() || n.PortPatch == 0 {
		return nil
	}
	base := openflow.Flow{Table: TableClassify, Cookie: Cookie(KindBase, 0)}
	out, in := base, base
	out.Priority, out.Apply = prioMiss, []openflow.Action{
		openflow.Move{From: openflow.Bits{Field: openflow.FieldInPort, N: 16}, To: markedPort}, openflow.Output{Port: n.PortPatch}}
	in.Priority, in.Match = prioClassify, match(inPort(n.PortPatch))
	in.Apply = []openflow.Action{
		openflow.Move{From: markedPort, To: openflow.Bits{Field: RegOut, N: 16}}, openflow.Load{To: markedPort}, openflow.OutputField{Field: RegOut}}
	return []openflow.Flow{out, in}
}

// PortPart gives one unit's share of what the port bridge of a node holds.
func PortPart(w *World, node string, u Unit) []openflow.Flow {
	n := w.nodes[node]
	switch {
	case n == nil:
	case u.Kind == UnitBase:
		return PortBridge(n)
	case u.Kind == UnitMonitor && w.ports[u.ID] != nil && n.Split() && n.PortPatch != 0:
		return w.cutsAt(n, w.ports[u.ID])
	}
	return nil
}

// Open vSwitch does not truncate what it outputs to a patch port. Copies that are to be cut for a monitor here
// are cut by the port bridge, which is told by the bits from 15 on, in place of the port: that, and the
// label of what they are for. It has no room for labels of more than 16 bits, which a cloud has when it has had
// tens of thousands of networks and monitors at once: copies under those are not made (state.go).
var markedCut = openflow.Bits{Field: openflow.FieldPktMark, Offset: 15, N: 17}

const cutLabels = 1 << 16

func cutMark(label uint32) uint64 { return uint64(label)<<1 | 1 }

// cut puts the flow that cuts a monitor's copies onto the tunnel bridge.
func (n *Node) cut(f *openflow.Flow) []openflow.Action {
	label, _ := value(f.Match, RegDeliver)
	for _, a := range f.Apply {
		if t, ok := a.(openflow.OutputTruncate); ok && t.Port != insideTunnel {
			if n.Patch == 0 || label >= cutLabels {
				return nil
			}
			return []openflow.Action{setInPort(0), openflow.Load{To: markedCut, Value: cutMark(uint32(label))}, openflow.Output{Port: n.Patch}, openflow.Load{To: markedCut}}
		}
	}
	return n.actions(f.Apply)
}

// cutsAt is what the port bridge cuts for a monitor.
func (w *World) cutsAt(n *Node, p *Port) (flows []openflow.Flow) {
	here := w.attachment(p, n.ID)
	if here == 0 || p.Status.Node != n.ID || w.labels[MonitorLabel(p.ID)] == 0 {
		return nil
	}
	tag := 0
	if w.tags(p.ID) { // a tag that the tunnel bridge pushed is on the frame by then, and is not counted
		tag = 4
	}
	for _, f := range w.formsFrom(n.ID, p.ID) {
		if dst := w.labels[MonitorLabel(destination(p.ID, f))]; dst != 0 && dst < cutLabels && f.cut != 0 {
			flows = append(flows, openflow.Flow{Table: TableClassify, Priority: prioCut, Cookie: Cookie(KindCut, p.Num),
				Match: match(inPort(n.PortPatch), openflow.UintMask(openflow.FieldPktMark, cutMark(dst)<<15, 0xffff8000)),
				Apply: []openflow.Action{openflow.Load{To: markedCut}, openflow.OutputTruncate{Port: here, MaxLen: uint32(f.cut + tag)}}})
		}
	}
	return flows
}

// apart puts the flows and groups of a folded node onto its tunnel bridge.
func (n *Node) apart(flows []openflow.Flow, groups []openflow.Group) ([]openflow.Flow, []openflow.Group) {
	seen := map[openflow.PortNo]bool{}
	kept := flows[:0]
	var own []openflow.Flow
	for _, f := range flows {
		p, entered := value(f.Match, openflow.FieldInPort)
		from := openflow.PortNo(p)
		if f.Table == TableCut {
			f.Apply = n.cut(&f)
		} else {
			f.Apply = n.actions(f.Apply)
		}
		switch {
		case f.Table != TableClassify || !entered:
		case from == insideTunnel:
			f.Match = n.enters(f.Match, n.TunnelPort)
			if f.Goto != 0 {
				f.Apply = append([]openflow.Action{setInPort(insideTunnel)}, f.Apply...)
			}
		case n.Patch == 0:
			continue
		default:
			f.Match = n.enters(f.Match, n.Patch, portMark(from))
			if f.Goto != 0 || len(f.Apply) > 0 {
				f.Apply = append([]openflow.Action{setInPort(from), openflow.Load{To: markedPort}}, f.Apply...)
			}
			if !seen[from] {
				// Open vSwitch does not send a frame out of the port that it came in by. To it
				// all ports are the patch here.
				seen[from] = true
				_, object, _ := Ours(f.Cookie)
				own = append(own, openflow.Flow{Table: TableOutput, Priority: prioClassify, Cookie: Cookie(KindPort, object),
					Match: match(inPort(from), reg(RegOut, uint32(from)))})
			}
		}
		kept = append(kept, f)
	}
	for i := range groups {
		for j := range groups[i].Buckets {
			b := &groups[i].Buckets[j]
			b.Actions = n.actions(b.Actions)
			if b.WatchPort != openflow.PortAny { // a port of the other bridge: what becomes of it the controller has to see
				b.WatchPort, b.WatchGroup = openflow.PortAny, groupAlive
			}
		}
	}
	return append(kept, own...), groups
}

// enters gives a match with another in_port, and more fields.
func (n *Node) enters(m openflow.Match, port openflow.PortNo, more ...openflow.MatchField) openflow.Match {
	rest := slices.DeleteFunc(slices.Clone(m), func(f openflow.MatchField) bool { return f.Field == openflow.FieldInPort })
	return match(append(append(rest, inPort(port)), more...)...)
}

func setInPort(p openflow.PortNo) openflow.Action {
	return openflow.Set(openflow.FieldInPort, uint64(p))
}

// actions puts actions onto the tunnel bridge. in_port is cleared where a frame leaves: it may be the number of
// the tunnel or patch port by chance, out of which Open vSwitch would then not send it.
func (n *Node) actions(list []openflow.Action) []openflow.Action {
	var out []openflow.Action
	for _, a := range list {
		switch a := a.(type) {
		case openflow.Output:
			switch {
			case a.Port == insideTunnel:
				out = append(out, setInPort(0), openflow.Output{Port: n.TunnelPort})
			case a.Port >= openflow.PortMax:
				out = append(out, a)
			default: // by way of output, for buckets can move no bits
				out = append(out, set(RegOut, uint32(a.Port)), openflow.Resubmit{Port: openflow.PortInPort, Table: TableOutput})
			}
		case openflow.OutputTruncate:
			if a.Port == insideTunnel {
				out = append(out, setInPort(0))
				a.Port = n.TunnelPort
			}
			out = append(out, a)
		case openflow.OutputField:
			if n.Patch != 0 {
				out = append(out, setInPort(0), openflow.Move{From: openflow.Bits{Field: a.Field, N: 16}, To: markedPort},
					openflow.Output{Port: n.Patch}, openflow.Load{To: markedPort})
			}
		case openflow.Clone:
			out = append(out, openflow.Clone{Actions: n.actions(a.Actions)})
		default:
			out = append(out, a)
		}
	}
	return out
}
