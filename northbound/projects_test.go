package northbound

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/access"
	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/store"
	"github.com/flowtap/flowtap/topology"
)

// Two projects have objects of the same names, and neither notices.
func TestProjectsDoNotNotice(t *testing.T) {
	g := newGuarded(t)
	for _, who := range []string{"admin", "green"} {
		g.as(who, 201, "POST", "/v1/networks", `{"id":"net"}`)
		vm := g.as(who, 201, "POST", "/v1/ports", `{"id":"vm","network":"net","mac":"02:00:00:00:00:01","ips":["10.0.0.1"]}`)
		require.Regexp(t, derivedInterface, vm.str("interface"))
		g.as(who, 201, "POST", "/v1/ports", `{"id":"mon","kind":"monitor"}`)
		g.as(who, 201, "POST", "/v1/pools", `{"id":"pool","mode":"copy","members":[{"port":"mon"}]}`)
		g.as(who, 201, "POST", "/v1/taps", `{"id":"t","src":"vm","dst":"mon","action":"forward","direction":"in","match":"in_port=vm,tcp"}`)
	}
	one := g.as("green", 200, "GET", "/v1/taps/t", "")
	require.Equal(t, []any{"green", "vm", "mon", "in_port=vm; dl_type=0x0800; nw_proto=6"}[:3], []any{one.at("project"), one.at("src"), one.at("dst")})
	require.Contains(t, one.str("match"), "in_port=vm;")
	both := g.as("provider", 200, "GET", "/v1/taps?project=*", "")
	require.Len(t, both.body["items"], 2)
	require.NotContains(t, both.raw, ":t\"")
	for _, kind := range []string{"networks", "ports", "pools", "taps"} {
		list := g.as("admin", 200, "GET", "/v1/"+kind, "")
		require.NotContains(t, list.raw, "green")
		require.Len(t, list.body["items"], map[string]int{"networks": 1, "ports": 2, "pools": 1, "taps": 1}[kind])
		require.NotContains(t, list.raw, "blue:", "no inside id comes out")
		require.Len(t, g.as("admin", 200, "GET", "/v1/"+kind+"?limit=1", "").body["items"], 1)
		require.Empty(t, g.as("provider", 200, "GET", "/v1/"+kind, "").body["items"], "in the project default")
		// An inside id is nobody's way in.
		g.as("admin", 404, "GET", "/v1/"+kind+"/green:"+strings.TrimSuffix(kind, "s"), "")
	}
	g.as("admin", 204, "DELETE", "/v1/taps/t", "")
	g.as("green", 200, "GET", "/v1/taps/t", "")
}

// What another project has is answered, wherever it is named, as what is not there is.
func TestNamesOfOthersAreNames(t *testing.T) {
	g := newGuarded(t)
	for _, p := range []string{"blue", "green", "default"} {
		g.furnish(p)
	}
	g.as("provider", 201, "POST", "/v1/ports", `{"id":"kept","kind":"monitor"}`)
	for _, c := range []struct{ kind, body string }{
		{"ports", `{"id":"x","network":"NAME","mac":"02:00:00:00:00:07"}`},
		{"ports", `{"id":"x","kind":"monitor","return_port":"NAME"}`},
		{"pools", `{"id":"x","mode":"copy","members":[{"port":"NAME"}]}`},
		{"taps", `{"id":"x","src":"NAME","dst":"mon","action":"forward"}`},
		{"taps", `{"id":"x","src":"vm","dst":"NAME","action":"forward"}`},
		{"taps", `{"id":"x","src":"vm","dst_pool":"NAME","action":"forward"}`},
		{"taps", `{"id":"x","src":"vm","dst":"mon","action":"forward","match":"in_port=NAME"}`},
	} {
		var answers []string
		for _, name := range []string{"green/net", "green/mon", "green/vm", "green/obj", "default/kept", "green/nothing", "nothing/mon", "default/nothing"} {
			a := g.as("member", 422, "POST", "/v1/"+c.kind, strings.ReplaceAll(c.body, "NAME", name))
			answers = append(answers, strings.ReplaceAll(a.raw, name, "NAME"))
		}
		for _, a := range answers {
			require.Equal(t, answers[0], a)
		}
		inside := g.as("member", 422, "POST", "/v1/"+c.kind, strings.ReplaceAll(c.body, "NAME", "green:mon"))
		require.NotContains(t, inside.raw, "exists")
	}
	// A watch sees its own project alone.
	watch := g.watch(t, "/v1/ports?watch=true&id=w", g.secrets["reader"])
	watch.want("SYNCED")
	g.as("green", 201, "POST", "/v1/ports", `{"id":"w","kind":"monitor"}`)
	g.as("member", 201, "POST", "/v1/ports", `{"id":"w","kind":"monitor"}`)
	typ, o := watch.next()
	require.Equal(t, []any{"ADDED w", "blue"}, []any{typ, o["project"]})
	for _, q := range []string{"?colour=red", "?since=yesterday", "?page=eA"} {
		g.as("provider", 400, "GET", "/v1/audit"+q, "")
	}
	g.as("provider", 400, "GET", "/v1/tokens?colour=red", "")
	g.as("provider", 400, "GET", "/v1/replicas?colour=red", "")
}

