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

// Random pipelines on two bridges joined by patch ports (6 of each) do as on Open vSwitch: flows
// and buckets met, and the order of what leaves either bridge.
func TestPatchesAgainstOpenVSwitch(t *testing.T) {
	o := ovstest.Start(t, 5)
	if o == nil {
		return
	}
	const patch = 6
	// A dummy port's number in the datapath is the number in its name.
	args := strings.Fields("-- add-br br1 -- set bridge br1 datapath_type=dummy fail_mode=secure protocols=OpenFlow13")
	for p := 1; p <= 5; p++ {
		args = append(args, strings.Fields(fmt.Sprintf("-- add-port br1 q%d -- set interface q%d type=dummy ofport_request=%d", 10+p, 10+p, p))...)
	}
	for i, name := range []string{"x0", "x1"} {
		args = append(args, strings.Fields(fmt.Sprintf("-- add-port br%d %s -- set interface %s type=patch ofport_request=%d options:peer=x%d", i, name, name, patch, 1-i))...)
	}
	o.Vsctl(args...)
	if out, err := o.Command("ovs-ofctl", "-O", "OpenFlow13", "set-frags", "unix:"+o.Path("br1.mgmt"), "nx-match").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	c := comparer{t: t, o: o}
	crossed, loops := 0, 0
	for seed := uint64(300); seed < 360; seed++ {
		g := newGen(seed)
		var fab Fabric
		for i := range 2 {
			sw := NewSwitch(openflow.DPID(i + 1))
			for p := range openflow.PortNo(5) {
				sw.AddPort(p+1, "")
			}
			fab.AddSwitch(sw)
		}
		require.NoError(t, fab.AddPatch(1, patch, 2, patch))
		for i, bridge := range []string{"br0", "br1"} {
			s := g.scenario()
			sw := fab.Switch(openflow.DPID(i + 1))
			require.NoError(t, sw.Apply(flowset.Changes{GroupAdd: s.groups}))
			msgs := []openflow.Message{
				&openflow.FlowMod{Command: openflow.FlowDelete, Flow: openflow.Flow{Table: openflow.TableAll}},
				&openflow.GroupMod{Command: openflow.GroupDelete, Group: openflow.Group{ID: openflow.GroupAll}},
			}
			require.Empty(t, o.SendTo(bridge, append(msgs, flowset.Changes{GroupAdd: s.groups}.Messages()...)...))
			var flows []openflow.Message
			refused := 0
			for _, f := range s.flows {
				f.Meter = 0 // ofproto/trace says nothing of their drops
				f.Cookie += uint64(i) * 1000
				flows = append(flows, &openflow.FlowMod{Flow: f})
				if sw.Apply(flowset.Changes{FlowAdd: []openflow.Flow{f}}) != nil {
					refused++
				}
			}
			require.Len(t, o.SendTo(bridge, flows...), refused)
		}
		for range 40 {
			frame := g.frame()
			port := openflow.PortNo(1 + g.IntN(5))
			text := o.Appctl("ofproto/trace", "br0", fmt.Sprintf("in_port=%d", port), hex.EncodeToString(frame))
			// What it calls no match in the first bridge it shows as a rule of its own in the second.
			text = strings.ReplaceAll(text, ". reg0=0x2, priority 0\n", ". No match.\n")
			choose := c.asSaid(text)
			fab.Switch(1).SetChoose(choose)
			fab.Switch(2).SetChoose(choose)
			r, err := fab.Inject(1, port, frame)
			choose = c.asSaid(text)
			fab.Switch(1).SetChoose(choose)
			fab.Switch(2).SetChoose(choose)
			tr, err2 := fab.Trace(1, port, frame)
			require.NoError(t, err2)
			if err != nil {
				loops++
				require.Contains(t, text, "Datapath actions: drop", "seed %d, port %d: %x\n%s", seed, port, frame, r.Trace())
				continue
			}
			crossed += len(tr.Hops) - 1
			if strings.Contains(r.Trace(), eventNames[EventGivenUp]) {
				loops++ // the way out of a loop is not told alike
			} else {
				assert.Equal(t, tracePath(text), simPath(&r))
			}
			want := datapathOutputs(datapathActions(text))
			var got, frames, traced []string
			for _, d := range r.Deliveries {
				got = append(got, fmt.Sprint(uint64(d.Port)+10*uint64(d.DPID-1)))
				frames = append(frames, fmt.Sprintf("%v %d %x", d.DPID, d.Port, d.Frame))
			}
			n := 0
			for _, w := range want {
				if w != "controller" {
					want[n] = w
					n++
				}
			}
			assert.Equal(t, append([]string(nil), want[:n]...), got)
			for _, l := range tr.Leaves() {
				traced = append(traced, fmt.Sprintf("%v %d %v", l.DPID, l.Port, l.Frame))
			}
			assert.ElementsMatch(t, frames, traced, "the trace goes by hops, what is delivered by time")
			if t.Failed() {
				t.Fatalf("seed %d, frame in by port %d: %x\n%s\n%s\n%v", seed, port, frame, text, r.Trace(), tr)
			}
		}
	}
	t.Logf("%d frames crossed the patch, %d loops", crossed, loops)
	assert.Greater(t, crossed, 50)
}

