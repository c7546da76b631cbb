package northbound

import (
	"context"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/flowtap/flowtap/access"
	"github.com/flowtap/flowtap/topology"
)

// route is one row of the table that both the router and /openapi.json are made of.
type route struct {
	method, path string
	// summary and the rest describe the route in /openapi.json.
	summary string
	params  []string // names of parameters, see parameterDocs
	body    string   // schema of the request's body, or ""
	answers map[int]answer
	handle  handler
	leads   func(*http.Request) bool // whether only the leader of several replicas can answer; nil: never
	// rule is who may use the route; without ruled nobody may.
	rule  access.Rule
	ruled bool
}

// answer is one status that a route answers with. Problems need no media type and schema.
type answer struct {
	media, schema string
}

// The two kinds of answers that are not one JSON document.
const (
	mediaJSON   = "application/json"
	mediaEvents = "text/event-stream"
)

// table is every route that there is.
func (s *Server) table() []route {
	rs := []route{
		{method: http.MethodGet, path: "/healthz", summary: "Whether the process is alive.",
			answers: map[int]answer{200: {mediaJSON, "Health"}}, handle: s.healthz},
		{method: http.MethodGet, path: "/readyz", summary: "Whether the store is reachable and the listeners are up.",
			answers: map[int]answer{200: {mediaJSON, "Health"}, 503: {}}, handle: s.readyz},
		{method: http.MethodGet, path: "/metrics", summary: "Metrics for Prometheus.",
			answers: map[int]answer{200: {"text/plain", ""}}, handle: s.metricsPage()},
		{method: http.MethodGet, path: "/openapi.json", summary: "This document.",
			answers: map[int]answer{200: {mediaJSON, "Document"}}, handle: s.openapi},
	}
	rs = append(rs, collectionRoutes(s.nodes(), "Node")...)
	rs = append(rs, collectionRoutes(s.projects(), "Project")...)
	rs = append(rs, collectionRoutes(s.networks(), "Network")...)
	rs = append(rs, collectionRoutes(s.ports(), "Port")...)
	rs = append(rs, collectionRoutes(s.pools(), "Pool")...)
	rs = append(rs, collectionRoutes(s.policies(), "Policy")...)
	rs = append(rs, collectionRoutes(s.taps(), "Tap")...)
	rs = append(rs, route{method: http.MethodPost, path: "/v1/trace", summary: "What becomes of a frame that enters by a port, by what the switches should hold.",
		params: noParameters, body: "Trace",
		answers: map[int]answer{200: {mediaJSON, "Trace"}, 400: {}, 404: {}, 413: {}, 415: {}, 422: {}, 503: {}}, handle: s.trace, leads: always},
		route{method: http.MethodGet, path: "/v1/replicas", summary: "List the replicas of flowtapd.", params: noParameters,
			answers: map[int]answer{200: {mediaJSON, "ReplicaList"}, 400: {}}, handle: s.replicas})
	rs = append(rs, s.loadRoutes()...)
	rs = append(rs, s.tokenRoutes()...)
	rs = append(rs, s.auditRoute())
	for i := range rs {
		rs[i].governed()
	}
	return rs
}

// collectionRoutes are the five routes of a collection.
func collectionRoutes[S, T any](res *resource[S, T], schema string) []route {
	all, one := "/v1/"+res.name, "/v1/"+res.name+"/{id}"
	object, either := answer{mediaJSON, schema}, answer{mediaJSON, schema + "OrDryRun"}
	params := []string{"limit", "page", "watch", "id"}
	for _, f := range slices.Concat(structFields(reflect.TypeFor[S]()), structFields(reflect.TypeFor[T]())) {
		if !slices.Contains(params, f.name) {
			params = append(params, f.name)
		}
	}
	put := map[int]answer{200: either, 400: {}, 404: {}, 412: {}, 413: {}, 415: {}, 422: {}, 503: {}}
	if res.claims {
		put[http.StatusConflict] = answer{}
	}
	del := map[int]answer{200: {mediaJSON, "DryRun"}, 204: {}, 400: {}, 404: {}, 412: {}, 503: {}}
	if res.used || res.governed {
		del[http.StatusConflict] = answer{}
	}
	list := map[int]answer{200: {mediaJSON, schema + "List"}, 400: {}, 503: {}}
	if res.owned {
		list[http.StatusNotFound] = answer{}
	}
	if res.offer != nil {
		params = append(params, "shared")
	}
	return []route{
		{method: http.MethodGet, path: all, summary: "List or watch " + res.name + ".",
			params:  params,
			answers: list, handle: res.list, leads: asksStrangers},
		{method: http.MethodPost, path: all, summary: "Create a " + res.singular + "; the same again answers 200.",
			params: []string{"dry_run", "wait"}, body: schema,
			answers: map[int]answer{200: either, 201: object, 400: {}, 409: {}, 413: {}, 415: {}, 422: {}, 503: {}}, handle: res.create, leads: asks("dry_run")},
		{method: http.MethodGet, path: one, summary: "Read a " + res.singular + ".",
			params:  readParams(res.refresh != nil),
			answers: map[int]answer{200: object, 400: {}, 404: {}, 503: {}}, handle: res.read, leads: asks("fresh")},
		{method: http.MethodPut, path: one, summary: "Replace a " + res.singular + ".",
			params: []string{"dry_run", "wait", "If-Match"}, body: schema,
			answers: put, handle: res.replace, leads: asks("dry_run")},
		{method: http.MethodDelete, path: one, summary: "Delete a " + res.singular + ".",
			params:  []string{"dry_run", "wait", "If-Match"},
			answers: del, handle: res.remove, leads: asks("dry_run")},
	}
}

// readParams are the parameters of reading one object.
func readParams(fresh bool) []string {
	if fresh {
		return []string{"fresh"}
	}
	return []string{}
}

// governed gives a route its rule, and what follows from it: its parameter and its refusals.
func (rt *route) governed() {
	rt.rule, rt.ruled = access.RuleOf(rt.method, rt.path)
	if rt.rule.OfProject && !slices.Contains(rt.params, "project") {
		rt.params = append(slices.Clone(rt.params), "project")
	}
	if rt.rule.Least == access.Nobody {
		return
	}
	rt.answers[http.StatusUnauthorized] = answer{}
	rt.answers[http.StatusTooManyRequests] = answer{}
	if rt.rule.Least != access.Reader {
		rt.answers[http.StatusForbidden] = answer{}
	}
}

// health is the answer of /healthz and /readyz.
type health struct {
	Status string `json:"status"`
}

func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, http.StatusOK, health{"ok"})
}

func (s *Server) readyz(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	if err := s.deps.Store.Ready(ctx); err != nil {
		return unavailable("not ready: %v", err)
	}
	if s.deps.Ready != nil {
		if err := s.deps.Ready(ctx); err != nil {
			return unavailable("not ready: %v", err)
		}
	}
	return writeJSON(w, http.StatusOK, health{"ok"})
}

func (s *Server) metricsPage() handler {
	page := promhttp.HandlerFor(s.deps.Registry, promhttp.HandlerOpts{})
	return func(w http.ResponseWriter, r *http.Request) error {
		page.ServeHTTP(w, r)
		return nil
	}
}

// kinds are the values of a port's kind, for the document.
var kinds = []string{string(topology.KindVM), string(topology.KindGateway), string(topology.KindMonitor)}

func pathID(path string) bool { return strings.Contains(path, "/{id}") }
