package northbound

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/access"
)

// outcomes are the statuses that the roles reader, member, admin and provider are answered for what is of their own project,
// of another, shared with theirs, and not there. Nobody without a login, or with one that has expired, gets anything but 401,
// except from routes that are open.
type outcomes struct{ reader, member, admin, provider string }

var (
	openToAll = outcomes{"200 200 200 200", "200 200 200 200", "200 200 200 200", "200 200 200 200"}
	no        = "403 403 403 403"
)

func onlyProvider(provider string) outcomes { return outcomes{no, no, no, provider} }
func members(member, provider string) outcomes {
	return outcomes{no, member, member, provider}
}
func readers(reader, provider string) outcomes { return outcomes{reader, reader, reader, provider} }

// matrix has a row for every route. A route of the document without a row fails the test.
var matrix = map[string]outcomes{
	"GET /healthz":      openToAll,
	"GET /readyz":       openToAll,
	"GET /openapi.json": openToAll,
	"GET /metrics":      onlyProvider("200 200 200 200"),

	"GET /v1/nodes":                onlyProvider("200 200 200 200"),
	"POST /v1/nodes":               onlyProvider("201 201 201 201"),
	"GET /v1/nodes/{id}":           onlyProvider("200 200 200 404"),
	"PUT /v1/nodes/{id}":           onlyProvider("200 200 200 404"),
	"DELETE /v1/nodes/{id}":        onlyProvider("204 204 204 404"),
	"PUT /v1/nodes/{id}/load":      onlyProvider("204 204 204 404"),
	"PUT /v1/ports/{id}/heartbeat": members("204 404 404 404", "204 204 204 404"),
	"GET /v1/projects":             onlyProvider("200 200 200 200"),
	"POST /v1/projects":            onlyProvider("200 200 200 201"),
	"GET /v1/projects/{id}":        onlyProvider("200 200 200 404"),
	"PUT /v1/projects/{id}":        onlyProvider("200 200 200 404"),
	"DELETE /v1/projects/{id}":     onlyProvider("409 409 409 404"),
	"GET /v1/replicas":             onlyProvider("200 200 200 200"),
	"POST /v1/trace":               onlyProvider("200 200 200 404"),

	"GET /v1/networks":         readers("200 404 404 404", "200 200 200 404"),
	"POST /v1/networks":        members("201 422 422 422", "201 201 201 422"),
	"GET /v1/networks/{id}":    readers("200 404 404 404", "200 200 200 404"),
	"PUT /v1/networks/{id}":    members("200 404 404 404", "200 200 200 404"),
	"DELETE /v1/networks/{id}": members("204 404 404 404", "204 204 204 404"),
	"GET /v1/ports":            readers("200 404 200 404", "200 200 200 404"),
	"POST /v1/ports":           members("201 422 422 422", "201 201 201 422"),
	"GET /v1/ports/{id}":       readers("200 404 200 404", "200 200 200 404"),
	"PUT /v1/ports/{id}":       members("200 404 404 404", "200 200 200 404"),
	"DELETE /v1/ports/{id}":    members("204 404 404 404", "204 204 204 404"),
	"GET /v1/pools":            readers("200 404 200 404", "200 200 200 404"),
	"POST /v1/pools":           members("201 422 422 422", "201 201 201 422"),
	"GET /v1/pools/{id}":       readers("200 404 200 404", "200 200 200 404"),
	"PUT /v1/pools/{id}":       members("200 404 404 404", "200 200 200 404"),
	"DELETE /v1/pools/{id}":    members("204 404 404 404", "204 204 204 404"),
	"GET /v1/taps":             readers("200 404 404 404", "200 200 200 404"),
	"POST /v1/taps":            members("201 422 201 422", "201 201 201 422"), // shared: a tap of one's own, to a monitor that is
	"GET /v1/taps/{id}":        readers("200 404 404 404", "200 200 200 404"),
	"PUT /v1/taps/{id}":        members("200 404 404 404", "200 200 200 404"),
	"DELETE /v1/taps/{id}":     members("204 404 404 404", "204 204 204 404"),
	"GET /v1/policies":         readers("200 404 404 404", "200 200 200 404"),
	"POST /v1/policies":        members("201 422 422 422", "201 201 201 422"),
	"GET /v1/policies/{id}":    readers("200 404 404 404", "200 200 200 404"),
	"PUT /v1/policies/{id}":    members("200 404 404 404", "200 200 200 404"),
	"DELETE /v1/policies/{id}": members("204 404 404 404", "204 204 204 404"),

	// Shared, of tokens, are a provider's.
	"GET /v1/tokens":         {no, no, "200 404 404 404", "200 200 200 404"},
	"POST /v1/tokens":        {no, no, "201 422 403 422", "201 201 201 422"},
	"GET /v1/tokens/{id}":    {no, no, "200 404 404 404", "200 200 404 404"},
	"DELETE /v1/tokens/{id}": {no, no, "204 404 404 404", "204 204 404 404"},
	"GET /v1/audit":          {no, no, "200 404 404 404", "200 200 200 200"},
}

// whose are the columns, and the project of each.
var whose = []struct{ name, project string }{{"own", "blue"}, {"other's", "green"}, {"shared", "default"}, {"missing", "green"}}

