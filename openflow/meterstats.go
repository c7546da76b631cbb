package openflow

import "time"

// MeterConfigRequest asks for a meter; MeterAll is all meters.
type MeterConfigRequest struct{ Meter uint32 }

// MeterConfigReply answers a MeterConfigRequest.
type MeterConfigReply []Meter

// MeterStatsRequest asks for the counters of a meter; MeterAll is all meters.
type MeterStatsRequest struct{ Meter uint32 }

// MeterStats are a meter's counters (OpenFlow 1.3.5 §7.3.5.12).
type MeterStats struct {
	Meter          uint32
	Flows          uint32 // that use it
	Packets, Bytes uint64 // that entered it
	Duration       time.Duration
	Bands          []BandStats
}

// BandStats are a band's counters: what was above its rate.
type BandStats struct{ Packets, Bytes uint64 }

// MeterStatsReply answers a MeterStatsRequest.
type MeterStatsReply []MeterStats

// Kind implements MultipartBody.
func (MeterConfigRequest) Kind() MultipartType { return MultipartMeterConfig }

// Kind implements MultipartBody.
func (MeterConfigReply) Kind() MultipartType { return MultipartMeterConfig }

// Kind implements MultipartBody.
func (MeterStatsRequest) Kind() MultipartType { return MultipartMeterStats }

// Kind implements MultipartBody.
func (MeterStatsReply) Kind() MultipartType { return MultipartMeterStats }

func (m MeterConfigRequest) appendMultipart(b []byte) ([]byte, error) {
	return appendNumber(b, m.Meter)
}

func (m MeterStatsRequest) appendMultipart(b []byte) ([]byte, error) {
	return appendNumber(b, m.Meter)
}

func (m MeterConfigReply) appendMultipart(b []byte) ([]byte, error) {
	for i := range m {
		start := len(b)
		b = be.AppendUint16(append(b, 0, 0), m[i].Flags)
		var err error
		if b, err = appendBands(be.AppendUint32(b, m[i].ID), m[i].Bands); err != nil {
			return nil, err
		}
		if err := putLen16(b, start, start); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func decodeMeterConfig(b []byte) (MultipartBody, error) {
	m := MeterConfigReply{}
	for len(b) > 0 {
		elem, rest, err := element("meter", b, 0, 8)
		if err != nil {
			return nil, err
		}
		k := Meter{ID: be.Uint32(elem[4:]), Flags: be.Uint16(elem[2:])}
		if k.Bands, err = decodeBands(elem[8:]); err != nil {
			return nil, err
		}
		m, b = append(m, k), rest
	}
	return m, nil
}

// meterStatsLen is the length of an entry up to its bands.
const meterStatsLen = 40

func (m MeterStatsReply) appendMultipart(b []byte) ([]byte, error) {
	for i := range m {
		s := &m[i]
		start := len(b)
		b = be.AppendUint32(b, s.Meter)
		b = append(b, zeros[:8]...) // length and padding
		b = be.AppendUint32(b, s.Flows)
		b = be.AppendUint64(be.AppendUint64(b, s.Packets), s.Bytes)
		b = appendDuration(b, s.Duration)
		for _, k := range s.Bands {
			b = be.AppendUint64(be.AppendUint64(b, k.Packets), k.Bytes)
		}
		if err := putLen16(b, start, start+4); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func decodeMeterStats(b []byte) (MultipartBody, error) {
	m := MeterStatsReply{}
	for len(b) > 0 {
		elem, rest, err := element("meter", b, 4, meterStatsLen)
		if err != nil {
			return nil, err
		}
		s := MeterStats{
			Meter: be.Uint32(elem), Flows: be.Uint32(elem[12:]), Packets: be.Uint64(elem[16:]), Bytes: be.Uint64(elem[24:]),
		}
		s.Duration = decodeDuration(elem[32:])
		elem = elem[meterStatsLen:]
		if len(elem)%16 != 0 {
			return nil, tooShort("last band", len(elem)%16, 16)
		}
		for ; len(elem) > 0; elem = elem[16:] {
			s.Bands = append(s.Bands, BandStats{Packets: be.Uint64(elem), Bytes: be.Uint64(elem[8:])})
		}
		m, b = append(m, s), rest
	}
	return m, nil
}
