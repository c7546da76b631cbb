package openflow

import "time"

// DescRequest asks what the switch is.
type DescRequest struct{}

// Desc says what the switch is (OpenFlow 1.3.5 §7.3.5.1).
type Desc struct{ Manufacturer, Hardware, Software, Serial, Datapath string }

// PortDescRequest asks for all ports.
type PortDescRequest struct{}

// PortDescReply answers a PortDescRequest.
type PortDescReply []Port

// PortStatsRequest asks for the counters of a port; PortAny is all ports.
type PortStatsRequest struct{ Port PortNo }

// PortStats are a port's counters; all ones in one that the switch does not keep
// (OpenFlow 1.3.5 §7.3.5.6).
type PortStats struct {
	Port                                     PortNo
	RxPackets, TxPackets, RxBytes, TxBytes   uint64
	RxDropped, TxDropped, RxErrors, TxErrors uint64
	RxFrameErr, RxOverErr, RxCRCErr          uint64
	Collisions                               uint64
	Duration                                 time.Duration
}

// PortStatsReply answers a PortStatsRequest.
type PortStatsReply []PortStats

// Kind implements MultipartBody.
func (DescRequest) Kind() MultipartType { return MultipartDesc }

// Kind implements MultipartBody.
func (Desc) Kind() MultipartType { return MultipartDesc }

// Kind implements MultipartBody.
func (PortDescRequest) Kind() MultipartType { return MultipartPortDesc }

// Kind implements MultipartBody.
func (PortDescReply) Kind() MultipartType { return MultipartPortDesc }

// Kind implements MultipartBody.
func (PortStatsRequest) Kind() MultipartType { return MultipartPortStats }

// Kind implements MultipartBody.
func (PortStatsReply) Kind() MultipartType { return MultipartPortStats }

func (DescRequest) appendMultipart(b []byte) ([]byte, error)     { return b, nil }
func (PortDescRequest) appendMultipart(b []byte) ([]byte, error) { return b, nil }
func (m PortStatsRequest) appendMultipart(b []byte) ([]byte, error) {
	return appendNumber(b, uint32(m.Port))
}

// descLens are the lengths of the texts of a Desc.
var descLens = [...]int{256, 256, 256, 32, 256}

func (m Desc) appendMultipart(b []byte) (_ []byte, err error) {
	for i, s := range [...]string{m.Manufacturer, m.Hardware, m.Software, m.Serial, m.Datapath} {
		if b, err = appendText(b, "description", s, descLens[i]); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func decodeDesc(b []byte) (MultipartBody, error) {
	if len(b) != 4*256+32 {
		return nil, tooShort("reply", len(b), 4*256+32)
	}
	var s [len(descLens)]string
	for i, n := range descLens {
		s[i], b = text(b[:n]), b[n:]
	}
	return Desc{s[0], s[1], s[2], s[3], s[4]}, nil
}

func (m PortDescReply) appendMultipart(b []byte) (_ []byte, err error) {
	for i := range m {
		if b, err = m[i].append(b); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func decodePortDesc(b []byte) (MultipartBody, error) {
	if len(b)%portLen != 0 {
		return nil, tooShort("last port", len(b)%portLen, portLen)
	}
	m := make(PortDescReply, len(b)/portLen)
	for i := range m {
		m[i] = decodePort(b[i*portLen:])
	}
	return m, nil
}

const portStatsLen = 112

func (m PortStatsReply) appendMultipart(b []byte) ([]byte, error) {
	for i := range m {
		s := &m[i]
		b = append(be.AppendUint32(b, uint32(s.Port)), zeros[:4]...)
		for _, v := range s.counters() {
			b = be.AppendUint64(b, *v)
		}
		b = appendDuration(b, s.Duration)
	}
	return b, nil
}

// counters lists the counters in the order of the wire.
func (m *PortStats) counters() [12]*uint64 {
	return [...]*uint64{
		&m.RxPackets, &m.TxPackets, &m.RxBytes, &m.TxBytes, &m.RxDropped, &m.TxDropped, &m.RxErrors, &m.TxErrors,
		&m.RxFrameErr, &m.RxOverErr, &m.RxCRCErr, &m.Collisions,
	}
}

func decodePortStats(b []byte) (MultipartBody, error) {
	if len(b)%portStatsLen != 0 {
		return nil, tooShort("last port", len(b)%portStatsLen, portStatsLen)
	}
	m := make(PortStatsReply, len(b)/portStatsLen)
	for i := range m {
		s, p := &m[i], b[i*portStatsLen:]
		s.Port = PortNo(be.Uint32(p))
		for j, v := range s.counters() {
			*v = be.Uint64(p[8+8*j:])
		}
		s.Duration = decodeDuration(p[104:])
	}
	return m, nil
}
