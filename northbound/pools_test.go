package northbound

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/flowtap"
)

// appliances makes monitors ids2 and ids3, a tagging one, and a VM of another network.
func (w *world) appliances() {
	w.t.Helper()
	w.must(201, "POST", "/v1/ports", `{"id":"ids2","kind":"monitor"}`)
	w.must(201, "POST", "/v1/ports", `{"id":"ids3","kind":"monitor"}`)
	w.must(201, "POST", "/v1/ports", `{"id":"trunk","kind":"monitor","tag":"vlan"}`)
	w.must(201, "POST", "/v1/networks", `{"id":"lab"}`)
	w.must(201, "POST", "/v1/ports", `{"id":"vm","network":"lab","mac":"02:00:00:00:00:01"}`)
}

// redirect is a tap of one target and a priority of its own.
func redirect(id, src, dst string, priority int) string {
	return fmt.Sprintf(`{"id":%q,"src":%q,%s,"action":"redirect","priority":%d}`, id, src, dst, priority)
}

func TestPoolsThatCannotBe(t *testing.T) {
	w := newWorld(t)
	w.cloud()
	for body, field := range map[string]string{
		`{"members":[{"port":"ids1"}]}`:                                  "mode",
		`{"mode":"all","members":[{"port":"ids1"}]}`:                     "mode",
		`{"mode":"copy"}`:                                                "members",
		`{"mode":"copy","members":[]}`:                                   "members",
		`{"mode":"copy","members":["ids1"]}`:                             "members.0",
		`{"mode":"copy","members":{"port":"ids1"}}`:                      "members",
		`{"mode":"copy","members":[{"port":"ids1"},{"port":"ids1"}]}`:    "members.1.port",
		`{"mode":"copy","members":[{"weight":1}]}`:                       "members.0.port",
		`{"mode":"spread","members":[{"port":"ids1","weight":0}]}`:       "members.0.weight",
		`{"mode":"spread","members":[{"port":"ids1","weight":-1}]}`:      "members.0.weight",
		`{"mode":"spread","members":[{"port":"ids1","weight":1000000}]}`: "members.0.weight",
		`{"mode":"spread","members":[{"port":"ids1","weight":1e300}]}`:   "members.0.weight",
		`{"mode":"spread","members":[{"port":"ids1","weight":"1"}]}`:     "members.0.weight",
		`{"mode":"spread","members":[{"port":"ids1"},{"port":"ghost"}]}`: "members.1.port",
		`{"mode":"spread","members":[{"port":"web"}]}`:                   "members.0.port",
	} {
		require.Equal(t, field, w.must(422, "POST", "/v1/pools", body).str("field"), body)
	}
	require.Equal(t, "members.0.share", w.must(400, "POST", "/v1/pools", `{"mode":"copy","members":[{"port":"ids1","share":1}]}`).str("field"))
	require.Empty(t, w.must(200, "GET", "/v1/pools", "").at("items"))
	p := w.must(201, "POST", "/v1/pools", `{"id":"ids","mode":"spread","members":[{"port":"ids1"}]}`)
	require.Equal(t, []any{map[string]any{"port": "ids1", "weight": 1.0}}, p.at("members"), "a weight is 1 by default")
}

