package northbound

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/flowtap"
)

// sample is what the contract of all collections is tested with.
type sample struct {
	collection string
	body       string // of an object named x; needs cloud
	changed    string // the same, changed
	invalid    string // a 422
	field      string // that the 422 names
	taken      string // an object y with a value that only x may have, or ""
	inUse      string // the id of an object that is in use, or ""
}

var samples = []sample{
	{"nodes", `{"id":"x","datapath_id":"000000000000000a","tunnel_ip":"172.16.0.9"}`,
		`{"id":"x","datapath_id":"000000000000000a","tunnel_ip":"172.16.0.9","labels":{"rack":"b"}}`,
		`{"id":"y","datapath_id":"zz","tunnel_ip":"172.16.0.9"}`, "datapath_id",
		`{"id":"y","datapath_id":"000000000000000a","tunnel_ip":"172.16.0.8"}`, ""},
	{"networks", `{"id":"x"}`, `{"id":"x","labels":{"a":"b"}}`, `{"id":"y","labels":[]}`, "labels", "", "shop"},
	{"ports", `{"id":"x","network":"shop","mac":"02:00:00:00:00:0a"}`, `{"id":"x","network":"shop","mac":"02:00:00:00:00:0b"}`,
		`{"id":"y","network":"nowhere"}`, "network", `{"id":"y","network":"shop","mac":"02:00:00:00:00:0a"}`, "web"},
	{"pools", `{"id":"x","mode":"spread","members":[{"port":"ids1"}]}`, `{"id":"x","mode":"spread","members":[{"port":"ids1","weight":2}]}`,
		`{"id":"y","mode":"spread","members":[{"port":"web"}]}`, "members.0.port", "", ""},
	{"taps", `{"id":"x","src":"db","dst":"ids1","action":"forward","match":"tcp"}`,
		`{"id":"x","src":"db","dst":"ids1","action":"forward","match":"udp"}`,
		`{"id":"y","src":"db","dst":"web","action":"forward"}`, "dst",
		`{"id":"y","src":"db","dst":"ids1","action":"forward"}`, ""},
	{"policies", `{"id":"x","source":"p(1)"}`, `{"id":"x","source":"p(2)"}`, `{"id":"y","source":"p(x)"}`, "source", "", ""},
	{"projects", `{"id":"x"}`, `{"id":"x","quotas":{"ports":7}}`, `{"id":"y","quotas":{"ports":-1}}`, "quotas.ports", "", "full"},
}

func withID(body, id string) string { return strings.Replace(body, `"id":"x"`, `"id":"`+id+`"`, 1) }

