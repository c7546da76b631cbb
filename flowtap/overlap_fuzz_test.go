package flowtap

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzOverlap: where two flows overlap, the witness is a frame that both have; where they do not, no cube of
// one meets a cube of the other. The index that the store's checks use says the same.
func FuzzOverlap(f *testing.F) {
	inputs := caseInputs(f)
	for i, in := range inputs {
		f.Add(in, inputs[(i+1)%len(inputs)])
		f.Add(in, "tcp,tp_dst=80")
	}
	f.Fuzz(func(t *testing.T, one, other string) {
		a, errA := parseEither(one)
		b, errB := parseEither(other)
		if errA != nil || errB != nil {
			return
		}
		w, ok := Intersect(a, b)
		_, turned := Intersect(b, a)
		require.Equal(t, ok, turned, "%q and %q, and the other way round", a, b)
		taps := [2]Tap{{Src: "web", Match: a, Direction: Out}, {Src: "web", Match: b, Direction: Out}}
		var index OverlapIndex
		index.Put("a", taps[0])
		_, _, _, indexed := index.Overlap(taps[1], "")
		_, _, overlap := Overlap(taps[0], taps[1])
		require.Equal(t, overlap, indexed, "%q and %q", a, b)
		if ok {
			read := readWitness(t, w.String())
			frame := read.frame()
			require.True(t, a.Matches(frame) && b.Matches(frame), "%q and %q: %s: %+v", a, b, w, frame)
			require.True(t, inAny(a.Cubes(), frame) && inAny(b.Cubes(), frame), "%q and %q: %s: %+v", a, b, w, frame)
			return
		}
		ca, cb := a.Cubes(), b.Cubes()
		if len(ca)*len(cb) <= 1<<12 { // more take long, and are no different
			require.False(t, cubesMeet(ca, cb), "%q and %q", a, b)
		}
	})
}

// The most cubes, which become flow entries, that one contract can ask of a switch: two ranges of ports, both
// families and a part of the VLAN priority.
func TestCubesAreBounded(t *testing.T) {
	m, err := ParseMatch("nw_proto=TCP; tp_src=1-65534; tp_dst=1-65534; vlan_tci=0x0000/0x2000; ip_frag=not_later")
	require.NoError(t, err)
	require.Len(t, m.Cubes(), 2*30*30*5)
}
