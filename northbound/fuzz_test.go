package northbound

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/flowtap/trace"
	"github.com/flowtap/flowtap/topology"
)

// mostError is how long the answer to a request that was refused may be, in bytes: what a client sends does not
// come back to it, or into a log, in full. A byte that has to be escaped takes six.
const mostError = 32 << 10

// hostileWorld is a world with an object of every kind, to which requests are made without a network.
type hostileWorld struct {
	*world
	dirty bool // a request changed something
}

func newHostileWorld(t testing.TB) *hostileWorld {
	w := &hostileWorld{world: newWorld(t, func(d *Deps) {
		d.Planner, d.Rehearse = &fakePlanner{}, oneTap
		d.Settled = func(context.Context, int64) error { return nil }
		d.ReadCounters = func(context.Context, string) error { return nil }
		d.Trace = func(_ context.Context, r TraceRequest) (*trace.Trace, error) {
			return &trace.Trace{Port: r.Port, Frame: r.Frame.String()}, nil
		}
		d.Unregistered = func() []UnregisteredNode { return []UnregisteredNode{{DatapathID: 9}} }
	})}
	w.furnish()
	return w
}

func (w *hostileWorld) furnish() {
	w.cloud()
	for _, c := range samples {
		w.must(201, "POST", "/v1/"+c.collection, c.body)
	}
	w.dirty = false
}

// restore removes everything and begins anew, so that what an input does depends on it alone.
func (w *hostileWorld) restore() {
	if !w.dirty {
		return
	}
	for _, collection := range []string{"policies", "taps", "pools", "ports", "networks", "nodes", "tokens", "projects"} {
		path, all := "/v1/"+collection, ""
		if collection != "nodes" && collection != "projects" {
			all = "?project=*"
		}
		items, _ := w.must(200, "GET", path+all, "").body["items"].([]any)
		for _, o := range items {
			id, of := o.(map[string]any)["id"].(string), ""
			if project, ok := o.(map[string]any)["project"].(string); ok {
				of = "?project=" + project
			}
			if collection == "projects" && id == topology.DefaultProject {
				w.must(200, "PUT", path+"/"+id, `{}`)
				continue
			}
			w.must(204, "DELETE", path+"/"+id+of, "")
		}
	}
	w.furnish()
}

// ask makes one request of a route, whatever it says.
func (w *hostileWorld) ask(rt route, id, query, header, body string) *httptest.ResponseRecorder {
	r, err := http.NewRequest(rt.method, "/", strings.NewReader(body))
	require.NoError(w.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	r.URL = &url.URL{Path: strings.ReplaceAll(rt.path, "{id}", id), RawQuery: query}
	r.RequestURI, r.RemoteAddr, r.Host = r.URL.RequestURI(), "192.0.2.1:1234", "flowtap"
	r.Header["Content-Type"] = []string{"application/json"}
	if header != "" {
		r.Header["If-Match"] = []string{header}
	}
	if asked := r.URL.Query(); asked.Has("watch") || asked.Has("wait") {
		cancel() // what goes on until the client has enough; this one has at once
	}
	rec := httptest.NewRecorder()
	w.server.ServeHTTP(rec, r.WithContext(ctx))
	if rt.method != http.MethodGet && rec.Code < 300 {
		w.dirty = true
	}
	return rec
}

// FuzzRequests: whatever is asked of whatever route, the answer is no failure of the server, a refusal is a short
// problem document, and what is not refused is JSON.
func FuzzRequests(f *testing.F) {
	w := newHostileWorld(f)
	routes := w.server.routes
	for i, rt := range routes {
		n := uint8(i)
		switch {
		case strings.HasSuffix(rt.path, "/trace"):
			f.Add(n, "", "", "", `{"port":"web","frame":"tcp,tp_dst=80"}`)
			f.Add(n, "", "", "", `{"port":"web","frame":{"nw_proto":"TCP","tp_dst":"1-9"},"give_back":true}`)
		case rt.method == http.MethodGet:
			for _, query := range []string{"", "limit=1", "limit=1&page=eyJhZnRlciI6IngifQ", "page=%00", "state=active&src=web", "watch=true", "fresh=true", "wait=1", "a;b", "%zz", strings.Repeat("name", 1<<14)} {
				f.Add(n, "x", query, "", "")
			}
		case rt.method == http.MethodDelete:
			f.Add(n, "x", "dry_run=true", `"1"`, "")
			f.Add(n, "web", "wait=1", "", "")
		default:
			for _, c := range samples {
				if strings.Contains(rt.path, c.collection) {
					f.Add(n, "x", "", "", c.changed)
					f.Add(n, "x", "dry_run=true", `"1"`, c.body)
					f.Add(n, "../x", "", "*", c.invalid)
				}
			}
			f.Add(n, "x", "wait=1", "", `{"id":"t","src":"web","dst":"ids1","action":"forward","match":{"nw_proto":"TCP","tp_dst":"1-9"},"rate_limit":{"kbps":0}}`)
			f.Add(n, "x", "", "", `{"src":"web","dst":"ids1","action":"forward","match":"vlan_tci=0x1000/0x1000","priority":1e3}`)
			f.Add(n, "x", "", "", `{"metadata":1,"labels":{"a":"\ud800"},"ips":[null]}`)
			f.Add(n, "x", "", "", strings.Repeat(`{"a":`, 40))
		}
	}
	f.Fuzz(func(t *testing.T, n uint8, id, query, header, body string) {
		rt := routes[int(n)%len(routes)]
		if strings.Contains(id, "/") && rt.method != http.MethodGet {
			return // another route, which may be a longer wait
		}
		w.t = t
		rec := w.ask(rt, id, query, header, body)
		what := rt.method + " " + rt.path
		// Who does not wait for the answer is told nothing: the store's work ends with the request.
		left := strings.Contains(query, "wa")
		require.True(t, rec.Code < 500 || left && rec.Code == 503, "%s: %d %s", what, rec.Code, rec.Body)
		if rec.Code >= 400 {
			require.Equal(t, ProblemType, rec.Header().Get("Content-Type"), what)
			require.LessOrEqual(t, rec.Body.Len(), mostError, what)
			var p struct{ Status int }
			require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &p), what)
			require.Equal(t, rec.Code, p.Status, what)
		} else if rec.Header().Get("Content-Type") == mediaJSON {
			require.True(t, json.Valid(rec.Body.Bytes()), "%s: %s", what, rec.Body)
		}
		w.restore()
	})
}