// Every collection answers as API.md says.
func TestContractOfCollections(t *testing.T) {
	for _, c := range samples {
		t.Run(c.collection, func(t *testing.T) {
			plan := &fakePlanner{}
			w := newWorld(t, func(d *Deps) { d.Planner, d.Rehearse = plan, oneTap })
			w.cloud()
			w.must(201, "POST", "/v1/taps", tapT1)
			w.must(201, "POST", "/v1/projects", `{"id":"full"}`)
			w.must(201, "POST", "/v1/networks", `{"id":"n","project":"full"}`)
			all, one := "/v1/"+c.collection, "/v1/"+c.collection+"/x"

			made := w.must(201, "POST", all, c.body)
			require.Equal(t, one, made.header.Get("Location"))
			require.Equal(t, "x", made.str("id"))
			require.NotEmpty(t, made.str("created_at"))
			rev := made.str("revision")
			require.Equal(t, `"`+rev+`"`, made.header.Get("ETag"))

			again := w.must(200, "POST", all, c.body)
			require.Equal(t, rev, again.str("revision"))
			other := w.must(409, "POST", all, c.changed)
			require.Equal(t, "x", other.str("conflicts_with"))
			require.Equal(t, ProblemType, other.header.Get("Content-Type"))

			require.Equal(t, made.body, w.must(200, "GET", one, "").body)
			require.Contains(t, w.must(200, "GET", all+"?id=x", "").raw, `"id":"x"`)
			w.must(400, "GET", one+"?colour=red", "")
			w.must(400, "GET", all+"?colour=red", "")
			w.must(404, "GET", all+"/nothing", "")
			w.must(404, "GET", all+"/NOT_AN_ID", "")

			w.must(400, "POST", all, `{`)
			w.must(413, "POST", all, `{"id":"`+strings.Repeat("a", maxBody)+`"}`)
			w.must(415, "POST", all, c.body, "Content-Type", "text/plain")
			require.Equal(t, c.field, w.must(422, "POST", all, c.invalid).str("field"))

			w.must(400, "PUT", one, `{`)
			w.must(404, "PUT", all+"/nothing", withID(c.body, "nothing"))
			w.must(412, "PUT", one, c.changed, "If-Match", `"1"`)
			w.must(413, "PUT", one, `{"id":"`+strings.Repeat("a", maxBody)+`"}`)
			w.must(415, "PUT", one, c.body, "Content-Type", "")
			require.Equal(t, c.field, w.must(422, "PUT", one, strings.Replace(c.invalid, `"id":"y"`, `"id":"x"`, 1)).str("field"))
			require.Equal(t, "id", w.must(422, "PUT", one, withID(c.body, "z")).str("field"))
			if c.taken != "" {
				require.Equal(t, "x", w.must(409, "POST", all, c.taken).str("conflicts_with"))
				require.Equal(t, "x", w.must(409, "POST", all+"?dry_run=true", c.taken).str("conflicts_with"))
			}
			if c.inUse != "" {
				require.NotEmpty(t, w.must(409, "DELETE", all+"/"+c.inUse, "").at("users"))
				require.NotEmpty(t, w.must(409, "DELETE", all+"/"+c.inUse+"?dry_run=true", "").at("users"))
			}
			require.Equal(t, made.body, w.must(200, "GET", one, "").body, "nothing so far may have changed it")

			w.must(200, "POST", all+"?dry_run=true", withID(c.body, "x"))
			dry := w.must(200, "PUT", one+"?dry_run=true", c.changed)
			require.Equal(t, true, dry.at("dry_run"))
			switch c.collection {
			case "projects": // which are nothing to switches
			case "policies":
				require.Equal(t, Change{OpCreate, "taps", "x-a", plan.last.Spec}, plan.last)
				require.Equal(t, "x-a", dry.at("taps").(map[string]any)["items"].([]any)[0].(map[string]any)["id"])
			default:
				require.Equal(t, Change{OpReplace, c.collection, "x", plan.last.Spec}, plan.last)
			}
			w.must(412, "PUT", one+"?dry_run=true", c.changed, "If-Match", `"1"`)
			w.must(200, "DELETE", one+"?dry_run=true", "")
			w.must(404, "DELETE", all+"/nothing?dry_run=true", "")
			require.Equal(t, made.body, w.must(200, "GET", one, "").body, "a dry run changes nothing")

			put := w.must(200, "PUT", one, c.changed, "If-Match", `"`+rev+`"`)
			require.NotEqual(t, rev, put.str("revision"))
			require.Equal(t, made.str("created_at"), put.str("created_at"))
			w.must(412, "PUT", one, c.body, "If-Match", `"`+rev+`"`)

			back := w.must(200, "PUT", one, put.raw)
			require.Equal(t, put.body, back.body, "what was read can be sent back")

			w.must(400, "DELETE", one+"?dryrun=true", "")
			w.must(412, "DELETE", one, "", "If-Match", `"`+rev+`"`)
			w.must(204, "DELETE", one, "", "If-Match", `"`+put.str("revision")+`"`)
			w.must(404, "DELETE", one, "")
			w.must(404, "GET", one, "")

			anonymous := w.must(201, "POST", all, strings.Replace(c.changed, `"id":"x",`, "", 1)[0:])
			require.NotEmpty(t, anonymous.str("id"))
			require.Equal(t, all+"/"+anonymous.str("id"), anonymous.header.Get("Location"))
		})
	}
}

