package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/cmd/rest"
	"github.com/flowtap/flowtap/flowtap"
)

func (l *lab) apply(manifest string) output {
	return l.ctlWith(context.Background(), manifest, "apply", "-f", "-")
}

// A file is applied in the order of dependency, and again without a change.
func TestApplyMakesChangesAndLeavesAlone(t *testing.T) {
	l := newLab(t)
	first := l.apply(cloud)
	require.Equal(t, exitOK, first.code, first.err)
	require.Equal(t, []string{"node/n1 created, disconnected", "network/shop created", "port/web created, pending",
		"port/ids1 created, pending", "tap/t1 created, pending: applying: the controller has not seen the tap yet"}, lines(first.out))
	again := l.apply(cloud)
	for _, line := range lines(again.out) {
		require.Contains(t, line, " unchanged")
	}
	require.Len(t, lines(again.out), 5)
	changed := l.apply(strings.Replace(cloud, "tp_dst=80", "tp_dst=443", 1))
	require.Contains(t, changed.out, "tap/t1 changed")
	require.Equal(t, 4, strings.Count(changed.out, " unchanged"))

	for _, format := range []string{"yaml", "json"} {
		for _, col := range []string{"nodes", "networks", "ports", "taps"} {
			printed := l.ok("get " + col + " -o " + format)
			back := l.apply(printed)
			require.Equal(t, exitOK, back.code, "what get prints can be applied: %s\n%s", back.err, printed)
			require.Equal(t, len(lines(back.out)), strings.Count(back.out, " unchanged"), back.out)
		}
		require.Contains(t, l.apply(l.ok("get tap t1 -o "+format)).out, "tap/t1 unchanged")
		require.Contains(t, l.apply(l.ok("get port ids1 -o "+format)).out, "port/ids1 unchanged")
	}

	file := filepath.Join(t.TempDir(), "cloud.yaml")
	require.NoError(t, os.WriteFile(file, []byte(cloud), 0o600))
	gone := l.ok("delete -f", file)
	require.Equal(t, "tap/t1 deleted", lines(gone)[0])
	require.Equal(t, "ID  LABEL  MEMBERS  LABELS\n", l.ok("get networks"))
	require.Equal(t, exitRefused, l.ctl("delete -f", file).code)
	require.Contains(t, l.ok("delete --ignore-not-found -f", file), "tap/t1 not there")
}

func lines(s string) []string { return strings.Split(strings.TrimSpace(s), "\n") }

// What one object is refused for does not keep the others from being made.
func TestApplyGoesOnAfterARefusal(t *testing.T) {
	l := newLab(t)
	o := l.apply(`[{"kind":"network","id":"a"},{"kind":"vm","id":"p","network":"ghost"},{"kind":"tap","id":"t","src":"p"}]`)
	require.Equal(t, exitRefused, o.code)
	require.Contains(t, o.out, "network/a created")
	require.Contains(t, o.err, `port/p: network: there is no network "ghost"`)
	require.Contains(t, o.err, "tap/t: ")
}

func TestBadManifests(t *testing.T) {
	l := newLab(t)
	for manifest, says := range map[string]string{
		"":                          "has no objects",
		"---\n---\n":                "has no objects",
		"kind: tap\n":               "needs an id",
		"kind: tap\nid: 5\n":        "needs an id",
		"kind: router\nid: a\n":     `no kind "router"`,
		"id: a\n":                   "needs its kind",
		"hello":                     "want an object",
		"kind: tap\nid: a\nid: b\n": "already",
		"{kind: network, id: a}\n--- \n" + "{kind: network, id: a}": "twice",
		"[}": "did not find",
	} {
		o := l.apply(manifest)
		require.Equal(t, exitUsage, o.code, manifest)
		require.Contains(t, o.err, says, manifest)
	}
	require.Equal(t, exitUsage, l.ctl("apply -f /nonexistent").code)
	require.Equal(t, exitUsage, l.ctl("apply").code)
}

func TestCreateWithFlags(t *testing.T) {
	l := newLab(t)
	require.Equal(t, "network/shop created\n", l.ok("create network shop --labels tier=gold,x=y"))
	l.ok("create ports web --network shop --mac 02:00:00:00:00:01 --ips 10.0.0.1,10.0.0.2 --metadata 0x1f")
	l.ok("create port ids1 --kind monitor")
	l.ok("create node n1 --datapath-id 0000000000000001 --tunnel-ip 172.16.0.1")
	require.Equal(t, "n1:\n  + meter meter=3\n  + flow table=2 actions=drop\n  - group group_id=1\n",
		l.ok("create tap t1 --src web --dst ids1 --action forward --dry-run"))
	require.Equal(t, exitRefused, l.ctl("get tap t1").code)
	l.ok("create tap t1 --src web --dst ids1 --direction in --action forward --priority 0 --match", "tcp,tp_dst=80")
	require.Contains(t, l.ok("create tap t1 --src web --dst ids1 --direction in --action forward --priority 0 --match", "tcp,tp_dst=80"), "unchanged")

	var tap, port map[string]any
	require.NoError(t, json.Unmarshal([]byte(l.ok("get tap t1 -o json")), &tap))
	require.EqualValues(t, 0, tap["priority"])
	require.NoError(t, json.Unmarshal([]byte(l.ok("get port web -o json")), &port))
	require.Equal(t, []any{"10.0.0.1", "10.0.0.2"}, port["ips"])
	require.Equal(t, true, port["port_security"])
	require.Contains(t, l.ok("create tap --src web --dst ids1 --direction out --action forward"), "tap/")
}

