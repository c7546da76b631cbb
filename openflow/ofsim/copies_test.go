package ofsim

import (
	"encoding/hex"
	"regexp"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/flowset"
	"github.com/flowtap/flowtap/openflow/ofsim/ovstest"
)

// limited copies a frame to port 2 by meter 1 and to port 3, cut to 40 bytes, by meter 2, and
// delivers it to port 4. How the copies are reached is the caller's.
func limited(reach ...openflow.Action) *flowset.Set {
	var s flowset.Set
	for id, burst := range map[uint32]uint32{1: 10, 2: 20} {
		s.PutMeter(openflow.Meter{ID: id, Flags: openflow.MeterPKTPS | openflow.MeterBurst | openflow.MeterStat,
			Bands: []openflow.MeterBand{{Type: openflow.BandDrop, Rate: 1, Burst: burst}}})
	}
	s.PutFlow(openflow.Flow{Table: 2, Meter: 1, Apply: actions{openflow.Set(openflow.FieldEthDst, 0x020000000099), out(2)}})
	s.PutFlow(openflow.Flow{Table: 3, Meter: 2, Apply: actions{openflow.OutputTruncate{Port: 3, MaxLen: 40}}})
	for table := openflow.TableID(2); table <= 3; table++ {
		s.PutFlow(openflow.Flow{Table: table + 10, Apply: actions{openflow.Clone{Actions: actions{
			openflow.OutputTruncate{Port: openflow.PortTable, MaxLen: 14}, resubmit(table)}}}})
		s.PutFlow(openflow.Flow{Table: table + 20, Apply: actions{openflow.Clone{Actions: actions{resubmit(table)}}}})
	}
	for _, to := range []openflow.TableID{2, 12, 22} {
		s.PutGroup(openflow.Group{ID: openflow.GroupID(to), Buckets: []openflow.Bucket{
			{WatchPort: openflow.PortAny, WatchGroup: openflow.GroupAny, Actions: actions{resubmit(to)}},
			{WatchPort: openflow.PortAny, WatchGroup: openflow.GroupAny, Actions: actions{resubmit(to + 1)}}}})
	}
	s.PutFlow(openflow.Flow{Match: from(1), Apply: append(reach, out(4))})
	return &s
}

func resubmit(t openflow.TableID) openflow.Action {
	return openflow.Resubmit{Port: openflow.PortInPort, Table: t}
}

