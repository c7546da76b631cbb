package ofsim

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/flowset"
)

type (
	actions = []openflow.Action
	match   = openflow.Match
)

var (
	out  = func(p openflow.PortNo) openflow.Action { return openflow.Output{Port: p} }
	hey  = Frame{Dst: [6]byte{2, 0, 0, 0, 0, 1}, Src: [6]byte{2, 0, 0, 0, 0, 2}, EtherType: 0x88b6, Payload: make([]byte, 46)}.Bytes()
	from = func(p int) match { return match{openflow.Uint(openflow.FieldInPort, uint64(p))} }
)

const tun = 10

// fabric is two switches with ports 1 to 3 and a tunnel port each; addresses are 172.16.0.1 and 2.
func fabric(t *testing.T, flows ...[]openflow.Flow) *Fabric {
	t.Helper()
	var f Fabric
	for i, fl := range flows {
		s := NewSwitch(openflow.DPID(i + 1))
		for p := range openflow.PortNo(3) {
			s.AddPort(p+1, "")
		}
		f.AddSwitch(s)
		require.NoError(t, f.AddTunnel(s.DPID(), tun, address(i+1)))
		require.NoError(t, s.Apply(flowset.Changes{FlowAdd: fl}))
	}
	return &f
}

func address(i int) netip.Addr { return netip.AddrFrom4([4]byte{172, 16, 0, byte(i)}) }

func to(i int) openflow.Action { return openflow.Set(openflow.FieldTunDst, 0xac100000+uint64(i)) }

func TestAFrameCrossesATunnelWithItsIDAndNothingElse(t *testing.T) {
	f := fabric(t,
		[]openflow.Flow{{Match: from(1), Apply: actions{
			openflow.Set(openflow.FieldReg(3), 7), openflow.Set(openflow.FieldMetadata, 7),
			openflow.Set(openflow.FieldTunnelID, 0xff000005), to(2), out(tun), out(2)}}},
		[]openflow.Flow{{Cookie: 9, Priority: 2, Apply: actions{out(3)}, Match: match{
			openflow.Uint(openflow.FieldInPort, tun), openflow.Uint(openflow.FieldTunnelID, 5),
			openflow.Uint(openflow.FieldTunSrc, 0xac100001), openflow.Uint(openflow.FieldTunDst, 0xac100002),
			openflow.Uint(openflow.FieldReg(3), 0), openflow.Uint(openflow.FieldMetadata, 0)}}})
	r, err := f.Inject(1, 1, hey)
	require.NoError(t, err)
	assert.Equal(t, []Delivery{{DPID: 1, Port: 2, Frame: hey}, {DPID: 2, Port: 3, Frame: hey}}, r.Deliveries)
	assert.Empty(t, r.Lost)
	assert.Len(t, r.Hits(), 2)
}

func TestATunnelToNowhereLosesTheFrame(t *testing.T) {
	f := fabric(t, []openflow.Flow{{Match: from(1), Apply: actions{to(9), out(tun), to(1), out(tun)}}})
	r, err := f.Inject(1, 1, hey)
	require.NoError(t, err)
	assert.Empty(t, r.Deliveries)
	require.Len(t, r.Lost, 2, "no such address, and its own")
	assert.Equal(t, address(9), r.Lost[0].Tunnel.Dst)
}

// Open vSwitch looks up the route of a tunnel with the frame's pkt_mark, and its routes have mark 0.
func TestAMarkedFrameFindsNoTunnel(t *testing.T) {
	f := fabric(t, []openflow.Flow{{Apply: actions{openflow.Set(openflow.FieldPktMark, 1), to(2), out(tun)}}}, nil)
	r, err := f.Inject(1, 1, hey)
	require.NoError(t, err)
	assert.Len(t, r.Lost, 1)
	assert.NotContains(t, r.Trace(), "0000000000000002")
	assert.Contains(t, r.Trace(), "no route with pkt_mark 1")
}

func TestTwoSwitchesThatBounceAFrameAreALoop(t *testing.T) {
	back := func(i int) []openflow.Flow {
		return []openflow.Flow{{Apply: actions{openflow.Set(openflow.FieldInPort, 0), to(i), out(tun)}}}
	}
	f := fabric(t, back(2), back(1))
	_, err := f.Inject(1, 1, hey)
	assert.ErrorIs(t, err, ErrLoop)
}