func TestTable(t *testing.T) {
	l := newLab(t)
	require.Equal(t, exitOK, l.apply(cloud).code)
	require.NoError(t, l.store.Taps().PutStatus(context.Background(), "t1", flowtap.TapStatus{
		State: flowtap.TapPending, Reason: "port web is on no switch", Counters: flowtap.Counters{DeliveredPackets: 1 << 60}}))
	got := lines(l.ok("get taps"))
	require.Equal(t, []string{"ID", "SRC", "DST", "MATCH", "DIRECTION", "ACTION", "POLICY", "STATE", "PACKETS", "REASON"}, strings.Fields(got[0]))
	require.Contains(t, got[1], "1152921504606846976  port web is on no switch")
	require.Equal(t, strings.Index(got[0], "STATE"), strings.Index(got[1], "pending"))
	require.Len(t, lines(l.ok("get ports --filter kind=vm")), 2)
	require.Len(t, lines(l.ok("get port web ids1")), 3)
}

// Errors say which field, what stands in the way and what to do; the exit code is 1 for what the
// server refuses and 2 for a wrong command line.
func TestErrorsSayWhatToDo(t *testing.T) {
	l := newLab(t)
	require.Equal(t, exitOK, l.apply(cloud).code)
	for line, says := range map[string][]string{
		"create tap t2 --src web --dst ghost --action forward":                {"dst: ", `no port "ghost"`, "Correct dst"},
		"create tap t2 --src web --dst ids1 --action forward":                 {"conflicts with: t1", "a frame that both match: "},
		"create tap t1 --src web --dst ids1 --action forward --direction out": {"conflicts with: t1", "flowtapctl apply"},
		"delete port web":                                            {"used by: t1"},
		"delete tap t1 --revision 1":                                 {"changed it meanwhile"},
		"get tap ghost":                                              {`there is no tap "ghost"`, "flowtapctl get"},
		"wait tap ghost --timeout 10s":                               {`there is no tap "ghost"`},
		"wait tap t1 --timeout 500ms":                                {"tap/t1 is not active after 500ms: pending: applying"},
		"get taps --filter colour=red":                               {`"colour"`},
		"get taps --server http://127.0.0.1:1":                       {"no answer from http://127.0.0.1:1", "Is flowtapd running?"},
		"get taps --server http://127.0.0.1:1 --request-timeout 1ms": {"no answer from"},
	} {
		o := l.ctl(line)
		require.Equal(t, exitRefused, o.code, "%s: %s", line, o.err)
		for _, s := range says {
			require.Contains(t, o.err, s, line)
		}
		require.Empty(t, o.out, line)
	}
	for line, says := range map[string]string{
		"frobnicate":                    `no command "frobnicate"`,
		"get":                           "needs COLLECTION",
		"get routers":                   "there are: projects, tokens, audit, replicas, nodes, networks, ports, pools, policies, taps",
		"get taps -o xml":               "table, json or yaml",
		"get taps --filter colour":      "FIELD=VALUE",
		"get taps --colour red":         "unknown flag",
		"get taps --server nonsense":    "--server must be a URL",
		"create":                        "needs a collection",
		"create router r1":              `no collection "router"`,
		"create tap t1 --priority high": "priority",
		"create tap a b":                "at most one ID",
		"delete tap":                    "delete needs",
		"delete tap a b --revision 5":   "one object",
		"wait network shop":             "has no state",
		"wait tap":                      "needs COLLECTION ID",
	} {
		o := l.ctl(line)
		require.Equal(t, exitUsage, o.code, "%s: %s", line, o.err)
		require.Contains(t, o.err, says, line)
	}
	require.Equal(t, exitOK, l.ctl("--help").code)
	require.Equal(t, exitOK, l.ctl("completion bash").code)
}