// The provider's monitors are offered to whom it says; who uses them is told of nobody else who does.
func TestSharing(t *testing.T) {
	g := newGuarded(t)
	g.furnish("blue")
	g.furnish("green")
	g.as("provider", 201, "POST", "/v1/ports", `{"id":"ids","kind":"monitor","shared_with":["blue","green"]}`)
	g.as("provider", 422, "POST", "/v1/ports", `{"id":"x","kind":"monitor","shared_with":["nothing"]}`)
	offers := g.as("reader", 200, "GET", "/v1/ports?shared=true", "")
	require.Contains(t, offers.raw, `"id":"ids","project":"default","kind":"monitor"`)
	require.NotContains(t, offers.raw, "green")
	for _, who := range []string{"member", "green"} {
		tap := g.as(who, 201, "POST", "/v1/taps", `{"id":"s","src":"vm","dst":"default/ids","action":"forward","match":"udp"}`)
		require.Equal(t, "default/ids", tap.str("dst"))
		g.as(who, 200, "PUT", "/v1/taps/s", tap.raw)
	}
	g.as("member", 422, "POST", "/v1/taps", `{"id":"r","src":"vm","dst":"default/ids","action":"redirect","match":"icmp"}`)
	refused := g.as("provider", 409, "PUT", "/v1/ports/ids", `{"kind":"monitor","shared_with":["green"]}`)
	require.Equal(t, []any{"blue/s"}, refused.at("users"))
	g.as("member", 422, "PUT", "/v1/ports/mon", `{"kind":"monitor","shared_with":["*"]}`)
	g.as("member", 422, "PUT", "/v1/ports/vm", `{"network":"net","interface":"green-vm"}`)
	g.as("member", 204, "DELETE", "/v1/taps/s", "")
	g.as("provider", 200, "PUT", "/v1/ports/ids", `{"kind":"monitor","shared_with":["green"]}`)
	g.as("member", 422, "POST", "/v1/taps", `{"id":"s","src":"vm","dst":"default/ids","action":"forward","match":"udp"}`)

	// A member's own monitor, that the provider offers to another project: who uses it is not the member's to know.
	g.as("provider", 200, "PUT", "/v1/ports/mon?project=blue", `{"kind":"monitor","shared_with":["*"]}`)
	g.as("green", 201, "POST", "/v1/taps", `{"id":"u","src":"vm","dst":"blue/mon","action":"forward","match":"icmp"}`)
	g.as("member", 204, "DELETE", "/v1/taps/obj", "")
	g.as("member", 204, "DELETE", "/v1/pools/obj", "")
	used := g.as("member", 409, "DELETE", "/v1/ports/mon", "")
	require.NotContains(t, used.raw, "green")
	require.Equal(t, []any{"ids"}, g.as("provider", 409, "DELETE", "/v1/projects/green", "").at("users"))
	g.as("green", 204, "DELETE", "/v1/taps/s", "")
	g.as("provider", 200, "PUT", "/v1/ports/ids", `{"kind":"monitor"}`)
	require.Contains(t, g.as("provider", 409, "DELETE", "/v1/projects/green", "").raw, `"green/vm"`)
}

