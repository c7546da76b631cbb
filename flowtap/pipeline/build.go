package pipeline

import (
	"encoding/binary"
	"sort"

	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/flowset"
	"github.com/flowtap/flowtap/topology"
)

// builder collects the flows, groups and meters of one unit on one node.
type builder struct {
	w      *World
	n      *Node
	flows  []openflow.Flow
	groups []openflow.Group
	made   map[flowset.Key]bool // by once
	meters []openflow.Meter
}

func (b *builder) flow(f openflow.Flow) { b.flows = append(b.flows, f) }

// once adds a flow unless there is one for the same frames: contracts that differ only in what is not
// looked at come to the same. It reports whether the flow is new.
func (b *builder) once(f openflow.Flow) bool {
	if b.made == nil {
		b.made = map[flowset.Key]bool{}
	}
	k := flowset.KeyOf(&f)
	if b.made[k] {
		return false
	}
	b.made[k] = true
	b.flow(f)
	return true
}

func (b *builder) group(id openflow.GroupID, buckets ...openflow.Bucket) {
	b.groups = append(b.groups, openflow.Group{ID: id, Type: openflow.GroupTypeAll, Buckets: buckets})
}

// match sorts fields into a Match. A field given twice stays twice, which no caller may do;
// TestDesiredIsWellFormed looks.
func match(fields ...openflow.MatchField) openflow.Match {
	m := append(openflow.Match(nil), fields...)
	sort.Slice(m, func(i, j int) bool { return m[i].Field < m[j].Field })
	return m
}

func inPort(p openflow.PortNo) openflow.MatchField {
	return openflow.Uint(openflow.FieldInPort, uint64(p))
}

func reg(f openflow.Field, v uint32) openflow.MatchField { return openflow.Uint(f, uint64(v)) }

func set(f openflow.Field, v uint32) openflow.Action { return openflow.Set(f, uint64(v)) }

func mac(f openflow.Field, m topology.MAC) openflow.MatchField { return openflow.Bytes(f, m[:]) }

func ethType(t uint16) openflow.MatchField { return openflow.Uint(openflow.FieldEthType, uint64(t)) }

func multicast() openflow.MatchField {
	one := []byte{1, 0, 0, 0, 0, 0}
	return openflow.BytesMask(openflow.FieldEthDst, one, one)
}

func unicast() openflow.MatchField {
	return openflow.BytesMask(openflow.FieldEthDst, []byte{0, 0, 0, 0, 0, 0}, []byte{1, 0, 0, 0, 0, 0})
}

func bucket(actions ...openflow.Action) openflow.Bucket {
	return openflow.Bucket{WatchPort: openflow.PortAny, WatchGroup: openflow.GroupAny, Actions: actions}
}

// tunnelTo addresses the tunnel's far end.
func tunnelTo(n *Node) openflow.Action {
	a := n.TunnelIP.As4()
	return openflow.Set(openflow.FieldTunDst, uint64(binary.BigEndian.Uint32(a[:])))
}

// cookie is a forwarding flow's, of a kind of its own where frames of the network only pass.
func (b *builder) cookie(k Kind, network string, object uint32) uint64 {
	if !b.w.inhabited(network, b.n.ID) {
		k = KindTransit
	}
	return Cookie(k, object)
}

// base is what every switch holds whatever it serves.
func (b *builder) base() {
	c := Cookie(KindBase, 0)
	b.group(groupAlive, bucket())
	parse := bucket(openflow.Resubmit{Port: openflow.PortInPort, Table: TableComeback})
	parse.Weight, parse.WatchPort, parse.WatchGroup = 1, openflow.PortAny, openflow.GroupAny
	b.groups = append(b.groups, openflow.Group{ID: groupParse, Type: openflow.GroupTypeSelect, Buckets: []openflow.Bucket{parse}})
	b.flow(openflow.Flow{Table: TableClassify, Priority: prioMiss, Cookie: c})
	b.flow(openflow.Flow{Table: TableClassify, Priority: prioNobody, Cookie: c, Match: match(openflow.UintMask(openflow.FieldPktMark, 0, 1<<bitNobody))})
	b.flow(openflow.Flow{Table: TableSender, Priority: prioMiss, Cookie: c, Goto: TableForward})
	b.flow(openflow.Flow{Table: TableComeback, Priority: prioMiss, Cookie: c, Goto: TableReturn})
	b.flow(openflow.Flow{Table: TableReturn, Priority: prioMiss, Cookie: c, Goto: TableReturnIn})
	b.flow(openflow.Flow{Table: TableReturnIn, Priority: prioMiss, Cookie: c, Goto: TableAnswer})
	b.flow(openflow.Flow{Table: TableTapOut, Priority: prioMiss, Cookie: c, Goto: TableForward})
	b.flow(openflow.Flow{Table: TableTapIn, Priority: prioMiss, Cookie: c, Goto: TableOutput})
	b.flow(openflow.Flow{Table: TableTapIn, Priority: prioReturnedMiss, Cookie: c, Match: match(reg(RegOrigin, originReturned))})
	b.flow(openflow.Flow{Table: TableTapIn, Priority: prioSeenAll, Cookie: c, Match: match(reg(RegSeenBy, seenAll)), Goto: TableOutput})
	b.spreadBase()
	b.flow(openflow.Flow{Table: TableOutput, Priority: prioMiss, Cookie: c,
		Apply: []openflow.Action{openflow.OutputField{Field: RegOut}}})
	// What came by tunnel never leaves by tunnel again, so two nodes that each take the other
	// for a port's place cannot throw a frame back and forth.
	b.flow(openflow.Flow{Table: TableEncap, Priority: prioClassify, Cookie: c, Match: match(reg(RegOrigin, originTunnel))})
	if b.n.TunnelPort != 0 {
		b.flow(openflow.Flow{Table: TableClassify, Priority: prioClassify, Cookie: Cookie(KindProbe, 0),
			Match: match(inPort(b.n.TunnelPort), openflow.Uint(openflow.FieldTunnelID, LabelProbe)),
			Apply: []openflow.Action{openflow.Output{Port: openflow.PortController, MaxLen: 0xffff}}})
	}
}

// fromTunnel is the classify flow that gives a label its meaning here.
func (b *builder) fromTunnel(label uint32, cookie uint64, next openflow.TableID, actions ...openflow.Action) {
	if b.n.TunnelPort == 0 || label == 0 {
		return
	}
	b.flow(openflow.Flow{Table: TableClassify, Priority: prioClassify, Cookie: cookie,
		Match: match(inPort(b.n.TunnelPort), openflow.Uint(openflow.FieldTunnelID, uint64(label))),
		Apply: actions, Goto: next})
}
