package northbound

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/topology"
)

// fakeLoads keeps what it is told.
type fakeLoads struct {
	nodes    map[string]topology.NodeReport
	monitors map[string]topology.Heartbeat
	err      error
}

func (f *fakeLoads) Node(_ context.Context, id string, r topology.NodeReport) error {
	if f.nodes != nil {
		f.nodes[id] = r
	}
	return f.err
}

func (f *fakeLoads) Heartbeat(_ context.Context, id string, h topology.Heartbeat) error {
	if f.monitors != nil {
		f.monitors[id] = h
	}
	return f.err
}

func TestReportsAreTaken(t *testing.T) {
	loads := &fakeLoads{nodes: map[string]topology.NodeReport{}, monitors: map[string]topology.Heartbeat{}}
	w := newWorld(t, func(d *Deps) { d.Loads = loads })
	w.must(201, "POST", "/v1/nodes", `{"id":"n1","datapath_id":"0000000000000001","tunnel_ip":"172.16.0.1"}`)
	w.must(201, "POST", "/v1/networks", `{"id":"shop"}`)
	w.must(201, "POST", "/v1/ports", `{"id":"web","network":"shop"}`)
	w.must(201, "POST", "/v1/ports", `{"id":"ids1","kind":"monitor"}`)
	const node, monitor = "/v1/nodes/n1/load", "/v1/ports/ids1/heartbeat"
	w.must(204, "PUT", node, `{"cpu":0.5,"memory":0.25,"link":125000000}`)
	w.must(204, "PUT", monitor, `{"cpu":0.5,"share":0.25,"received_frames":3,"received_bytes":180,"dropped_frames":1}`)
	assert.Equal(t, map[string]topology.NodeReport{"n1": {CPU: 0.5, Memory: 0.25, Link: 125e6}}, loads.nodes)
	assert.Equal(t, map[string]topology.Heartbeat{"ids1": {CPU: 0.5, Share: 0.25, ReceivedFrames: 3, ReceivedBytes: 180, DroppedFrames: 1}}, loads.monitors)
	for _, c := range []struct {
		status           int
		path, body, says string
	}{
		{404, "/v1/nodes/n2/load", `{"cpu":0.5,"memory":0.25}`, "n2"}, {404, "/v1/ports/ids2/heartbeat", `{"cpu":0.5}`, "ids2"},
		{422, "/v1/ports/web/heartbeat", `{"cpu":0.5}`, "only monitors have heartbeats"},
		{422, node, `{"cpu":1.5,"memory":0.25}`, "want 0 to 1"}, {422, node, `{"cpu":0.5}`, "is required"}, {422, node, `{"cpu":"x","memory":0}`, "want a number"},
		{422, node, `{"cpu":0.5,"memory":0,"link":-1}`, "bytes a second"}, {422, monitor, `{"cpu":-0.5}`, "want 0 to 1"}, {422, monitor, `{"memory":0.5}`, "is required"},
		{422, monitor, `{"cpu":0.5,"capacity":1e300}`, "bytes a second"}, {422, monitor, `{"cpu":0.5,"capacity":1e-320}`, "bytes a second"}, {422, monitor, `{"cpu":0.5,"dropped_frames":-1}`, "want a whole number"},
		{400, node, `{"cpu":0.5,"memroy":0.25}`, "no field"}, {400, monitor, `{"cpu":0.5,"status":{}}`, "no field"},
		{400, node, `{`, "JSON"}, {400, monitor, `[]`, "object"}, {400, node + "?wait=1", `{"cpu":0.5,"memory":0}`, "wait"},
		{413, node, `{"cpu":` + strings.Repeat(" ", maxBody) + `0}`, "larger"}, {413, monitor, `{"cpu":` + strings.Repeat(" ", maxBody) + `0}`, "larger"},
	} {
		a := w.must(c.status, "PUT", c.path, c.body)
		assert.Contains(t, a.raw, c.says, c.body[:min(len(c.body), 60)])
	}
	require.Len(t, loads.nodes, 1)
	for _, path := range []string{node, monitor} {
		assert.Equal(t, 415, w.do("PUT", path, `{"cpu":0.5,"memory":0.5}`, "Content-Type", "text/plain").status)
	}
	loads.err = errors.New("too early")
	w.must(503, "PUT", node, `{"cpu":0.5,"memory":0.25}`)
	w.must(503, "PUT", monitor, `{"cpu":0.5}`)
	w = newWorld(t)
	w.must(201, "POST", "/v1/ports", `{"id":"ids1","kind":"monitor"}`)
	assert.Contains(t, w.must(503, "PUT", monitor, `{"cpu":0.5}`).raw, "not running")
}