// What a rate limit on copies rests on: a meter in a flow reached by a clone that holds a truncating
// output drops the copy and nothing else. In any other form it takes what follows with it. The clock stands
// still, so that bursts are all that passes.
func TestAMeterInACloneDropsOnlyTheCopy(t *testing.T) {
	o := ovstest.Start(t, 4)
	if o != nil {
		o.Appctl("time/stop")
	}
	group := func(id openflow.GroupID) openflow.Action { return openflow.ApplyGroup{ID: id} }
	for name, c := range map[string]struct {
		reach        actions
		first, third int // frames by ports 2 and 3
		app          int
	}{
		"by clones with a truncating output":        {actions{resubmit(12), resubmit(13)}, 10, 20, 50},
		"by a group whose buckets lead to clones":   {actions{group(12)}, 10, 20, 50},
		"by bare clones: the first meter has all":   {actions{resubmit(22), resubmit(23)}, 10, 10, 10},
		"by a group of bare clones, the same":       {actions{group(22)}, 10, 10, 10},
		"by resubmit alone, the same":               {actions{resubmit(2), resubmit(3)}, 10, 10, 10},
		"by a group of the metered flows, the same": {actions{group(2)}, 10, 10, 10},
	} {
		t.Run(name, func(t *testing.T) {
			set := limited(c.reach...)
			sw := NewSwitch(1)
			for p := range openflow.PortNo(4) {
				sw.AddPort(p+1, "")
			}
			require.NoError(t, sw.Replace(set))
			count := func(frames int) map[openflow.PortNo]int {
				n := map[openflow.PortNo]int{}
				for range frames {
					r, err := sw.Inject(1, hey)
					require.NoError(t, err)
					for _, d := range r.Deliveries {
						n[d.Port]++
						assert.Len(t, d.Frame, map[openflow.PortNo]int{2: len(hey), 3: 40, 4: len(hey)}[d.Port])
					}
				}
				return n
			}
			// A burst, then one meter drops, then both.
			sum := count(10)
			sw.SetDropping(1, true)
			for p, n := range count(10) {
				sum[p] += n
			}
			sw.SetDropping(2, true)
			for p, n := range count(30) {
				sum[p] += n
			}
			assert.Equal(t, []int{c.first, c.third, c.app}, []int{sum[2], sum[3], sum[4]}, "ofsim")

			if o == nil {
				return
			}
			clear := []openflow.Message{
				&openflow.FlowMod{Command: openflow.FlowDelete, Flow: openflow.Flow{Table: openflow.TableAll}},
				&openflow.GroupMod{Command: openflow.GroupDelete, Group: openflow.Group{ID: openflow.GroupAll}},
				&openflow.MeterMod{Command: openflow.MeterDelete, Meter: openflow.Meter{ID: openflow.MeterAll}},
			}
			d := flowset.Diff(&flowset.Set{}, set)
			require.Empty(t, o.Send(slices.Concat(clear, d.Before(), d.Messages())...))
			(&comparer{t: t, o: o}).purge()
			tails := []*ovstest.Tail{o.Tail(2), o.Tail(3), o.Tail(4)}
			for range 50 {
				o.Receive(1, hey)
			}
			in := regexp.MustCompile(`packet_in_count:50 `)
			o.Until("the first meter saw all", func() bool { return in.MatchString(o.Ofctl("meter-stats", "meter=1")) })
			got := make([]int, 3)
			var app [][]byte
			o.Until("all copies are out", func() bool {
				for i, tail := range tails {
					for _, f := range tail.Frames() {
						got[i]++
						if i == 2 {
							app = append(app, f)
						}
					}
				}
				return got[0] >= c.first && got[1] >= c.third && got[2] >= c.app
			})
			assert.Equal(t, []int{c.first, c.third, c.app}, got, "Open vSwitch")
			for _, f := range app[:c.app/50*c.app] { // resubmit alone would have to undo what it changed
				assert.Equal(t, hey, f, "the application's frame is whole and unchanged")
			}
			stats := o.Ofctl("meter-stats", "meter=1")
			assert.Contains(t, stats, "0: packet_count:40 ", "what was dropped is counted")
		})
	}
}

// A frame that has a tag of its own comes back from an inline monitor with another around it. After
// the pop Open vSwitch, which by default (vlan-limit 1) looks at one tag only, sees a frame of type
// 0x8100 without a tag. A select group has it look again, and its only bucket goes on from there.
func TestASelectGroupHasTheInnerTagSeen(t *testing.T) {
	inner := Frame{Dst: [6]byte{2, 0, 0, 0, 0, 1}, Src: [6]byte{2, 0, 0, 0, 0, 2}, Tagged: true, Tag: 0x6005,
		IPSrc: address(1), IPDst: address(2), Proto: protoUDP, Payload: UDP(5, 80, make([]byte, 20))}.Bytes()
	outer := append(append(append([]byte(nil), inner[:12]...), 0x81, 0, 0, 7), inner[12:]...)
	var set flowset.Set
	set.PutGroup(openflow.Group{ID: 1, Type: openflow.GroupTypeSelect, Buckets: []openflow.Bucket{
		{Weight: 1, WatchPort: openflow.PortAny, WatchGroup: openflow.GroupAny, Actions: actions{resubmit(5)}}}})
	back := match{openflow.Uint(openflow.FieldInPort, 1), openflow.Uint(openflow.FieldVLANVID, 0x1007)}
	pop := actions{openflow.Set(openflow.FieldReg(1), 9), openflow.PopVLAN{}}
	m, err := openflow.NewMatch(append(back, openflow.Uint(openflow.FieldEthType, etherVLAN))...)
	require.NoError(t, err)
	set.PutFlow(openflow.Flow{Priority: 2, Match: m, Apply: append(pop[:2:2], openflow.ApplyGroup{ID: 1}, out(5))})
	set.PutFlow(openflow.Flow{Priority: 1, Match: back, Apply: append(pop[:2:2], resubmit(5), out(5))})
	m, err = openflow.NewMatch(openflow.Uint(openflow.FieldVLANVID, 0x1005), openflow.Uint(openflow.FieldEthType, etherIPv4),
		openflow.Uint(openflow.FieldIPProto, protoUDP), openflow.Uint(openflow.FieldUDPDst, 80), openflow.Uint(openflow.FieldReg(1), 9))
	require.NoError(t, err)
	set.PutFlow(openflow.Flow{Table: 5, Priority: 2, Match: m, Apply: actions{openflow.Set(openflow.FieldIPDSCP, 46), out(2)}})
	m, err = openflow.NewMatch(openflow.Uint(openflow.FieldVLANVID, 0), openflow.Uint(openflow.FieldEthType, etherIPv4))
	require.NoError(t, err)
	set.PutFlow(openflow.Flow{Table: 5, Priority: 1, Match: m, Apply: actions{out(3)}})
	set.PutFlow(openflow.Flow{Table: 5, Apply: actions{out(4)}})
	plain := append(append([]byte(nil), outer[:16]...), inner[16:]...) // the monitor's tag only

	sw := NewSwitch(1)
	for p := range openflow.PortNo(5) {
		sw.AddPort(p+1, "")
	}
	require.NoError(t, sw.Replace(&set))
	want := map[int][]string{}
	for _, f := range [][]byte{outer, plain} {
		r, err := sw.Inject(1, f)
		require.NoError(t, err)
		for _, d := range r.Deliveries {
			want[int(d.Port)] = append(want[int(d.Port)], hex.EncodeToString(d.Frame))
		}
	}
	require.Len(t, want[2], 1, "inner tag and UDP port matched")
	require.Len(t, want[3], 1, "the frame without a tag of its own needs no second look")
	require.Equal(t, hex.EncodeToString(inner), want[5][0], "the change of DSCP was the bucket's: what follows is as it came")

	o := ovstest.Start(t, 5)
	if o == nil {
		return
	}
	d := flowset.Diff(&flowset.Set{}, &set)
	require.Empty(t, o.Send(d.Messages()...))
	got := map[int][]string{}
	tails := map[int]*ovstest.Tail{}
	for p := 2; p <= 5; p++ {
		tails[p] = o.Tail(p)
	}
	o.Receive(1, outer)
	o.Receive(1, plain)
	o.Until("both are out", func() bool {
		for p, tail := range tails {
			for _, f := range tail.Frames() {
				got[p] = append(got[p], hex.EncodeToString(f))
			}
		}
		return len(got[5]) == 2
	})
	assert.Equal(t, want, got)
}

