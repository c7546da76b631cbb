package northbound

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/gorilla/mux"
	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/access"
	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/topology"
)

// seen holds every "METHOD /path STATUS" that a test of this package was answered.
var seen struct {
	sync.Mutex
	answers map[string]bool
	routes  []route // of any server
}

// TestMain fails the package when the document promises an answer that no test was given, unless
// only some tests were asked for.
func TestMain(m *testing.M) {
	seen.answers = map[string]bool{}
	code := m.Run()
	only := func(name string) bool { f := flag.Lookup(name); return f != nil && f.Value.String() != "" }
	if code == 0 && !only("test.run") && !only("test.fuzz") && !only("test.list") {
		for _, rt := range seen.routes {
			for status := range rt.answers {
				if key := fmt.Sprintf("%s %s %d", rt.method, rt.path, status); !seen.answers[key] {
					fmt.Println("FAIL: documented, but no test was answered", key)
					code = 1
				}
			}
		}
	}
	os.Exit(code)
}

func document(t testing.TB, s *Server) *openapi3.T {
	b, err := json.Marshal(s.document())
	require.NoError(t, err)
	d, err := openapi3.NewLoader().LoadFromData(b)
	require.NoError(t, err)
	require.NoError(t, d.Validate(context.Background()))
	return d
}

// validated holds every answer of s against the document.
func validated(t *testing.T, s *Server) http.Handler {
	openapi3filter.RegisterBodyDecoder(ProblemType, openapi3filter.JSONBodyDecoder)
	openapi3filter.RegisterBodyDecoder(mediaLines, openapi3filter.FileBodyDecoder)
	router, err := gorillamux.NewRouter(document(t, s))
	require.NoError(t, err)
	seen.Lock()
	seen.routes = s.routes
	seen.Unlock()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("watch") != "" {
			s.ServeHTTP(w, r)
			return
		}
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, r)
		checkAnswer(t, router, r, rec)
		for k, v := range rec.Header() {
			w.Header()[k] = v
		}
		w.WriteHeader(rec.Code)
		_, _ = w.Write(rec.Body.Bytes())
	})
}

func checkAnswer(t *testing.T, router routers.Router, r *http.Request, rec *httptest.ResponseRecorder) {
	if rec.Code >= 500 && rec.Code != 503 {
		t.Errorf("%s %s: %d %s", r.Method, r.URL, rec.Code, rec.Body)
	}
	route, params, err := router.FindRoute(r)
	if err != nil || r.Method == http.MethodHead {
		return // 404 and 405 of no route
	}
	seen.Lock()
	seen.answers[fmt.Sprintf("%s %s %d", r.Method, route.Path, rec.Code)] = true
	seen.Unlock()
	in := &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route}
	out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: rec.Code, Header: rec.Header(),
		Options: &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true}}
	out.SetBodyBytes(rec.Body.Bytes())
	if err := openapi3filter.ValidateResponse(context.Background(), out); err != nil {
		t.Errorf("%s %s: %d is not as documented: %v\n%s", r.Method, r.URL, rec.Code, err, rec.Body)
	}
}

// The document has the routes of the router, no more and no fewer.
func TestDocumentIsTheRoutes(t *testing.T) {
	w := newWorld(t)
	d := document(t, w.server)
	var routed, documented []string
	require.NoError(t, w.server.router.Walk(func(rt *mux.Route, _ *mux.Router, _ []*mux.Route) error {
		path, err := rt.GetPathTemplate()
		require.NoError(t, err)
		methods, err := rt.GetMethods()
		require.NoError(t, err)
		for _, m := range methods {
			routed = append(routed, m+" "+path)
		}
		return nil
	}))
	for path, item := range d.Paths.Map() {
		for m := range item.Operations() {
			documented = append(documented, m+" "+path)
		}
	}
	slices.Sort(routed)
	slices.Sort(documented)
	require.Equal(t, routed, documented)
	require.Len(t, routed, 4+7*5+4+1+1+1+2)

	served := w.must(200, "GET", "/openapi.json", "")
	fresh, err := json.Marshal(w.server.document())
	require.NoError(t, err)
	require.JSONEq(t, string(fresh), served.raw)
}

