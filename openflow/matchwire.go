package openflow

import (
	"fmt"
	"slices"

	"github.com/netrack/openflow/ofp"
)

// classBasic is the OXM class of the fields that OpenFlow itself defines.
const classBasic = uint16(ofp.XMClassOpenflowBasic)

// append appends the ofp_match (OpenFlow 1.3.5 §7.2.3.1), padded. Fields of the basic class go
// first, in the order of their numbers, in which every field comes after those that it needs
// (eth_type, ip_proto, tcp_dst); then the others, which need only basic ones.
func (m Match) append(b []byte) ([]byte, error) {
	start := len(b)
	b = append(b, 0, byte(ofp.MatchTypeXM), 0, 0)
	var err error
	for _, basic := range [...]bool{true, false} {
		for i := range m {
			if (m[i].Field.Class() == classBasic) != basic {
				continue
			}
			if b, err = m[i].append(b); err != nil {
				return nil, err
			}
		}
	}
	if err := putLen16(b, start, start+2); err != nil {
		return nil, err
	}
	return pad8(b, start), nil
}

// append appends the OXM TLV.
func (m *MatchField) append(b []byte) ([]byte, error) {
	if m.Raw != "" {
		if len(m.Raw) < 4 || len(m.Raw) != 4+int(m.Raw[3]) {
			return nil, fmt.Errorf("match: raw field of %d bytes says otherwise", len(m.Raw))
		}
		return append(b, m.Raw...), nil
	}
	info := m.Field.info()
	if info.size == 0 {
		return nil, fmt.Errorf("match: %v has neither a known width nor raw bytes", m.Field)
	}
	n := int(info.size)
	if m.Mask == info.full {
		b = be.AppendUint32(b, oxmHeader(m.Field, false, n))
		return append(b, m.Value[:n]...), nil
	}
	b = be.AppendUint32(b, oxmHeader(m.Field, true, 2*n))
	b = append(b, m.Value[:n]...)
	return append(b, m.Mask[:n]...), nil
}

func oxmHeader(f Field, hasMask bool, n int) uint32 {
	h := uint32(f)<<9 | uint32(n)
	if hasMask {
		h |= 1 << 8
	}
	return h
}

// decodeMatch reads an ofp_match with its padding from the front of b and returns the rest.
func decodeMatch(b []byte) (m Match, rest []byte, err error) {
	if len(b) < 8 {
		return nil, nil, tooShort("match", len(b), 8)
	}
	n := int(be.Uint16(b[2:]))
	padded := (n + 7) / 8 * 8
	if be.Uint16(b) != uint16(ofp.MatchTypeXM) || n < 4 || padded > len(b) {
		return nil, nil, fmt.Errorf("match of type %d says length %d, %d left", be.Uint16(b), n, len(b))
	}
	m, err = decodeOXMs(b[4:n])
	return m, b[padded:], err
}

// decodeOXMs reads a list of OXM TLVs into canonical order. It sorts where the TLVs stand, not the
// fields, which are large: Open vSwitch never sends them in our order.
func decodeOXMs(b []byte) (Match, error) {
	var few [24]uint64
	places := few[:0] // field << 32 | offset
	for at := 0; at < len(b); at += 4 + int(b[at+3]) {
		if len(b)-at < 4 || len(b)-at < 4+int(b[at+3]) {
			return nil, fmt.Errorf("match field reaches past the end, %d bytes left", len(b)-at)
		}
		k := uint64(be.Uint32(b[at:])>>9)<<32 | uint64(at)
		places = append(places, k)
		for i := len(places) - 1; i > 0 && len(places) <= len(few) && places[i-1] > k; i-- {
			places[i-1], places[i] = k, places[i-1]
		}
	}
	if len(places) == 0 {
		return nil, nil
	}
	if len(places) > len(few) {
		slices.Sort(places)
	}
	m := make(Match, len(places))
	n, raws := 0, false
	for _, k := range places {
		at := int(uint32(k))
		f := &m[n]
		if err := f.decode(b[at : at+4+int(b[at+3])]); err != nil {
			return nil, err
		}
		if f.Raw == "" && f.Mask == ([16]byte{}) {
			*f = MatchField{}
			continue
		}
		if n > 0 && m[n-1].Field == f.Field {
			if f.Raw == "" {
				return nil, fmt.Errorf("match has %v twice", f.Field)
			}
			raws = true
		}
		n++
	}
	if n == 0 {
		return nil, nil
	}
	m = m[:n]
	if raws { // of several experimenters, say
		m.sort()
		for i := 1; i < n; i++ {
			if sameField(m[i-1], m[i]) {
				return nil, fmt.Errorf("match has %v twice", m[i].Field)
			}
		}
	}
	return m, nil
}

// decode reads one whole TLV.
func (m *MatchField) decode(b []byte) error {
	header := be.Uint32(b)
	m.Field = Field(header >> 9)
	hasMask := header>>8&1 == 1
	info := m.Field.info()
	if info.size == 0 {
		m.Raw = string(b)
		return nil
	}
	b = b[4:]
	n := int(info.size)
	if !hasMask && len(b) != n || hasMask && len(b) != 2*n {
		return fmt.Errorf("match field %v of %d bytes", m.Field, len(b))
	}
	copy(m.Value[:], b[:n])
	m.Mask = info.full
	if hasMask {
		for i, x := range b[n:] {
			m.Mask[i] &= x
		}
	}
	if !hasMask && info.wholeBytes {
		return nil
	}
	if outside(m.Value[:n], m.Mask[:n]) {
		return fmt.Errorf("match field %v has value bits outside its mask", m.Field)
	}
	return nil
}