// What is in use cannot be deleted: a pool by its taps, a port by its pools and by whose return port it is.
func TestPoolsAndTheirMembersAreInUse(t *testing.T) {
	w := newWorld(t)
	w.cloud()
	w.appliances()
	w.must(201, "POST", "/v1/pools", `{"id":"ids","mode":"copy","members":[{"port":"ids1"},{"port":"ids2"}]}`)
	w.must(201, "POST", "/v1/taps", `{"id":"t1","src":"web","dst_pool":"ids","action":"forward"}`)
	w.must(200, "PUT", "/v1/ports/ids2", `{"kind":"monitor","return_port":"ids3"}`)
	for path, users := range map[string][]any{"pools/ids": {"t1"}, "ports/ids1": {"ids"}, "ports/ids2": {"ids"}, "ports/ids3": {"ids2"}} {
		require.Equal(t, users, w.must(409, "DELETE", "/v1/"+path, "").at("users"), path)
		require.Equal(t, users, w.must(409, "DELETE", "/v1/"+path+"?dry_run=true", "").at("users"), path)
	}
	for _, port := range []string{"ids1", "ids3"} {
		require.Equal(t, "kind", w.must(409, "PUT", "/v1/ports/"+port, `{"network":"shop"}`).str("field"))
	}
	require.Len(t, w.must(200, "GET", "/v1/taps?dst_pool=ids", "").at("items"), 1)
	w.must(200, "PUT", "/v1/pools/ids", `{"mode":"copy","members":[{"port":"ids2"}]}`)
	w.must(204, "DELETE", "/v1/ports/ids1", "")
	w.must(204, "DELETE", "/v1/taps/t1", "")
	w.must(204, "DELETE", "/v1/pools/ids", "")
	w.must(204, "DELETE", "/v1/ports/ids2", "")
	w.must(204, "DELETE", "/v1/ports/ids3", "")
}

func TestTapsTowardsPools(t *testing.T) {
	w := newWorld(t)
	w.cloud()
	w.must(201, "POST", "/v1/pools", `{"id":"all","mode":"copy","members":[{"port":"ids1"}]}`)
	w.must(201, "POST", "/v1/pools", `{"id":"some","mode":"spread","members":[{"port":"ids1"}]}`)
	for body, field := range map[string]string{
		`{"src":"web","action":"forward"}`:                                 "dst",
		`{"src":"web","dst":"ids1","dst_pool":"all","action":"forward"}`:   "dst_pool",
		`{"src":"web","dst_pool":"ghost","action":"forward"}`:              "dst_pool",
		`{"src":"web","dst":"all","action":"forward"}`:                     "dst",
		`{"src":"web","dst_pool":"ids1","action":"forward"}`:               "dst_pool",
		`{"src":"web","dst_pool":"all","action":"redirect"}`:               "dst_pool",
		`{"src":"web","dst":"web","action":"redirect"}`:                    "dst",
		`{"src":"web","dst":"ids1","action":"redirect","truncate":64}`:     "truncate",
		`{"src":"web","dst":"ids1","action":"forward","fail_mode":"open"}`: "fail_mode",
	} {
		require.Equal(t, field, w.must(422, "POST", "/v1/taps", body).str("field"), body)
		require.Equal(t, field, w.must(422, "POST", "/v1/taps?dry_run=true", body).str("field"), body)
	}
	// What is copied to a monitor with others must not come back.
	p := w.must(422, "POST", "/v1/taps", redirect("t1", "web", `"dst_pool":"some"`, 1))
	require.Equal(t, "dst_pool", p.str("field"))
	require.Contains(t, p.str("detail"), "pool all of mode copy")
	require.Equal(t, "dst", w.must(422, "POST", "/v1/taps", redirect("t1", "web", `"dst":"ids1"`, 1)).str("field"))
	w.must(200, "PUT", "/v1/pools/all", `{"mode":"spread","members":[{"port":"ids1"}]}`)
	tap := w.must(201, "POST", "/v1/taps", redirect("t1", "web", `"dst_pool":"some"`, 1))
	require.Equal(t, "some", tap.str("dst_pool"))
	require.Nil(t, tap.at("dst"))
	p = w.must(409, "PUT", "/v1/pools/all", `{"mode":"copy","members":[{"port":"ids1"}]}`)
	require.Equal(t, "members", p.str("field"))
	require.Equal(t, []any{"t1"}, p.at("users"))
	w.must(409, "POST", "/v1/pools", `{"id":"more","mode":"copy","members":[{"port":"ids1"}]}`)
	p = w.must(409, "PUT", "/v1/pools/some", `{"mode":"copy","members":[{"port":"ids1"}]}`)
	require.Equal(t, "mode", p.str("field"))
	require.Equal(t, []any{"t1"}, p.at("users"))
	w.must(201, "POST", "/v1/taps", `{"src":"db","dst_pool":"all","action":"forward","truncate":64,"rate_limit":{"pps":10},"rewrite_dst_mac":true}`)
}