// mostBodyMemory is how many bytes of memory one byte of a body may take until it is answered.
const mostBodyMemory = 512

// A body costs memory by its length, whatever is in it.
func TestHostileBodiesTakeMemoryByTheirLength(t *testing.T) {
	w := newHostileWorld(t)
	const long = 1 << 16
	fill := func(begin, more, end string) string {
		return begin + strings.Repeat(more, (long-len(begin)-len(end))/len(more)) + end
	}
	for name, body := range map[string]string{
		"arrays in arrays": fill("", "[", ""), "objects in objects": fill("", `{"a":`, ""),
		"a long string":   fill(`{"src":"`, "a", `"}`),
		"many labels":     fill(`{"labels":{"a":"b"`, `,"c":"d"`, `}}`),
		"many numbers":    fill(`{"ips":[1`, ",1", `]}`),
		"many members":    fill(`{"mode":"copy","members":[{}`, ",{}", `]}`),
		"a match's words": fill(`{"src":"web","dst":"ids1","action":"forward","priority":5000,"match":"tcp`, `,tcp`, `"}`),
		"a match object":  fill(`{"src":"web","dst":"ids1","action":"forward","match":{"tp_dst":1`, `,"tp_dst":1`, `}}`),
		"escapes":         fill(`{"src":"`, `\u0061`, `"}`),
		"a long number":   fill(`{"priority":1`, "0", `}`),
		"white space":     fill(`{`, " ", `}`),
		"statements":      fill(`{"source":"p(1)`, ` p(1)`, ` q(x)"}`),
		"wrong names":     fill(`{"source":"p(x)`, ` `+strings.Repeat("a", 1000)+`(x)`, `"}`),
		"errors": fill(`{"source":"p(x)`, `
) é`, `"}`),
		"brackets": fill(`{"source":"p`, `(`, `"}`),
	} {
		for _, rt := range w.server.routes {
			if rt.method != http.MethodPost {
				continue
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			rec := w.ask(rt, "x", "dry_run=true", "", body)
			runtime.ReadMemStats(&after)
			require.True(t, rec.Code < 500 && rec.Body.Len() < mostError, "%s: %s: %d %s", name, rt.path, rec.Code, rec.Body)
			by := float64(after.TotalAlloc-before.TotalAlloc) / long
			require.Less(t, by, float64(mostBodyMemory), "%s: %s", name, rt.path)
		}
	}
}
