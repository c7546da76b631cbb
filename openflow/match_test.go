package openflow

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestNewMatchSortsAndRefusesTwice(t *testing.T) {
	m, err := NewMatch(Uint(FieldTCPDst, 80), Uint(FieldReg(1), 5), UintMask(FieldMetadata, 9, 0), Uint(FieldEthType, 0x800))
	require.NoError(t, err)
	require.Equal(t, Match{Uint(FieldReg(1), 5), Uint(FieldEthType, 0x800), Uint(FieldTCPDst, 80)}, m)

	_, err = NewMatch(Uint(FieldTCPDst, 80), Uint(FieldTCPDst, 80))
	require.EqualError(t, err, "match has tcp_dst twice")

	none, err := NewMatch()
	require.NoError(t, err)
	require.True(t, none.Equal(nil))
	f, ok := m.Get(FieldTCPDst)
	require.True(t, ok)
	require.Equal(t, uint64(80), f.Uint64())
	_, ok = m.Get(FieldUDPDst)
	require.False(t, ok)
}

func TestNormalizeSpeaksOfVLANsAsTheSwitchDoes(t *testing.T) {
	tci := func(v, mask uint64) Match { return Match{UintMask(FieldVLANTCI, v, mask), Uint(FieldInPort, 1)} }
	in := Uint(FieldInPort, 1)
	for name, c := range map[string]struct{ in, want Match }{
		"whole":             {tci(0x7005, 0xffff), Match{in, Uint(FieldVLANVID, 0x1005), Uint(FieldVLANPCP, 3)}},
		"vid":               {tci(0x1005, 0x1fff), Match{in, Uint(FieldVLANVID, 0x1005)}},
		"no tag":            {tci(0, 0xffff), Match{in, Uint(FieldVLANVID, 0)}},
		"part of priority":  {tci(0x3000, 0x3000), tci(0x3000, 0x3000)},
		"priority, any tag": {tci(0x2000, 0xe000), tci(0x2000, 0xe000)},
		"never":             {tci(0x2000, 0xf000), tci(0x2000, 0xf000)}, // a priority and no tag
		"both spellings": {Match{Uint(FieldVLANTCI, 0x1005), Uint(FieldVLANVID, 0x1006)},
			Match{Uint(FieldVLANTCI, 0x1005), Uint(FieldVLANVID, 0x1006)}},
		"unsorted, twice": {Match{in, Uint(FieldReg(0), 1), in}, Match{Uint(FieldReg(0), 1), in}},
		"stray bits":      {Match{{Field: FieldReg(0), Value: [16]byte{1, 2}, Mask: [16]byte{0xff}}}, Match{UintMask(FieldReg(0), 1<<24, 0xff<<24)}},
		"nothing":         {Match{UintMask(FieldReg(0), 0, 0)}, nil},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, c.in.Normalize()) })
	}
}

// anyMatch draws a match of known fields, canonical.
func anyMatch(t *rapid.T) Match {
	var known []Field
	for class := range []uint16{0, 1, 2} {
		for n := uint8(0); n < 128; n++ {
			if f := FieldOf([]uint16{0, 1, classBasic}[class], n); f.Known() {
				known = append(known, f)
			}
		}
	}
	var fields []MatchField
	for _, f := range rapid.SliceOfNDistinct(rapid.SampledFrom(known), 0, 8, rapid.ID[Field]).Draw(t, "fields") {
		draw := func(what string) []byte { return rapid.SliceOfN(rapid.Byte(), f.Size(), f.Size()).Draw(t, what) }
		m := Bytes(f, draw("value"))
		if rapid.Bool().Draw(t, "masked") {
			m = BytesMask(f, m.Value[:], draw("mask"))
		}
		full := f.info().full
		for i := range m.Mask {
			m.Mask[i] &= full[i]
			m.Value[i] &= m.Mask[i]
		}
		fields = append(fields, m)
	}
	m, err := NewMatch(fields...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestMatchesComeBackAndKeysTellThemApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyMatch(t), anyMatch(t)
		wire, err := a.append(nil)
		require.NoError(t, err)
		require.Zero(t, len(wire)%8)
		back, rest, err := decodeMatch(wire)
		require.NoError(t, err)
		require.Empty(t, rest)
		require.Equal(t, a, back)
		require.Equal(t, a.Equal(b), string(a.AppendKey(nil)) == string(b.AppendKey(nil)))
	})
}

func TestFieldsHaveTheWidthsOfTheSpecification(t *testing.T) {
	require.Equal(t, 4, FieldIPv6Label.Size(), "OXM_OF_IPV6_FLABEL has four bytes for 20 bits")
	require.Equal(t, 20, FieldIPv6Label.Bits())
	label := Uint(FieldIPv6Label, 0xfabcde)
	require.Equal(t, []byte{0, 0x0a, 0xbc, 0xde}, label.Value[:4])
	require.True(t, Uint(FieldIPv6Label, 1).Exact())
	require.True(t, Bytes(FieldIPv6Src, make([]byte, 16)).Exact())
	require.False(t, UintMask(FieldVLANVID, 0, 0x1000).Exact())
	require.True(t, Uint(FieldVLANVID, 5).Exact())
	require.False(t, FieldOf(0xffff, 1).Known())
	require.Equal(t, "field_8000_34", FieldOf(0x8000, 34).String())
	require.Equal(t, uint16(0x8000), FieldOf(0x8000, 34).Class())
}
