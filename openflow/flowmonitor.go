package openflow

import "fmt"

// The flow monitor for OpenFlow 1.3 (ONF extension 187): the switch reports at once each flow that is
// added, changed or deleted, by whomever. Its messages are multipart messages of an experimenter.
const onfFlowMonitor = 1870

// What a flow monitor reports, and what with it: bits of FlowMonitorRequest.Flags.
const (
	MonitorInitial uint16 = 1 << iota // flows that are there already, as added
	MonitorAdd
	MonitorDelete
	MonitorModify
	MonitorActions // with their actions
	MonitorOwn     // changes by this very connection in full; without it they come as FlowAbbreviated
)

// FlowMonitorRequest asks for reports on the flows that it chooses. It is answered by a FlowMonitorReply
// under its xid, with the flows of MonitorInitial; reports come with the xid 0.
type FlowMonitorRequest struct {
	ID      uint32 // unique on the connection
	Flags   uint16
	OutPort PortNo // zero means PortAny
	Table   TableID
	Match   Match
}

// CancelFlowMonitor ends a monitor. The switch answers with an error where there is none.
func CancelFlowMonitor(id uint32) *Experimenter {
	return &Experimenter{Experimenter: ExperimenterONF, ExpType: onfFlowMonitor, Data: be.AppendUint32(nil, id)}
}

// FlowEvent is what became of a flow.
type FlowEvent uint16

// Events of FlowUpdate.
const (
	FlowAdded FlowEvent = iota // or replaced by one with the same table, priority and match
	FlowDeleted
	FlowModified
	FlowAbbreviated // flows changed by the message XID of this connection; all other fields are zero
)

// A FlowUpdate is a report of a flow monitor.
type FlowUpdate struct {
	Event FlowEvent
	XID   uint32 // of FlowAbbreviated
	// Reason is why the flow was deleted, a RemovedReason.
	Reason      uint16
	IdleTimeout uint16 // seconds
	HardTimeout uint16 // seconds
	// Flow is the flow after the change, or before it was deleted: without a Goto, and without actions
	// unless MonitorActions asked for them.
	Flow Flow
}

// FlowMonitorReply is reports, in the order of the changes.
type FlowMonitorReply []FlowUpdate

// Kind implements MultipartBody.
func (FlowMonitorRequest) Kind() MultipartType { return MultipartExperimenter }

// Kind implements MultipartBody.
func (FlowMonitorReply) Kind() MultipartType { return MultipartExperimenter }

func appendFlowMonitor(b []byte) []byte {
	return be.AppendUint32(be.AppendUint32(b, ExperimenterONF), onfFlowMonitor)
}

// isFlowMonitor tells the body of a flow monitor's message from other experimenters'.
func isFlowMonitor(b []byte) bool {
	return len(b) >= 8 && be.Uint32(b) == ExperimenterONF && be.Uint32(b[4:]) == onfFlowMonitor
}

func (m FlowMonitorRequest) appendMultipart(b []byte) ([]byte, error) {
	b = be.AppendUint32(appendFlowMonitor(b), m.ID)
	b = be.AppendUint16(b, m.Flags)
	at := len(b)
	b = be.AppendUint32(append(b, 0, 0), orAny(m.OutPort))
	b = append(b, byte(m.Table), 0, 0, 0)
	return appendMonitored(b, m.Match, at)
}

// appendMonitored appends a match and puts its length, without padding, at b[at:].
func appendMonitored(b []byte, m Match, at int) ([]byte, error) {
	start := len(b)
	b, err := m.append(b)
	if err != nil {
		return nil, err
	}
	copy(b[at:at+2], b[start+2:start+4])
	return b, nil
}

// decodeMonitored reads a match whose length was announced.
func decodeMonitored(b []byte, announced uint16) (Match, []byte, error) {
	if len(b) < 4 || be.Uint16(b[2:]) != announced {
		return nil, nil, fmt.Errorf("match: is not of the length %d that was announced", announced)
	}
	return decodeMatch(b)
}

// monitorRequestLen and updateLen are the lengths up to the match, after the experimenter's header.
const (
	monitorRequestLen = 16
	updateLen         = 24
)

func decodeMonitorRequest(b []byte) (MultipartBody, error) {
	if b = b[8:]; len(b) < monitorRequestLen {
		return nil, tooShort("request", len(b), monitorRequestLen)
	}
	m := FlowMonitorRequest{ID: be.Uint32(b), Flags: be.Uint16(b[4:]),
		OutPort: PortNo(orAny(be.Uint32(b[8:]))), Table: TableID(b[12])}
	var err error
	m.Match, b, err = decodeMonitored(b[monitorRequestLen:], be.Uint16(b[6:]))
	if err == nil {
		err = noBody(b)
	}
	return m, err
}

func (m FlowMonitorReply) appendMultipart(b []byte) ([]byte, error) {
	b = appendFlowMonitor(b)
	for i := range m {
		var err error
		if b, err = m[i].append(b); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func (u *FlowUpdate) append(b []byte) ([]byte, error) {
	start := len(b)
	if u.Event == FlowAbbreviated {
		b = append(b, 0, 8, 0, byte(u.Event))
		return be.AppendUint32(b, u.XID), nil
	}
	b = be.AppendUint16(append(b, 0, 0), uint16(u.Event))
	for _, v := range [...]uint16{u.Reason, u.Flow.Priority, u.IdleTimeout, u.HardTimeout, 0} {
		b = be.AppendUint16(b, v)
	}
	b = be.AppendUint64(append(b, byte(u.Flow.Table), 0), u.Flow.Cookie)
	b, err := appendMonitored(b, u.Flow.Match, start+12)
	if err != nil {
		return nil, err
	}
	if b, err = appendActions(b, u.Flow.Apply); err != nil {
		return nil, err
	}
	return b, putLen16(b, start, start)
}

func decodeFlowMonitor(b []byte) (MultipartBody, error) {
	m := FlowMonitorReply{}
	for b = b[8:]; len(b) > 0; {
		elem, rest, err := element("update", b, 0, 8)
		if err != nil {
			return nil, err
		}
		var u FlowUpdate
		if err := u.decode(elem); err != nil {
			return nil, err
		}
		m, b = append(m, u), rest
	}
	return m, nil
}

// decode reads one whole update.
func (u *FlowUpdate) decode(b []byte) (err error) {
	u.Event = FlowEvent(be.Uint16(b[2:]))
	switch {
	case u.Event > FlowAbbreviated:
		return fmt.Errorf("update of event %d", u.Event)
	case u.Event == FlowAbbreviated && len(b) != 8:
		return fmt.Errorf("abbreviated update of %d bytes, must be 8", len(b))
	case u.Event == FlowAbbreviated:
		u.XID = be.Uint32(b[4:])
		return nil
	case len(b) < updateLen:
		return tooShort("update", len(b), updateLen)
	}
	u.Reason, u.Flow.Priority = be.Uint16(b[4:]), be.Uint16(b[6:])
	u.IdleTimeout, u.HardTimeout = be.Uint16(b[8:]), be.Uint16(b[10:])
	u.Flow.Table, u.Flow.Cookie = TableID(b[14]), be.Uint64(b[16:])
	if u.Flow.Match, b, err = decodeMonitored(b[updateLen:], be.Uint16(b[12:])); err != nil {
		return err
	}
	u.Flow.Apply, err = decodeActions(b)
	return err
}
