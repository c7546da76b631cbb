package flowtap

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/flowtap/flowtap/openflow"
)

func TestCanonicalTextReadsBackToTheSameMatch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := aMatch.Draw(t, "match")
		again, err := ParseMatch(m.String())
		require.NoError(t, err)
		require.Equal(t, m, again)
		raw, err := json.Marshal(m)
		require.NoError(t, err)
		var fromJSON Match
		require.NoError(t, json.Unmarshal(raw, &fromJSON))
		require.Equal(t, m, fromJSON)
	})
}

func TestOrderOfFieldsDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := aMatch.Draw(t, "match")
		words := rapid.Permutation(strings.Split(m.String(), "; ")).Draw(t, "order")
		again, err := ParseMatch(strings.Join(words, "\n"))
		require.NoError(t, err)
		require.Equal(t, m, again)
	})
}

func TestFrameHasTheFlowWhenItIsInACube(t *testing.T) {
	hits := 0
	rapid.Check(t, func(t *rapid.T) {
		m := aMatch.Draw(t, "match")
		cubes := m.Cubes()
		for _, f := range someFrames(t, m) {
			if m.Matches(f) {
				hits++
			}
			require.Equal(t, m.Matches(f), inAny(cubes, f), "%s: %+v", m, f)
		}
	})
	require.NotZero(t, hits)
	t.Logf("%d frames had the flow", hits)
}

// someFrames draws frames of which many are close to the match: each field from a frame that has
// the flow or from any other.
func someFrames(t *rapid.T, m Match) []Frame {
	frames := rapid.SliceOfN(aFrame, 1, 8).Draw(t, "frames")
	hit := reflect.ValueOf(m.form().frame())
	for i := range frames {
		f := reflect.ValueOf(&frames[i]).Elem()
		strange := rapid.IntRange(0, f.NumField()).Draw(t, "strange")
		for j := range f.NumField() {
			if rapid.IntRange(0, f.NumField()).Draw(t, "own") >= strange {
				f.Field(j).Set(hit.Field(j))
			}
		}
		frames[i].keepFamily(someIPv4, someIPv6)
	}
	return frames
}

// keepFamily makes the addresses those of the frame's type.
func (f *Frame) keepFamily(v4, v6 []string) {
	for _, a := range []*netip.Addr{&f.IPSrc, &f.IPDst} {
		switch {
		case f.EthType == typeIPv6 && !a.Is6():
			*a = netip.MustParseAddr(v6[0])
		case f.EthType != typeIPv6 && !a.Is4():
			*a = netip.MustParseAddr(v4[0])
		}
	}
	if f.InPort == f.ToPort {
		f.ToPort = "elsewhere"
	}
}

func TestCubesAreSortedAndHaveNoEmptyFields(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		for _, c := range aMatch.Draw(t, "match").Cubes() {
			require.True(t, slices.IsSortedFunc(c.Fields, func(a, b openflow.MatchField) int { return int(a.Field) - int(b.Field) }))
			for i, f := range c.Fields {
				require.NotEqual(t, [16]byte{}, f.Mask, "%s", f.Field)
				require.True(t, i == 0 || c.Fields[i-1].Field != f.Field, "%s twice", f.Field)
				for j := range f.Value {
					require.Zero(t, f.Value[j]&^f.Mask[j])
				}
			}
		}
	})
}

func TestReverseExchangesSourceAndDestination(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := aMatch.Draw(t, "match")
		require.Equal(t, m, m.Reverse().Reverse())
		for _, f := range someFrames(t, m) {
			require.Equal(t, m.Matches(f), m.Reverse().Matches(f.reversed()), "%s: %+v", m, f)
		}
	})
}

func TestIntersectIsExact(t *testing.T) {
	meet, apart := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		a, b := aMatch.Draw(t, "a"), aMatch.Draw(t, "b")
		if rapid.Bool().Draw(t, "reversed") {
			b = b.Reverse()
		}
		w, ok := Intersect(a, b)
		if ok {
			meet++
		} else {
			apart++
		}
		require.Equal(t, cubesMeet(a.Cubes(), b.Cubes()), ok, "%s against %s: %s", a, b, w)
		for _, f := range rapid.SliceOfN(aFrame, 1, 4).Draw(t, "frames") {
			if a.Matches(f) && b.Matches(f) {
				require.True(t, ok, "%s against %s: %+v", a, b, f)
			}
		}
		if !ok {
			return
		}
		require.Equal(t, w.To(), w.form.toPort)
		for _, f := range framesOf(t, w) {
			require.True(t, a.Matches(f) && b.Matches(f), "%s against %s: witness %s is no witness: %+v", a, b, w, f)
		}
	})
	t.Logf("%d met, %d did not", meet, apart)
	require.NotZero(t, meet)
	require.NotZero(t, apart)
}

// cubesMeet is Intersect by another way: two lists of cubes have a frame in common when two of
// their cubes agree in every bit that both fix, and no later fragment is asked for its ports.
func cubesMeet(as, bs []Cube) bool {
	for _, a := range as {
		for _, b := range bs {
			if namesMeet(a, b) && fieldsMeet(a.Fields, b.Fields) {
				return true
			}
		}
	}
	return false
}