func TestInPortSuppressesTheOutputOnlyUntilItIsCleared(t *testing.T) {
	f := fabric(t, []openflow.Flow{{Apply: actions{out(1), out(openflow.PortInPort), openflow.Set(openflow.FieldInPort, 0), out(1)}}})
	r, err := f.Inject(1, 1, hey)
	require.NoError(t, err)
	assert.Len(t, r.Deliveries, 2)
	assert.Contains(t, r.Trace(), "no output to in_port 1")
}

// Open vSwitch's OFPC_FRAG_NX_MATCH; `-ovs.scenarios 250 -ovs.seed 300` of TestAgainstOpenVSwitch meets it.
func TestPortsOfFragments(t *testing.T) {
	tcp := func(port uint64) match {
		return match{openflow.Uint(openflow.FieldEthType, 0x800), openflow.Uint(openflow.FieldIPProto, 6), openflow.Uint(openflow.FieldTCPDst, port)}
	}
	f := fabric(t, []openflow.Flow{{Match: tcp(80), Apply: actions{out(2)}}, {Match: tcp(0), Apply: actions{out(3)}}})
	frame := Frame{IPSrc: address(8), IPDst: address(9), Proto: 6, Payload: TCP(1, 80, 2, make([]byte, 20))}
	for name, c := range map[string]struct {
		more   bool
		offset uint16
		want   openflow.PortNo
	}{"whole": {false, 0, 2}, "first": {true, 0, 2}, "later": {true, 8, 3}, "last": {false, 8, 3}} {
		frame.More, frame.Fragment = c.more, c.offset
		r, err := f.Inject(1, 1, frame.Bytes())
		require.NoError(t, err)
		require.Len(t, r.Deliveries, 1)
		assert.Equal(t, c.want, r.Deliveries[0].Port, name)
	}
}

func TestPacketOut(t *testing.T) {
	f := fabric(t,
		[]openflow.Flow{{Match: from(1), Apply: actions{out(3)}}},
		[]openflow.Flow{{Cookie: 4, Apply: actions{openflow.Output{Port: openflow.PortController, MaxLen: 20}}}})
	r, err := f.PacketOut(1, 1, actions{out(openflow.PortTable)}, hey)
	require.NoError(t, err)
	assert.Equal(t, []Delivery{{DPID: 1, Port: 3, Frame: hey}}, r.Deliveries)

	r, err = f.PacketOut(1, openflow.PortController, actions{to(2), out(tun)}, hey)
	require.NoError(t, err)
	require.Len(t, r.PacketIns, 1)
	assert.Equal(t, PacketIn{DPID: 2, InPort: tun, Cookie: 4, Reason: ReasonNoMatch, Frame: hey[:20], TotalLen: len(hey)}, r.PacketIns[0])

	r, err = f.PacketOut(1, openflow.PortController, nil, hey)
	require.NoError(t, err)
	assert.Empty(t, r.Deliveries)
}

func TestFastFailoverTakesTheFirstLivePort(t *testing.T) {
	watch := func(p openflow.PortNo) openflow.Bucket {
		return openflow.Bucket{WatchPort: p, WatchGroup: openflow.GroupAny, Actions: actions{out(p)}}
	}
	f := fabric(t, nil)
	s := f.Switch(1)
	require.NoError(t, s.Apply(flowset.Changes{
		GroupAdd: []openflow.Group{{ID: 1, Type: openflow.GroupTypeFastFailover, Buckets: []openflow.Bucket{watch(2), watch(3)}}},
		FlowAdd:  []openflow.Flow{{Apply: actions{openflow.ApplyGroup{ID: 1}}}}}))
	for _, want := range []openflow.PortNo{2, 3, 0} {
		r, err := f.Inject(1, 1, hey)
		require.NoError(t, err)
		if want == 0 {
			assert.Empty(t, r.Deliveries)
			break
		}
		require.Len(t, r.Deliveries, 1)
		assert.Equal(t, want, r.Deliveries[0].Port)
		s.SetDown(want, true)
	}
}

