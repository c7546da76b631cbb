package openflow

import (
	"time"
)

// FlowCommand is what a FlowMod does (OpenFlow 1.3.5 §7.3.4.1).
type FlowCommand uint8

// Flow-mod commands. The strict ones touch the one flow with the same match and priority, the
// others every flow that the match covers.
const (
	FlowAdd FlowCommand = iota
	FlowModify
	FlowModifyStrict
	FlowDelete
	FlowDeleteStrict
)

// Flow flags, in FlowMod and FlowStats (OpenFlow 1.3.5 §7.3.4.1).
const (
	FlowSendRemoved  uint16 = 1 << 0 // send a FlowRemoved when it ends
	FlowCheckOverlap uint16 = 1 << 1 // refuse an overlapping flow of the same priority
	FlowResetCounts  uint16 = 1 << 2
	FlowNoPktCounts  uint16 = 1 << 3
	FlowNoByteCounts uint16 = 1 << 4
)

// FlowMod adds, changes or deletes flows (OpenFlow 1.3.5 §7.3.4.1).
type FlowMod struct {
	Command FlowCommand
	Flow    Flow
	// CookieMask limits modify and delete to flows whose cookie has these bits of Flow.Cookie.
	CookieMask uint64
	// IdleTimeout and HardTimeout are in seconds; zero is never.
	IdleTimeout, HardTimeout uint16
	// BufferID: zero means NoBuffer, since Open vSwitch buffers nothing.
	BufferID uint32
	// OutPort and OutGroup limit deletes to flows that output there. Zero means PortAny and
	// GroupAny, which is no limit.
	OutPort  PortNo
	OutGroup GroupID
	Flags    uint16
}

// FlowRemoved reports that a flow ended that had FlowSendRemoved (OpenFlow 1.3.5 §7.4.2).
type FlowRemoved struct {
	Table                    TableID
	Priority                 uint16
	Cookie                   uint64
	Match                    Match
	Reason                   FlowRemovedReason
	Duration                 time.Duration
	IdleTimeout, HardTimeout uint16 // seconds
	Packets, Bytes           uint64
}

// FlowRemovedReason is why a flow ended.
type FlowRemovedReason uint8

// Reasons of FlowRemoved.
const (
	RemovedIdleTimeout FlowRemovedReason = iota
	RemovedHardTimeout
	RemovedDelete
	RemovedGroupDelete
)

// Type implements Message.
func (*FlowMod) Type() MsgType { return TypeFlowMod }

// Type implements Message.
func (*FlowRemoved) Type() MsgType { return TypeFlowRemoved }

// orAny is the wire value of an output filter and of a buffer id: zero means all ones in this
// package, so that the zero value of a struct is useful.
func orAny[T ~uint32](v T) uint32 {
	if v == 0 {
		return 0xffffffff
	}
	return uint32(v)
}

func (m *FlowMod) appendBody(b []byte, _ uint32) ([]byte, error) {
	f := &m.Flow
	b = be.AppendUint64(b, f.Cookie)
	b = be.AppendUint64(b, m.CookieMask)
	b = append(b, byte(f.Table), byte(m.Command))
	b = be.AppendUint16(b, m.IdleTimeout)
	b = be.AppendUint16(b, m.HardTimeout)
	b = be.AppendUint16(b, f.Priority)
	b = be.AppendUint32(b, orAny(m.BufferID))
	b = be.AppendUint32(b, orAny(m.OutPort))
	b = be.AppendUint32(b, orAny(m.OutGroup))
	b = be.AppendUint16(b, m.Flags)
	b, err := f.Match.append(append(b, 0, 0))
	if err != nil {
		return nil, err
	}
	return f.appendInstructions(b)
}

func decodeFlowMod(b []byte) (Message, error) {
	if len(b) < 40 {
		return nil, tooShort("body", len(b), 40)
	}
	m := &FlowMod{
		Command: FlowCommand(b[17]), CookieMask: be.Uint64(b[8:]),
		Flow:        Flow{Cookie: be.Uint64(b), Table: TableID(b[16]), Priority: be.Uint16(b[22:])},
		IdleTimeout: be.Uint16(b[18:]), HardTimeout: be.Uint16(b[20:]),
		BufferID: orAny(be.Uint32(b[24:])), OutPort: PortNo(orAny(be.Uint32(b[28:]))),
		OutGroup: GroupID(orAny(be.Uint32(b[32:]))), Flags: be.Uint16(b[36:]),
	}
	var err error
	if m.Flow.Match, b, err = decodeMatch(b[40:]); err != nil {
		return nil, err
	}
	return m, m.Flow.decodeInstructions(b)
}

func (m *FlowRemoved) appendBody(b []byte, _ uint32) ([]byte, error) {
	b = be.AppendUint64(b, m.Cookie)
	b = be.AppendUint16(b, m.Priority)
	b = append(b, byte(m.Reason), byte(m.Table))
	b = appendDuration(b, m.Duration)
	b = be.AppendUint16(b, m.IdleTimeout)
	b = be.AppendUint16(b, m.HardTimeout)
	b = be.AppendUint64(b, m.Packets)
	b = be.AppendUint64(b, m.Bytes)
	return m.Match.append(b)
}

func decodeFlowRemoved(b []byte) (Message, error) {
	if len(b) < 40 {
		return nil, tooShort("body", len(b), 40)
	}
	m := &FlowRemoved{
		Cookie: be.Uint64(b), Priority: be.Uint16(b[8:]), Reason: FlowRemovedReason(b[10]), Table: TableID(b[11]),
		IdleTimeout: be.Uint16(b[20:]), HardTimeout: be.Uint16(b[22:]),
		Packets: be.Uint64(b[24:]), Bytes: be.Uint64(b[32:]),
	}
	var err error
	m.Duration = decodeDuration(b[12:])
	if m.Match, b, err = decodeMatch(b[40:]); err != nil {
		return nil, err
	}
	return empty(m, b)
}
