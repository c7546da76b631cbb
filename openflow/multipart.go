package openflow

import (
	"fmt"
	"reflect"

	"github.com/netrack/openflow/ofp"
)

// MultipartType is what a multipart message is about (OpenFlow 1.3.5 §7.3.5).
type MultipartType uint16

// Multipart types.
const (
	MultipartDesc           = MultipartType(ofp.MultipartTypeDescription)
	MultipartFlowStats      = MultipartType(ofp.MultipartTypeFlow)
	MultipartAggregateStats = MultipartType(ofp.MultipartTypeAggregate)
	MultipartTableStats     = MultipartType(ofp.MultipartTypeTable)
	MultipartPortStats      = MultipartType(ofp.MultipartTypePortStats)
	MultipartGroupStats     = MultipartType(ofp.MultipartTypeGroup)
	MultipartGroupDesc      = MultipartType(ofp.MultipartTypeGroupDescription)
	MultipartMeterStats     = MultipartType(ofp.MultipartTypeMeter)
	MultipartMeterConfig    = MultipartType(ofp.MultipartTypeMeterConfig)
	MultipartPortDesc       = MultipartType(ofp.MultipartTypePortDescription)
	MultipartExperimenter   = MultipartType(ofp.MultipartTypeExperimenter)
)

// String is the specification's name of the type, where it has one.
func (t MultipartType) String() string {
	if s := words(ofp.MultipartType(t).String()[len("MultipartType"):]); s[0] != '(' {
		return s
	}
	return fmt.Sprintf("multipart type %d", uint16(t))
}

// MultipartRequest asks for a list. More says that the request goes on in another message.
type MultipartRequest struct {
	More bool
	Body MultipartBody
}

// MultipartReply is a part of a list. More says that another reply with the same xid follows.
type MultipartReply struct {
	More bool
	Body MultipartBody
}

// A MultipartBody is one of the ...Request types in a request, one of the ...Reply types in a
// reply, or RawMultipart in either.
type MultipartBody interface {
	// Kind is the multipart type.
	Kind() MultipartType
	appendMultipart(b []byte) ([]byte, error)
}

// RawMultipart is the body of a multipart type that the package does not model.
type RawMultipart struct {
	Multipart MultipartType
	Data      []byte
}

// Kind implements MultipartBody.
func (m RawMultipart) Kind() MultipartType { return m.Multipart }

func (m RawMultipart) appendMultipart(b []byte) ([]byte, error) { return append(b, m.Data...), nil }

// Type implements Message.
func (*MultipartRequest) Type() MsgType { return TypeMultipartRequest }

// Type implements Message.
func (*MultipartReply) Type() MsgType { return TypeMultipartReply }

func (m *MultipartRequest) appendBody(b []byte, _ uint32) ([]byte, error) {
	return appendMultipart(b, m.More, m.Body)
}

func (m *MultipartReply) appendBody(b []byte, _ uint32) ([]byte, error) {
	return appendMultipart(b, m.More, m.Body)
}

func appendMultipart(b []byte, more bool, body MultipartBody) ([]byte, error) {
	if body == nil {
		return nil, fmt.Errorf("no body")
	}
	b = be.AppendUint16(b, uint16(body.Kind()))
	flags := byte(0)
	if more {
		flags = 1
	}
	b, err := body.appendMultipart(append(append(b, 0, flags), zeros[:4]...))
	if err != nil {
		return nil, fmt.Errorf("%v: %w", body.Kind(), err)
	}
	return b, nil
}

// multipartHeader reads what every multipart message starts with.
func multipartHeader(b []byte) (t MultipartType, more bool, rest []byte, err error) {
	if len(b) < 8 {
		return 0, false, nil, tooShort("body", len(b), 8)
	}
	return MultipartType(be.Uint16(b)), b[3]&1 == 1, b[8:], nil
}

func decodeMultipartRequest(b []byte) (Message, error) {
	t, more, b, err := multipartHeader(b)
	if err != nil {
		return nil, err
	}
	m := &MultipartRequest{More: more}
	switch t {
	case MultipartDesc:
		m.Body, err = DescRequest{}, noBody(b)
	case MultipartPortDesc:
		m.Body, err = PortDescRequest{}, noBody(b)
	case MultipartGroupDesc:
		m.Body, err = GroupDescRequest{}, noBody(b)
	case MultipartFlowStats, MultipartAggregateStats:
		var filter FlowFilter
		filter, err = decodeFlowFilter(b)
		if m.Body = FlowStatsRequest(filter); t == MultipartAggregateStats {
			m.Body = AggregateStatsRequest(filter)
		}
	case MultipartPortStats:
		var n uint32
		n, err = decodeNumber(b)
		m.Body = PortStatsRequest{Port: PortNo(n)}
	case MultipartGroupStats:
		var n uint32
		n, err = decodeNumber(b)
		m.Body = GroupStatsRequest{Group: GroupID(n)}
	case MultipartMeterStats:
		var n uint32
		n, err = decodeNumber(b)
		m.Body = MeterStatsRequest{Meter: n}
	case MultipartMeterConfig:
		var n uint32
		n, err = decodeNumber(b)
		m.Body = MeterConfigRequest{Meter: n}
	case MultipartExperimenter:
		if m.Body = (RawMultipart{Multipart: t, Data: clone(b)}); isFlowMonitor(b) {
			m.Body, err = decodeMonitorRequest(b)
		}
	default:
		m.Body = RawMultipart{Multipart: t, Data: clone(b)}
	}
	if err != nil {
		return nil, fmt.Errorf("%v: %w", t, err)
	}
	return m, nil
}

