package ofsim

import (
	"fmt"

	"github.com/flowtap/flowtap/openflow"
)

// check refuses a flow that Open vSwitch would refuse, or that ofsim cannot execute.
func (s *Switch) check(f *openflow.Flow) error {
	bad := func(err error) error {
		return s.refuse("flow table=%d,priority=%d,cookie=%#x: %v", f.Table, f.Priority, f.Cookie, err)
	}
	if len(f.Other) > 0 {
		return bad(fmt.Errorf("unknown instructions"))
	}
	if f.Goto != 0 && f.Goto <= f.Table {
		return bad(fmt.Errorf("goto table %d goes back", f.Goto))
	}
	for i := range f.Match {
		if _, ok := placeOf(f.Match[i].Field); !ok {
			return bad(fmt.Errorf("match on %v", f.Match[i].Field))
		}
		if err := prerequisites(f.Match[i].Field, f.Match); err != nil {
			return bad(err)
		}
		// Open vSwitch's own port numbers have 16 bits; OpenFlow's reserved ones are the last of them.
		if p := openflow.PortNo(f.Match[i].Uint64()); f.Match[i].Field == openflow.FieldInPort && p >= 0xff00 && p < openflow.PortMax {
			return bad(fmt.Errorf("in_port %d", p))
		}
	}
	if err := checkActions(f.Apply, f); err != nil {
		return bad(err)
	}
	if _, ok := s.set.Meter(f.Meter); f.Meter != 0 && !ok {
		return bad(fmt.Errorf("meter %d does not exist", f.Meter))
	}
	for a := range openflow.EveryAction(f.Apply) {
		if g, ok := a.(openflow.ApplyGroup); ok && s.groups[g.ID] == nil {
			return bad(fmt.Errorf("group %d does not exist", g.ID))
		}
	}
	return nil
}

// exactly reports whether the match fixes a field to one of the values.
func exactly(m openflow.Match, f openflow.Field, values ...uint64) bool {
	mf, ok := m.Get(f)
	if !ok || !mf.Exact() {
		return false
	}
	for _, v := range values {
		if mf.Uint64() == v {
			return true
		}
	}
	return false
}

// prerequisites are those of ovs-fields(7).
func prerequisites(f openflow.Field, m openflow.Match) error {
	ip := func(protos ...uint64) bool {
		return exactly(m, openflow.FieldEthType, etherIPv4, etherIPv6) &&
			(len(protos) == 0 || exactly(m, openflow.FieldIPProto, protos...))
	}
	ok := true
	switch f {
	case openflow.FieldVLANPCP:
		v, has := m.Get(openflow.FieldVLANVID)
		ok = has && v.Uint64()&tagPresent != 0
	case openflow.FieldIPDSCP, openflow.FieldIPECN, openflow.FieldIPProto, openflow.FieldIPTTL, openflow.FieldIPFrag:
		ok = ip()
	case openflow.FieldIPv4Src, openflow.FieldIPv4Dst:
		ok = exactly(m, openflow.FieldEthType, etherIPv4)
	case openflow.FieldIPv6Src, openflow.FieldIPv6Dst, openflow.FieldIPv6Label:
		ok = exactly(m, openflow.FieldEthType, etherIPv6)
	case openflow.FieldTCPSrc, openflow.FieldTCPDst:
		ok = ip(protoTCP)
	case openflow.FieldUDPSrc, openflow.FieldUDPDst:
		ok = ip(protoUDP)
	case openflow.FieldSCTPSrc, openflow.FieldSCTPDst:
		ok = ip(protoSCTP)
	case openflow.FieldICMPType, openflow.FieldICMPCode:
		ok = exactly(m, openflow.FieldEthType, etherIPv4) && ip(protoICMP)
	case openflow.FieldICMPv6Type, openflow.FieldICMPv6Code:
		ok = exactly(m, openflow.FieldEthType, etherIPv6) && ip(protoICMP6)
	case openflow.FieldNDTarget, openflow.FieldNDSLL, openflow.FieldNDTLL:
		types := map[openflow.Field][]uint64{
			openflow.FieldNDTarget: {135, 136}, openflow.FieldNDSLL: {135}, openflow.FieldNDTLL: {136}}[f]
		ok = exactly(m, openflow.FieldEthType, etherIPv6) && ip(protoICMP6) &&
			exactly(m, openflow.FieldICMPv6Type, types...)
	case openflow.FieldARPOp, openflow.FieldARPSPA, openflow.FieldARPTPA, openflow.FieldARPSHA, openflow.FieldARPTHA:
		ok = exactly(m, openflow.FieldEthType, etherARP, etherRARP)
	}
	if !ok {
		return fmt.Errorf("%v without its prerequisites", f)
	}
	return nil
}

// checkActions checks the actions of a flow, or with a nil flow those of a bucket, where Open
// vSwitch checks no prerequisites.
func checkActions(actions []openflow.Action, f *openflow.Flow) error {
	var tags [2]bool // that the frame is known to have, outer first
	if f != nil {
		v, ok := f.Match.Get(openflow.FieldVLANVID)
		if !ok {
			v, ok = f.Match.Get(openflow.FieldVLANTCI)
		}
		if ok && v.Uint64()&tagPresent != 0 {
			tags[0] = true
		}
	}
	return checkList(actions, f, tags)
}

