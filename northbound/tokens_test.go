package northbound

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/flowtap/flowtap/access"
	"github.com/flowtap/flowtap/store"
)

// A secret is shown once, is stored nowhere, and is good until it is revoked.
func TestTokenLives(t *testing.T) {
	g := newGuarded(t)
	made := g.as("admin", 201, "POST", "/v1/tokens", `{"name":"ci","role":"member","expires_in":3600}`)
	id, secret := made.str("id"), made.str("secret")
	require.True(t, access.IsSecret(secret))
	require.Equal(t, "blue", made.str("project"), "the only project of who asks")
	expires, err := time.Parse(time.RFC3339, made.str("expires_at"))
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().Add(time.Hour), expires, time.Minute)

	g.secrets["ci"] = secret
	g.as("ci", 201, "POST", "/v1/networks", `{"id":"net"}`)
	one := g.as("admin", 200, "GET", "/v1/tokens/"+id, "")
	for _, shown := range []string{one.raw, g.as("admin", 200, "GET", "/v1/tokens", "").raw, g.as("admin", 200, "GET", "/v1/audit", "").raw} {
		require.Contains(t, shown, id)
		require.NotContains(t, shown, secret)
		require.NotContains(t, shown, access.HashOf(secret))
		require.NotContains(t, shown, "hash")
	}
	all, err := g.store.EtcdClient().Get(context.Background(), "\x00", clientv3.WithFromKey())
	require.NoError(t, err)
	for _, kv := range all.Kvs {
		require.NotContains(t, string(kv.Value), secret)
	}

	g.as("admin", 200, "DELETE", "/v1/tokens/"+id+"?dry_run=true", "")
	require.Equal(t, 412, g.do("DELETE", "/v1/tokens/"+id, "", "If-Match", `"1"`, "Authorization", "Bearer "+g.secrets["admin"]).status)
	g.as("ci", 200, "GET", "/v1/networks", "")
	g.as("admin", 204, "DELETE", "/v1/tokens/"+id, "")
	require.Contains(t, g.as("ci", 401, "GET", "/v1/networks", "").raw, "unknown, expired or revoked")
}

func TestTokenRefusals(t *testing.T) {
	g := newGuarded(t)
	for body, want := range map[string]struct {
		status int
		field  string
	}{
		`{`:                                 {400, ""},
		`{"name":"x","colour":1}`:           {400, "colour"},
		`{"name":"x"}`:                      {422, "role"},
		`{"name":"x","role":"king"}`:        {422, "role"},
		`{"role":"reader"}`:                 {422, "name"},
		`{"name":"x\u0000","role":"admin"}`: {422, "name"},
		`{"name":"x","role":"reader","expires_in":0}`:                                        {422, "expires_in"},
		`{"name":"x","role":"reader","expires_at":"2001-01-01T00:00:00Z"}`:                   {422, "expires_at"},
		`{"name":"x","role":"reader","expires_in":5,"expires_at":"2101-01-01T00:00:00Z"}`:    {422, "expires_in"},
		`{"name":"x","role":"provider","project":"blue"}`:                                    {422, "project"},
		`{"name":"` + strings.Repeat("a", maxBody) + `"}`:                                    {413, ""},
		`{"name":"x","role":"reader","project":"nothing"}`:                                   {422, "project"},
		`{"name":"x","role":"reader","project":"green","expires_at":"2101-01-01T00:00:00Z"}`: {201, ""},
		`{"name":"x","role":"provider"}`:                                                     {201, ""},
		`{"name":"alice at blue","role":"reader","project":"blue","certificate":"alice"}`:    {201, ""},
		`{"name":"alice at green","role":"member","project":"green","certificate":"alice"}`:  {201, ""},
	} {
		a := g.as("provider", want.status, "POST", "/v1/tokens", body)
		require.Equal(t, want.field, a.str("field"), body)
	}
	g.as("provider", 200, "POST", "/v1/tokens", `{"name":"alice at blue","role":"reader","project":"blue","certificate":"alice"}`)
	g.as("provider", 409, "POST", "/v1/tokens", `{"name":"alice at blue","role":"admin","project":"blue","certificate":"alice"}`)
	g.as("provider", 400, "POST", "/v1/tokens?wait=1", `{"name":"x","role":"provider"}`)
	a := g.do("POST", "/v1/tokens", `{}`, "Content-Type", "text/plain", "Authorization", "Bearer "+g.secrets["admin"])
	require.Equal(t, 415, a.status)
	g.as("provider", 400, "GET", "/v1/tokens/x?colour=red", "")
	g.as("provider", 400, "DELETE", "/v1/tokens/x?colour=red", "")
	// A role can be given out up to one's own, and a certificate's by the provider alone.
	g.as("admin", 201, "POST", "/v1/tokens", `{"name":"x","role":"admin"}`)
	g.as("admin", 403, "POST", "/v1/tokens", `{"name":"x","role":"provider"}`)
	g.as("admin", 403, "POST", "/v1/tokens", `{"name":"x","role":"reader","certificate":"bob"}`)
}

