package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPoolsAndWhatTapsDoToThem(t *testing.T) {
	l := newLab(t)
	require.Equal(t, exitOK, l.apply(cloud).code)
	l.ok("create port back --kind monitor")
	l.ok("create port ids2 --kind monitor --tag vlan --return-port back")
	require.Equal(t, "pool/ids created\n", l.ok("create pool ids --mode spread --members ids1,ids2=3 --labels tier=gold"))
	require.Equal(t, []string{"ID", "MODE", "MEMBERS", "SLICES", "LABELS"}, strings.Fields(lines(l.ok("get pools"))[0]))
	require.Equal(t, []string{"ids", "spread", "ids1,ids2=3", "-", `{"tier":"gold"}`}, strings.Fields(lines(l.ok("get pools"))[1]))
	l.ok("create tap t2 --src web --dst-pool ids --action redirect --fail-mode open --direction out")
	l.ok("create tap t3 --src web --dst ids1 --action forward --priority 1 --truncate 128 --rate-pps 1000")
	require.Contains(t, l.ok("get tap t2"), "  ids  ", "the pool is where it leads")
	var tap map[string]any
	require.NoError(t, json.Unmarshal([]byte(l.ok("get tap t3 -o json")), &tap))
	require.Equal(t, map[string]any{"kbps": 0.0, "pps": 1000.0}, tap["rate_limit"])
	require.EqualValues(t, 128, tap["truncate"])

	refused := l.ctl("delete pool ids")
	require.Equal(t, exitRefused, refused.code)
	require.Contains(t, refused.err, "used by: t2")
	require.Equal(t, exitUsage, l.ctl("create pool p --mode copy --members ids1=many").code)
	require.Equal(t, exitRefused, l.ctl("create pool p --mode copy --members ids1=0").code)
	require.Equal(t, exitUsage, l.ctl("get taps --fresh").code)
	require.Equal(t, exitUsage, l.ctl("get pool ids --fresh").code)
	require.Contains(t, l.ok("get tap t2 --fresh"), "active")
	require.Contains(t, l.ok("__complete create tap --dst-pool i"), "ids\n")
	for _, format := range []string{"yaml", "json"} {
		for _, col := range []string{"ports", "pools", "taps"} {
			printed := l.ok("get " + col + " -o " + format)
			back := l.apply(printed)
			require.Equal(t, exitOK, back.code, back.err)
			require.Equal(t, len(lines(back.out)), strings.Count(back.out, " unchanged"), back.out)
		}
	}
}

// A file may name a monitor before its return port, and a pool before its members.
func TestApplyOrdersPoolsAndReturnPorts(t *testing.T) {
	l := newLab(t)
	const file = `
kind: pool
id: p
mode: copy
members: [{port: a, weight: 1}]
---
- {kind: monitor, id: a, return_port: b}
- {kind: monitor, id: b}
`
	o := l.apply(file)
	require.Equal(t, exitOK, o.code, o.err)
	require.Equal(t, []string{"port/b created, pending", "port/a created, pending", "pool/p created"}, lines(o.out))
	require.Equal(t, []string{"pool/p deleted", "port/a deleted", "port/b deleted"}, lines(l.ctlWith(t.Context(), file, "delete", "-f", "-").out))
}