// Members see nothing of nodes and of what is between them, also not by filters.
func TestMembersDoNotSeeWhereThingsAre(t *testing.T) {
	g := newGuarded(t)
	g.furnish("blue")
	ctx := t.Context()
	require.NoError(t, g.store.Ports().PutStatus(ctx, "blue:vm", topology.PortStatus{State: topology.PortActive, Node: "host7", OFPort: 77,
		Attachments: []topology.Attachment{{Node: "host7", OFPort: 77}}}))
	require.NoError(t, g.store.Taps().PutStatus(ctx, "blue:obj", flowtap.TapStatus{State: flowtap.TapDegraded, Reason: "node host7 is not connected",
		SrcNode: "host7", DstNode: "host8", Nodes: []flowtap.NodeCounters{{Node: "host7"}}}))
	require.NoError(t, g.store.Networks().PutStatus(ctx, "blue:net", topology.NetworkStatus{Label: 4711, Members: 1}))
	for _, path := range []string{"/v1/ports", "/v1/taps", "/v1/networks", "/v1/ports/vm", "/v1/taps/obj", "/v1/networks/net"} {
		raw := g.as("member", 200, "GET", path, "").raw
		for _, hidden := range []string{"host7", "host8", "77", "4711"} {
			require.NotContains(t, raw, hidden, path)
		}
	}
	for _, filter := range []string{"/v1/ports?node=host7", "/v1/ports?ofport=77", "/v1/taps?src_node=host7", "/v1/networks?label=4711"} {
		require.Empty(t, g.as("member", 200, "GET", filter, "").body["items"], filter)
		require.Len(t, g.as("provider", 200, "GET", filter+"&project=blue", "").body["items"], 1, filter)
	}
	dry := g.as("member", 200, "DELETE", "/v1/taps/obj?dry_run=true", "")
	require.Empty(t, dry.at("switches"))
}

func TestTenantReason(t *testing.T) {
	tap := flowtap.Tap{Src: "blue:vm", Dst: "ids", DstPool: ""}
	pool := flowtap.Tap{Src: "blue:vm", DstPool: "pool"}
	for _, c := range []struct {
		tap      flowtap.Tap
		is, want string
	}{
		{tap, "", ""},
		{tap, reasonNew, reasonNew},
		{tap, "port blue:vm is on no switch", "port vm is on no switch"},
		{tap, "monitor ids is on no switch", "monitor default/ids is on no switch"},
		{tap, "node n1 is not connected", reasonState},
		{tap, "applying: the tunnel from n1 to n2 does not answer yet", "applying: the switches do not act on it yet"},
		{tap, "monitor ids gives frames of network green:net back, and cannot", reasonState},
		{tap, "monitor ids cannot be reached; the flow passes unmonitored, since fail_mode is open", "monitor default/ids cannot be reached; the flow passes unmonitored, since fail_mode is open"},
		{pool, "monitor secret is on no switch (1 of 2 members of pool pool serve)", "a member of pool default/pool does not serve"},
	} {
		require.Equal(t, c.want, relativeText("blue", tenantReason("blue", c.tap, c.is)), c.is)
	}
	require.Equal(t, "mac 02:00:00:00:00:01 is taken", relativeText("02", "mac 02:00:00:00:00:01 is taken"))
}

