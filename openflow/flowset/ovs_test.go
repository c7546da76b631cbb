package flowset_test

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/flowset"
	"github.com/flowtap/flowtap/openflow/ofsim"
	"github.com/flowtap/flowtap/openflow/ofsim/ovstest"
)

// One line of dump-flows or dump-group-stats.
type counted struct {
	packets  int
	duration time.Duration
	cookie   string
}

func parse(t *testing.T, dump, want string) counted {
	for _, l := range strings.Split(dump, "\n") {
		if !strings.Contains(l, want) {
			continue
		}
		find := func(re string) string {
			if m := regexp.MustCompile(re).FindStringSubmatch(l); m != nil {
				return m[1]
			}
			return ""
		}
		n, err := strconv.Atoi(find(`packet(?:s|_count)=(\d+)`))
		require.NoError(t, err, l)
		d, err := time.ParseDuration(find(`duration=([0-9.]+s)`))
		require.NoError(t, err, l)
		return counted{n, d, find(`cookie=(0x[0-9a-f]+)`)}
	}
	t.Fatalf("no %q in:\n%s", want, dump)
	return counted{}
}

// What Messages relies on. If a newer Open vSwitch changes it, this test says so.
func TestWhatOVSKeeps(t *testing.T) {
	o := ovstest.Start(t, 3)
	if o == nil {
		return
	}
	send := func(c flowset.Changes) {
		require.Empty(t, o.Send(slices.Concat(c.Before(), c.Messages(), c.After())...))
	}
	flow := func() counted { return parse(t, o.Ofctl("dump-flows", "table=0"), "in_port") }
	group := func() counted { return parse(t, o.Ofctl("dump-group-stats"), "group_id=7") }

	var have flowset.Set
	have.PutGroup(openflow.Group{ID: 7, Buckets: []openflow.Bucket{bucket(2)}})
	f := openflow.Flow{Priority: 5, Cookie: 1, Match: openflow.Match{openflow.Uint(openflow.FieldInPort, 1)},
		Apply: []openflow.Action{openflow.ApplyGroup{ID: 7}}}
	have.PutFlow(f)
	send(flowset.Diff(&flowset.Set{}, &have))
	o.Receive(1, ofsim.Frame{Dst: [6]byte{2}, Src: [6]byte{4}, EtherType: 0x88b5, Payload: make([]byte, 50)}.Bytes())
	o.Until("the frame is counted and both are half a second old", func() bool {
		return flow().packets == 1 && group().packets == 1 && flow().duration > 500*time.Millisecond
	})

	// The group gets a bucket.
	want := have.Clone()
	want.PutGroup(openflow.Group{ID: 7, Buckets: []openflow.Bucket{bucket(2), bucket(3)}})
	c := flowset.Diff(&have, want)
	require.Len(t, c.GroupModify, 1)
	send(c)
	assert.Equal(t, 1, flow().packets)
	assert.Greater(t, flow().duration, 500*time.Millisecond, "its flow does not notice")
	assert.Greater(t, group().duration, 500*time.Millisecond)
	assert.Equal(t, 0, group().packets, "its counters do")

	// The flow gets other actions.
	have = *want
	want = have.Clone()
	f.Apply = []openflow.Action{openflow.Output{Port: 2}}
	want.PutFlow(f)
	c = flowset.Diff(&have, want)
	require.Len(t, c.FlowModify, 1)
	send(c)
	assert.Contains(t, o.Ofctl("dump-flows"), "output:2")
	assert.Equal(t, 1, flow().packets)
	assert.Greater(t, flow().duration, 500*time.Millisecond)

	// A strict modify does not change the cookie.
	f.Cookie = 2
	require.Empty(t, o.Send(&openflow.FlowMod{Command: openflow.FlowModifyStrict, Flow: f}))
	assert.Equal(t, "0x1", flow().cookie)

	// So the flow with another cookie is added again.
	have = *want
	want = have.Clone()
	want.PutFlow(f)
	c = flowset.Diff(&have, want)
	require.Len(t, c.FlowReplace, 1)
	began := time.Now()
	send(c)
	assert.Equal(t, "0x2", flow().cookie)
	assert.Equal(t, 1, flow().packets)
	age := flow().duration
	assert.Less(t, age, time.Since(began)+50*time.Millisecond, "an add restarts the duration")

	// A modified meter starts anew; the flow with it does not notice.
	meter := openflow.Meter{ID: 3, Flags: openflow.MeterPKTPS | openflow.MeterStat, Bands: []openflow.MeterBand{{Type: openflow.BandDrop, Rate: 1}}}
	have = *want
	want = have.Clone()
	want.PutMeter(meter)
	f.Meter = 3
	want.PutFlow(f)
	send(flowset.Diff(&have, want))
	meterIn := func() string {
		return regexp.MustCompile(`packet_in_count:(\d+)`).FindStringSubmatch(o.Ofctl("meter-stats"))[1]
	}
	sent := 1
	o.Until("the datapath meters", func() bool {
		o.Receive(1, ofsim.Frame{Dst: [6]byte{2}, Src: [6]byte{4}, EtherType: 0x88b5, Payload: make([]byte, 50)}.Bytes())
		sent++
		return meterIn() != "0"
	})
	have = *want
	want = have.Clone()
	meter.Bands = []openflow.MeterBand{{Type: openflow.BandDrop, Rate: 2}}
	want.PutMeter(meter)
	c = flowset.Diff(&have, want)
	require.Len(t, c.MeterModify, 1)
	send(c)
	assert.Equal(t, "0", meterIn())
	o.Until("the flow counts what the meter dropped, too", func() bool { return flow().packets == sent })

	// And all goes.
	send(flowset.Diff(want, &flowset.Set{}))
	assert.NotContains(t, o.Ofctl("dump-flows"), "actions")
	assert.NotContains(t, o.Ofctl("dump-groups"), "group_id")
	assert.NotContains(t, o.Ofctl("dump-meters"), "meter=")
}

func bucket(port openflow.PortNo) openflow.Bucket {
	return openflow.Bucket{WatchPort: openflow.PortAny, WatchGroup: openflow.GroupAny,
		Actions: []openflow.Action{openflow.Output{Port: port}}}
}
