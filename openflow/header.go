package openflow

import (
	"encoding/binary"
	"errors"
	"fmt"

	of "github.com/netrack/openflow"
)

// Version is OpenFlow 1.3 in a message header (OpenFlow 1.3.5 §7.1.1).
const Version uint8 = 4

// HeaderLen is the length of the header that starts every message, in bytes.
const HeaderLen = 8

// MaxMessageLen is the length of the longest message, header included, in bytes.
const MaxMessageLen = 0xffff

// ErrMalformed is wrapped by every error of Decode and FrameLength: the bytes are not an
// OpenFlow 1.3 message. The stream they came from cannot be trusted any further.
var ErrMalformed = errors.New("malformed OpenFlow message")

// MsgType is the type of a message (OpenFlow 1.3.5 §7.1.1).
type MsgType uint8

// Message types.
const (
	TypeHello            = MsgType(of.TypeHello)
	TypeError            = MsgType(of.TypeError)
	TypeEchoRequest      = MsgType(of.TypeEchoRequest)
	TypeEchoReply        = MsgType(of.TypeEchoReply)
	TypeExperimenter     = MsgType(of.TypeExperiment)
	TypeFeaturesRequest  = MsgType(of.TypeFeaturesRequest)
	TypeFeaturesReply    = MsgType(of.TypeFeaturesReply)
	TypeGetConfigRequest = MsgType(of.TypeGetConfigRequest)
	TypeGetConfigReply   = MsgType(of.TypeGetConfigReply)
	TypeSetConfig        = MsgType(of.TypeSetConfig)
	TypePacketIn         = MsgType(of.TypePacketIn)
	TypeFlowRemoved      = MsgType(of.TypeFlowRemoved)
	TypePortStatus       = MsgType(of.TypePortStatus)
	TypePacketOut        = MsgType(of.TypePacketOut)
	TypeFlowMod          = MsgType(of.TypeFlowMod)
	TypeGroupMod         = MsgType(of.TypeGroupMod)
	TypePortMod          = MsgType(of.TypePortMod)
	TypeTableMod         = MsgType(of.TypeTableMod)
	TypeMultipartRequest = MsgType(of.TypeMultipartRequest)
	TypeMultipartReply   = MsgType(of.TypeMultipartReply)
	TypeBarrierRequest   = MsgType(of.TypeBarrierRequest)
	TypeBarrierReply     = MsgType(of.TypeBarrierReply)
	TypeRoleRequest      = MsgType(of.TypeRoleRequest)
	TypeRoleReply        = MsgType(of.TypeRoleReply)
	TypeGetAsyncRequest  = MsgType(of.TypeGetAsyncRequest)
	TypeGetAsyncReply    = MsgType(of.TypeGetAsyncReply)
	TypeSetAsync         = MsgType(of.TypeSetAsync)
	TypeMeterMod         = MsgType(of.TypeMeterMod)
)

var msgTypeNames = map[MsgType]string{
	TypeHello: "hello", TypeError: "error", TypeEchoRequest: "echo request", TypeEchoReply: "echo reply",
	TypeExperimenter: "experimenter", TypeFeaturesRequest: "features request",
	TypeFeaturesReply: "features reply", TypeGetConfigRequest: "get-config request",
	TypeGetConfigReply: "get-config reply", TypeSetConfig: "set-config", TypePacketIn: "packet-in",
	TypeFlowRemoved: "flow-removed", TypePortStatus: "port-status", TypePacketOut: "packet-out",
	TypeFlowMod: "flow-mod", TypeGroupMod: "group-mod", TypePortMod: "port-mod", TypeTableMod: "table-mod",
	TypeMultipartRequest: "multipart request", TypeMultipartReply: "multipart reply",
	TypeBarrierRequest: "barrier request", TypeBarrierReply: "barrier reply",
	TypeRoleRequest: "role request", TypeRoleReply: "role reply",
	TypeGetAsyncRequest: "get-async request", TypeGetAsyncReply: "get-async reply",
	TypeSetAsync: "set-async", TypeMeterMod: "meter-mod",
}

// String is the name of the message type in words.
func (t MsgType) String() string {
	if s, ok := msgTypeNames[t]; ok {
		return s
	}
	return fmt.Sprintf("message type %d", uint8(t))
}

// A Message is one OpenFlow message without its xid: a pointer to one of this package's structs.
type Message interface {
	// Type is the message type in the header.
	Type() MsgType
	// appendBody appends what follows the header. The xid is for bundle-add only, whose inner
	// message repeats it.
	appendBody(b []byte, xid uint32) ([]byte, error)
}