func TestAuthorizationMatrix(t *testing.T) {
	g := newGuarded(t)
	for _, p := range []string{"blue", "green", "default"} {
		g.furnish(p)
	}
	seen := map[string]bool{}
	paths := document(t, g.server).Paths.Map()
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		for _, method := range slices.Sorted(maps.Keys(paths[path].Operations())) {
			route := method + " " + path
			row, ok := matrix[route]
			if seen[route] = true; !ok {
				t.Errorf("%s has no row in the matrix", route)
				continue
			}
			for _, role := range everyRole {
				g.row(route, row, role, method, path)
			}
		}
	}
	for route := range matrix {
		require.True(t, seen[route], "the matrix has %s, which is no route", route)
	}
}

// row tries one route with one role on everything.
func (g *guarded) row(route string, row outcomes, role, method, path string) {
	want := map[string]string{"reader": row.reader, "member": row.member, "admin": row.admin, "provider": row.provider}[role]
	if want == "" {
		if want = "401 401 401 401"; row == openToAll {
			want = "200 200 200 200"
		}
	}
	var got []string
	var bodies []string
	for i := range whose {
		target, body := g.cell(method, path, i)
		a := g.ask(role, method, target, body)
		got = append(got, fmt.Sprint(a.status))
		bodies = append(bodies, a.raw)
		if a.status == 401 {
			assert.Equal(g.t, `Bearer realm="flowtap"`, a.header.Get("WWW-Authenticate"), route)
		}
	}
	assert.Equal(g.t, want, strings.Join(got, " "), "%s as %s: own, other's, shared, missing\n%s", route, role, strings.Join(bodies, ""))
	if role != "provider" && row != openToAll {
		assert.Equal(g.t, anonymous(bodies[3]), anonymous(bodies[1]), "%s as %s: what is another's is answered as what is not there", route, role)
	}
}

// anonymous takes out of an answer what the request itself said.
func anonymous(body string) string {
	return strings.NewReplacer("green", "NAME", "nothing", "NAME", "obj", "NAME").Replace(tokenID.ReplaceAllString(body, "NAME"))
}

// cell makes the request of one route for one column, and what it is about.
func (g *guarded) cell(method, path string, column int) (target, body string) {
	g.n++
	project, missing := whose[column].project, whose[column].name == "missing"
	kind := strings.Split(strings.TrimPrefix(path, "/v1/"), "/")[0]
	one := strings.Contains(path, "/{id}")
	if missing && !one {
		project = "nothing"
	}
	id := "obj"
	if missing {
		id = "nothing"
	}
	query := "?project=" + project
	switch kind {
	case "networks", "ports", "pools", "policies", "taps":
		if one && !missing {
			g.ensure(kind, project)
		}
		body = fmt.Sprintf(`{"id":%q,%s}`, id, objectBodies[kind])
		if method == "POST" {
			body = fmt.Sprintf(`{"id":"new-%d",%s}`, g.n, strings.Replace(objectBodies[kind], "tp_dst=80", fmt.Sprintf("tp_dst=%d", 1000+g.n), 1))
		}
		if one && project == "default" && (kind == "ports" || kind == "pools") {
			body = strings.Replace(body, "{", `{"shared_with":["blue"],`, 1) // it stays so
		}
		if strings.HasSuffix(path, "/heartbeat") {
			body = `{"cpu":0.5}`
		}
		switch {
		case one || project != "default":
		case method == "GET" && (kind == "ports" || kind == "pools"):
			query = "?shared=true&project=blue"
		case method == "POST" && kind == "taps":
			query, body = "?project=blue", strings.Replace(body, `"dst":"mon"`, `"dst":"default/obj"`, 1)
		}
	case "nodes":
		query, body = "", fmt.Sprintf(`{"datapath_id":"%016x","tunnel_ip":"172.17.%d.%d"}`, g.n, g.n>>8, g.n&255)
		if one && !missing {
			id = fmt.Sprintf("n%d", g.n)
			g.as("provider", 201, "POST", "/v1/nodes", fmt.Sprintf(`{"id":%q,`, id)+body[1:])
		}
		if strings.HasSuffix(path, "/load") {
			body = `{"cpu":0.5,"memory":0.25}`
		}
	case "projects":
		query, id = "", project
		if body = `{}`; missing {
			id = fmt.Sprintf("nothing-%d", g.n)
		}
		if !one {
			body = fmt.Sprintf(`{"id":%q}`, id)
		}
	case "trace":
		query, body = "", fmt.Sprintf(`{"port":"%s/vm"}`, project)
	case "tokens":
		body = fmt.Sprintf(`{"name":"x","role":"reader","project":%q}`, project)
		switch {
		case !one && project == "default" && method == "POST":
			query, body = "?project=blue", `{"name":"x","role":"provider"}`
		case !one:
		case project == "default":
			query, id = "?project=blue", access.SecretID(g.token(access.Provider, "", zeroTime))
		case !missing:
			id = access.SecretID(g.token(access.Reader, project, zeroTime))
		default:
			id = strings.Repeat("0", 24)
		}
	case "audit":
	default:
		query = ""
	}
	return strings.Replace(path, "{id}", id, 1) + query, body
}

// A route without a rule is nobody's, not even a provider's.
func TestARouteWithoutARuleIsRefused(t *testing.T) {
	s := newGuarded(t).server
	for _, rt := range s.routes {
		require.True(t, rt.ruled, "%s %s has no rule in package access", rt.method, rt.path)
	}
	require.False(t, slices.ContainsFunc(s.routes, func(rt route) bool { return rt.handle == nil }))
	rt := route{method: "GET", path: "/v1/secrets", handle: s.healthz, answers: map[int]answer{}}
	rt.governed()
	require.Equal(t, 403, serve(s.endpoint(rt), "GET", "/v1/secrets").Code)
}