func TestChangesInABucketDoNotLeak(t *testing.T) {
	f := fabric(t, nil)
	require.NoError(t, f.Switch(1).Apply(flowset.Changes{
		GroupAdd: []openflow.Group{{ID: 1, Buckets: []openflow.Bucket{
			{Actions: actions{out(2), openflow.Set(openflow.FieldEthDst, 6), openflow.PushVLAN{EtherType: 0x8100}}}, // a set: out comes last
			{Actions: actions{out(3)}}}}},
		FlowAdd: []openflow.Flow{{Apply: actions{openflow.ApplyGroup{ID: 1}, out(2)}}}}))
	r, err := f.Inject(1, 1, hey)
	require.NoError(t, err)
	require.Len(t, r.Deliveries, 3)
	assert.Len(t, r.Deliveries[0].Frame, len(hey)+4)
	assert.Equal(t, hey, r.Deliveries[1].Frame)
	assert.Equal(t, hey, r.Deliveries[2].Frame)
}

func TestALoopOfResubmitsDropsEverything(t *testing.T) {
	f := fabric(t, []openflow.Flow{{Apply: actions{out(2), openflow.Resubmit{Port: openflow.PortInPort}}}})
	r, err := f.Inject(1, 1, hey)
	assert.ErrorIs(t, err, ErrLoop)
	assert.Empty(t, r.Deliveries)
}

func TestASwitchRefusesWhatOpenVSwitchRefuses(t *testing.T) {
	s := NewSwitch(1)
	for name, f := range map[string]openflow.Flow{
		"no such group":         {Apply: actions{openflow.ApplyGroup{ID: 1}}},
		"goto back":             {Table: 3, Goto: 3},
		"port without protocol": {Match: match{openflow.Uint(openflow.FieldTCPSrc, 1)}},
		"address without type":  {Apply: actions{openflow.Set(openflow.FieldIPv4Src, 1)}},
		"pop without tag":       {Apply: actions{openflow.PopVLAN{}}},
		"no such port number":   {Match: match{openflow.Uint(openflow.FieldInPort, uint64(openflow.PortMax-1))}},
		"unknown action":        {Apply: actions{openflow.RawAction{}}},
		"unknown instruction":   {Other: []byte{1}},
	} {
		assert.Error(t, s.Apply(flowset.Changes{FlowAdd: []openflow.Flow{f}}), name)
	}
	g := []openflow.Group{{ID: 1}}
	assert.Error(t, s.Apply(flowset.Changes{GroupModify: g}))
	require.NoError(t, s.Apply(flowset.Changes{GroupAdd: g}))
	assert.Error(t, s.Apply(flowset.Changes{GroupAdd: g}))
}

func TestDeletingAGroupDeletesItsFlows(t *testing.T) {
	s := NewSwitch(1)
	require.NoError(t, s.Apply(flowset.Changes{GroupAdd: []openflow.Group{{ID: 1}, {ID: 2}}, FlowAdd: []openflow.Flow{
		{Apply: actions{openflow.ApplyGroup{ID: 1}}}, {Table: 1, Apply: actions{openflow.ApplyGroup{ID: 2}}}}}))
	require.NoError(t, s.Apply(flowset.Changes{GroupDelete: []openflow.GroupID{1}}))
	flows, groups := s.Set().Len()
	assert.Equal(t, 1, flows)
	assert.Equal(t, 1, groups)
}

func TestDeletingAMeterDeletesItsFlows(t *testing.T) {
	s := NewSwitch(1)
	metered := []openflow.Flow{{Meter: 1}, {Table: 1}}
	require.Error(t, s.Apply(flowset.Changes{FlowAdd: metered}), "no such meter")
	m := []openflow.Meter{{ID: 1}}
	require.NoError(t, s.Apply(flowset.Changes{MeterAdd: m, FlowAdd: metered}))
	require.Error(t, s.Apply(flowset.Changes{MeterAdd: m}))
	require.NoError(t, s.Apply(flowset.Changes{MeterDelete: []uint32{1}}))
	flows, _ := s.Set().Len()
	assert.Equal(t, 1, flows)
	assert.Empty(t, s.Set().Meters())
	require.Error(t, s.Apply(flowset.Changes{MeterModify: m}))
}

