package openflow

import "time"

// FlowFilter chooses flows (OpenFlow 1.3.5 §7.3.5.2). The zero value of a field is no limit,
// except that Table zero is table 0: TableAll is every table.
type FlowFilter struct {
	Table              TableID
	OutPort            PortNo  // zero means PortAny
	OutGroup           GroupID // zero means GroupAny
	Cookie, CookieMask uint64
	Match              Match
}

// FlowStatsRequest asks for the flows that the filter chooses.
type FlowStatsRequest FlowFilter

// AggregateStatsRequest asks for the sums over the flows that the filter chooses.
type AggregateStatsRequest FlowFilter

// FlowStats is a flow and its counters.
type FlowStats struct {
	Flow                     Flow
	Duration                 time.Duration // since it was added
	IdleTimeout, HardTimeout uint16        // seconds
	Flags                    uint16
	Packets, Bytes           uint64 // all ones when not counted
}

// FlowStatsReply answers a FlowStatsRequest, in any order.
type FlowStatsReply []FlowStats

// AggregateStats answers an AggregateStatsRequest.
type AggregateStats struct {
	Packets, Bytes uint64
	Flows          uint32
}

// Kind implements MultipartBody.
func (FlowStatsRequest) Kind() MultipartType { return MultipartFlowStats }

// Kind implements MultipartBody.
func (FlowStatsReply) Kind() MultipartType { return MultipartFlowStats }

// Kind implements MultipartBody.
func (AggregateStatsRequest) Kind() MultipartType { return MultipartAggregateStats }

// Kind implements MultipartBody.
func (AggregateStats) Kind() MultipartType { return MultipartAggregateStats }

func (m FlowStatsRequest) appendMultipart(b []byte) ([]byte, error) {
	f := FlowFilter(m)
	return f.append(b)
}

func (m AggregateStatsRequest) appendMultipart(b []byte) ([]byte, error) {
	f := FlowFilter(m)
	return f.append(b)
}

func (f *FlowFilter) append(b []byte) ([]byte, error) {
	b = append(b, byte(f.Table), 0, 0, 0)
	b = be.AppendUint32(b, orAny(f.OutPort))
	b = be.AppendUint32(b, orAny(f.OutGroup))
	b = append(b, zeros[:4]...)
	b = be.AppendUint64(b, f.Cookie)
	b = be.AppendUint64(b, f.CookieMask)
	return f.Match.append(b)
}

func decodeFlowFilter(b []byte) (f FlowFilter, err error) {
	if len(b) < 32 {
		return f, tooShort("request", len(b), 32)
	}
	f = FlowFilter{
		Table: TableID(b[0]), OutPort: PortNo(orAny(be.Uint32(b[4:]))), OutGroup: GroupID(orAny(be.Uint32(b[8:]))),
		Cookie: be.Uint64(b[16:]), CookieMask: be.Uint64(b[24:]),
	}
	if f.Match, b, err = decodeMatch(b[32:]); err == nil {
		err = noBody(b)
	}
	return f, err
}

func (m FlowStatsReply) appendMultipart(b []byte) ([]byte, error) {
	for i := range m {
		s := &m[i]
		start := len(b)
		b = append(b, 0, 0, byte(s.Flow.Table), 0)
		b = appendDuration(b, s.Duration)
		b = be.AppendUint16(b, s.Flow.Priority)
		b = be.AppendUint16(b, s.IdleTimeout)
		b = be.AppendUint16(b, s.HardTimeout)
		b = be.AppendUint16(b, s.Flags)
		b = append(b, zeros[:4]...)
		b = be.AppendUint64(b, s.Flow.Cookie)
		b = be.AppendUint64(b, s.Packets)
		b = be.AppendUint64(b, s.Bytes)
		var err error
		if b, err = s.Flow.Match.append(b); err != nil {
			return nil, err
		}
		if b, err = s.Flow.appendInstructions(b); err != nil {
			return nil, err
		}
		if err := putLen16(b, start, start); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// flowStatsLen is the length of an entry up to its match.
const flowStatsLen = 48

func decodeFlowStats(b []byte) (MultipartBody, error) {
	count := 0
	for p := b; len(p) > 0; count++ {
		var err error
		if _, p, err = element("entry", p, 0, flowStatsLen+8); err != nil {
			return nil, err
		}
	}
	m := make(FlowStatsReply, count)
	for i := range m {
		n := int(be.Uint16(b)) // checked above
		if err := m[i].decode(b[:n]); err != nil {
			return nil, err
		}
		b = b[n:]
	}
	return m, nil
}

// decode reads one whole entry.
func (m *FlowStats) decode(b []byte) (err error) {
	m.Flow.Table = TableID(b[2])
	m.Duration = decodeDuration(b[4:])
	m.Flow.Priority = be.Uint16(b[12:])
	m.IdleTimeout = be.Uint16(b[14:])
	m.HardTimeout = be.Uint16(b[16:])
	m.Flags = be.Uint16(b[18:])
	m.Flow.Cookie = be.Uint64(b[24:])
	m.Packets = be.Uint64(b[32:])
	m.Bytes = be.Uint64(b[40:])
	if m.Flow.Match, b, err = decodeMatch(b[flowStatsLen:]); err != nil {
		return err
	}
	return m.Flow.decodeInstructions(b)
}

func (m AggregateStats) appendMultipart(b []byte) ([]byte, error) {
	b = be.AppendUint64(be.AppendUint64(b, m.Packets), m.Bytes)
	return append(be.AppendUint32(b, m.Flows), zeros[:4]...), nil
}

func decodeAggregateStats(b []byte) (MultipartBody, error) {
	if len(b) != 24 {
		return nil, tooShort("reply", len(b), 24)
	}
	return AggregateStats{Packets: be.Uint64(b), Bytes: be.Uint64(b[8:]), Flows: be.Uint32(b[16:])}, nil
}
