package openflow

import (
	"reflect"
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

// A long answer comes in parts, which a hostile switch cuts and mixes as it likes. Whatever is joined is
// the parts' lists one after the other, and is said in one message where it fits.
func FuzzReassembly(f *testing.F) {
	for _, a := range samples {
		if a, ok := a.(*MultipartReply); ok {
			f.Add(append(multipartPart(f, a), multipartPart(f, a)...))
			for _, b := range []Message{samples["port-desc"], samples["table-stats"], samples["flow-stats"]} {
				f.Add(append(multipartPart(f, a), multipartPart(f, b.(*MultipartReply))...))
			}
		}
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		var parts []*MultipartReply
		for len(stream) >= 2 {
			n := min(int(be.Uint16(stream)), len(stream)-2, MaxMessageLen-HeaderLen)
			_, m, err := Decode(message(TypeMultipartReply, stream[2:2+n]))
			stream = stream[2+n:]
			if err != nil {
				require.ErrorIs(t, err, ErrMalformed)
				continue
			}
			parts = append(parts, m.(*MultipartReply))
		}
		whole, err := JoinReplies(parts)
		if err != nil {
			require.ErrorIs(t, err, ErrMalformed)
			require.Nil(t, whole)
			return
		}
		elements := 0
		for _, p := range parts {
			require.Equal(t, whole.Kind(), p.Body.Kind())
			elements += bodyLen(p.Body)
		}
		require.Equal(t, elements, bodyLen(whole))
		b, err := Append(nil, 7, &MultipartReply{Body: whole})
		if err != nil {
			return // too long for one message
		}
		_, again, err := Decode(b)
		require.NoError(t, err)
		if elements > 0 {
			require.Equal(t, whole, again.(*MultipartReply).Body)
		}
	})
}

// multipartPart is a body of FuzzReassembly, with its length in front.
func multipartPart(t testing.TB, m *MultipartReply) []byte {
	b, err := Append(nil, 7, m)
	require.NoError(t, err)
	return append(be.AppendUint16(nil, uint16(len(b)-HeaderLen)), b[HeaderLen:]...)
}

// bodyLen is how many elements a body's list has; 1 for a body that is none.
func bodyLen(b MultipartBody) int {
	v := reflect.ValueOf(b)
	if raw, ok := b.(RawMultipart); ok {
		v = reflect.ValueOf(raw.Data)
	}
	if v.Kind() != reflect.Slice {
		return 1
	}
	return v.Len()
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
