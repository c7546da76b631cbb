package flowset

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/flowtap/flowtap/openflow"
)

// Few keys, cookies and actions, so that sets overlap often.
func genSet(t *rapid.T, name string) *Set {
	var s Set
	for range rapid.IntRange(0, 12).Draw(t, name+" flows") {
		s.PutFlow(genFlow(t, name))
	}
	for range rapid.IntRange(0, 5).Draw(t, name+" groups") {
		s.PutGroup(openflow.Group{
			ID:      openflow.GroupID(rapid.IntRange(1, 5).Draw(t, "group")),
			Type:    openflow.GroupType(rapid.IntRange(0, 1).Draw(t, "type")),
			Buckets: []openflow.Bucket{{Actions: genActions(t)}},
		})
	}
	for range rapid.IntRange(0, 5).Draw(t, name+" meters") {
		s.PutMeter(openflow.Meter{
			ID:    uint32(rapid.IntRange(1, 5).Draw(t, "meter")),
			Flags: openflow.MeterKBPS << rapid.IntRange(0, 1).Draw(t, "unit"),
			Bands: []openflow.MeterBand{{Type: openflow.BandDrop, Rate: uint32(rapid.IntRange(1, 2).Draw(t, "rate"))}},
		})
	}
	return &s
}

func genFlow(t *rapid.T, name string) openflow.Flow {
	f := openflow.Flow{
		Table:    openflow.TableID(rapid.IntRange(0, 2).Draw(t, name+" table")),
		Priority: uint16(rapid.IntRange(1, 2).Draw(t, "priority")),
		Cookie:   uint64(rapid.IntRange(0, 1).Draw(t, "cookie")),
		Goto:     openflow.TableID(rapid.SampledFrom([]int{0, 9}).Draw(t, "goto")),
		Apply:    genActions(t),
	}
	if port := rapid.IntRange(0, 2).Draw(t, "in_port"); port > 0 {
		f.Match = openflow.Match{openflow.Uint(openflow.FieldInPort, uint64(port))}
	}
	return f
}

func genActions(t *rapid.T) []openflow.Action {
	return rapid.SliceOfN(rapid.SampledFrom([]openflow.Action{
		openflow.Output{Port: 1}, openflow.Output{Port: 2}, openflow.Set(openflow.FieldReg(0), 1),
		openflow.Clone{Actions: []openflow.Action{openflow.Output{Port: 1}}}, openflow.Clone{},
		openflow.RawAction{Bytes: []byte{1}}, openflow.RawAction{Bytes: []byte{2}},
	}), 0, 2).Draw(t, "actions")
}

func TestDiffAppliedToHaveGivesWant(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		have, want := genSet(t, "have"), genSet(t, "want")
		c := Diff(have, want)
		got := have.Clone()
		require.NoError(t, got.Apply(c))
		require.True(t, got.Equal(want))
		again := Diff(got, want)
		require.True(t, again.Empty(), "a second Diff finds nothing: %+v", again)
		self := Diff(have, have)
		require.True(t, self.Empty())
		require.Equal(t, have.Equal(want), c.Empty())
		require.Equal(t, c, Diff(have.Clone(), want.Clone()), "the order never changes")
		all := slices.Concat(c.Before(), c.Messages(), c.After())
		require.Len(t, all, c.Len())
		for i, m := range all {
			_, meter := m.(*openflow.MeterMod)
			require.Equal(t, i < len(c.Before()) || i >= len(all)-len(c.After()), meter, "meters are never in the bundle, all else is")
		}
	})
}

func TestDiffKeysAgreesWithDiff(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		have, want := genSet(t, "have"), genSet(t, "want")
		var keys []Key
		var groups []openflow.GroupID
		var meters []uint32
		for _, s := range []*Set{have, want, want} {
			for k := range s.AllFlows() {
				keys = append(keys, k)
			}
			for _, g := range s.Groups() {
				groups = append(groups, g.ID)
			}
			for _, m := range s.Meters() {
				meters = append(meters, m.ID)
			}
		}
		require.Equal(t, Diff(have, want), DiffKeys(have, want, keys, groups, meters...))
	})
}

func TestDiffKeysLooksAtNothingElse(t *testing.T) {
	var have, want Set
	f := openflow.Flow{Table: 1}
	want.PutFlow(f)
	want.PutFlow(openflow.Flow{Table: 2})
	want.PutGroup(openflow.Group{ID: 3})
	c := DiffKeys(&have, &want, []Key{KeyOf(&f)}, nil)
	assert.Equal(t, Changes{FlowAdd: []openflow.Flow{f}}, c)
}

func TestZeroSet(t *testing.T) {
	var s Set
	s.DeleteFlow(Key{})
	s.DeleteGroup(1)
	_, ok := s.Flow(Key{})
	assert.False(t, ok)
	assert.Empty(t, s.Flows())
	c := s.Clone()
	c.PutGroup(openflow.Group{ID: 1})
	_, ok = s.Group(1)
	assert.False(t, ok, "a clone is on its own")
}

func TestApplyRefusesChangesForAnotherSet(t *testing.T) {
	var s Set
	g := []openflow.Group{{ID: 1}}
	assert.Error(t, s.Clone().Apply(Changes{GroupModify: g}))
	m := []openflow.Meter{{ID: 1}}
	assert.Error(t, s.Clone().Apply(Changes{MeterModify: m}))
	require.NoError(t, s.Apply(Changes{MeterAdd: m}))
	assert.Error(t, s.Apply(Changes{MeterAdd: m}))
	assert.Error(t, s.Clone().Apply(Changes{FlowModify: []openflow.Flow{{}}}))
	s.PutGroup(g[0])
	assert.Error(t, s.Apply(Changes{GroupAdd: g}))
}

func TestRawActionsDoNotPanic(t *testing.T) {
	raw := func(b byte) []openflow.Action { return []openflow.Action{openflow.RawAction{Bytes: []byte{b}}} }
	same := openflow.SameActions
	assert.True(t, same(raw(1), raw(1)))
	assert.False(t, same(raw(1), raw(2)))
	assert.False(t, same([]openflow.Action{openflow.PopVLAN{}}, raw(2)))
}

func bigSet(n int) *Set {
	var s Set
	for i := range n {
		s.PutFlow(openflow.Flow{
			Table: openflow.TableID(i % 8), Priority: 100, Cookie: uint64(i),
			Match: openflow.Match{
				openflow.Uint(openflow.FieldEthDst, 0x020000000000+uint64(i)), openflow.Uint(openflow.FieldReg(0), 7)},
			Apply: []openflow.Action{openflow.Set(openflow.FieldReg(1), 1), openflow.Output{Port: openflow.PortNo(i)}},
		})
	}
	return &s
}

func BenchmarkDiff10000FlowsOneChange(b *testing.B) {
	have, want := bigSet(10_000), bigSet(10_000)
	f := want.Flows()[5000]
	f.Apply = nil
	want.PutFlow(f)
	for b.Loop() {
		if c := Diff(have, want); len(c.FlowModify) != 1 {
			b.Fatal(c)
		}
	}
}

func BenchmarkDiffKeysOneChangeOf10000(b *testing.B) {
	have, want := bigSet(10_000), bigSet(10_000)
	f := want.Flows()[5000]
	f.Apply = nil
	want.PutFlow(f)
	keys := []Key{KeyOf(&f)}
	for b.Loop() {
		if c := DiffKeys(have, want, keys, nil); len(c.FlowModify) != 1 {
			b.Fatal(c)
		}
	}
}