// Two frames have the same Key exactly when Open vSwitch hashes the same of both: it then takes the same
// two of 65,536 links, by two hashes.
func TestKeysAreEqualWhereHashesAre(t *testing.T) {
	o := ovstest.Start(t, 2)
	if o == nil {
		return
	}
	reg := regexp.MustCompile(`-> NXM_NX_REG0\[[0-9.]+\] is now (\w+)`)
	g := newGen(7)
	seen := 0
	for f := openflow.HashEthSrc; f <= openflow.HashSymmetricL3; f++ {
		require.Empty(t, o.Send(&openflow.FlowMod{Flow: openflow.Flow{Apply: actions{
			openflow.Multipath{Fields: f, Basis: 3, Links: 1 << 16, Field: openflow.FieldReg(0), Bits: 16},
			openflow.Multipath{Fields: f, Basis: 4, Links: 1 << 16, Field: openflow.FieldReg(0), Offset: 16, Bits: 16}}}}))
		link := map[string]string{}
		keys := map[string]string{}
		for range 150 {
			frame := g.frame()
			var both []string
			for _, b := range [][]byte{frame, reverse(frame)} {
				s := state{}
				s.tpid[0] = extract(b, &s.key).tpid
				m := reg.FindAllStringSubmatch(o.Appctl("ofproto/trace", "br0", "in_port=1", hex.EncodeToString(b)), -1)
				require.Len(t, m, 2)
				n := m[0][1] + " " + m[1][1]
				h := s.hashed(f)
				both = append(both, h)
				if old, ok := link[h]; ok {
					require.Equal(t, old, n, "%v of %x: the same key, another hash", f, b)
				}
				if old, ok := keys[n]; ok {
					require.Equal(t, old, h, "%v of %x: the same hash, another key", f, b)
				}
				link[h], keys[n] = n, h
			}
			if f != openflow.HashEthSrc && f != openflow.HashNetSrc && f != openflow.HashNetDst {
				require.Equal(t, both[0], both[1], "%v of %x and of the reply", f, frame)
			}
		}
		if len(link) > 3 {
			seen++
		}
	}
	assert.Equal(t, 7, seen, "every choice of fields saw different frames")
}