func TestReplaceEqualsApply(t *testing.T) {
	for seed := range uint64(20) {
		g := newGen(seed)
		sc := g.scenario()
		a, b := NewSwitch(1), NewSwitch(1)
		for p := range openflow.PortNo(genPorts) {
			a.AddPort(p+1, "")
			b.AddPort(p+1, "")
		}
		require.NoError(t, a.Apply(flowset.Changes{GroupAdd: sc.groups}))
		for _, f := range sc.flows {
			_ = a.Apply(flowset.Changes{FlowAdd: []openflow.Flow{f}})
		}
		require.NoError(t, b.Replace(a.Set().Clone()))
		for range 30 {
			frame := g.frame()
			ra, ea := a.Inject(2, frame)
			rb, eb := b.Inject(2, frame)
			require.Equal(t, ea, eb)
			require.Equal(t, ra, rb)
		}
	}
}

// Whatever arrives, nothing panics and the caller's frame stays as it was.
func FuzzInject(f *testing.F) {
	for seed := range uint64(50) {
		f.Add(seed, newGen(seed).frame())
	}
	f.Fuzz(func(t *testing.T, seed uint64, frame []byte) {
		sc := newGen(seed % 64).scenario()
		s := NewSwitch(1)
		for p := range openflow.PortNo(genPorts) {
			s.AddPort(p+1, "")
		}
		require.NoError(t, s.Apply(flowset.Changes{GroupAdd: sc.groups}))
		for _, f := range sc.flows {
			_ = s.Apply(flowset.Changes{FlowAdd: []openflow.Flow{f}})
		}
		before := string(frame)
		_, _ = s.Inject(2, frame)
		require.Equal(t, before, string(frame))
	})
}

// One small scenario of a property test: three switches with about 100 flows, ten frames.
func BenchmarkScenario(b *testing.B) {
	var sets []flowset.Set
	g := newGen(1)
	for range 3 {
		var set flowset.Set
		s := NewSwitch(1)
		for range 2 {
			for _, f := range g.scenario().flows {
				if s.Apply(flowset.Changes{FlowAdd: []openflow.Flow{f}}) == nil {
					set.PutFlow(f)
				}
			}
		}
		for i := range 50 {
			set.PutFlow(openflow.Flow{Table: 6, Match: match{openflow.Uint(openflow.FieldEthDst, uint64(i))}, Apply: actions{out(1)}})
		}
		sets = append(sets, set)
	}
	frames := make([][]byte, 10)
	for i := range frames {
		frames[i] = g.frame()
	}
	n, _ := sets[0].Len()
	b.Logf("%d flows in the first switch", n)
	for b.Loop() {
		var f Fabric
		for i := range sets {
			s := NewSwitch(openflow.DPID(i + 1))
			for p := range openflow.PortNo(6) {
				s.AddPort(p+1, "")
			}
			if err := s.Replace(&sets[i]); err != nil {
				b.Fatal(err)
			}
			f.AddSwitch(s)
			_ = f.AddTunnel(s.DPID(), tun, address(i+1))
		}
		for i, fr := range frames {
			_, _ = f.Inject(openflow.DPID(1+i%3), 1, fr)
		}
	}
}

func BenchmarkInject(b *testing.B) {
	s := NewSwitch(1)
	s.AddPort(2, "")
	for t := range openflow.TableID(6) {
		f := openflow.Flow{Table: t, Goto: t + 1}
		if t == 5 {
			f.Goto, f.Apply = 0, actions{out(2)}
		}
		for i := range uint64(15) {
			_ = s.Apply(flowset.Changes{FlowAdd: []openflow.Flow{{Table: t, Priority: 9, Match: match{openflow.Uint(openflow.FieldEthDst, i)}}}})
		}
		_ = s.Apply(flowset.Changes{FlowAdd: []openflow.Flow{f}})
	}
	for b.Loop() {
		if r, _ := s.Inject(1, hey); len(r.Deliveries) != 1 {
			b.Fatal(r.Trace())
		}
	}
}