// Of 50 creations at once at a quota of 10, ten succeed.
func TestQuotaHoldsWhenAllCreateAtOnce(t *testing.T) {
	g := newGuarded(t)
	g.as("provider", 200, "PUT", "/v1/projects/blue", `{"quotas":{"networks":10}}`)
	other, err := New(Deps{Store: g.store, Insecure: true, Logger: g.server.deps.Logger})
	require.NoError(t, err)
	var made, full atomic.Int64
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			a := g.ask("member", "POST", "/v1/networks", fmt.Sprintf(`{"id":"n%d"}`, i))
			switch a.status {
			case 201:
				made.Add(1)
			case 422:
				full.Add(1)
				assert.Contains(t, a.str("detail"), "10 networks")
			}
		})
	}
	all.Wait()
	require.Equal(t, []int64{10, 40}, []int64{made.Load(), full.Load()})
	require.Len(t, g.as("member", 200, "GET", "/v1/networks", "").body["items"], 10)
	require.NotNil(t, other)
	g.as("member", 422, "POST", "/v1/networks?dry_run=true", `{"id":"more"}`)
}

// Every change is in the log, in its own transaction: at the revision of the object itself.
func TestAuditLog(t *testing.T) {
	g := newGuarded(t)
	made := g.as("member", 201, "POST", "/v1/networks", `{"id":"net"}`)
	put := g.as("member", 200, "PUT", "/v1/networks/net", `{"labels":{"a":"b"}}`)
	g.as("member", 200, "PUT", "/v1/networks/net", `{"labels":{"a":"b"}}`)
	g.as("reader", 403, "DELETE", "/v1/networks/net", "")
	g.as("member", 204, "DELETE", "/v1/networks/net", "")
	g.as("green", 201, "POST", "/v1/networks", `{"id":"net"}`)
	items := g.as("admin", 200, "GET", "/v1/audit?collection=networks&id=net", "").body["items"].([]any)
	require.Len(t, items, 3, "what changed nothing is no change")
	for i, want := range []map[string]any{
		{"verb": "create", "revision": made.str("revision"), "before": nil, "after": map[string]any{}},
		{"verb": "replace", "revision": put.str("revision"), "before": map[string]any{}, "after": map[string]any{"labels": map[string]any{"a": "b"}}},
		{"verb": "delete", "before": map[string]any{"labels": map[string]any{"a": "b"}}, "after": nil},
	} {
		rec := items[i].(map[string]any)
		for k, v := range want {
			require.Equal(t, v, rec[k], k)
		}
		require.Equal(t, []any{"test", "127.0.0.1", "blue", "net", access.SecretID(g.secrets["member"])},
			[]any{rec["principal"], rec["from"], rec["project"], rec["object"], rec["token"]})
	}
	first := g.as("admin", 200, "GET", "/v1/audit?collection=networks&limit=1", "")
	second := g.as("admin", 200, "GET", "/v1/audit?collection=networks&limit=1&page="+first.str("next"), "")
	require.Equal(t, items[1], second.body["items"].([]any)[0])
	last := g.as("admin", 200, "GET", "/v1/audit?collection=networks&limit=1&newest=true", "")
	require.Equal(t, items[2], last.body["items"].([]any)[0])
	lines := g.do("GET", "/v1/audit?project=blue&collection=networks", "", "Accept", mediaLines, "Authorization", "Bearer "+g.secrets["admin"])
	require.Equal(t, mediaLines, lines.header.Get("Content-Type"))
	require.Equal(t, 3, strings.Count(lines.raw, "\n"))
	all := g.as("provider", 200, "GET", "/v1/audit?collection=networks", "").body["items"].([]any)
	require.Len(t, all, 4)
	require.Empty(t, g.as("provider", 200, "GET", "/v1/audit?since=2101-01-01T00:00:00Z", "").body["items"])
}

// A port of a project that changes does not tell that another has its value.
func TestConflictsNameNobodyElse(t *testing.T) {
	sc := &scope{principal: access.Principal{Roles: map[string]access.Role{"blue": access.Member}}, project: "blue"}
	p := sc.problem(&store.UniqueError{Field: "interface", Value: "x", Owner: "green:vm"})
	require.Equal(t, "interface x is taken", p.Detail)
	require.Empty(t, p.ConflictsWith)
	p = sc.problem(&store.UniqueError{Field: "mac", Value: "x", Owner: "blue:vm"})
	require.Equal(t, "vm", p.ConflictsWith)
}