func decodeMultipartReply(b []byte) (Message, error) {
	t, more, b, err := multipartHeader(b)
	if err != nil {
		return nil, err
	}
	m := &MultipartReply{More: more}
	switch t {
	case MultipartDesc:
		m.Body, err = decodeDesc(b)
	case MultipartFlowStats:
		m.Body, err = decodeFlowStats(b)
	case MultipartAggregateStats:
		m.Body, err = decodeAggregateStats(b)
	case MultipartPortStats:
		m.Body, err = decodePortStats(b)
	case MultipartPortDesc:
		m.Body, err = decodePortDesc(b)
	case MultipartGroupStats:
		m.Body, err = decodeGroupStats(b)
	case MultipartGroupDesc:
		m.Body, err = decodeGroupDesc(b)
	case MultipartMeterStats:
		m.Body, err = decodeMeterStats(b)
	case MultipartMeterConfig:
		m.Body, err = decodeMeterConfig(b)
	case MultipartExperimenter:
		if m.Body = (RawMultipart{Multipart: t, Data: clone(b)}); isFlowMonitor(b) {
			m.Body, err = decodeFlowMonitor(b)
		}
	default:
		m.Body = RawMultipart{Multipart: t, Data: clone(b)}
	}
	if err != nil {
		return nil, fmt.Errorf("%v: %w", t, err)
	}
	return m, nil
}

func noBody(b []byte) error {
	_, err := empty(nil, b)
	return err
}

// decodeNumber reads a request body that is one number and padding.
func decodeNumber(b []byte) (uint32, error) {
	if len(b) != 8 {
		return 0, tooShort("request", len(b), 8)
	}
	return be.Uint32(b), nil
}

func appendNumber(b []byte, n uint32) ([]byte, error) {
	return append(be.AppendUint32(b, n), zeros[:4]...), nil
}

// JoinReplies puts the bodies of all parts of one multipart reply together, in order. It fails
// when there is no part, when their types differ, or when one is a single value in two parts.
func JoinReplies(parts []*MultipartReply) (MultipartBody, error) {
	if len(parts) == 0 {
		return nil, fmt.Errorf("%w: multipart reply without a part", ErrMalformed)
	}
	first := parts[0].Body
	for _, p := range parts[1:] {
		if reflect.TypeOf(p.Body) != reflect.TypeOf(first) || p.Body.Kind() != first.Kind() {
			return nil, fmt.Errorf("%w: multipart reply of %T and %T", ErrMalformed, first, p.Body)
		}
	}
	switch first.(type) {
	case FlowStatsReply:
		return join[FlowStatsReply](parts), nil
	case PortStatsReply:
		return join[PortStatsReply](parts), nil
	case PortDescReply:
		return join[PortDescReply](parts), nil
	case GroupStatsReply:
		return join[GroupStatsReply](parts), nil
	case GroupDescReply:
		return join[GroupDescReply](parts), nil
	case MeterStatsReply:
		return join[MeterStatsReply](parts), nil
	case MeterConfigReply:
		return join[MeterConfigReply](parts), nil
	case FlowMonitorReply:
		return join[FlowMonitorReply](parts), nil
	case RawMultipart:
		raw := RawMultipart{Multipart: first.Kind()}
		for _, p := range parts {
			raw.Data = append(raw.Data, p.Body.(RawMultipart).Data...)
		}
		return raw, nil
	}
	if len(parts) > 1 {
		return nil, fmt.Errorf("%w: %v reply in %d parts", ErrMalformed, first.Kind(), len(parts))
	}
	return first, nil
}

func join[L ~[]E, E any](parts []*MultipartReply) L {
	n := 0
	for _, p := range parts {
		n += len(any(p.Body).(L))
	}
	all := make(L, 0, n)
	for _, p := range parts {
		all = append(all, any(p.Body).(L)...)
	}
	return all
}
