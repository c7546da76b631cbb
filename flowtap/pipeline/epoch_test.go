package pipeline

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/flowset"
	"github.com/flowtap/flowtap/openflow/ofsim"
)

// A megaflow is what a datapath that never modifies rightly remembers of one kind of frame: the
// actions of when it was made, and at most these bits of pkt_mark in its mask. It is made anew
// only when the tables look at a bit that the mask lacks, and is gone where nobody sends such frames
// any more.
type megaflow struct {
	node   string
	sw     openflow.DPID // where it enters: of a node of two bridges it may go on to the other
	in     openflow.PortNo
	tunnel ofsim.Tunnel
	frame  frame
	does   string
	mask   uint32
	gone   bool
}

// upcall gives what the tables do with a frame now, and the bits of pkt_mark that the lookups
// surely look at, and may look at. Open vSwitch probes subtables (flows of one set of masks) from the
// highest of their priorities down until none left could beat what it found, and looks at all of a
// subtable's context fields, pkt_mark among them, whether it finds anything there or not.
func (m *megaflow) upcall(f *ofsim.Fabric) (does string, surely, maybe uint32, err error) {
	r, err := f.Switch(m.sw).InjectTunnel(m.in, m.tunnel, m.frame.bytes)
	if err != nil {
		return "", 0, 0, err
	}
	for _, d := range r.Deliveries {
		does += fmt.Sprintf("%d %v;", d.Port, d.Tunnel)
	}
	for _, p := range r.PacketIns {
		does += fmt.Sprintf("controller %d;", p.Table)
	}
	marks := map[openflow.DPID]map[openflow.TableID]map[string]subtable{}
	for _, s := range r.Steps {
		if marks[s.DPID] == nil {
			marks[s.DPID] = markSubtables(f.Switch(s.DPID).Set())
		}
		if s.Event != ofsim.EventMatch && s.Event != ofsim.EventMiss {
			continue
		}
		found := -1
		if s.Flow != nil {
			found = int(s.Flow.Priority)
			surely |= markOf(s.Flow.Match) | marksSet(s.Flow.Apply)
		}
		for _, t := range marks[s.DPID][s.Table] {
			if t.top > found {
				surely |= t.mark
			}
			if t.top >= found {
				maybe |= t.mark
			}
		}
	}
	return does, surely, maybe | surely, nil
}

type subtable struct {
	top  int // highest priority
	mark uint32
}

// markSubtables gives each table's subtables that look at pkt_mark.
func markSubtables(set *flowset.Set) map[openflow.TableID]map[string]subtable {
	out := map[openflow.TableID]map[string]subtable{}
	for _, f := range set.AllFlows() {
		if markOf(f.Match) == 0 {
			continue
		}
		masks := ""
		for _, m := range f.Match {
			masks += fmt.Sprintf("%v/%x,", m.Field, m.Mask)
		}
		if out[f.Table] == nil {
			out[f.Table] = map[string]subtable{}
		}
		s := out[f.Table][masks]
		out[f.Table][masks] = subtable{max(s.top, int(f.Priority)), markOf(f.Match)}
	}
	return out
}

// marksSet gives the bits of pkt_mark that actions read or write: a megaflow looks at those too.
func marksSet(actions []openflow.Action) (bits uint32) {
	of := func(b openflow.Bits) {
		if b.Field == openflow.FieldPktMark {
			bits |= uint32(1<<b.N-1) << b.Offset
		}
	}
	for a := range openflow.EveryAction(actions) {
		switch a := a.(type) {
		case openflow.Load:
			of(a.To)
		case openflow.Move:
			of(a.From)
			of(a.To)
		}
	}
	return bits
}

func markOf(m openflow.Match) uint32 {
	f, ok := m.Get(openflow.FieldPktMark)
	if !ok {
		return 0
	}
	return uint32(openflow.MatchField{Field: openflow.FieldPktMark, Value: f.Mask}.Uint64())
}

// see has the datapath revalidate the megaflow.
func (m *megaflow) see(f *ofsim.Fabric) error {
	does, surely, maybe, err := m.upcall(f)
	if surely&^m.mask != 0 && !m.sent(f) {
		m.gone = true // deleted, and no frame comes that it would be made anew for
	}
	if surely&^m.mask != 0 {
		m.does, m.mask = does, maybe // deleted, and made anew
		return err
	}
	m.mask |= maybe
	return err
}

// TestEpochs changes worlds for a long time over a datapath that keeps the old actions of every
// megaflow that is not deleted, and looks for one that still has them at the end of a change.
func TestEpochs(t *testing.T) { inLayouts(t, epochs) }