// FrameLength reads the length of a whole message from its first 8 bytes. It fails, with
// ErrMalformed, on fewer bytes, a length under 8, and a version other than 1.3 unless the
// message is a hello or an error, which come before there is an agreed version.
func FrameLength(header []byte) (int, error) {
	if len(header) < HeaderLen {
		return 0, fmt.Errorf("%w: %d bytes are no header", ErrMalformed, len(header))
	}
	version, t := header[0], MsgType(header[1])
	if version == 0 || version != Version && t != TypeHello && t != TypeError {
		return 0, fmt.Errorf("%w: %v in version 0x%02x", ErrMalformed, t, version)
	}
	n := int(binary.BigEndian.Uint16(header[2:]))
	if n < HeaderLen {
		return 0, fmt.Errorf("%w: %v of length %d", ErrMalformed, t, n)
	}
	return n, nil
}

// Append appends a whole message, header included, to b and returns the longer slice. On error,
// which means that m cannot be said in OpenFlow 1.3 (too long, a port number that does not fit
// an action), it returns b as it was.
func Append(b []byte, xid uint32, m Message) ([]byte, error) {
	start := len(b)
	out := append(b, Version, byte(m.Type()), 0, 0, byte(xid>>24), byte(xid>>16), byte(xid>>8), byte(xid))
	out, err := m.appendBody(out, xid)
	if err != nil {
		return b, fmt.Errorf("encode %v: %w", m.Type(), err)
	}
	n := len(out) - start
	if n > MaxMessageLen {
		return b, fmt.Errorf("encode %v: %d bytes, the most is %d", m.Type(), n, MaxMessageLen)
	}
	binary.BigEndian.PutUint16(out[start+2:], uint16(n))
	if h, ok := m.(*Hello); ok {
		out[start] = h.headerVersion()
	}
	return out, nil
}

// Decode reads exactly one whole message. The result shares no memory with b. Every error wraps
// ErrMalformed. A message of a type that the package does not model comes back as *Unknown.
func Decode(b []byte) (xid uint32, m Message, err error) {
	n, err := FrameLength(b)
	if err != nil {
		return 0, nil, err
	}
	xid = binary.BigEndian.Uint32(b[4:])
	t := MsgType(b[1])
	if n != len(b) {
		return xid, nil, fmt.Errorf("%w: %v says %d bytes, has %d", ErrMalformed, t, n, len(b))
	}
	m, err = decodeBody(t, b[0], xid, b[HeaderLen:])
	if err != nil {
		return xid, nil, fmt.Errorf("%w: %v: %w", ErrMalformed, t, err)
	}
	return xid, m, nil
}

func decodeBody(t MsgType, version uint8, xid uint32, b []byte) (Message, error) {
	switch t {
	case TypeHello:
		return decodeHello(version, b)
	case TypeError:
		return decodeError(b)
	case TypeEchoRequest:
		return &EchoRequest{Data: clone(b)}, nil
	case TypeEchoReply:
		return &EchoReply{Data: clone(b)}, nil
	case TypeExperimenter:
		return decodeExperimenter(xid, b)
	case TypeFeaturesRequest:
		return empty(&FeaturesRequest{}, b)
	case TypeFeaturesReply:
		return decodeFeaturesReply(b)
	case TypeGetConfigRequest:
		return empty(&GetConfigRequest{}, b)
	case TypeGetConfigReply:
		flags, missLen, err := decodeConfig(b)
		return &GetConfigReply{Flags: flags, MissSendLen: missLen}, err
	case TypeSetConfig:
		flags, missLen, err := decodeConfig(b)
		return &SetConfig{Flags: flags, MissSendLen: missLen}, err
	case TypePacketIn:
		return decodePacketIn(b)
	case TypeFlowRemoved:
		return decodeFlowRemoved(b)
	case TypePortStatus:
		return decodePortStatus(b)
	case TypePacketOut:
		return decodePacketOut(b)
	case TypeFlowMod:
		return decodeFlowMod(b)
	case TypeGroupMod:
		return decodeGroupMod(b)
	case TypeMultipartRequest:
		return decodeMultipartRequest(b)
	case TypeMultipartReply:
		return decodeMultipartReply(b)
	case TypeBarrierRequest:
		return empty(&BarrierRequest{}, b)
	case TypeBarrierReply:
		return empty(&BarrierReply{}, b)
	case TypeRoleRequest:
		role, gen, err := decodeRole(b)
		return &RoleRequest{Role: role, GenerationID: gen}, err
	case TypeRoleReply:
		role, gen, err := decodeRole(b)
		return &RoleReply{Role: role, GenerationID: gen}, err
	case TypeSetAsync:
		return decodeSetAsync(b)
	case TypeMeterMod:
		return decodeMeterMod(b)
	}
	return &Unknown{MsgType: t, Body: clone(b)}, nil
}

// Unknown is a message that this package does not model: everything after the header, raw.
type Unknown struct {
	MsgType MsgType
	Body    []byte
}

// Type implements Message.
func (m *Unknown) Type() MsgType { return m.MsgType }

func (m *Unknown) appendBody(b []byte, _ uint32) ([]byte, error) { return append(b, m.Body...), nil }