// A value that is taken is refused when an object moves to it, too.
func TestPutCannotTakeAnotherOnesValue(t *testing.T) {
	w := newWorld(t)
	w.cloud()
	w.must(201, "POST", "/v1/nodes", samples[0].body)
	w.must(201, "POST", "/v1/nodes", `{"id":"y","datapath_id":"000000000000000b","tunnel_ip":"172.16.0.8"}`)
	p := w.must(409, "PUT", "/v1/nodes/y", `{"datapath_id":"000000000000000a","tunnel_ip":"172.16.0.8"}`)
	require.Equal(t, "datapath_id", p.str("field"))
	p = w.must(409, "PUT", "/v1/ports/db", `{"network":"shop","mac":"02:00:00:00:00:01"}`)
	require.Equal(t, "mac", p.str("field"))
	require.Equal(t, "web", p.str("conflicts_with"))
}

// Without a store there is a 503 that says when to come back, and nothing hangs.
func TestStoreGone(t *testing.T) {
	w := newWorld(t, func(d *Deps) { d.StoreTimeout = 50 * time.Millisecond })
	require.NoError(t, w.store.Close())
	for _, c := range samples {
		for _, req := range [][3]string{
			{"GET", "", ""}, {"POST", "", c.body}, {"GET", "/x", ""}, {"PUT", "/x", c.body}, {"DELETE", "/x", ""},
		} {
			a := w.must(503, req[0], "/v1/"+c.collection+req[1], req[2])
			require.Equal(t, "1", a.header.Get("Retry-After"))
		}
	}
	w.must(503, "GET", "/v1/tokens", "")
	w.must(503, "POST", "/v1/tokens", `{"name":"x","role":"reader"}`)
	w.must(503, "GET", "/v1/tokens/x", "")
	w.must(503, "DELETE", "/v1/tokens/x", "")
	w.must(503, "GET", "/v1/audit", "")
	w.must(503, "GET", "/readyz", "")
	w.must(200, "GET", "/healthz", "")
}

func TestServicePages(t *testing.T) {
	ready := fmt.Errorf("the OpenFlow listener is not up")
	w := newWorld(t, func(d *Deps) { d.Ready = func(context.Context) error { return ready } })
	require.Contains(t, w.must(503, "GET", "/readyz", "").str("detail"), "OpenFlow listener")
	ready = nil
	w.must(200, "GET", "/readyz", "")
	w.must(200, "GET", "/healthz", "")
	w.do("BREW", "/v1/taps", "")
	page := w.must(200, "GET", "/metrics", "").raw
	require.Contains(t, page, `flowtap_http_requests_total{code="503",method="GET",route="/readyz"} 1`)
	require.Contains(t, page, `flowtap_http_requests_total{code="405",method="other",route="unmatched"} 1`)
	require.Contains(t, page, `flowtap_http_request_duration_seconds_bucket{method="GET",route="/healthz"`)
}

func TestNoSuchPathOrMethod(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"/", "/v1", "/v1/", "/v2/taps", "/v1/taps/", "/v1//taps", "/v1/taps/x/y", "/v1/taps/../ports"} {
		require.Equal(t, ProblemType, w.must(404, "GET", path, "").header.Get("Content-Type"), path)
	}
	require.Equal(t, "GET, POST", w.must(405, "DELETE", "/v1/taps", "").header.Get("Allow"))
	require.Equal(t, "GET, PUT, DELETE", w.must(405, "PATCH", "/v1/taps/x", "{}").header.Get("Allow"))
	require.Equal(t, "GET", w.must(405, "POST", "/healthz", "").header.Get("Allow"))
	w.must(200, "HEAD", "/v1/taps", "")
	w.must(404, "HEAD", "/v1/taps/x", "")
	w.must(400, "HEAD", "/v1/taps?watch=true", "")
}

// oneTap is a Rehearse of policies that want one.
func oneTap(_ context.Context, id string, p *flowtap.Policy) (Rehearsal, error) {
	t := flowtap.Tap{Src: "web", Dst: "ids1", Policy: id}
	if p == nil {
		return Rehearsal{Delete: map[string]flowtap.Tap{id + "-a": t}}, nil
	}
	return Rehearsal{Put: map[string]flowtap.Tap{id + "-a": t}}, nil
}

// fakePlanner remembers what it was asked.
type fakePlanner struct{ last Change }

func (p *fakePlanner) DryRun(_ context.Context, c []Change) ([]SwitchChange, error) {
	p.last = c[0]
	return []SwitchChange{{Node: "n1", DatapathID: 1, FlowsAdded: []string{"table=2, priority=100 actions=drop"}}}, nil
}
