package pipeline

import (
	"math/bits"
	"slices"

	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/flowset"
	"github.com/flowtap/flowtap/topology"
)

// An Epoch makes a change of actions take hold in datapaths that would otherwise keep old
// megaflows. The userspace datapath of Open vSwitch 3.1.0 revalidates a megaflow whose actions
// changed by modifying it in place, looked up by its key, and where megaflows overlap the lookup
// can hit another one: the first then keeps its old actions for as long as traffic lives. A
// megaflow whose mask lacks a bit that the tables now look at is deleted instead. So a change
// carries, in its own bundle, flows that look at a bit of pkt_mark, which no frame ever has set:
//
//   - a gate, which is a flow that all frames concerned pass (a port's classify flow, the
//     forwarding to a MAC, a network's flooding), is restated one priority lower with pkt_mark=0/bit.
//     Frames that pass other gates never come to look at it, so their megaflows stay;
//   - where a change is not behind few gates, a flow for an input port that does not exist, above
//     all of classify, makes every megaflow of the bridge look at the bit.
//
// The bit must be new to the megaflows concerned. Bits are drawn from a range of their own for
// each class of gate, and a gate never uses the same one twice running.
//
// Epochs are withdrawn when the datapath is known to act on the change. An Epoch belongs to one
// connection: it remembers what the datapath may have seen.
type Epoch struct {
	seed   uint32
	whole  gateClass           // classBridge, or classPortBridge
	last   map[flowset.Key]int // bit that a gate used last
	next   [classes]int
	bridge uint64 // bits that the whole bridge looked at last; zero before the first time
}

// NewEpoch begins the epochs of a connection. Two connections in a row to one switch must have
// seeds that differ by less than 35, or by chance: what the first one made megaflows look at last
// is unknown to the second.
func NewEpoch(seed uint32) *Epoch { return &Epoch{seed: seed, whole: classBridge} }

// NewPortEpoch is NewEpoch for the port bridge of a node of two, whose megaflows look at the epochs of both.
func NewPortEpoch(seed uint32) *Epoch { return &Epoch{seed: seed, whole: classPortBridge} }

// An Overlay is what an epoch does to a switch's desired state for a while.
type Overlay struct {
	Remove []flowset.Key   // gates restated
	Put    []openflow.Flow // their restatements
}

// Empty reports whether there is nothing to do.
func (o Overlay) Empty() bool { return len(o.Put) == 0 }

// gateClass is a kind of gate: a megaflow passes at most one of each kind, bar bystanders that
// classFirst separates.
type gateClass int

const (
	classSender gateClass = iota
	classUnicast
	classMulticast
	classUnknownGW
	classUnknown
	classFlooded
	classBridge     // not a gate: the whole bridge
	classPortBridge // the port bridge of a node of two
	classes
)

// classBits is the range of each class in pkt_mark: the first bit and how many. Gates of one class have one
// priority: a frame that passes a lower one looks at those above too. A node of two bridges has no gates,
// and uses bits 16 to 31 otherwise (bridges.go).
var classBits = [classes][2]int{classBridge: {1, bridgeBits}, classPortBridge: {8, bridgeBits},
	classSender: {8, 6}, classUnicast: {14, 8}, classMulticast: {22, 3}, classUnknownGW: {25, 2}, classUnknown: {27, 3}, classFlooded: {30, 2}}

const bridgeBits = 7

// bitNobody is the bit of pkt_mark that classify looks at where it drops what is nobody's frame, and
// nowhere else. So the megaflows of a label that is withdrawn are deleted, not made to drop: made to
// drop, they would for some milliseconds go on to do so where the label is given out again, in
// spite of the flows.
const bitNobody = 0

// maxGates bounds the gates of one change; beyond it the whole bridge is cheaper.
const maxGates = 32

// deadPort is an input port number that no switch has.
const deadPort = 65000

// For gives the overlay for going from have to want, where changes is their difference.
func (e *Epoch) For(w *World, node string, want *flowset.Set, changes flowset.Changes) Overlay {
	if changes.Empty() {
		return Overlay{}
	}
	gates, few := gatesOf(w, node, want, changes)
	if few && len(gates) == 0 {
		return Overlay{}
	}
	if e.bridge != 0 && few && !w.nodes[node].Split() {
		if o, ok := e.restate(gates); ok {
			return o
		}
	}
	return e.WholeBridge()
}

