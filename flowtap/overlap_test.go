package flowtap

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/flowtap/flowtap/topology"
)

func TestOverlapIsACommonFrame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := aTap.Draw(t, "a"), aTap.Draw(t, "b")
		d, w, ok := Overlap(a, b)
		out, in := cubesMeet(a.Cubes(Out), b.Cubes(Out)), cubesMeet(a.Cubes(In), b.Cubes(In))
		require.Equal(t, out || in, ok, "%s", w)
		if ok {
			require.Equal(t, out, d == Out)
		}
		b.Priority++
		_, _, ok = Overlap(a, b)
		require.False(t, ok, "other priorities do not overlap")
	})
}

// readWitness reads a frame's description as ovs-ofctl does, where tcp, udp and sctp are over IPv4.
func readWitness(t require.TestingT, text string) *form {
	require.NotContains(t, text, toPortKey)
	words := strings.Split(text, ",")
	if slices.Contains([]string{"tcp", "udp", "sctp"}, words[0]) {
		words = append(words, "ip")
	}
	f, err := parseText(strings.Join(words, ","))
	require.NoError(t, err, "%s", text)
	return f
}

// framesOf draws frames that a witness describes: what it says nothing of is as it comes.
func framesOf(t *rapid.T, w Witness) []Frame {
	form := readWitness(t, w.String())
	for _, x := range portFields {
		p := form.ports[x-fieldPortSrc]
		require.True(t, p == allPorts || p.first == p.last, "%s: one value a field", w)
	}
	for x := range numFields {
		require.True(t, form.cons[x].mask.zero() || form.cons[x].mask == x.full(), "%s: one value a field", w)
	}
	frames := append(someFrames(t, form.match()), form.frame())
	for i := range frames {
		f := &frames[i]
		if to := w.To(); to != "" {
			f.ToPort = to
			if f.InPort == to {
				f.InPort = "elsewhere"
			}
		}
	}
	frames = slices.DeleteFunc(frames, func(f Frame) bool { return !form.matches(&f) })
	require.NotEmpty(t, frames, "%s", w)
	return frames
}

// at is the frame as a stage of target web sees it.
func (f Frame) at(d Direction) Frame {
	own, other := &f.InPort, &f.ToPort
	if d == In {
		own, other = other, own
	}
	*own = "web"
	if *other == "web" {
		*other = "elsewhere" // no frame goes back
	}
	f.Table = d
	return f
}

// concerns is what a contract is after, said in the plainest way.
func (t Tap) concerns(d Direction, f Frame) bool {
	switch stage := t.Match.form().stage; {
	case stage != "" || t.Direction != Both:
		return (t.Direction == Both || t.Direction == d) && t.Match.Matches(f)
	}
	return t.Match.Matches(f) || t.Match.Matches(f.reversed())
}

// A witness is a frame that both contracts are after; where there is none, no frame that one of
// them is after is the other's.
func TestWitnessesAreTrue(t *testing.T) {
	overlapping, apart, towards := 0, 0, 0
	rapid.Check(t, func(t *rapid.T) {
		a, b := aTap.Draw(t, "a"), aTap.Draw(t, "b")
		if named, err := ParseMatch(a.Match.String() + "; in_port=db"); err == nil && rapid.Bool().Draw(t, "named") {
			a.Match, a.Direction = named, Both // whose replies must go to db
		}
		d, w, ok := Overlap(a, b)
		if ok {
			overlapping++
			if w.To() != "" {
				towards++
			}
			for _, f := range framesOf(t, w) {
				f = f.at(d)
				require.True(t, a.concerns(d, f) && b.concerns(d, f), "%+v and %+v: %s %s: %+v", a, b, d, w, f)
			}
			return
		}
		apart++
		for _, f := range append(someFrames(t, a.Match), someFrames(t, b.Match)...) {
			for _, d := range stages {
				for _, f := range []Frame{f.at(d), f.reversed().at(d)} {
					require.False(t, a.concerns(d, f) && b.concerns(d, f), "%+v and %+v: %s: %+v", a, b, d, f)
				}
			}
		}
	})
	t.Logf("%d overlapped, %d of these by the port that frames go to, %d did not", overlapping, towards, apart)
	require.NotZero(t, towards)
	require.NotZero(t, apart)
}

// A frame that must go to a port is described by that port's address.
func TestWitnessTowardsAPort(t *testing.T) {
	read := func(text string, d Direction) Tap {
		m, err := ParseMatch(text)
		require.NoError(t, err)
		return Tap{Src: "web", Match: m, Direction: d}
	}
	mac := topology.MAC{2, 0, 0, 0, 0, 9}
	for _, c := range []struct{ match, want string }{
		{"in_port=db", "dl_dst=02:00:00:00:00:09"},
		{"in_port=db,tcp,tp_src=80", "tcp,dl_dst=02:00:00:00:00:09,tp_dst=80"},
		{"in_port=db,dl_src=02:00:00:00:00:08/ff:ff:ff:ff:ff:f8", "dl_dst=02:00:00:00:00:09"},
		{"in_port=db,dl_src=02:00:00:00:00:01", "dl_dst=02:00:00:00:00:01"},
	} {
		d, w, ok := Overlap(read(c.match, Both), read("", Out))
		require.True(t, ok)
		require.Equal(t, Out, d)
		require.Equal(t, "db", w.To())
		require.Equal(t, c.want, w.Towards(mac))
		require.NotContains(t, w.String(), "db")
	}
	require.Empty(t, Witness{}.String())
	require.Empty(t, Witness{}.To())
}

