package main

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTrace(t *testing.T) {
	l := newLab(t)
	require.Equal(t, exitOK, l.apply(cloud).code)
	require.Equal(t, []string{
		"nw_proto=TCP; tp_dst=80",
		"enters by port web",
		"  comes out at db (node n1, hop 0)",
		"  is copied to monitor ids1 (tap t1; node n1, hop 0)",
		"",
		"hop 0: node n1, in by port web",
		"  30 tap-out: any, priority 210 [tap t1]",
		"       output:2 -> port db",
	}, lines(l.ok("trace web tcp,tp_dst=80")))
	require.Contains(t, l.ok("trace web tcp --give-back"), "  is redirected to monitor ips (tap r1; node n2, hop 0)\n")
	var got map[string]any
	require.NoError(t, json.Unmarshal([]byte(l.ok("trace web tcp -o json")), &got))
	require.Equal(t, "web", got["port"])
	require.Contains(t, l.ok("trace web tcp -o yaml"), "table_name: tap-out\n")

	refused := l.ctl("trace web")
	require.Equal(t, exitRefused, refused.code)
	require.Contains(t, refused.err, "frame: where the frame goes is not said")
	require.Contains(t, l.ctl("trace ghost tcp").err, `there is no port "ghost"`)
	require.Contains(t, l.ctl("trace web tp_dst=5").err, "frame: ")
	require.Equal(t, exitUsage, l.ctl("trace").code)
	require.Equal(t, exitUsage, l.ctl("trace web tcp udp").code)
	require.Contains(t, l.ok("__complete trace w"), "web\n")
}