// A client certificate is all that is granted to its common name.
func TestCertificatesAreGranted(t *testing.T) {
	g := newGuarded(t)
	ask := func(name, path string) int {
		r := httptest.NewRequest("GET", path, nil)
		r.TLS = &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{{Subject: pkix.Name{CommonName: name}}}}}
		rec := httptest.NewRecorder()
		g.server.ServeHTTP(rec, r)
		return rec.Code
	}
	require.Equal(t, 401, ask("alice", "/v1/ports"))
	made := g.as("provider", 201, "POST", "/v1/tokens", `{"name":"alice","role":"reader","project":"blue","certificate":"alice"}`)
	require.Equal(t, "", made.str("secret"))
	require.Equal(t, 200, ask("alice", "/v1/ports"))
	require.Equal(t, 404, ask("alice", "/v1/ports?project=green"))
	require.Equal(t, 401, ask("bob", "/v1/ports"))
	g.as("provider", 201, "POST", "/v1/tokens", `{"name":"alice","role":"admin","project":"green","certificate":"alice"}`)
	require.Equal(t, 200, ask("alice", "/v1/tokens?project=green"))
	require.Equal(t, 403, ask("alice", "/v1/tokens?project=blue"))
	g.as("provider", 204, "DELETE", "/v1/tokens/"+made.str("id"), "")
	require.Equal(t, 404, ask("alice", "/v1/ports?project=blue"))
	require.Equal(t, 200, ask("alice", "/v1/ports"))
}

// A token that one replica revokes is good at no other from then on, and watches that it opened end.
func TestRevocationHoldsAtOnceOnEveryReplica(t *testing.T) {
	g := newGuarded(t, func(d *Deps) { d.Heartbeat = time.Hour })
	other, err := New(Deps{Store: g.store, Logger: g.server.deps.Logger})
	require.NoError(t, err)
	for range 20 {
		made := g.as("admin", 201, "POST", "/v1/tokens", `{"name":"x","role":"reader"}`)
		ask := func() int {
			r := httptest.NewRequest("GET", "/v1/networks", nil)
			r.Header.Set("Authorization", "Bearer "+made.str("secret"))
			rec := httptest.NewRecorder()
			other.ServeHTTP(rec, r)
			return rec.Code
		}
		require.Equal(t, 200, ask())
		g.as("admin", 204, "DELETE", "/v1/tokens/"+made.str("id"), "")
		require.Equal(t, 401, ask())
	}

	made := g.as("admin", 201, "POST", "/v1/tokens", `{"name":"x","role":"reader"}`)
	events := g.watch(t, "/v1/networks?watch=true", made.str("secret"))
	events.want("SYNCED")
	g.as("admin", 204, "DELETE", "/v1/tokens/"+made.str("id"), "")
	events.want("end")
}

// Who guesses at tokens is held up; who has one is not, though it comes from the same address.
func TestGuessesAreHeldUp(t *testing.T) {
	g := newGuarded(t)
	guess := func(i int) answered {
		bad := access.Secret([access.SecretBytes]byte{9, byte(i), byte(i >> 8)})
		return g.do("GET", "/v1/networks", "", "Authorization", "Bearer "+bad)
	}
	for i := range failuresAtOnce {
		require.Equal(t, 401, guess(i).status)
	}
	require.Eventually(t, func() bool { return guess(1000).status == 429 }, patience, time.Millisecond)
	for _, rt := range g.server.routes {
		if rt.rule.Least == access.Nobody {
			continue
		}
		a := g.do(rt.method, strings.Replace(rt.path, "{id}", "x", 1), "", "Authorization", "Bearer x")
		if a.status == 401 { // a second had passed: this was the guess that it allows
			a = g.do(rt.method, strings.Replace(rt.path, "{id}", "x", 1), "", "Authorization", "Bearer x")
		}
		require.Equal(t, 429, a.status, "%s %s", rt.method, rt.path)
		require.Equal(t, "1", a.header.Get("Retry-After"))
	}
	g.as("reader", 200, "GET", "/v1/networks", "")
	page := g.as("provider", 200, "GET", "/metrics", "").raw
	require.Contains(t, page, `flowtap_http_refused_total{reason="limited"}`)
	require.Contains(t, page, `flowtap_http_refused_total{reason="unknown"}`)
}

func TestFailuresAreBounded(t *testing.T) {
	var f failures
	for i := range 3 * failuresKept {
		f.add(fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255))
		f.add(fmt.Sprintf("2001:db8:%x::%x", i>>4, i))
		require.LessOrEqual(t, len(f.from), failuresKept)
	}
	f = failures{}
	for i := range failuresAtOnce + 1 {
		f.add(fmt.Sprintf("2001:db8::%x", i))
	}
	require.True(t, f.blocked("2001:db8::ffff"), "one client has 64 bits of addresses")
	require.False(t, f.blocked("10.0.0.1"))
	f.add("not an address")
}

// The first token is made once, and what a process kept before it died is what the next one goes on with.
func TestFirstToken(t *testing.T) {
	ctx := context.Background()
	st := newWorld(t).store
	kept := ""
	keep := func(secret string) (string, error) {
		if kept == "" {
			kept = secret
		}
		return kept + "\n", nil
	}
	_, err := FirstToken(ctx, st, func(s string) (string, error) { _, _ = keep(s); return "", context.Canceled })
	require.ErrorIs(t, err, context.Canceled)
	before := kept
	ok, err := FirstToken(ctx, st, keep)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, before, kept)
	ok, err = FirstToken(ctx, st, func(string) (string, error) { t.Error("there is one"); return "", nil })
	require.NoError(t, err)
	require.False(t, ok)
	tokens, err := st.TokensUnder(ctx, access.SecretID(kept))
	require.NoError(t, err)
	require.Len(t, tokens, 1)
	require.Equal(t, access.Token{Name: "first", Role: access.Provider, Hash: access.HashOf(kept)}, tokens[0].Spec)
	_, err = st.Tokens().Get(ctx, "x")
	require.ErrorIs(t, err, store.ErrNotFound)
}