func checkList(actions []openflow.Action, f *openflow.Flow, tags [2]bool) error {
	for _, a := range actions {
		switch a := a.(type) {
		case openflow.Output:
			switch a.Port {
			case openflow.PortNormal, openflow.PortFlood, openflow.PortAll, openflow.PortTable, openflow.PortAny, 0:
				return fmt.Errorf("output to port %#x", uint32(a.Port))
			}
		case openflow.OutputField:
			if p, ok := placeOf(a.Field); !ok || p.bits > 64 {
				return fmt.Errorf("output to field %v", a.Field)
			}
		case openflow.OutputTruncate:
			if a.MaxLen < 14 || a.Port == openflow.PortAny {
				return fmt.Errorf("output to port %d truncated to %d bytes", a.Port, a.MaxLen)
			}
		case openflow.SetField:
			if err := checkSet(a, f, tags[0]); err != nil {
				return err
			}
			if a.Field == openflow.FieldVLANTCI {
				tags[0] = low(&a.Value, 2)&tagPresent != 0
			}
		case openflow.PushVLAN:
			if a.EtherType != etherVLAN && a.EtherType != etherQinQ {
				return fmt.Errorf("push of a VLAN tag %#x", a.EtherType)
			}
			if tags[1] && f != nil {
				return fmt.Errorf("push of a third VLAN tag")
			}
			tags = [2]bool{true, tags[0]}
		case openflow.PopVLAN:
			if !tags[0] && f != nil {
				return fmt.Errorf("pop_vlan of a frame that may have no tag")
			}
			tags = [2]bool{tags[1]}
		case openflow.Clone:
			if err := checkList(a.Actions, f, tags); err != nil {
				return err
			}
		case openflow.Multipath:
			if p, ok := placeOf(a.Field); !ok || p.bits > 64 || uint8(a.Offset+a.Bits) > p.bits || a.Links == 0 {
				return fmt.Errorf("%v", a)
			}
		case openflow.Load:
			if !inContext(a.To) {
				return fmt.Errorf("load into %v", a.To)
			}
		case openflow.Move:
			if !inContext(a.From) || !inContext(a.To) {
				return fmt.Errorf("move of %v into %v", a.From, a.To)
			}
		case openflow.ApplyGroup, openflow.Resubmit:
		default:
			return fmt.Errorf("unknown action %T", a)
		}
	}
	return nil
}

// inContext reports whether bits are of what accompanies a frame, and not of the frame. Open vSwitch writes
// both; ofsim does not execute that.
func inContext(b openflow.Bits) bool {
	switch b.Field {
	case openflow.FieldInPort, openflow.FieldPktMark, openflow.FieldMetadata, openflow.FieldTunnelID:
		return true
	}
	return b.Field.Class() == 1 && b.Field.Number() < 16
}

func checkSet(a openflow.SetField, f *openflow.Flow, tagged bool) error {
	if _, ok := placeOf(a.Field); !ok {
		return fmt.Errorf("set_field of %v", a.Field)
	}
	switch a.Field {
	case openflow.FieldEthType, openflow.FieldIPProto, openflow.FieldIPFrag:
		return fmt.Errorf("%v cannot be set", a.Field)
	case openflow.FieldVLANVID:
		if low(&a.Value, 2)&tagPresent == 0 {
			return fmt.Errorf("vlan_vid set without the present bit")
		}
	}
	switch {
	case f == nil:
		return nil
	case a.Field == openflow.FieldVLANVID || a.Field == openflow.FieldVLANPCP:
		if !tagged {
			return fmt.Errorf("%v set on a frame that may have no tag", a.Field)
		}
		return nil
	}
	if v, ok := f.Match.Get(openflow.FieldIPFrag); ok && v.Uint64()&fragLater != 0 && transport(a.Field) {
		return fmt.Errorf("%v set on a later fragment", a.Field)
	}
	return prerequisites(a.Field, f.Match)
}

// transport reports whether a field is a port, which only a first fragment has.
func transport(f openflow.Field) bool { return f >= openflow.FieldTCPSrc && f <= openflow.FieldSCTPDst }

// actionSet is the order in which Open vSwitch executes a bucket, which is an action set and not a
// list (OpenFlow 1.3.5 §5.10): the last pop, the last push, every set_field, then the last group,
// else the last output, else the last resubmit. Register and truncating outputs, clones and
// multipath are never in a set, and one without anything final does nothing. Proven by TestAgainstOpenVSwitch.
func actionSet(actions []openflow.Action) []openflow.Action {
	var pop, push, group, output, resubmit openflow.Action
	var sets []openflow.Action
	for _, a := range actions {
		switch a.(type) {
		case openflow.PopVLAN:
			pop = a
		case openflow.PushVLAN:
			push = a
		case openflow.SetField, openflow.Load, openflow.Move:
			sets = append(sets, a)
		case openflow.ApplyGroup:
			group = a
		case openflow.Output:
			output = a
		case openflow.Resubmit:
			resubmit = a
		}
	}
	final := group
	if final == nil {
		final = output
	}
	if final == nil {
		final = resubmit
	}
	if final == nil {
		return nil
	}
	run := make([]openflow.Action, 0, len(sets)+3)
	if pop != nil {
		run = append(run, pop)
	}
	if push != nil {
		run = append(run, push)
	}
	return append(append(run, sets...), final)
}