// What a tap may ask of a single monitor it may ask of a pool.
func TestPoolsTakeOptions(t *testing.T) {
	w := newWorld(t)
	w.cloud()
	w.must(201, "POST", "/v1/ports", `{"id":"ids2","kind":"monitor"}`)
	w.must(201, "POST", "/v1/pools", `{"id":"copies","mode":"copy","members":[{"port":"ids1"}]}`)
	w.must(201, "POST", "/v1/pools", `{"id":"spread","mode":"spread","members":[{"port":"ids2"}]}`)
	for i, pool := range []string{"copies", "spread"} {
		tap := w.must(201, "POST", "/v1/taps", fmt.Sprintf(`{"id":"to-%s","src":"web","dst_pool":%q,"action":"forward","match":"udp","priority":%d,"truncate":64,"rate_limit":{"pps":10},"rewrite_dst_mac":true}`, pool, pool, i))
		require.Equal(t, 10.0, tap.at("rate_limit.pps"))
		require.Equal(t, 64.0, tap.at("truncate"))
	}
	w.must(204, "DELETE", "/v1/taps/to-spread", "")
	tap := w.must(201, "POST", "/v1/taps", `{"id":"open","src":"web","dst_pool":"spread","action":"redirect","priority":9,"fail_mode":"open"}`)
	require.Equal(t, "open", tap.str("fail_mode"))
	for body, field := range map[string]string{
		`{"src":"web","dst_pool":"copies","action":"redirect","fail_mode":"open"}`:                  "dst_pool",
		`{"src":"web","dst_pool":"spread","action":"forward","fail_mode":"open"}`:                   "fail_mode",
		`{"src":"web","dst_pool":"copies","action":"forward","truncate":63}`:                        "truncate",
		`{"src":"web","dst_pool":"spread","action":"redirect","priority":2,"rate_limit":{"pps":1}}`: "rate_limit",
		`{"src":"web","dst_pool":"copies","action":"forward","rate_limit":{"kbps":4294967296}}`:     "rate_limit.kbps",
		`{"src":"web","dst_pool":"spread","action":"redirect","priority":2,"rewrite_dst_mac":true}`: "rewrite_dst_mac",
	} {
		require.Equal(t, field, w.must(422, "POST", "/v1/taps", body).str("field"), body)
	}
}

