package ofsim

import (
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/flowset"
	"github.com/flowtap/flowtap/openflow/ofsim/ovstest"
)

var update = flag.Bool("update", false, "write testdata anew")

// 1,000 random traces say the same as ofproto/trace: tables, flows and buckets in order, and what leaves.
func TestTracesAgainstOpenVSwitch(t *testing.T) {
	o := ovstest.Start(t, sentinelPort)
	if o == nil {
		return
	}
	addTunnel(o)
	c := comparer{t: t, o: o}
	require.Empty(t, o.Send(meters().Before()...))
	traces, nodes, left := 0, 0, 0
	for seed := uint64(900); traces < 1000; seed++ {
		g := newGen(seed)
		s := g.scenario()
		sw := c.traced()
		c.install(sw, s)
		sw.SetDropping(genDropping, false) // ofproto/trace knows nothing of rates
		for range 50 {
			frame := g.frame()
			port := openflow.PortNo(1 + g.IntN(genPorts))
			out := o.Appctl("ofproto/trace", "br0", fmt.Sprintf("in_port=%d", port), hex.EncodeToString(frame))
			sw.SetChoose(c.asSaid(out))
			tr := sw.Trace(port, Tunnel{}, frame)
			sw.SetChoose(c.asSaid(out))
			r, err := sw.Inject(port, frame)
			traces++
			nodes += compareTrace(t, out, &tr)
			assert.Equal(t, err != nil, tr.Error != "")
			left += len(tr.Leaves())
			compareDeliveries(t, &r, &tr)
			if t.Failed() {
				t.Fatalf("seed %d, frame in by port %d: %x\n%s\n%v", seed, port, frame, out, tr)
			}
		}
	}
	t.Logf("%d traces, %d flows and buckets met, %d frames left", traces, nodes, left)
}

// traced makes the switch that is installed on Open vSwitch beside it.
func (c *comparer) traced() *Switch {
	sw := NewSwitch(1)
	for p := range sentinelPort {
		sw.AddPort(openflow.PortNo(p+1), "")
	}
	var fab Fabric
	fab.AddSwitch(sw)
	require.NoError(c.t, fab.AddTunnel(1, genTunnel, netip.MustParseAddr("172.16.0.1")))
	return sw
}

// asSaid chooses links as a trace of Open vSwitch says that it did.
func (c *comparer) asSaid(trace string) func(Choice) int {
	var links []int
	for _, m := range linkRe.FindAllStringSubmatch(trace, -1) {
		n, err := strconv.ParseInt(m[1], 0, 64)
		require.NoError(c.t, err, trace)
		links = append(links, int(n))
	}
	c.hashes += len(links)
	return func(Choice) (n int) {
		if len(links) > 0 {
			n, links = links[0], links[1:]
		}
		return n
	}
}

// compareTrace compares the path and the outputs with Open vSwitch's text. It counts what was met.
func compareTrace(t *testing.T, text string, tr *Trace) int {
	t.Helper()
	var want, got []string
	for _, l := range strings.Split(text, "\n") {
		l = strings.TrimRight(l, " ")
		if m := missLine.FindStringSubmatch(l); m != nil {
			want = append(want, "table "+m[1]+" no match")
		} else if m := hitLine.FindStringSubmatch(l); m != nil && m[3] != "" {
			want = append(want, fmt.Sprintf("table %s priority %s cookie %s", m[1], m[2], m[3]))
		} else if m := bktLine.FindStringSubmatch(strings.TrimSpace(l)); m != nil {
			want = append(want, "bucket "+m[1])
		}
	}
	require.Len(t, tr.Hops, 1)
	tr.Hops[0].Walk(func(n *TraceNode) {
		switch n.Kind {
		case NodeMiss:
			got = append(got, fmt.Sprintf("table %d no match", *n.Table))
		case NodeFlow:
			got = append(got, fmt.Sprintf("table %d priority %d cookie %v", *n.Table, *n.Priority, *n.Cookie))
		case NodeBucket:
			got = append(got, fmt.Sprintf("bucket %d", *n.Bucket))
		}
	})
	if tr.Error != "" {
		assert.Contains(t, text, "Datapath actions: drop")
		return 0 // how far a loop is followed is not told alike
	}
	assert.Equal(t, want, got, "tables, flows and buckets of Open vSwitch and of the trace")
	wantOut := datapathOutputs(datapathActions(text))
	var gotOut []string
	for _, o := range tr.Hops[0].Outputs() {
		switch {
		case o.Port == openflow.PortController:
			gotOut = append(gotOut, "controller")
		case o.Tunnel != nil && o.Lost == "" && (o.Tunnel.Dst == "172.16.0.2" || o.Tunnel.Dst == "172.16.0.3"): // where the test has a route
			gotOut = append(gotOut, fmt.Sprintf("tunnel to %s with %#x", o.Tunnel.Dst, o.Tunnel.ID))
		case o.Tunnel == nil:
			gotOut = append(gotOut, fmt.Sprint(o.Port))
		}
	}
	assert.Equal(t, wantOut, gotOut, "outputs of Open vSwitch and of the trace")
	return len(got)
}

