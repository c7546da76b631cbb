package northbound

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/flowtap/trace"
	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/ofsim"
	"github.com/flowtap/flowtap/topology"
)

func TestTrace(t *testing.T) {
	var asked TraceRequest
	var fails error
	one, table, priority, cookie, group := 1, openflow.TableID(30), uint16(210), ofsim.Cookie(0xf10a0b0000000007), openflow.GroupID(0xf1000010)
	tunnel := &ofsim.TunnelInfo{ID: 0x10, Src: "172.16.0.1", Dst: "172.16.0.2"}
	whole := &trace.Trace{Port: "web", Frame: "tcp,tp_dst=80", Bytes: ofsim.Hex{1, 2}, Error: "it never ends",
		Copies:  []trace.Copy{{Monitor: "ids1", Tap: "t1", Node: "n2", Hop: 1, Frame: ofsim.Hex{1}}},
		Stops:   []trace.Copy{{Monitor: "ids1", Tap: "t1", Node: "n2", Hop: 1, GivenBack: &one}},
		Outputs: []trace.Output{{Port: "db", Node: "n1", OFPort: 2, Hop: 0}},
		Hops: []*trace.Hop{{Node: "n1", DPID: 1, InPort: 1, Port: "web", From: &one, GivenBackBy: "ids1", Tunnel: tunnel, Frame: ofsim.Hex{1},
			Steps: []*trace.Step{
				{Kind: ofsim.NodeMiss, Table: &table, TableName: "tap-out"},
				{Kind: ofsim.NodeFlow, Table: &table, TableName: "tap-out", Priority: &priority, Match: "in_port=1", Cookie: &cookie,
					Origin: &trace.Origin{Kind: "tap", Collection: "taps", ID: "t1"}, Steps: []*trace.Step{{Kind: ofsim.NodeAction, Action: "group:5",
						Steps:  []*trace.Step{{Kind: ofsim.NodeBucket, Group: &group, Bucket: &one, Notes: []string{"2 of 3"}}},
						Output: &trace.Left{OFPort: 2, Port: "db", Monitor: true, Frame: ofsim.Hex{1}, Tunnel: tunnel, To: &one, Lost: "nowhere"}}}},
			}}}}
	w := newWorld(t, func(d *Deps) {
		d.Trace = func(_ context.Context, r TraceRequest) (*trace.Trace, error) { asked = r; return whole, fails }
	})
	w.cloud()
	got := w.must(200, "POST", "/v1/trace", `{"port":"web","frame":"tcp,nw_dst=10.0.0.2,tp_dst=80","give_back":true}`)
	require.Equal(t, "web", asked.Port)
	require.Equal(t, "dl_type=0x0800; nw_dst=10.0.0.2; nw_proto=TCP; tp_dst=80", asked.Frame.String())
	require.True(t, asked.GiveBack)
	require.Equal(t, "0102", got.str("bytes"))
	w.must(200, "POST", "/v1/trace", `{"port":"web","frame":{"nw_proto":"TCP","tp_dst":80}}`)
	require.False(t, asked.GiveBack)
	w.must(200, "POST", "/v1/trace", `{"port":"web"}`)
	require.True(t, asked.Frame.IsZero())

	for body, want := range map[string]struct {
		status int
		field  string
	}{
		`{"frame":"tcp"}`:  {422, "port"},
		`{"port":5}`:       {422, "port"},
		`{"port":"ghost"}`: {404, "port"},
		`{"port":"NO ID"}`: {404, "port"},
		`{"port":"web","frame":"tcp,tp_dst=99999"}`: {422, "frame"},
		`{"port":"web","frame":"tcp,udp"}`:          {422, "frame"},
		`{"port":"web","frame":"colour=red"}`:       {422, "frame"},
		`{"port":"web","frame":5}`:                  {422, "frame"},
		`{"port":"web","give_back":"yes"}`:          {422, "give_back"},
		`{"port":"web","giveback":true}`:            {400, "giveback"},
		`{"port":"web","port":"db"}`:                {400, "port"},
		`[]`:                                        {400, ""},
	} {
		require.Equal(t, want.field, w.must(want.status, "POST", "/v1/trace", body).str("field"), body)
	}
	require.Contains(t, w.must(422, "POST", "/v1/trace", `{"port":"web","frame":"tcp,tp_dst=99999"}`).str("detail"), "tp_dst: ")
	w.must(400, "POST", "/v1/trace?dry_run=true", `{"port":"web"}`)
	w.must(415, "POST", "/v1/trace", `{}`, "Content-Type", "text/plain")
	w.must(413, "POST", "/v1/trace", `{"port":"`+string(make([]byte, maxBody))+`"}`)
	w.must(405, "GET", "/v1/trace", "")

	fails = &topology.FieldError{Field: "frame", Detail: "give dl_dst"}
	require.Equal(t, "frame", w.must(422, "POST", "/v1/trace", `{"port":"web"}`).str("field"))
	fails = context.DeadlineExceeded
	w.must(503, "POST", "/v1/trace", `{"port":"web"}`)
}

func TestTraceWithoutController(t *testing.T) {
	w := newWorld(t)
	w.cloud()
	w.must(503, "POST", "/v1/trace", `{"port":"web"}`)
}
