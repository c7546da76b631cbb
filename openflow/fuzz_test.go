package openflow

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Whatever decodes can be encoded, and decodes again to the same.
func FuzzDecode(f *testing.F) {
	for _, m := range samples {
		b, err := Append(nil, 42, m)
		require.NoError(f, err)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= HeaderLen && len(b) <= MaxMessageLen {
			be.PutUint16(b[2:], uint16(len(b))) // or hardly an input gets past the header
		}
		xid, m, err := Decode(b)
		if err != nil {
			require.ErrorIs(t, err, ErrMalformed)
			require.Nil(t, m)
			return
		}
		again, err := Append(nil, xid, m)
		require.NoError(t, err, "%x", b)
		xid2, m2, err := Decode(again)
		require.NoError(t, err, "%x", again)
		require.Equal(t, xid, xid2)
		require.Equal(t, m, m2)
	})
}

func FuzzMatch(f *testing.F) {
	for _, m := range append([]Match{sampleMatch}, values(matchCases())...) {
		b, err := m.append(nil)
		require.NoError(f, err)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, _, err := decodeMatch(b)
		if err != nil {
			return
		}
		checked, err := NewMatch(m...)
		require.NoError(t, err)
		require.Equal(t, m, checked, "decoded matches are canonical")
		again, err := m.append(nil)
		require.NoError(t, err)
		m2, rest, err := decodeMatch(again)
		require.NoError(t, err)
		require.Empty(t, rest)
		require.Equal(t, m, m2)
		require.Equal(t, m.AppendKey(nil), m2.AppendKey(nil))
		n := m.Normalize()
		require.Equal(t, n, n.Normalize())
		_ = m.String()
	})
}

func values[K comparable, V any](m map[K]V) (vs []V) {
	for _, v := range m {
		vs = append(vs, v)
	}
	return vs
}
