package controller

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/flowtap/trace"
	"github.com/flowtap/flowtap/topology"
)

func flow(t *testing.T, s string) flowtap.Match {
	t.Helper()
	m, err := flowtap.ParseMatch(s)
	require.NoError(t, err)
	return m
}

func TestATraceSaysWhereAFrameGoes(t *testing.T) {
	t.Parallel()
	l := shop(t, quick())
	http := copyTap("web", "ids", flowtap.Out)
	http.Match = flow(t, "tcp,tp_dst=80")
	l.tap("t1", http)
	l.becomes("t1", flowtap.TapActive, "")
	l.sws[1].Disconnect() // what it should hold is known
	before := len(l.fabric.Commits())

	got, err := l.ctl.Trace(l.ctx(), TraceRequest{Port: "web", Frame: flow(t, "tcp,nw_dst=10.0.0.2,tp_dst=80")})
	require.NoError(t, err)
	require.Equal(t, "tcp,dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02,nw_src=10.0.0.1,nw_dst=10.0.0.2,tp_src=40000,tp_dst=80", got.Frame)
	require.Equal(t, []trace.Output{{Port: "db", Node: "n2", OFPort: 1, Hop: got.Outputs[0].Hop}}, got.Outputs)
	require.Len(t, got.Copies, 1)
	require.Equal(t, "ids", got.Copies[0].Monitor)
	require.Equal(t, "t1", got.Copies[0].Tap)
	require.Equal(t, "n3", got.Copies[0].Node)
	require.Empty(t, got.Stops)
	require.Len(t, got.Hops, 3)
	require.Equal(t, "web", got.Hops[0].Port)
	text := got.String()
	t.Log("\n" + text)
	for _, s := range []string{"comes out at db (node n2", "is copied to monitor ids (tap t1; node n3", "30 tap-out: ", "[tap t1]", "[port web]", "-> monitor ids", "-> port db", "0 classify: in_port=1"} {
		require.Contains(t, text, s)
	}
	require.Len(t, l.fabric.Commits(), before, "no switch was told anything")

	got, err = l.ctl.Trace(l.ctx(), TraceRequest{Port: "web", Frame: flow(t, "udp,nw_dst=10.0.0.2")})
	require.NoError(t, err)
	require.Empty(t, got.Copies)
	require.Len(t, got.Outputs, 1)
	got, err = l.ctl.Trace(l.ctx(), TraceRequest{Port: "web", Frame: flow(t, "udp,nw_dst=10.0.0.2,dl_src=02:00:00:00:00:09")})
	require.NoError(t, err)
	require.Empty(t, got.Outputs, "guard drops what is not its own")
	require.Contains(t, got.String(), "is dropped")
	require.Contains(t, got.String(), "[spoof of port web]")
}

func TestATraceStopsAtAnInlineMonitor(t *testing.T) {
	t.Parallel()
	l := shop(t, quick())
	away := copyTap("web", "ids", flowtap.Out)
	away.Action = flowtap.Redirect
	l.tap("t1", away)
	l.becomes("t1", flowtap.TapActive, "")
	ask := TraceRequest{Port: "web", Frame: flow(t, "tcp,nw_dst=10.0.0.2")}
	got, err := l.ctl.Trace(l.ctx(), ask)
	require.NoError(t, err)
	require.Empty(t, got.Outputs)
	require.Empty(t, got.Copies)
	require.Len(t, got.Stops, 1)
	require.Equal(t, "ids", got.Stops[0].Monitor)
	require.Equal(t, "t1", got.Stops[0].Tap)
	require.Nil(t, got.Stops[0].GivenBack)

	ask.GiveBack = true
	got, err = l.ctl.Trace(l.ctx(), ask)
	require.NoError(t, err)
	require.Len(t, got.Stops, 1)
	require.Equal(t, "ids", got.Hops[*got.Stops[0].GivenBack].GivenBackBy)
	require.Equal(t, got.Stops[0].Hop, *got.Hops[*got.Stops[0].GivenBack].From)
	require.Len(t, got.Outputs, 1)
	require.Equal(t, "db", got.Outputs[0].Port)
	t.Log("\n" + got.String())
	require.Contains(t, got.String(), "given back by monitor ids")

	got, err = l.ctl.Trace(l.ctx(), TraceRequest{Port: "ids", Frame: flow(t, "dl_src=02:00:00:00:00:33,dl_dst=02:00:00:00:00:02,tcp,nw_dst=10.0.0.2,nw_src=10.0.0.66")})
	require.NoError(t, err)
	require.Contains(t, got.String(), "[inject of port ids]")
	require.Empty(t, got.Outputs)
}