// A monitor without tags gets redirected frames of one network, by whatever way they come to it.
func TestUntaggedMonitorsServeOneNetwork(t *testing.T) {
	w := newWorld(t)
	w.cloud()
	w.appliances()
	w.must(201, "POST", "/v1/taps", redirect("t1", "web", `"dst":"ids1"`, 1))
	p := w.must(422, "POST", "/v1/taps", redirect("t2", "vm", `"dst":"ids1"`, 1))
	require.Equal(t, "dst", p.str("field"))
	require.Contains(t, p.str("detail"), "tag vlan")
	w.must(422, "POST", "/v1/taps?dry_run=true", redirect("t2", "vm", `"dst":"ids1"`, 1))
	w.must(201, "POST", "/v1/taps", redirect("t3", "db", `"dst":"ids1"`, 1))
	w.must(201, "POST", "/v1/taps", `{"id":"copies","src":"vm","dst":"ids1","action":"forward","priority":2}`)
	p = w.must(422, "PUT", "/v1/taps/copies", redirect("copies", "vm", `"dst":"ids1"`, 2))
	require.Equal(t, "dst", p.str("field"))

	// By a pool, from either side.
	w.must(201, "POST", "/v1/pools", `{"id":"some","mode":"spread","members":[{"port":"ids1"},{"port":"ids2"}]}`)
	require.Equal(t, "dst_pool", w.must(422, "POST", "/v1/taps", redirect("t2", "vm", `"dst_pool":"some"`, 1)).str("field"))
	w.must(200, "PUT", "/v1/pools/some", `{"mode":"spread","members":[{"port":"ids2"}]}`)
	w.must(201, "POST", "/v1/taps", redirect("t2", "vm", `"dst_pool":"some"`, 1))
	p = w.must(409, "PUT", "/v1/pools/some", `{"mode":"spread","members":[{"port":"ids2"},{"port":"ids1"}]}`)
	require.Equal(t, "members", p.str("field"))
	require.Equal(t, []any{"t1", "t2"}, p.at("users"))

	// With tags, any number; and the tag stays as long as it is needed.
	w.must(201, "POST", "/v1/taps", redirect("t4", "web", `"dst":"trunk"`, 2))
	w.must(201, "POST", "/v1/taps", redirect("t5", "vm", `"dst":"trunk"`, 3))
	p = w.must(409, "PUT", "/v1/ports/trunk", `{"kind":"monitor","tag":"none"}`)
	require.Equal(t, "tag", p.str("field"))
	require.Equal(t, []any{"t4", "t5"}, p.at("users"))
	w.must(200, "PUT", "/v1/ports/ids1", `{"kind":"monitor","tag":"vlan"}`)

	// A target that changes its network.
	w.must(201, "POST", "/v1/taps", redirect("t6", "web", `"dst":"ids3"`, 4))
	w.must(201, "POST", "/v1/taps", redirect("t7", "db", `"dst":"ids3"`, 4))
	p = w.must(409, "PUT", "/v1/ports/db", `{"network":"lab"}`)
	require.Equal(t, "network", p.str("field"))
	w.must(204, "DELETE", "/v1/taps/t6", "")
	w.must(200, "PUT", "/v1/ports/db", `{"network":"lab"}`)
}

// A port gives back the frames of one monitor.
func TestReturnPorts(t *testing.T) {
	w := newWorld(t)
	w.cloud()
	w.appliances()
	monitor := func(returnPort string) string { return fmt.Sprintf(`{"kind":"monitor","return_port":%q}`, returnPort) }
	require.Equal(t, "return_port", w.must(422, "PUT", "/v1/ports/ids1", monitor("ghost")).str("field"))
	require.Equal(t, "return_port", w.must(422, "PUT", "/v1/ports/ids1", monitor("web")).str("field"))
	require.Equal(t, "return_port", w.must(422, "PUT", "/v1/ports/web", `{"network":"shop","return_port":"ids1"}`).str("field"))
	require.Equal(t, "tag", w.must(422, "PUT", "/v1/ports/web", `{"network":"shop","tag":"vlan"}`).str("field"))
	require.Nil(t, w.must(200, "PUT", "/v1/ports/ids1", monitor("ids1")).at("return_port"), "its own is none")
	require.Equal(t, "ids2", w.must(200, "PUT", "/v1/ports/ids1", monitor("ids2")).str("return_port"))
	p := w.must(409, "PUT", "/v1/ports/ids3", monitor("ids2"))
	require.Equal(t, "ids1", p.str("conflicts_with"))
	require.Equal(t, "return_port", p.str("field"))
	w.must(409, "PUT", "/v1/ports/ids3?dry_run=true", monitor("ids2"))

	w.must(201, "POST", "/v1/taps", redirect("t1", "web", `"dst":"ids1"`, 1))
	require.Equal(t, "dst", w.must(422, "POST", "/v1/taps", redirect("t2", "web", `"dst":"ids2"`, 2)).str("field"), "what comes back by ids2 is ids1's")
	w.must(201, "POST", "/v1/taps", `{"id":"copies","src":"web","dst":"ids2","action":"forward","priority":3}`)
	// A bump in the wire: in by one arm, out by the other, either way.
	w.must(200, "PUT", "/v1/ports/ids2", monitor("ids1"))
	w.must(201, "POST", "/v1/taps", redirect("t2", "web", `"dst":"ids2"`, 2))
	p = w.must(409, "PUT", "/v1/ports/ids2", monitor(""))
	require.Equal(t, "return_port", p.str("field"))
	require.Equal(t, []any{"t2"}, p.at("users"))
	w.must(201, "POST", "/v1/taps", redirect("t3", "web", `"dst":"ids3"`, 4))
	w.must(201, "POST", "/v1/ports", `{"id":"ids4","kind":"monitor"}`)
	p = w.must(409, "PUT", "/v1/ports/ids4", monitor("ids3"))
	require.Equal(t, "return_port", p.str("field"))
	require.Equal(t, []any{"t3"}, p.at("users"))
}