// reverse exchanges source and destination.
func reverse(frame []byte) []byte {
	b := slices.Clone(frame)
	swap := func(at, n int) {
		for i := at; i < at+n; i++ {
			b[i], b[i+n] = b[i+n], b[i]
		}
	}
	if len(b) < 14 {
		return b
	}
	swap(0, 6)
	var k key
	l := extract(b, &k)
	if l.l4 == 0 {
		return b
	}
	switch k.get(atEthType) {
	case etherIPv4:
		swap(l.l3+12, 4)
	case etherIPv6:
		swap(l.l3+8, 16)
	}
	switch k.get(atProto) {
	case protoTCP, protoUDP, protoSCTP:
		if k.get(atFrag)&fragLater == 0 && l.end >= l.l4+4 {
			swap(l.l4, 2)
		}
	}
	return b
}

// A test that wants both directions of a connection to take one way fixes nothing: the default
// choice does. One that wants a certain way fixes it.
func TestChoices(t *testing.T) {
	s := NewSwitch(1)
	for p := range openflow.PortNo(5) {
		s.AddPort(p+1, "")
	}
	spread := openflow.Multipath{Fields: openflow.HashSymmetricL3L4UDP, Links: 3, Field: openflow.FieldReg(2), Offset: 4, Bits: 8}
	fl := []openflow.Flow{{Apply: actions{spread, resubmit(1)}}}
	for i := range uint64(3) {
		fl = append(fl, openflow.Flow{Table: 1, Match: match{openflow.UintMask(openflow.FieldReg(2), i<<4, 0xff0)}, Apply: actions{out(openflow.PortNo(i + 2))}})
	}
	require.NoError(t, s.Apply(flowset.Changes{FlowAdd: fl}))
	leaves := func(frame []byte) openflow.PortNo {
		r, err := s.Inject(1, frame)
		require.NoError(t, err)
		require.Len(t, r.Deliveries, 1, r.Trace())
		return r.Deliveries[0].Port
	}
	used := map[openflow.PortNo]int{}
	for i := range uint16(300) {
		f := Frame{IPSrc: address(1), IPDst: address(2), Proto: protoUDP, Payload: UDP(1000+i, 53, nil)}.Bytes()
		p := leaves(f)
		assert.Equal(t, p, leaves(reverse(f)))
		used[p]++
	}
	for p := openflow.PortNo(2); p <= 4; p++ {
		assert.Greater(t, used[p], 60, "the hash spreads")
	}
	s.SetChoose(func(c Choice) int {
		assert.Equal(t, 3, c.Links)
		return 5
	})
	assert.Equal(t, openflow.PortNo(4), leaves(hey), "link 5 of 3 is link 2")
	s.SetChoose(nil)
	assert.Equal(t, leaves(hey), leaves(reverse(hey)), "of what is not IP the MAC addresses")
}

func TestASelectGroupGoesByWeightAndLiveness(t *testing.T) {
	s := NewSwitch(1)
	bucket := func(p openflow.PortNo, weight uint16) openflow.Bucket {
		return openflow.Bucket{Weight: weight, WatchPort: p, WatchGroup: openflow.GroupAny, Actions: actions{out(p)}}
	}
	for p := range openflow.PortNo(4) {
		s.AddPort(p+1, "")
	}
	require.NoError(t, s.Apply(flowset.Changes{
		GroupAdd: []openflow.Group{{ID: 1, Type: openflow.GroupTypeSelect, Buckets: []openflow.Bucket{bucket(2, 1), bucket(3, 3), bucket(4, 0)}}},
		FlowAdd:  []openflow.Flow{{Apply: actions{openflow.ApplyGroup{ID: 1}}}}}))
	count := func() map[openflow.PortNo]int {
		n := map[openflow.PortNo]int{}
		for i := range 400 {
			r, err := s.Inject(1, Frame{Src: [6]byte{2, 0, 0, 0, byte(i >> 8), byte(i)}, EtherType: 0x88b6}.Bytes())
			require.NoError(t, err)
			for _, d := range r.Deliveries {
				n[d.Port]++
			}
		}
		return n
	}
	n := count()
	assert.Len(t, n, 2)
	assert.InDelta(t, 100, n[2], 40)
	s.SetDown(3, true)
	assert.Equal(t, map[openflow.PortNo]int{2: 400}, count())
	s.SetDown(2, true)
	assert.Empty(t, count(), "no bucket with a weight is alive")
}
