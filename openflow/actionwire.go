package openflow

import (
	"fmt"

	"github.com/netrack/openflow/ofp"
)

// Action types on the wire (OpenFlow 1.3.5 §7.2.4).
const (
	actOutput       = uint16(ofp.ActionTypeOutput)
	actPushVLAN     = uint16(ofp.ActionTypePushVLAN)
	actPopVLAN      = uint16(ofp.ActionTypePopVLAN)
	actGroup        = uint16(ofp.ActionTypeGroup)
	actSetField     = uint16(ofp.ActionTypeSetField)
	actExperimenter = uint16(ofp.ActionTypeExperimenter)
)

// appendActions appends a list of actions.
func appendActions(b []byte, actions []Action) ([]byte, error) {
	var err error
	for _, a := range actions {
		if b, err = appendAction(b, a); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func appendAction(b []byte, a Action) ([]byte, error) {
	switch a := a.(type) {
	case Output:
		b = be.AppendUint32(b, uint32(actOutput)<<16|16)
		b = be.AppendUint32(b, uint32(a.Port))
		b = be.AppendUint16(b, a.MaxLen)
		return append(b, zeros[:6]...), nil
	case SetField:
		if a.Field == FieldInPort {
			return appendSetInPort(b, a)
		}
		n := a.Field.Size()
		if n == 0 {
			return nil, fmt.Errorf("set_field of unknown %v", a.Field)
		}
		start := len(b)
		b = be.AppendUint32(b, uint32(actSetField)<<16|uint32(8+n+7)/8*8)
		b = be.AppendUint32(b, oxmHeader(a.Field, false, n))
		b = append(b, a.Value[:n]...)
		return pad8(b, start), nil
	case ApplyGroup:
		b = be.AppendUint32(b, uint32(actGroup)<<16|8)
		return be.AppendUint32(b, uint32(a.ID)), nil
	case PushVLAN:
		b = be.AppendUint32(b, uint32(actPushVLAN)<<16|8)
		return be.AppendUint32(b, uint32(a.EtherType)<<16), nil
	case PopVLAN:
		b = be.AppendUint32(b, uint32(actPopVLAN)<<16|8)
		return append(b, zeros[:4]...), nil
	case Resubmit, OutputField, OutputTruncate, Multipath, Load, Move, Clone:
		return appendNicira(b, a)
	case RawAction:
		if n := len(a.Bytes); n < 8 || n%8 != 0 || n != int(be.Uint16(a.Bytes[2:])) {
			return nil, fmt.Errorf("raw action of %d bytes says otherwise", n)
		}
		return append(b, a.Bytes...), nil
	}
	return nil, fmt.Errorf("no action: %T", a)
}

// decodeActions reads a list of actions that fills b.
func decodeActions(b []byte) ([]Action, error) { return decodeNested(b, 0) }

// decodeNested reads a list that is within so many clones.
func decodeNested(b []byte, depth int) ([]Action, error) {
	if len(b) == 0 {
		return nil, nil
	}
	count := 0
	for p := b; len(p) > 0; count++ {
		var err error
		if _, p, err = element("action", p, 2, 8); err != nil {
			return nil, err
		}
	}
	actions := make([]Action, 0, count)
	for len(b) > 0 {
		n := int(be.Uint16(b[2:])) // checked above
		actions = append(actions, decodeAction(b[:n], depth))
		b = b[n:]
	}
	return actions, nil
}

// decodeAction reads one whole action of at least 8 bytes. What is not exactly of a form that
// appendAction writes stays raw.
func decodeAction(b []byte, depth int) Action {
	switch t := be.Uint16(b); {
	case t == actOutput && len(b) == 16:
		return Output{Port: PortNo(be.Uint32(b[4:])), MaxLen: be.Uint16(b[8:])}
	case t == actGroup && len(b) == 8:
		return ApplyGroup{ID: GroupID(be.Uint32(b[4:]))}
	case t == actPushVLAN && len(b) == 8:
		return PushVLAN{EtherType: be.Uint16(b[4:])}
	case t == actPopVLAN && len(b) == 8:
		return PopVLAN{}
	case t == actSetField:
		if a, ok := decodeSetField(b); ok {
			return a
		}
	case t == actExperimenter && len(b) >= 16 && be.Uint32(b[4:]) == ExperimenterNicira:
		if a := decodeNicira(b, depth); a != nil {
			return a
		}
	}
	return RawAction{Bytes: clone(b)}
}

func decodeSetField(b []byte) (SetField, bool) {
	header := be.Uint32(b[4:])
	a := SetField{Field: Field(header >> 9)}
	if header == nxmInPort && len(b) == 16 {
		return Set(FieldInPort, uint64(nxPort32(be.Uint16(b[8:])))), true
	}
	n := a.Field.Size()
	if n == 0 || header>>8&1 == 1 || int(header&0xff) != n || len(b) != (8+n+7)/8*8 || a.Field == FieldInPort {
		return SetField{}, false
	}
	copy(a.Value[:], b[8:8+n])
	return a, true
}

// nxmInPort is the header of NXM_OF_IN_PORT. Open vSwitch 3.1 refuses to set the 32-bit
// OXM_OF_IN_PORT (OFPBAC_BAD_SET_ARGUMENT) and sets this instead.
const nxmInPort = 2

func appendSetInPort(b []byte, a SetField) ([]byte, error) {
	port, err := nxPort16(PortNo(be.Uint32(a.Value[:])))
	if err != nil {
		return nil, fmt.Errorf("set_field of in_port: %w", err)
	}
	b = be.AppendUint32(b, uint32(actSetField)<<16|16)
	b = be.AppendUint32(b, nxmInPort)
	return append(be.AppendUint16(b, port), zeros[:6]...), nil
}