// No bridge is two nodes', nor both of one.
func TestSecondBridges(t *testing.T) {
	w := newWorld(t)
	node := func(id, ip, dpid, tunnel string) string {
		return fmt.Sprintf(`{"id":%q,"tunnel_ip":%q,"datapath_id":%q,"tunnel_datapath_id":%q}`, id, ip, dpid, tunnel)
	}
	const a, b, c = "000000000000000a", "000000000000000b", "000000000000000c"
	require.Equal(t, "tunnel_datapath_id", w.must(422, "POST", "/v1/nodes", node("n1", "172.16.0.1", a, a)).str("field"))
	require.Equal(t, "tunnel_datapath_id", w.must(422, "POST", "/v1/nodes", node("n1", "172.16.0.1", a, "br-tun")).str("field"))
	require.Equal(t, b, w.must(201, "POST", "/v1/nodes", node("n1", "172.16.0.1", a, b)).str("tunnel_datapath_id"))
	for _, query := range []string{"", "?dry_run=true"} {
		for field, body := range map[string]string{"datapath_id": node("n2", "172.16.0.2", b, c), "tunnel_datapath_id": node("n2", "172.16.0.2", c, a)} {
			p := w.must(409, "POST", "/v1/nodes"+query, body)
			require.Equal(t, "n1", p.str("conflicts_with"))
			require.Equal(t, field, p.str("field"))
		}
	}
}

// ?fresh=true has the controller read the counters and answers what it found.
func TestFreshCounters(t *testing.T) {
	var w *world
	var fail error
	w = newWorld(t, func(d *Deps) {
		d.ReadCounters = func(ctx context.Context, id string) error {
			return errors.Join(fail, w.store.Taps().PutStatus(ctx, id, flowtap.TapStatus{State: flowtap.TapActive,
				Counters: flowtap.Counters{MatchedPackets: 7, DroppedPackets: 2}}))
		}
	})
	w.cloud()
	w.must(201, "POST", "/v1/taps", tapT1)
	require.Equal(t, 0.0, w.must(200, "GET", "/v1/taps/t1?fresh=false", "").at("status.counters.matched_packets"))
	fresh := w.must(200, "GET", "/v1/taps/t1?fresh=true", "")
	require.Equal(t, 7.0, fresh.at("status.counters.matched_packets"))
	require.Equal(t, 2.0, fresh.at("status.counters.dropped_packets"))
	w.must(404, "GET", "/v1/taps/none?fresh=true", "")
	w.must(400, "GET", "/v1/taps/t1?fresh=maybe", "")
	w.must(400, "GET", "/v1/taps?fresh=true", "")
	w.must(400, "GET", "/v1/ports/web?fresh=true", "")
	fail = errors.New("node n1 does not answer")
	require.Contains(t, w.must(503, "GET", "/v1/taps/t1?fresh=true", "").str("detail"), "node n1 does not answer")

	none := newWorld(t)
	none.cloud()
	none.must(201, "POST", "/v1/taps", tapT1)
	none.must(503, "GET", "/v1/taps/t1?fresh=true", "")
}