// The schemas have the fields of the Go types, no more and no fewer.
func TestSchemasAreTheTypes(t *testing.T) {
	d := document(t, newWorld(t).server)
	for name, types := range map[string][2]reflect.Type{
		"Node":    {reflect.TypeFor[topology.Node](), reflect.TypeFor[topology.NodeStatus]()},
		"Network": {reflect.TypeFor[topology.Network](), reflect.TypeFor[topology.NetworkStatus]()},
		"Port":    {reflect.TypeFor[topology.Port](), reflect.TypeFor[topology.PortStatus]()},
		"Pool":    {reflect.TypeFor[topology.Pool](), reflect.TypeFor[topology.PoolStatus]()},
		"Project": {reflect.TypeFor[access.Project](), reflect.TypeFor[access.ProjectStatus]()},
		"Token":   {reflect.TypeFor[access.Token](), reflect.TypeFor[access.TokenStatus]()},
		"Policy":  {reflect.TypeFor[flowtap.Policy](), reflect.TypeFor[flowtap.PolicyStatus]()},
		"Tap":     {reflect.TypeFor[flowtap.Tap](), reflect.TypeFor[flowtap.TapStatus]()},
	} {
		names := func(t reflect.Type, more ...string) []string {
			for _, f := range structFields(t) {
				more = append(more, f.name)
			}
			slices.Sort(more)
			return more
		}
		props := func(s *openapi3.Schema) (out []string) {
			for n := range s.Properties {
				out = append(out, n)
			}
			slices.Sort(out)
			return out
		}
		schema := d.Components.Schemas[name].Value
		server := serverFields
		if name != "Node" && name != "Project" && name != "Token" {
			server = append(slices.Clone(server), "project")
		}
		wanted := slices.DeleteFunc(names(types[0], server...), func(f string) bool { return f == "hash" })
		require.Equal(t, wanted, props(schema), name)
		require.Equal(t, names(types[1]), props(schema.Properties["status"].Value), name+" status")
		asked := slices.DeleteFunc(props(d.Components.Schemas[name+"Wanted"].Value), func(f string) bool { return f == "expires_in" })
		require.Equal(t, props(schema), asked, name+"Wanted")
	}
}

// Requests that are answered 2xx are as documented too: the document refuses nothing that the
// server takes.
func TestDocumentTakesGoodRequests(t *testing.T) {
	w := newWorld(t)
	router, err := gorillamux.NewRouter(document(t, w.server))
	require.NoError(t, err)
	w.cloud()
	for path, bodies := range map[string][]string{
		"/v1/nodes": {`{"datapath_id":"00000000000000AB","tunnel_ip":"172.16.0.1"}`},
		"/v1/ports": {
			`{"id":"gw","network":"shop","kind":"gateway","metadata":"0x1f"}`,
			`{"id":"p9","network":"shop","metadata":7,"labels":{"a":"b"}}`,
		},
		"/v1/taps": {
			tapT1,
			`{"src":"db","dst":"ids1","action":"forward","match":{"nw_proto":"TCP","tp_dst":80},"rate_limit":{"kbps":0}}`,
		},
	} {
		for _, body := range bodies {
			r := httptest.NewRequest("POST", path+"?wait=0", strings.NewReader(body))
			r.Header.Set("Content-Type", "application/json")
			route, params, err := router.FindRoute(r)
			require.NoError(t, err)
			err = openapi3filter.ValidateRequest(context.Background(), &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route,
				Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc}})
			require.NoError(t, err, body)
			r.Body = io.NopCloser(bytes.NewReader([]byte(body)))
			w.must(201, "POST", path, body)
		}
	}
}
