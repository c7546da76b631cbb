package openflow

import "fmt"

// Hello opens a connection (OpenFlow 1.3.5 §7.5.1). Versions are wire version numbers in
// ascending order, sent as a bitmap. A peer that sends no bitmap has all versions up to that of
// its header. An unknown hello element is ignored, as the specification demands.
type Hello struct{ Versions []uint8 }

// EchoRequest asks the peer to send Data back.
type EchoRequest struct{ Data []byte }

// EchoReply answers an EchoRequest with its Data and xid.
type EchoReply struct{ Data []byte }

// FeaturesRequest asks who the switch is.
type FeaturesRequest struct{}

// FeaturesReply says who the switch is (OpenFlow 1.3.5 §7.3.1).
type FeaturesReply struct {
	DPID         DPID
	NBuffers     uint32
	NTables      uint8
	AuxiliaryID  uint8
	Capabilities uint32
}

// GetConfigRequest asks for the switch's configuration.
type GetConfigRequest struct{}

// GetConfigReply is the switch's configuration (OpenFlow 1.3.5 §7.3.2). MissSendLen is the
// number of bytes of a frame in a packet-in, 0xffff for all.
type GetConfigReply struct{ Flags, MissSendLen uint16 }

// SetConfig changes the switch's configuration; it has no answer.
type SetConfig struct{ Flags, MissSendLen uint16 }

// BarrierRequest asks for an answer after everything sent before it has been processed.
type BarrierRequest struct{}

// BarrierReply answers a BarrierRequest.
type BarrierReply struct{}

// Role is a controller's role at one switch (OpenFlow 1.3.5 §7.3.9).
type Role uint32

// Roles.
const (
	RoleNoChange Role = iota
	RoleEqual
	RoleMaster
	RoleSlave
)

// String is the role in lower case.
func (r Role) String() string {
	switch r {
	case RoleNoChange:
		return "no change"
	case RoleEqual:
		return "equal"
	case RoleMaster:
		return "master"
	case RoleSlave:
		return "slave"
	}
	return fmt.Sprintf("role %d", uint32(r))
}

// RoleRequest asks for a role. The switch refuses a master or slave request whose GenerationID
// is older than the newest it has seen.
type RoleRequest struct {
	Role         Role
	GenerationID uint64
}

// RoleReply is the role that the controller now has.
type RoleReply struct {
	Role         Role
	GenerationID uint64
}

// SetAsync chooses the messages that the switch sends by itself, as bitmaps of reasons
// (OpenFlow 1.3.5 §7.3.10): index 0 while master or equal, index 1 while slave.
type SetAsync struct{ PacketIn, PortStatus, FlowRemoved [2]uint32 }

// Type implements Message.
func (*Hello) Type() MsgType { return TypeHello }

// Type implements Message.
func (*EchoRequest) Type() MsgType { return TypeEchoRequest }

// Type implements Message.
func (*EchoReply) Type() MsgType { return TypeEchoReply }

// Type implements Message.
func (*FeaturesRequest) Type() MsgType { return TypeFeaturesRequest }

// Type implements Message.
func (*FeaturesReply) Type() MsgType { return TypeFeaturesReply }

// Type implements Message.
func (*GetConfigRequest) Type() MsgType { return TypeGetConfigRequest }

// Type implements Message.
func (*GetConfigReply) Type() MsgType { return TypeGetConfigReply }

// Type implements Message.
func (*SetConfig) Type() MsgType { return TypeSetConfig }

// Type implements Message.
func (*BarrierRequest) Type() MsgType { return TypeBarrierRequest }

// Type implements Message.
func (*BarrierReply) Type() MsgType { return TypeBarrierReply }

// Type implements Message.
func (*RoleRequest) Type() MsgType { return TypeRoleRequest }

// Type implements Message.
func (*RoleReply) Type() MsgType { return TypeRoleReply }

// Type implements Message.
func (*SetAsync) Type() MsgType { return TypeSetAsync }

// helloBitmap is the only hello element (OpenFlow 1.3.5 §7.5.1).
const helloBitmap = 1

func (m *Hello) headerVersion() uint8 {
	v := uint8(0)
	for _, x := range m.Versions {
		v = max(v, x)
	}
	if v == 0 {
		return Version
	}
	return v
}

func (m *Hello) appendBody(b []byte, _ uint32) ([]byte, error) {
	var words [8]uint32
	n := 1
	for _, v := range m.Versions {
		words[v/32] |= 1 << (v % 32)
		n = max(n, int(v/32)+1)
	}
	start := len(b)
	b = be.AppendUint16(b, helloBitmap)
	b = be.AppendUint16(b, uint16(4+4*n))
	for _, w := range words[:n] {
		b = be.AppendUint32(b, w)
	}
	return pad8(b, start), nil
}

