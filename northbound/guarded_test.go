package northbound

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/access"
	"github.com/flowtap/flowtap/flowtap/trace"
)

// guarded is a server that wants logins, with the projects blue and green, and who has roles in blue.
type guarded struct {
	*world
	secrets map[string]string // by role; also "expired", a member's, and "green", an admin's
	n       int
}

// The roles of the tests, and the header of each.
var everyRole = []string{"anonymous", "expired", "reader", "member", "admin", "provider"}

func newGuarded(t testing.TB, change ...func(*Deps)) *guarded {
	t.Helper()
	w := newWorld(t, append([]func(*Deps){func(d *Deps) {
		d.Insecure, d.Planner, d.Loads = false, &fakePlanner{}, &fakeLoads{}
		d.Trace = func(_ context.Context, r TraceRequest) (*trace.Trace, error) {
			return &trace.Trace{Port: r.Port, Copies: []trace.Copy{}, Stops: []trace.Copy{}, Outputs: []trace.Output{}, Hops: []*trace.Hop{}}, nil
		}
	}}, change...)...)
	g := &guarded{world: w, secrets: map[string]string{}}
	g.secrets["provider"] = g.token(access.Provider, "", time.Time{})
	for _, p := range []string{"blue", "green"} {
		g.as("provider", 201, "POST", "/v1/projects", fmt.Sprintf(`{"id":%q}`, p))
	}
	for _, r := range []access.Role{access.Reader, access.Member, access.Admin} {
		g.secrets[string(r)] = g.token(r, "blue", time.Time{})
	}
	g.secrets["green"] = g.token(access.Admin, "green", time.Time{})
	g.secrets["expired"] = g.token(access.Member, "blue", time.Now().Add(-time.Second))
	return g
}

// token puts a token into the store and gives its secret.
func (g *guarded) token(role access.Role, project string, expires time.Time) string {
	g.t.Helper()
	g.n++
	secret := access.Secret([access.SecretBytes]byte{1, byte(g.n), byte(g.n >> 8)})
	spec := access.Token{Name: "test", Role: role, Project: project, ExpiresAt: expires, Hash: access.HashOf(secret)}
	_, _, err := g.store.Tokens().Create(context.Background(), access.SecretID(secret), spec)
	require.NoError(g.t, err)
	return secret
}

// ask sends a request with a role's token.
func (g *guarded) ask(role, method, path, body string) answered {
	g.t.Helper()
	if g.secrets[role] == "" {
		return g.do(method, path, body)
	}
	return g.do(method, path, body, "Authorization", "Bearer "+g.secrets[role])
}

// as is ask with a status that is expected.
func (g *guarded) as(role string, status int, method, path, body string) answered {
	g.t.Helper()
	a := g.ask(role, method, path, body)
	require.Equal(g.t, status, a.status, "%s: %s %s %s: %s", role, method, path, body, a.raw)
	return a
}

// furnish makes in a project the network net, the VM vm, the monitor mon, and an obj of each kind.
func (g *guarded) furnish(project string) {
	g.t.Helper()
	g.as("provider", 201, "POST", "/v1/networks?project="+project, `{"id":"net"}`)
	g.as("provider", 201, "POST", "/v1/ports?project="+project, `{"id":"vm","network":"net","mac":"02:00:00:00:00:01"}`)
	g.as("provider", 201, "POST", "/v1/ports?project="+project, `{"id":"mon","kind":"monitor"}`)
	for _, kind := range []string{"networks", "ports", "pools", "policies", "taps"} {
		g.ensure(kind, project)
	}
}

// objectBodies are what the objects called obj are.
var objectBodies = map[string]string{
	"networks": `"labels":{}`,
	"ports":    `"kind":"monitor"`,
	"pools":    `"mode":"copy","members":[{"port":"mon"}]`,
	"policies": `"source":"p(1)"`,
	"taps":     `"src":"vm","dst":"mon","action":"forward","direction":"in","match":"tcp,tp_dst=80"`,
}

// ensure makes the object obj of a kind where it is not there. That of the project default is shared with blue.
func (g *guarded) ensure(kind, project string) {
	g.t.Helper()
	more := ""
	if project == "default" && (kind == "ports" || kind == "pools") {
		more = `,"shared_with":["blue"]`
	}
	a := g.ask("provider", "POST", "/v1/"+kind+"?project="+project, `{"id":"obj",`+objectBodies[kind]+more+`}`)
	if kind == "policies" && a.status == 409 { // a member has written it: it is not a provider's
		return
	}
	require.Contains(g.t, []int{200, 201}, a.status, "%s", a.raw)
}

var (
	zeroTime time.Time
	tokenID  = regexp.MustCompile(`[0-9a-f]{24}`)
)

func serve(h http.Handler, method, path string) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest(method, path, nil))
	return rec
}