func namesMeet(a, b Cube) bool {
	in, to, at := a.InPort, a.ToPort, a.Table
	return mergeName(&in, b.InPort) && mergeName(&to, b.ToPort) && mergeName(&at, b.Table) && (in == "" || in != to)
}

func fieldsMeet(a, b openflow.Match) bool {
	both := map[openflow.Field]openflow.MatchField{}
	for _, f := range append(append(openflow.Match{}, a...), b...) {
		g := both[f.Field]
		for i := range f.Mask {
			if m := f.Mask[i] & g.Mask[i]; f.Value[i]&m != g.Value[i]&m {
				return false
			}
			f.Mask[i] |= g.Mask[i]
			f.Value[i] |= g.Value[i]
		}
		both[f.Field] = f
	}
	if both[openflow.FieldIPFrag].Value[0]&2 == 0 {
		return true
	}
	for f := range both {
		if f >= openflow.FieldTCPSrc && f <= openflow.FieldICMPCode || f == openflow.FieldICMPv6Type || f == openflow.FieldICMPv6Code {
			return false
		}
	}
	return true
}

// aTap draws a contract of target web.
var aTap = rapid.Custom(func(t *rapid.T) Tap {
	tap := Tap{
		Src: "web", Dst: "ids1", Action: Forward, Priority: 100, Enabled: true, FailMode: FailClosed,
		Match: aMatch.Draw(t, "match"), Direction: rapid.SampledFrom([]Direction{In, Out, Both}).Draw(t, "direction"),
	}
	if tap.Validate() != nil { // table against direction
		tap.Direction = Both
	}
	return tap
})

func TestTapConcernsTheFramesOfItsDirection(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tap := aTap.Draw(t, "tap")
		for _, f := range someFrames(t, tap.Match) {
			for _, d := range []Direction{In, Out} {
				f := f
				f.Table = d
				if d == In {
					f.ToPort, f.InPort = "web", rapid.SampledFrom([]string{"db", "ids1"}).Draw(t, "from")
				} else {
					f.InPort, f.ToPort = "web", rapid.SampledFrom([]string{"db", "ids1"}).Draw(t, "to")
				}
				back := f.reversed()
				want := tap.Match.Matches(f)
				if stage := tap.Match.form().stage; stage == "" && tap.Direction == Both {
					want = want || tap.Match.Matches(back)
				} else {
					want = want && (tap.Direction == Both || tap.Direction == d)
				}
				require.Equal(t, want, inAny(tap.Cubes(d), f), "%s %s %s: %+v", tap.Direction, tap.Match, d, f)
			}
		}
	})
}

// frame makes a frame of a form: the lowest value of everything.
func (f *form) frame() Frame {
	v := func(x field) uint64 { return f.cons[x].value.lo }
	mac := func(x field) (m [6]byte) {
		b := f.cons[x].value.bytes16()
		copy(m[:], b[10:])
		return m
	}
	a := func(x field) [16]byte { return f.cons[x].value.bytes16() }
	out := Frame{
		InPort: f.inPort, ToPort: f.toPort, Table: f.stage, TCI: uint16(v(fieldTCI)),
		EthSrc: mac(fieldEthSrc), EthDst: mac(fieldEthDst), EthType: uint16(f.etherTypes()[0].value.lo),
		Proto: uint8(v(fieldProto)), TOS: uint8(v(fieldDSCP)<<2 | v(fieldECN)), TTL: uint8(v(fieldTTL)),
		Label: uint32(v(fieldIPv6Label)), ICMPType: uint8(f.icmpTypes()[0].value.lo), ICMPCode: uint8(v(fieldICMPCode)),
		NDTarget: addr6(a(fieldNDTarget)), NDSLL: mac(fieldNDSLL), NDTLL: mac(fieldNDTLL),
		ARPOp: uint16(v(fieldARPOp)), ARPSHA: mac(fieldARPSHA), ARPTHA: mac(fieldARPTHA),
		ARPSPA: addr4(a(fieldARPSPA)), ARPTPA: addr4(a(fieldARPTPA)),
		TunID: v(fieldTunID), TunSrc: addr4(a(fieldTunSrc)), TunDst: addr4(a(fieldTunDst)), Metadata: v(fieldMetadata),
	}
	out.SrcPort, _ = f.firstPort(fieldPortSrc)
	out.DstPort, _ = f.firstPort(fieldPortDst)
	out.IPSrc, out.IPDst = addr4(a(fieldIPSrc)), addr4(a(fieldIPDst))
	if !f.has(fieldEthType) && out.EthType == 0 {
		out.EthType = typeIPv4
	}
	if out.EthType == typeIPv6 {
		out.IPSrc, out.IPDst = addr6(a(fieldIPv6Src)), addr6(a(fieldIPv6Dst))
	}
	for i := range out.Regs {
		out.Regs[i] = uint32(v(fieldReg8 + field(i)))
	}
	if f.has(fieldFrag) {
		out.Fragment = map[fragSet]Fragment{fragNo: NoFragment, fragFirst: FirstFragment, fragLater: LaterFragment}[f.frags&-f.frags]
	}
	return out
}