// TestATraceThroughTwoMonitors, of which one wants tags, comes out as it went in.
func TestATraceThroughTwoMonitors(t *testing.T) {
	t.Parallel()
	l := shop(t, quick())
	l.port("trunk", topology.Port{Kind: topology.KindMonitor, Interface: "trunk", Tag: topology.TagVLAN})
	l.sws[1].AddPort(6, "trunk")
	first, second := copyTap("web", "trunk", flowtap.Out), copyTap("db", "ids", flowtap.In)
	first.Action, second.Action = flowtap.Redirect, flowtap.Redirect
	l.tap("t1", first)
	l.tap("t2", second)
	l.becomes("t1", flowtap.TapActive, "")
	l.becomes("t2", flowtap.TapActive, "")
	got, err := l.ctl.Trace(l.ctx(), TraceRequest{Port: "web", Frame: flow(t, "tcp,nw_dst=10.0.0.2"), GiveBack: true})
	require.NoError(t, err)
	require.Len(t, got.Stops, 2)
	require.Equal(t, []string{"trunk", "t1", "ids", "t2"}, []string{got.Stops[0].Monitor, got.Stops[0].Tap, got.Stops[1].Monitor, got.Stops[1].Tap})
	require.Len(t, got.Stops[0].Frame, len(got.Bytes)+4, "with a tag")
	require.Equal(t, got.Bytes, got.Stops[1].Frame)
	require.Len(t, got.Outputs, 1)
	require.Equal(t, "db", got.Outputs[0].Port)
}

func TestATraceOfABroadcast(t *testing.T) {
	t.Parallel()
	l := shop(t, quick())
	l.vm("app", "shop", 3)
	l.sws[2].AddPort(4, "app")
	l.tap("t1", copyTap("db", "ids", flowtap.In))
	l.tap("t2", copyTap("app", "ids", flowtap.In))
	l.becomes("t1", flowtap.TapActive, "")
	l.becomes("t2", flowtap.TapActive, "")
	got, err := l.ctl.Trace(l.ctx(), TraceRequest{Port: "web", Frame: flow(t, "arp")})
	require.NoError(t, err)
	require.Len(t, got.Copies, 1)
	to := map[string]bool{}
	for _, o := range got.Outputs {
		to[o.Port] = true
	}
	require.Equal(t, map[string]bool{"db": true, "app": true}, to)
}

func TestATraceThatCannotBe(t *testing.T) {
	t.Parallel()
	l := shop(t, quick())
	l.vm("nowhere", "shop", 9)
	settle(l)
	for field, ask := range map[string]TraceRequest{
		"port: the controller knows no port":  {Port: "nobody"},
		"port: port nowhere is on no switch":  {Port: "nowhere"},
		"frame: where the frame goes is not":  {Port: "web"},
		"frame: no port of the network is kn": {Port: "web", Frame: flow(t, "tcp,nw_dst=10.9.9.9")},
		"frame: in_port is db, but the frame": {Port: "web", Frame: flow(t, "in_port=db")},
		"frame: no MAC of port ids is known":  {Port: "ids", Frame: flow(t, "tcp,nw_dst=10.0.0.2")},
	} {
		_, err := l.ctl.Trace(l.ctx(), ask)
		require.ErrorContains(t, err, field)
		require.IsType(t, &topology.FieldError{}, err)
	}
}