// datapathActions are those of a trace of Open vSwitch.
func datapathActions(trace string) string {
	const title = "Datapath actions: "
	line, _, _ := strings.Cut(trace[strings.LastIndex(trace, title)+len(title):], "\n")
	return line
}

// datapathOutputs are the outputs among datapath actions, in order.
func datapathOutputs(actions string) (out []string) {
	depth, from := 0, 0
	for i := 0; i <= len(actions); i++ {
		switch {
		case i < len(actions) && actions[i] == '(':
			depth++
		case i < len(actions) && actions[i] == ')':
			depth--
		case i == len(actions) || actions[i] == ',' && depth == 0:
			a := actions[from:i]
			from = i + 1
			_, err := strconv.Atoi(a)
			tun := tunRe.FindStringSubmatch(a)
			switch {
			case err == nil:
				out = append(out, a)
			case strings.HasPrefix(a, "userspace("):
				out = append(out, "controller")
			case strings.HasPrefix(a, "clone(") && !strings.HasPrefix(a, "clone(tnl_push"):
				out = append(out, datapathOutputs(strings.TrimSuffix(a[len("clone("):], ")"))...)
			case tun != nil:
				out = append(out, "tunnel to "+tun[1]+" with "+tun[2])
				if strings.HasPrefix(a, "tnl_push") {
					return out // what follows is the underlay's
				}
			}
		}
	}
	return out
}

// compareDeliveries: a trace and an injection are one.
func compareDeliveries(t *testing.T, r *Result, tr *Trace) {
	t.Helper()
	if tr.Error != "" {
		assert.Empty(t, tr.Leaves())
		return
	}
	var want, got []string
	for _, d := range r.Deliveries {
		want = append(want, fmt.Sprintf("%d %x", d.Port, d.Frame))
	}
	for _, h := range tr.Hops {
		for _, o := range h.Outputs() {
			if o.Port != openflow.PortController && o.Lost == "" {
				got = append(got, fmt.Sprintf("%d %v", o.Port, o.Frame))
			}
		}
	}
	assert.Equal(t, want, got)
}