// What crosses a patch port keeps its pkt_mark and nothing else, and comes back unchanged.
func TestWhatAPatchCarries(t *testing.T) {
	f := fabric(t, nil, nil)
	require.NoError(t, f.AddPatch(1, 20, 2, 21))
	require.NoError(t, f.Switch(1).Apply(flowset.Changes{FlowAdd: []openflow.Flow{{Apply: actions{
		openflow.Set(openflow.FieldReg(3), 7), openflow.Set(openflow.FieldMetadata, 7), openflow.Set(openflow.FieldTunnelID, 7),
		openflow.Set(openflow.FieldPktMark, 7), openflow.Set(openflow.FieldEthDst, 9), out(20), out(2),
		openflow.Set(openflow.FieldPktMark, 0), to(2), out(tun)}}}}))
	m, err := openflow.NewMatch(openflow.Uint(openflow.FieldInPort, 21), openflow.Uint(openflow.FieldPktMark, 7), openflow.Uint(openflow.FieldReg(3), 0),
		openflow.Uint(openflow.FieldMetadata, 0), openflow.Uint(openflow.FieldTunnelID, 0), openflow.Uint(openflow.FieldEthDst, 9))
	require.NoError(t, err)
	require.NoError(t, f.Switch(2).Apply(flowset.Changes{FlowAdd: []openflow.Flow{{Match: m, Apply: actions{openflow.Set(openflow.FieldEthDst, 11), out(3)}}}}))
	r, err := f.Inject(1, 1, hey)
	require.NoError(t, err)
	require.Len(t, r.Deliveries, 2, r.Trace())
	assert.Equal(t, openflow.DPID(2), r.Deliveries[0].DPID)
	assert.Equal(t, byte(11), r.Deliveries[0].Frame[5])
	assert.Equal(t, byte(9), r.Deliveries[1].Frame[5])
	tr, err := f.Trace(1, 1, hey)
	require.NoError(t, err)
	require.Len(t, tr.Hops, 3)
	assert.Equal(t, []int{0, 0}, []int{*tr.Hops[1].From, *tr.Hops[2].From}, "by patch, then by tunnel")
	assert.Equal(t, byte(9), tr.Hops[1].Frame[5])
	assert.Len(t, tr.Leaves(), 2)
	assert.Error(t, f.AddPatch(1, 5, 1, 6))
}

// TestPatchesAgainstOpenVSwitch meets this from seed 401 on.
func TestALoopBehindAPatchEndsThereOnly(t *testing.T) {
	f := fabric(t, nil, nil)
	require.NoError(t, f.AddPatch(1, 20, 2, 21))
	require.NoError(t, f.Switch(1).Apply(flowset.Changes{FlowAdd: []openflow.Flow{{Apply: actions{out(20), out(2)}}}}))
	require.NoError(t, f.Switch(2).Apply(flowset.Changes{FlowAdd: []openflow.Flow{
		{Apply: actions{out(3), resubmit(1)}}, {Table: 1, Apply: actions{resubmit(1)}}}}))
	r, err := f.Inject(1, 1, hey)
	require.NoError(t, err)
	require.Len(t, r.Deliveries, 2, "what was sent before the loop, and what the first switch does after")
	assert.Contains(t, r.Trace(), eventNames[EventGivenUp])
	tr, err := f.Trace(1, 1, hey)
	require.NoError(t, err)
	assert.Empty(t, tr.Error)
	assert.Contains(t, tr.String(), "this branch ends")
}