func TestFirstMasked(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Ends near each other and masks of few bits meet and miss alike.
		first := rapid.Uint16().Draw(t, "first")
		last := uint16(min(int(first)+rapid.IntRange(0, 600).Draw(t, "length"), 0xffff))
		mask := rapid.Uint16().Draw(t, "mask") & rapid.Uint16().Draw(t, "of")
		value := rapid.Uint16().Draw(t, "value") & mask
		got, ok := firstMasked(first, last, value, mask)
		for v := int(first); v <= int(last); v++ {
			if uint16(v)&mask == value {
				require.True(t, ok)
				require.Equal(t, uint16(v), got)
				return
			}
		}
		require.False(t, ok, "%d", got)
	})
}

// The index finds an overlap where comparing pair by pair finds one, through changes of its content.
func TestOverlapIndexIsOverlap(t *testing.T) {
	found, none := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		var x OverlapIndex
		taps := map[string]Tap{}
		aTapOf := func(label string) Tap {
			tap := aTap.Draw(t, label)
			tap.Priority = rapid.IntRange(1, 2).Draw(t, "priority")
			return tap
		}
		// A crowd, so that values are looked up and not only compared.
		crowd := rapid.SampledFrom([]string{
			"tcp,nw_src=10.0.0.%[2]d,tp_dst=%[1]d", "udp,tp_dst=%[1]d-%[3]d", "nw_src=10.0.%[1]d.0/24", "nw_src=10.0.%[1]d.0/2%[2]d",
			"sctp,tp_dst=%[1]d/0xfeff", "sctp,tp_dst=%[1]d",
		}).Draw(t, "crowd")
		member := func(i int) Tap {
			m, err := ParseMatch(fmt.Sprintf(crowd, i, i%5, i+1))
			require.NoError(t, err)
			return Tap{Src: "web", Match: m, Direction: rapid.SampledFrom([]Direction{In, Out}).Draw(t, "direction"), Priority: 1}
		}
		for i := range rapid.SampledFrom([]int{0, smallGroup, 4 * smallGroup}).Draw(t, "size") {
			id := fmt.Sprint("crowd-", i)
			taps[id] = member(i)
			x.Put(id, taps[id])
		}
		for range rapid.IntRange(1, 30).Draw(t, "changes") {
			id := fmt.Sprint(rapid.SampledFrom([]string{"t", "crowd-"}).Draw(t, "kind"), rapid.IntRange(0, 8).Draw(t, "id"))
			if was, ok := taps[id]; ok {
				x.Remove(id, was)
				delete(taps, id)
			}
			if rapid.IntRange(0, 3).Draw(t, "stays") > 0 {
				taps[id] = aTapOf("tap")
				x.Put(id, taps[id])
			}
		}
		x.Remove("nobody", aTapOf("stranger"))
		for range 3 {
			tap := aTapOf("new")
			if rapid.Bool().Draw(t, "of the crowd") {
				tap = member(rapid.IntRange(0, 4*smallGroup+1).Draw(t, "member"))
			}
			except := rapid.SampledFrom([]string{"", "t1", "crowd-1"}).Draw(t, "except")
			want := false
			for id, o := range taps {
				_, _, yes := Overlap(tap, o)
				want = want || yes && id != except
			}
			id, d, w, ok := x.Overlap(tap, except)
			require.Equal(t, want, ok, "%+v", tap)
			if !ok {
				none++
				continue
			}
			found++
			require.NotEqual(t, except, id)
			wantDir, _, yes := Overlap(tap, taps[id])
			require.True(t, yes, "%s", id)
			require.True(t, d == wantDir || d == In, "out comes first")
			require.NotEmpty(t, w.String())
		}
		for id, tap := range taps {
			x.Remove(id, tap)
		}
		require.Empty(t, x.sets, "nothing is left of what was removed")
	})
	t.Logf("%d found, %d none", found, none)
	require.NotZero(t, found)
	require.NotZero(t, none)
}

// What has a prefix in common with a crowd of others is found, whichever of the two is longer.
func TestOverlapIndexComparesPrefixes(t *testing.T) {
	var x OverlapIndex
	tap := func(match string) Tap {
		m, err := ParseMatch(match)
		require.NoError(t, err)
		return Tap{Src: "web", Match: m, Direction: In}
	}
	for i := range 2 * smallGroup {
		x.Put(fmt.Sprint("t", i), tap(fmt.Sprintf("nw_src=10.0.%d.0/24", i)))
	}
	for match, want := range map[string]string{"nw_src=10.0.7.128/25": "t7", "nw_src=10.0.7.9": "t7", "nw_src=10.0.200.0/24": "", "nw_src=10.0.8.0/21,tcp": "t8"} {
		id, _, _, ok := x.Overlap(tap(match), "")
		require.Equal(t, want != "", ok, match)
		require.Equal(t, want, id, match)
	}
}