func epochs(t *testing.T) {
	bridges, gates := 0, 0
	rapidly(t, cases(20), func(rt *rapid.T) {
		drawn(rt, func(d draws) *lab {
			l := d.world()
			f, err := newFleet(l.w)
			if err != nil {
				rt.Fatal(err)
			}
			var flows []*megaflow
			for round := range 25 {
				for len(flows) < 60 {
					m := d.megaflow(l.w)
					if m == nil {
						break
					}
					if m.does, _, m.mask, err = m.upcall(f.fabric); err != nil {
						rt.Fatal(err)
					}
					m.gone = !m.sent(f.fabric)
					flows = append(flows, m)
				}
				flows = slices.DeleteFunc(flows, func(m *megaflow) bool { return m.gone })
				if d.chance(4) {
					for b := range f.epochs { // the controller starts anew
						if b.node == nodeName(1) {
							f.epochs[b] = f.newEpoch(l.w, b, uint32(round))
						}
					}
				}
				did, _ := d.change(l)
				l.number()
				stages, err := f.plan(l.w)
				if err != nil {
					rt.Fatal(err)
				}
				var flips []string
				for _, c := range slices.Concat(stages...) {
					for _, add := range c.changes.FlowAdd {
						if markOf(add.Match) != 0 {
							flips = append(flips, c.node+" "+add.String())
							if add.Priority == prioEpoch {
								bridges++
							} else {
								gates++
							}
						}
					}
					if err := f.commit(l.w, c); err != nil {
						rt.Fatal(err)
					}
					for _, m := range flows {
						if m.node == c.node {
							if err := m.see(f.fabric); err != nil {
								rt.Fatal(err)
							}
						}
					}
				}
				if err := f.settled(l.w); err != nil {
					rt.Fatalf("%v\n%s", err, describe(l.w))
				}
				for _, m := range flows {
					if !m.gone && !m.sent(f.fabric) {
						rt.Fatalf("round %d, %s: %s keeps a megaflow of a label that was withdrawn: made to drop, it will for a while drop what comes when the label is given out again: mask %#x, %v, tunnel %v", round, did, m.node, m.mask, m.frame, m.tunnel)
					}
					if does, _, _, _ := m.upcall(f.fabric); does != m.does && !m.gone {
						rt.Fatalf("round %d, %s: %s keeps doing %q, not %q, with mask %#x to %v by port %d tunnel %v\nepochs: %q\n%s", round, did, m.node, m.does, does, m.mask, m.frame, m.in, m.tunnel, flips, describe(l.w))
					}
				}
				if len(flows) > 0 && d.chance(50) { // idle ones go
					flows = slices.Delete(flows, 0, 1+d.n(len(flows)))
				}
			}
			return l
		})
	})
	t.Logf("%d epochs of a bridge, %d gates", bridges, gates)
}

// sent reports whether anybody sends such frames: under a label that means something.
func (m *megaflow) sent(f *ofsim.Fabric) bool {
	if m.tunnel == (ofsim.Tunnel{}) {
		return true
	}
	_, ok := f.Switch(m.sw).Set().Flow(flowset.KeyOf(&openflow.Flow{Table: TableClassify, Priority: prioClassify, Match: match(inPort(m.in), openflow.Uint(openflow.FieldTunnelID, m.tunnel.ID))}))
	return ok
}

// megaflow draws a frame that enters some switch, by a port or the tunnel.
func (d draws) megaflow(w *World) *megaflow {
	senders := attachments(w)
	if len(senders) == 0 {
		return nil
	}
	s := one(d, senders...)
	m := &megaflow{node: s.at.Node, sw: w.Node(s.at.Node).DatapathID, in: s.at.OFPort, frame: d.frame(w, s.p)}
	nodes := w.Nodes()
	if d.chance(40) && len(nodes) > 1 {
		i := d.n(len(nodes))
		from, to := w.Node(nodes[i]), w.Node(nodes[(i+1)%len(nodes)])
		label := w.labels[one(d, sortedKeys(w.labels)...)]
		if n := w.networkByLabel(label); n != "" && m.frame.multicast() {
			label |= LabelFlooded
		}
		m.node, m.sw, m.in, m.tunnel = to.ID, to.Pipeline(), labNode(to.ordinal(), to.Split()).TunnelPort, ofsim.Tunnel{ID: uint64(label), Src: from.TunnelIP, Dst: to.TunnelIP}
	}
	return m
}

// TestGatesOfAClassHaveOnePriority: where two had different ones, frames that pass the lower would
// look at the bits of the upper as bystanders, and a bit drawn for them later might be no news.
func TestGatesOfAClassHaveOnePriority(t *testing.T) {
	classOfPriority := map[uint16]gateClass{}
	for _, priority := range []uint16{prioFlooded, prioUnicast, prioMulticast, prioUnknownGW, prioUnknown} {
		class := classOf(&openflow.Flow{Table: TableForward, Priority: priority})
		for p, c := range classOfPriority {
			if c == class {
				t.Errorf("gates of priority %d and %d share a class", p, priority)
			}
		}
		classOfPriority[priority] = class
		if classBits[class][1] < 2 {
			t.Errorf("the class of priority %d has no two bits to take in turn", priority)
		}
	}
}