// WholeBridge makes every megaflow look at a bit that none looked at in the last state. Where that
// state is unknown it takes three bits of the seven, as the seed says: of two different threes
// neither is part of the other, so each has a bit that is new after the other.
func (e *Epoch) WholeBridge() Overlay {
	mark := three(e.seed) << classBits[e.whole][0]
	if e.bridge != 0 {
		for mark = 1 << e.bit(e.whole); mark&e.bridge != 0; {
			mark = 1 << e.bit(e.whole)
		}
	}
	e.bridge, e.last = mark, map[flowset.Key]int{}
	return Overlay{Put: []openflow.Flow{{Table: TableClassify, Priority: prioEpoch, Cookie: Cookie(KindEpoch, 0),
		Match: match(inPort(deadPort), openflow.UintMask(openflow.FieldPktMark, mark, mark))}}}
}

// three gives one of the 35 ways to choose three of the bridge's bits.
func three(seed uint32) uint64 {
	n := seed % 35
	for m := uint64(0); ; m++ {
		if bits.OnesCount64(m) == 3 {
			if n == 0 {
				return m
			}
			n--
		}
	}
}

// restate marks gates, all of one class with one bit so that they share a subtable of the
// classifier. False where no bit of a class is new to all of its gates.
func (e *Epoch) restate(gates map[flowset.Key]gate) (Overlay, bool) {
	var o Overlay
	for class := classSender; class < classBridge; class++ {
		var mine []flowset.Key
		used := map[int]bool{}
		for k, g := range gates {
			if g.class == class {
				mine = append(mine, k)
				if b, ok := e.last[k]; ok {
					used[b] = true
				}
			}
		}
		if len(mine) == 0 {
			continue
		}
		bit, tries := e.bit(class), 0
		for used[bit] {
			if tries++; tries > 32 {
				return Overlay{}, false
			}
			bit = e.bit(class)
		}
		for _, k := range mine {
			e.last[k] = bit
			f := gates[k].flow
			f.Priority--
			f.Match = match(append([]openflow.MatchField{openflow.UintMask(openflow.FieldPktMark, 0, 1<<bit)}, f.Match...)...)
			o.Remove, o.Put = append(o.Remove, k), append(o.Put, f)
		}
	}
	return o, true
}

func (e *Epoch) bit(class gateClass) int {
	first, n := classBits[class][0], classBits[class][1]
	b := first + e.next[class]%n
	e.next[class]++
	return b
}

// A gate is a flow of the desired state that may be restated.
type gate struct {
	class gateClass
	flow  openflow.Flow
}

// gatesOf finds the gates that all frames concerned by a change pass; few is false where they
// are too many or the change is not behind gates.
func gatesOf(w *World, node string, want *flowset.Set, c flowset.Changes) (gates map[flowset.Key]gate, few bool) {
	g := gateFinder{w: w, node: node, want: want, gates: map[flowset.Key]gate{}}
	if len(c.GroupModify) > 0 { // frames already flow through it, from anywhere
		return nil, false
	}
	// An entrance that opens, or is shut for a while (Phases): what was dropped there had looked at all
	// gates of its class.
	if slices.ContainsFunc(slices.Concat(c.FlowAdd, c.FlowModify, c.FlowReplace, c.FlowDelete), func(f openflow.Flow) bool { return letsIn(&f) }) {
		return nil, false
	}
	for i, flows := range [][]openflow.Flow{c.FlowAdd, c.FlowModify, c.FlowReplace, c.FlowDelete} {
		for j := range flows {
			if !g.find(&flows[j], i == 0) || len(g.gates) > maxGates {
				return nil, false
			}
		}
	}
	return g.gates, true
}

type gateFinder struct {
	w     *World
	node  string
	want  *flowset.Set
	gates map[flowset.Key]gate
}