// story is two nodes: a frame of port 1 is copied to the other node's port 3 at a rate, and delivered to
// port 2 here by the choice of a hash.
func story(t *testing.T) *Fabric {
	f := fabric(t, nil, nil)
	a, b := f.Switch(1), f.Switch(2)
	a.AddPort(1, "web")
	a.AddPort(2, "db")
	b.AddPort(3, "ids")
	require.NoError(t, a.Apply(flowset.Changes{
		MeterAdd: []openflow.Meter{{ID: 4}},
		GroupAdd: []openflow.Group{{ID: 7, Buckets: []openflow.Bucket{
			{WatchPort: openflow.PortAny, WatchGroup: openflow.GroupAny, Actions: actions{openflow.Set(openflow.FieldReg(2), 1), resubmit(20)}},
			{WatchPort: openflow.PortAny, WatchGroup: openflow.GroupAny, Actions: actions{out(3)}}}}},
		FlowAdd: []openflow.Flow{
			{Match: from(1), Priority: 9, Cookie: 0xf10a0001, Apply: actions{openflow.ApplyGroup{ID: 7}}, Goto: 10},
			{Table: 10, Cookie: 0xf10a0002, Apply: actions{
				openflow.Multipath{Fields: openflow.HashSymmetricL4, Links: 2, Field: openflow.FieldReg(0), Bits: 1}, out(2), out(1), resubmit(30)}},
			{Table: 20, Cookie: 0xf10a0003, Match: match{openflow.Uint(openflow.FieldReg(2), 1)}, Apply: actions{
				openflow.Clone{Actions: actions{openflow.OutputTruncate{Port: openflow.PortTable, MaxLen: 14}, resubmit(21)}}}},
			{Table: 21, Cookie: 0xf10a0004, Meter: 4, Apply: actions{to(2), openflow.Set(openflow.FieldTunnelID, 5), openflow.OutputTruncate{Port: tun, MaxLen: 40}}},
		}}))
	require.NoError(t, b.Apply(flowset.Changes{FlowAdd: []openflow.Flow{
		{Cookie: 0xf10a0005, Match: match{openflow.Uint(openflow.FieldTunnelID, 5)}, Apply: actions{out(3)}}}}))
	a.SetChoose(func(Choice) int { return 1 })
	return f
}

func TestTraceOfAStory(t *testing.T) {
	f := story(t)
	tr, err := f.Trace(1, 1, hey)
	require.NoError(t, err)
	text := tr.String()
	f.Switch(1).SetDropping(4, true)
	dropped, err := f.Trace(1, 1, hey)
	require.NoError(t, err)
	text += "\nWith the meter above its rate:\n\n" + dropped.String()
	asJSON, err := json.MarshalIndent(tr, "", "  ")
	require.NoError(t, err)
	for name, got := range map[string]string{"trace.txt": text, "trace.json": string(asJSON) + "\n"} {
		file := filepath.Join("testdata", name)
		if *update {
			require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
		}
		want, err := os.ReadFile(file)
		require.NoError(t, err)
		assert.Equal(t, string(want), got, "run with -update and read the difference")
	}
	var back Trace
	require.NoError(t, json.Unmarshal(asJSON, &back))
	assert.Equal(t, tr, back, "nothing is lost in JSON")

	leaves := tr.Leaves()
	require.Len(t, leaves, 3)
	assert.Equal(t, []string{"db", "ids"}, []string{leaves[1].PortName, leaves[2].PortName})
	assert.Equal(t, openflow.DPID(2), leaves[2].DPID)
	assert.Len(t, leaves[2].Frame, 40)
	require.Len(t, dropped.Leaves(), 2, "the copy is dropped, nothing else")
	require.Len(t, dropped.Hops, 1)
}

func TestTraceSaysWhereAFrameIsLostAndThatItNeverEnds(t *testing.T) {
	f := fabric(t, []openflow.Flow{{Apply: actions{to(9), out(tun), openflow.Set(openflow.FieldPktMark, 1), to(2), out(tun)}}}, nil)
	tr, err := f.Trace(1, 1, hey)
	require.NoError(t, err)
	require.Len(t, tr.Hops, 1)
	o := tr.Hops[0].Outputs()
	require.Len(t, o, 2)
	assert.Contains(t, o[0].Lost, "172.16.0.9")
	assert.Contains(t, o[1].Lost, "pkt_mark")
	assert.Empty(t, tr.Leaves())

	f = fabric(t, []openflow.Flow{{Apply: actions{out(2), openflow.Resubmit{Port: openflow.PortInPort}}}})
	tr, err = f.Trace(1, 1, hey)
	require.NoError(t, err)
	assert.Contains(t, tr.Error, "loop")
	assert.Empty(t, tr.Leaves())
	_, err = f.Trace(9, 1, hey)
	assert.Error(t, err, "no such switch")
}
