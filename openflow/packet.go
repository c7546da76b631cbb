package openflow

// PacketInReason is why the switch sent a frame to the controller.
type PacketInReason uint8

// Reasons of PacketIn (OpenFlow 1.3.5 §7.4.1).
const (
	PacketInNoMatch PacketInReason = iota
	PacketInAction
	PacketInInvalidTTL
)

// PacketIn is a frame that reached the controller (OpenFlow 1.3.5 §7.4.1).
type PacketIn struct {
	BufferID uint32 // NoBuffer when Data is all that is kept
	TotalLen uint16 // the frame's length, which Data may be shorter than
	Reason   PacketInReason
	Table    TableID
	Cookie   uint64 // of the flow that sent it; all ones when none did
	Match    Match  // the frame's metadata: in_port, registers, tunnel
	Data     []byte
}

// PacketOut sends a frame through actions (OpenFlow 1.3.5 §7.3.7).
type PacketOut struct {
	BufferID uint32 // zero means NoBuffer
	InPort   PortNo // zero means PortController
	Actions  []Action
	Data     []byte
}

// Type implements Message.
func (*PacketIn) Type() MsgType { return TypePacketIn }

// Type implements Message.
func (*PacketOut) Type() MsgType { return TypePacketOut }

func (m *PacketIn) appendBody(b []byte, _ uint32) ([]byte, error) {
	b = be.AppendUint32(b, m.BufferID)
	b = be.AppendUint16(b, m.TotalLen)
	b = append(b, byte(m.Reason), byte(m.Table))
	b, err := m.Match.append(be.AppendUint64(b, m.Cookie))
	if err != nil {
		return nil, err
	}
	return append(append(b, 0, 0), m.Data...), nil
}

func decodePacketIn(b []byte) (Message, error) {
	if len(b) < 16 {
		return nil, tooShort("body", len(b), 16)
	}
	m := &PacketIn{
		BufferID: be.Uint32(b), TotalLen: be.Uint16(b[4:]), Reason: PacketInReason(b[6]), Table: TableID(b[7]),
		Cookie: be.Uint64(b[8:]),
	}
	var err error
	if m.Match, b, err = decodeMatch(b[16:]); err != nil {
		return nil, err
	}
	if len(b) < 2 {
		return nil, tooShort("padding", len(b), 2)
	}
	m.Data = clone(b[2:])
	return m, nil
}

func (m *PacketOut) inPort() PortNo {
	if m.InPort == 0 {
		return PortController
	}
	return m.InPort
}

func (m *PacketOut) appendBody(b []byte, _ uint32) ([]byte, error) {
	b = be.AppendUint32(b, orAny(m.BufferID))
	b = be.AppendUint32(b, uint32(m.inPort()))
	start := len(b)
	b, err := appendActions(append(b, zeros[:8]...), m.Actions)
	if err != nil {
		return nil, err
	}
	if err := putLen16(b, start+8, start); err != nil {
		return nil, err
	}
	return append(b, m.Data...), nil
}

func decodePacketOut(b []byte) (Message, error) {
	if len(b) < 16 {
		return nil, tooShort("body", len(b), 16)
	}
	m := &PacketOut{BufferID: orAny(be.Uint32(b)), InPort: PortNo(be.Uint32(b[4:]))}
	m.InPort = m.inPort()
	n := int(be.Uint16(b[8:]))
	if b = b[16:]; n > len(b) {
		return nil, tooShort("actions", len(b), n)
	}
	var err error
	if m.Actions, err = decodeActions(b[:n]); err != nil {
		return nil, err
	}
	m.Data = clone(b[n:])
	return m, nil
}
