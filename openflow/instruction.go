package openflow

import (
	"fmt"

	"github.com/netrack/openflow/ofp"
)

// Instruction types on the wire (OpenFlow 1.3.5 §7.2.5).
const (
	instGoto  = uint16(ofp.InstructionTypeGotoTable)
	instApply = uint16(ofp.InstructionTypeApplyActions)
	instMeter = uint16(ofp.InstructionTypeMeter)
)

// appendInstructions appends the flow's instructions in the order in which a switch executes them.
func (f *Flow) appendInstructions(b []byte) ([]byte, error) {
	if f.Meter != 0 {
		b = be.AppendUint32(b, uint32(instMeter)<<16|8)
		b = be.AppendUint32(b, f.Meter)
	}
	if len(f.Apply) > 0 {
		start := len(b)
		b = be.AppendUint64(b, uint64(instApply)<<48)
		var err error
		if b, err = appendActions(b, f.Apply); err != nil {
			return nil, err
		}
		if err := putLen16(b, start, start+2); err != nil {
			return nil, err
		}
	}
	for rest := f.Other; len(rest) > 0; {
		var err error
		if _, rest, err = element("raw instruction", rest, 2, 8); err != nil {
			return nil, err
		}
	}
	b = append(b, f.Other...)
	if f.Goto != 0 {
		b = be.AppendUint32(b, uint32(instGoto)<<16|8)
		b = append(b, byte(f.Goto), 0, 0, 0)
	}
	return b, nil
}

// decodeInstructions reads the instructions that fill b.
func (f *Flow) decodeInstructions(b []byte) error {
	var elem []byte
	var err error
	seenApply := false
	for len(b) > 0 {
		if elem, b, err = element("instruction", b, 2, 8); err != nil {
			return err
		}
		switch t := be.Uint16(elem); {
		case t == instGoto && len(elem) == 8:
			if f.Goto != 0 || elem[4] == 0 {
				return fmt.Errorf("goto_table:%d, or a second one", elem[4])
			}
			f.Goto = TableID(elem[4])
		case t == instMeter && len(elem) == 8:
			if f.Meter != 0 || be.Uint32(elem[4:]) == 0 {
				return fmt.Errorf("meter:%d, or a second one", be.Uint32(elem[4:]))
			}
			f.Meter = be.Uint32(elem[4:])
		case t == instApply:
			if seenApply {
				return fmt.Errorf("apply_actions twice")
			}
			seenApply = true
			if f.Apply, err = decodeActions(elem[8:]); err != nil {
				return err
			}
		case t == instGoto || t == instMeter:
			return fmt.Errorf("instruction %d of length %d", t, len(elem))
		default:
			f.Other = append(f.Other, elem...)
		}
	}
	return nil
}
