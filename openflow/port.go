package openflow

// Port describes a port (OpenFlow 1.3.5 §7.2.1). Config, State and the feature words are bitmaps
// of the specification; speeds are in kilobits a second.
type Port struct {
	No                                PortNo
	HWAddr                            [6]byte
	Name                              string // at most 16 bytes
	Config, State                     uint32
	Curr, Advertised, Supported, Peer uint32
	CurrSpeed, MaxSpeed               uint32
}

// Bits of Port.Config and Port.State.
const (
	PortConfigDown    uint32 = 1 << 0 // administratively down
	PortStateLinkDown uint32 = 1 << 0 // no link
	PortStateBlocked  uint32 = 1 << 1
	PortStateLive     uint32 = 1 << 2 // live for fast-failover groups
)

// PortReason is what happened to a port.
type PortReason uint8

// Reasons of PortStatus (OpenFlow 1.3.5 §7.4.3).
const (
	PortAdd PortReason = iota
	PortDelete
	PortModify
)

// PortStatus reports a port that came, went or changed.
type PortStatus struct {
	Reason PortReason
	Port   Port
}

// Type implements Message.
func (*PortStatus) Type() MsgType { return TypePortStatus }

const portLen = 64

func (m *PortStatus) appendBody(b []byte, _ uint32) ([]byte, error) {
	return m.Port.append(append(append(b, byte(m.Reason)), zeros[:7]...))
}

func decodePortStatus(b []byte) (Message, error) {
	if len(b) != 8+portLen {
		return nil, tooShort("body", len(b), 8+portLen)
	}
	return &PortStatus{Reason: PortReason(b[0]), Port: decodePort(b[8:])}, nil
}

func (p *Port) append(b []byte) ([]byte, error) {
	b = be.AppendUint32(b, uint32(p.No))
	b = append(append(b, zeros[:4]...), p.HWAddr[:]...)
	b, err := appendText(append(b, 0, 0), "port name", p.Name, 16)
	if err != nil {
		return nil, err
	}
	for _, v := range [...]uint32{
		p.Config, p.State, p.Curr, p.Advertised, p.Supported, p.Peer, p.CurrSpeed, p.MaxSpeed,
	} {
		b = be.AppendUint32(b, v)
	}
	return b, nil
}

// decodePort reads portLen bytes.
func decodePort(b []byte) Port {
	return Port{
		No: PortNo(be.Uint32(b)), HWAddr: [6]byte(b[8:14]), Name: text(b[16:32]),
		Config: be.Uint32(b[32:]), State: be.Uint32(b[36:]),
		Curr: be.Uint32(b[40:]), Advertised: be.Uint32(b[44:]), Supported: be.Uint32(b[48:]), Peer: be.Uint32(b[52:]),
		CurrSpeed: be.Uint32(b[56:]), MaxSpeed: be.Uint32(b[60:]),
	}
}