// find adds the gates in front of one changed flow; false where there are none to be had.
func (g *gateFinder) find(f *openflow.Flow, added bool) bool {
	switch f.Table {
	case TableClassify:
		if f.Priority == prioInject { // what is not let in was dropped before, too, if not looked at
			return len(f.Apply) == 0 && (added || !g.wanted(f))
		}
		return has(f.Match, openflow.FieldTunnelID) && !g.wanted(f) || // a label that nobody sends any more
			g.add(classSender, f)
	case TableComeback:
		return added
	case TableReturn, TableReturnIn, TableAnswer, TableGuard, TableAddress, TableTarget, TableTapOut:
		p, ok := value(f.Match, openflow.FieldInPort)
		return ok && g.add(classSender, &openflow.Flow{Table: TableClassify, Priority: prioClassify, Match: match(inPort(openflow.PortNo(p)))})
	case TableForward:
		if has(f.Match, RegSeenBy) { // flooded frames that were given back, by a label of their own
			return added
		}
		return g.add(classOf(f), f)
	case TableFlood:
		label, ok := value(f.Match, RegNetwork)
		return ok && g.flooding(uint32(label))
	case TableTapIn:
		out, ok := value(f.Match, RegOut)
		return ok && !has(f.Match, RegOrigin) && g.deliveries(openflow.PortNo(out))
	case TableEncap:
		// The last contract towards a monitor takes the label of its frames along, and is itself
		// behind a gate.
		seen, _ := value(f.Match, RegSeenBy)
		return added || seen != 0 && !g.wanted(f)
	case TableDeliver:
		return added
	case TableLimit, TableCut, TableTell: // what leads there is behind gates of its own
		return added || !g.wanted(f)
	}
	return false
}

// add makes f's namesake in the desired state a gate.
func (g *gateFinder) add(class gateClass, f *openflow.Flow) bool {
	key := flowset.KeyOf(f)
	want, ok := g.want.Flow(key)
	if ok {
		g.gates[key] = gate{class, want}
	}
	return ok
}

func (g *gateFinder) wanted(f *openflow.Flow) bool {
	_, ok := g.want.Flow(flowset.KeyOf(f))
	return ok
}

// flooding adds the gates in front of a network's flood program.
func (g *gateFinder) flooding(label uint32) bool {
	net, here := reg(RegNetwork, label), reg(RegOrigin, originLocal)
	ok := g.add(classMulticast, &openflow.Flow{Table: TableForward, Priority: prioMulticast, Match: match(net, here, multicast())})
	ok = g.add(classUnknown, &openflow.Flow{Table: TableForward, Priority: prioUnknown, Match: match(net, here)}) && ok
	if gw := g.w.gateway(g.w.networkByLabel(label)); gw != nil {
		g.add(classUnknownGW, &openflow.Flow{Table: TableForward, Priority: prioUnknownGW, Match: match(net, here, reg(RegSender, gw.Num))})
		if at := g.w.attachment(gw, g.node); at != 0 {
			g.add(classUnknownGW, &openflow.Flow{Table: TableForward, Priority: prioUnknownGW, Match: match(net, here, inPort(at))})
		}
	}
	return ok
}

// deliveries adds the gates in front of what is delivered to a local port alone. There are none in
// front of a gateway: the flows that lead unknown destinations to it change with flood programs, a
// phase before its contracts, and would have shown megaflows the bit too early.
func (g *gateFinder) deliveries(out openflow.PortNo) bool {
	p := g.w.portAt(spot{g.node, out})
	if p == nil || p.Kind == topology.KindGateway {
		return false
	}
	ok, net := false, reg(RegNetwork, g.w.labels[NetworkLabel(p.Network)])
	for _, m := range g.w.addresses(p) {
		ok = g.add(classUnicast, &openflow.Flow{Table: TableForward, Priority: prioUnicast, Match: match(net, mac(openflow.FieldEthDst, m))}) || ok
	}
	return ok
}

func classOf(f *openflow.Flow) gateClass {
	switch f.Priority {
	case prioUnicast:
		return classUnicast
	case prioMulticast:
		return classMulticast
	case prioUnknownGW:
		return classUnknownGW
	case prioFlooded:
		return classFlooded
	default:
		return classUnknown
	}
}

func value(m openflow.Match, f openflow.Field) (uint64, bool) {
	for _, x := range m {
		if x.Field == f {
			return x.Uint64(), true
		}
	}
	return 0, false
}

func has(m openflow.Match, f openflow.Field) bool { _, ok := value(m, f); return ok }