func decodeHello(version uint8, b []byte) (Message, error) {
	m, bitmap := &Hello{}, false
	for len(b) > 0 {
		if len(b) < 4 {
			return nil, tooShort("element", len(b), 4)
		}
		t, n := be.Uint16(b), int(be.Uint16(b[2:]))
		if n < 4 || n > len(b) {
			return nil, fmt.Errorf("element says length %d, %d left", n, len(b))
		}
		if t == helloBitmap {
			if n%4 != 0 || bitmap {
				return nil, fmt.Errorf("version bitmap of length %d, or a second one", n)
			}
			bitmap = true
			for v := 1; v < 256 && v/32 < (n-4)/4; v++ {
				if be.Uint32(b[4+v/32*4:])>>(v%32)&1 == 1 {
					m.Versions = append(m.Versions, uint8(v))
				}
			}
		}
		b = b[min((n+7)/8*8, len(b)):]
	}
	if !bitmap {
		for v := 1; v <= int(version); v++ {
			m.Versions = append(m.Versions, uint8(v))
		}
	}
	return m, nil
}

func (m *EchoRequest) appendBody(b []byte, _ uint32) ([]byte, error) {
	return append(b, m.Data...), nil
}
func (m *EchoReply) appendBody(b []byte, _ uint32) ([]byte, error)      { return append(b, m.Data...), nil }
func (*FeaturesRequest) appendBody(b []byte, _ uint32) ([]byte, error)  { return b, nil }
func (*GetConfigRequest) appendBody(b []byte, _ uint32) ([]byte, error) { return b, nil }
func (*BarrierRequest) appendBody(b []byte, _ uint32) ([]byte, error)   { return b, nil }
func (*BarrierReply) appendBody(b []byte, _ uint32) ([]byte, error)     { return b, nil }

func (m *FeaturesReply) appendBody(b []byte, _ uint32) ([]byte, error) {
	b = be.AppendUint64(b, uint64(m.DPID))
	b = be.AppendUint32(b, m.NBuffers)
	b = append(b, m.NTables, m.AuxiliaryID, 0, 0)
	b = be.AppendUint32(b, m.Capabilities)
	return append(b, zeros[:4]...), nil
}

func decodeFeaturesReply(b []byte) (Message, error) {
	if len(b) != 24 {
		return nil, tooShort("body", len(b), 24)
	}
	return &FeaturesReply{
		DPID: DPID(be.Uint64(b)), NBuffers: be.Uint32(b[8:]), NTables: b[12], AuxiliaryID: b[13],
		Capabilities: be.Uint32(b[16:]),
	}, nil
}

func appendConfig(b []byte, flags, missLen uint16) ([]byte, error) {
	return be.AppendUint16(be.AppendUint16(b, flags), missLen), nil
}

func (m *GetConfigReply) appendBody(b []byte, _ uint32) ([]byte, error) {
	return appendConfig(b, m.Flags, m.MissSendLen)
}

func (m *SetConfig) appendBody(b []byte, _ uint32) ([]byte, error) {
	return appendConfig(b, m.Flags, m.MissSendLen)
}

func decodeConfig(b []byte) (flags, missLen uint16, err error) {
	if len(b) != 4 {
		return 0, 0, tooShort("body", len(b), 4)
	}
	return be.Uint16(b), be.Uint16(b[2:]), nil
}

func appendRole(b []byte, r Role, gen uint64) ([]byte, error) {
	b = be.AppendUint32(b, uint32(r))
	return be.AppendUint64(append(b, zeros[:4]...), gen), nil
}

func (m *RoleRequest) appendBody(b []byte, _ uint32) ([]byte, error) {
	return appendRole(b, m.Role, m.GenerationID)
}

func (m *RoleReply) appendBody(b []byte, _ uint32) ([]byte, error) {
	return appendRole(b, m.Role, m.GenerationID)
}

func decodeRole(b []byte) (Role, uint64, error) {
	if len(b) != 16 {
		return 0, 0, tooShort("body", len(b), 16)
	}
	return Role(be.Uint32(b)), be.Uint64(b[8:]), nil
}

func (m *SetAsync) appendBody(b []byte, _ uint32) ([]byte, error) {
	for _, masks := range [...][2]uint32{m.PacketIn, m.PortStatus, m.FlowRemoved} {
		b = be.AppendUint32(be.AppendUint32(b, masks[0]), masks[1])
	}
	return b, nil
}

func decodeSetAsync(b []byte) (Message, error) {
	if len(b) != 24 {
		return nil, tooShort("body", len(b), 24)
	}
	pair := func(i int) [2]uint32 { return [2]uint32{be.Uint32(b[i:]), be.Uint32(b[i+4:])} }
	return &SetAsync{PacketIn: pair(0), PortStatus: pair(8), FlowRemoved: pair(16)}, nil
}
