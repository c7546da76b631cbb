package ofsim

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/flowset"
	"github.com/flowtap/flowtap/openflow/ofsim/ovstest"
)

// Fast-failover groups that watch ports, groups, both and nothing take the same bucket as on Open vSwitch,
// whichever ports are up.
func TestFailoverAgainstOpenVSwitch(t *testing.T) {
	o := ovstest.Start(t, 4)
	if o == nil {
		return
	}
	g := newGen(3)
	sw := NewSwitch(1)
	for p := range openflow.PortNo(4) {
		sw.AddPort(p+1, "")
	}
	var set flowset.Set
	const groups = 12
	// Open vSwitch refuses a bucket that watches nothing. One that shall always be taken when no other is
	// watches a group that is always alive.
	bare := openflow.Group{ID: 99, Type: openflow.GroupTypeFastFailover, Buckets: []openflow.Bucket{{WatchPort: openflow.PortAny, WatchGroup: openflow.GroupAny}}}
	require.Error(t, sw.Apply(flowset.Changes{GroupAdd: []openflow.Group{bare}}))
	require.Len(t, o.Send(&openflow.GroupMod{Group: bare}), 1)
	set.PutGroup(openflow.Group{ID: 1, Buckets: []openflow.Bucket{{WatchPort: openflow.PortAny, WatchGroup: openflow.GroupAny}}})
	for id := openflow.GroupID(2); id <= groups; id++ {
		gr := openflow.Group{ID: id, Type: openflow.GroupTypeFastFailover}
		for i := range 1 + g.IntN(3) {
			b := openflow.Bucket{WatchPort: openflow.PortAny, WatchGroup: openflow.GroupAny, Actions: actions{resubmit(openflow.TableID(10 + i))}}
			if g.chance(85) {
				b.WatchPort = pick[openflow.PortNo](g, 1, 2, 3, 77)
			}
			if (g.chance(30) || b.WatchPort == openflow.PortAny) && id > 1 {
				b.WatchGroup = openflow.GroupID(1 + g.IntN(int(id)-1))
			}
			gr.Buckets = append(gr.Buckets, b)
		}
		set.PutGroup(gr)
		set.PutFlow(openflow.Flow{Cookie: uint64(id), Match: match{openflow.Uint(openflow.FieldEthDst, uint64(id))}, Apply: actions{openflow.ApplyGroup{ID: id}}})
	}
	for i := range uint64(3) {
		set.PutFlow(openflow.Flow{Table: openflow.TableID(10 + i), Cookie: 100 + i})
	}
	require.NoError(t, sw.Replace(&set))
	require.Empty(t, o.Send(flowset.Diff(&flowset.Set{}, &set).Messages()...))
	taken := map[string]int{}
	for round := range 12 {
		var down []string
		for p := 1; p <= 3; p++ {
			is := g.chance(50)
			sw.SetDown(openflow.PortNo(p), is)
			state := "up"
			if is {
				state, down = "down", append(down, fmt.Sprint(p))
			}
			o.Appctl("netdev-dummy/set-admin-state", fmt.Sprintf("p%d", p), state)
		}
		o.Until("the switch knows", func() bool { return strings.Count(o.Ofctl("show"), "LINK_DOWN") == len(down) })
		for id := uint64(2); id <= groups; id++ {
			frame := Frame{Dst: [6]byte{5: byte(id)}, EtherType: 0x88b6, Payload: make([]byte, 46)}.Bytes()
			r, err := sw.Inject(4, frame)
			require.NoError(t, err)
			trace := o.Appctl("ofproto/trace", "br0", "in_port=4", hex.EncodeToString(frame))
			want := tracePath(trace)
			got := simPath(&r)
			require.Equal(t, want, got, "round %d, ports %v down, group %v:\n%s\n%s", round, down, set.Groups()[id-1], trace, r.Trace())
			taken[strings.Join(got[1:], " ")]++
		}
	}
	assert.GreaterOrEqual(t, len(taken), 4, "first, second and third buckets and none: %v", taken)
}
