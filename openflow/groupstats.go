package openflow

import "time"

// GroupDescRequest asks for all groups.
type GroupDescRequest struct{}

// GroupDescReply answers a GroupDescRequest.
type GroupDescReply []Group

// GroupStatsRequest asks for the counters of a group; GroupAll is all groups.
type GroupStatsRequest struct{ Group GroupID }

// GroupStats are a group's counters (OpenFlow 1.3.5 §7.3.5.9).
type GroupStats struct {
	Group          GroupID
	RefCount       uint32 // flows and groups that use it
	Packets, Bytes uint64
	Duration       time.Duration
	Buckets        []BucketStats
}

// BucketStats are a bucket's counters.
type BucketStats struct{ Packets, Bytes uint64 }

// GroupStatsReply answers a GroupStatsRequest.
type GroupStatsReply []GroupStats

// Kind implements MultipartBody.
func (GroupDescRequest) Kind() MultipartType { return MultipartGroupDesc }

// Kind implements MultipartBody.
func (GroupDescReply) Kind() MultipartType { return MultipartGroupDesc }

// Kind implements MultipartBody.
func (GroupStatsRequest) Kind() MultipartType { return MultipartGroupStats }

// Kind implements MultipartBody.
func (GroupStatsReply) Kind() MultipartType { return MultipartGroupStats }

func (GroupDescRequest) appendMultipart(b []byte) ([]byte, error) { return b, nil }
func (m GroupStatsRequest) appendMultipart(b []byte) ([]byte, error) {
	return appendNumber(b, uint32(m.Group))
}

func (m GroupDescReply) appendMultipart(b []byte) ([]byte, error) {
	for i := range m {
		start := len(b)
		b = append(b, 0, 0, byte(m[i].Type), 0)
		var err error
		if b, err = appendBuckets(be.AppendUint32(b, uint32(m[i].ID)), m[i].Buckets); err != nil {
			return nil, err
		}
		if err := putLen16(b, start, start); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func decodeGroupDesc(b []byte) (MultipartBody, error) {
	m := GroupDescReply{}
	for len(b) > 0 {
		elem, rest, err := element("group", b, 0, 8)
		if err != nil {
			return nil, err
		}
		g := Group{ID: GroupID(be.Uint32(elem[4:])), Type: GroupType(elem[2])}
		if g.Buckets, err = decodeBuckets(elem[8:]); err != nil {
			return nil, err
		}
		m, b = append(m, g), rest
	}
	return m, nil
}

// groupStatsLen is the length of an entry up to its buckets.
const groupStatsLen = 40

func (m GroupStatsReply) appendMultipart(b []byte) ([]byte, error) {
	for i := range m {
		s := &m[i]
		start := len(b)
		b = be.AppendUint32(append(b, zeros[:4]...), uint32(s.Group))
		b = be.AppendUint32(b, s.RefCount)
		b = be.AppendUint64(append(b, zeros[:4]...), s.Packets)
		b = appendDuration(be.AppendUint64(b, s.Bytes), s.Duration)
		for _, k := range s.Buckets {
			b = be.AppendUint64(be.AppendUint64(b, k.Packets), k.Bytes)
		}
		if err := putLen16(b, start, start); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func decodeGroupStats(b []byte) (MultipartBody, error) {
	m := GroupStatsReply{}
	for len(b) > 0 {
		elem, rest, err := element("group", b, 0, groupStatsLen)
		if err != nil {
			return nil, err
		}
		s := GroupStats{
			Group: GroupID(be.Uint32(elem[4:])), RefCount: be.Uint32(elem[8:]),
			Packets: be.Uint64(elem[16:]), Bytes: be.Uint64(elem[24:]),
		}
		s.Duration = decodeDuration(elem[32:])
		elem = elem[groupStatsLen:]
		if len(elem)%16 != 0 {
			return nil, tooShort("last bucket", len(elem)%16, 16)
		}
		for ; len(elem) > 0; elem = elem[16:] {
			s.Buckets = append(s.Buckets, BucketStats{Packets: be.Uint64(elem), Bytes: be.Uint64(elem[8:])})
		}
		m, b = append(m, s), rest
	}
	return m, nil
}