func TestWaitSeesTheState(t *testing.T) {
	l := newLab(t)
	require.Equal(t, exitOK, l.apply(cloud).code)
	done := make(chan output, 1)
	go func() { done <- l.ctl("wait tap t1 --for active --timeout 20s") }()
	require.NoError(t, l.store.Taps().PutStatus(context.Background(), "t1", flowtap.TapStatus{State: flowtap.TapActive}))
	require.Equal(t, output{exitOK, "tap/t1 active\n", ""}, <-done)
	go func() { done <- l.ctl("wait tap t1 --for deleted --timeout 20s") }()
	l.ok("delete tap t1")
	require.Equal(t, output{exitOK, "tap/t1 deleted\n", ""}, <-done)
}

func TestWatchPrintsEvents(t *testing.T) {
	l := newLab(t)
	require.Equal(t, exitOK, l.apply(cloud).code)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, w := io.Pipe()
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, []string{"watch", "taps"}, world{in: strings.NewReader(""), out: w, err: io.Discard, env: rest.Environment{Server: l.url}})
		w.Close()
	}()
	seen := make(chan string, 100)
	go func() {
		defer close(seen)
		buf := make([]byte, 1<<16)
		for {
			n, err := r.Read(buf)
			for _, line := range lines(string(buf[:n])) {
				seen <- line
			}
			if err != nil {
				return
			}
		}
	}()
	next := func() string {
		select {
		case s := <-seen:
			return strings.Join(strings.Fields(s), " ")
		case <-ctx.Done():
			t.Fatal("nothing was printed")
			return ""
		}
	}
	require.Equal(t, "EVENT ID SRC DST MATCH DIRECTION ACTION POLICY STATE PACKETS REASON", next())
	require.Contains(t, next(), "ADDED t1 web ids1")
	l.ok("delete tap t1")
	require.Contains(t, next(), "DELETED t1")
	cancel()
	require.Equal(t, exitRefused, <-done)
}

// Ids are completed from the server; without one there is nothing, and no error on the screen.
func TestCompletion(t *testing.T) {
	l := newLab(t)
	require.Equal(t, exitOK, l.apply(cloud).code)
	require.Equal(t, []string{"projects", "tokens", "audit", "replicas", "nodes", "networks", "ports", "pools", "policies", "taps", ":4"}, lines(l.ok("__complete get", "")))
	require.Equal(t, []string{"t1", ":4"}, lines(l.ok("__complete delete tap", "")))
	require.Equal(t, []string{":4"}, lines(l.ok("__complete delete tap t1", "")))
	require.Equal(t, []string{"ids1", ":4"}, lines(l.ok("__complete create tap t9 --dst", "i")))
	require.Equal(t, []string{"in", "out", "both", ":4"}, lines(l.ok("__complete create tap t9 --direction", "")))
	o := l.ctl("__complete get tap --server http://127.0.0.1:1", "")
	require.Equal(t, exitOK, o.code)
	require.Equal(t, []string{":4"}, lines(o.out))
}

// A policy's text comes from a file, and what is wrong with it is said.
func TestPolicies(t *testing.T) {
	l := newLab(t)
	file := filepath.Join(t.TempDir(), "shop.ftc")
	require.NoError(t, os.WriteFile(file, []byte("p(1)\n"), 0o600))
	require.Contains(t, l.ok("create policy shop --source-file", file), "policy/shop created, pending")
	require.Equal(t, []string{"shop", "pending", "0", "true"}, strings.Fields(lines(l.ok("get policies"))[1]))
	require.NoError(t, os.WriteFile(file, []byte("p(x)\nq(_)\n"), 0o600))
	o := l.ctl("create policy other --source-file", file)
	require.Equal(t, exitRefused, o.code)
	require.Contains(t, o.err, "other:1:3: error: ")
	require.Contains(t, o.err, "other:2:3: error: ", "all that is wrong")
	require.Equal(t, 1, strings.Count(o.err, "other:1:3"), "each once")
	require.Equal(t, exitUsage, l.ctl("create policy other --source-file", file+".nothing").code)
	l.ok("delete policy shop")
}

// What the server lists without pages is listed.
func TestReplicas(t *testing.T) {
	l := newLab(t)
	require.Equal(t, []string{"NAME", "LEADER", "REACHED", "SWITCHES", "MASTERS", "VERSION", "PEER", "SINCE"}, strings.Fields(l.ok("get replicas")))
	require.Equal(t, exitUsage, l.ctl("create replica f1").code)
}

func TestSplitYAML(t *testing.T) {
	require.Equal(t, []string{"", "\na: 1\n", "b: '---x'\n", ""}, splitYAML("---\na: 1\n--- b: '---x'\n---"))
}

func TestTimeoutIsOfOneRequest(t *testing.T) {
	c := &client{&rest.Client{Base: "http://127.0.0.1:1", Timeout: time.Millisecond, HTTP: http.DefaultClient}}
	_, err := c.list(context.Background(), collections[0], nil)
	require.Error(t, err)
}
