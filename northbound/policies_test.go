package northbound

import (
	"context"
	"encoding/json"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/store"
)

// What is wrong with a policy's text is said all at once, and with the place.
func TestAWrongPolicyIsRefusedWithAllThatIsWrong(t *testing.T) {
	w := newWorld(t)
	source := "a(x) :- flowtap:port(id=x)\nb(y) :- c(x)\n"
	p := w.must(422, "POST", "/v1/policies", `{"id":"shop","source":`+string(mustJSON(source))+`}`)
	require.Equal(t, "source", p.str("field"))
	var body Problem
	require.NoError(t, json.Unmarshal([]byte(p.raw), &body))
	require.Equal(t, []flowtap.Diagnostic{{Severity: "error", Line: 1, Column: 9, Message: "the data source flowtap has no table flowtap:port", Hint: "did you mean flowtap:ports?",
		Text: "shop:1:9: error: the data source flowtap has no table flowtap:port\n    a(x) :- flowtap:port(id=x)\n            ^^^^^^^^^^^^\n    = did you mean flowtap:ports?\n"}},
		body.Diagnostics[:1])
	require.Equal(t, 2, body.Diagnostics[1].Line)
	require.Equal(t, body.Diagnostics[0].Text, body.Detail)
	w.must(404, "GET", "/v1/policies/shop", "")

	w.must(201, "POST", "/v1/policies", `{"id":"shop","source":"a(1)"}`)
	w.must(422, "PUT", "/v1/policies/shop", `{"source":"a(x)"}`)
	require.Equal(t, "a(1)", w.must(200, "GET", "/v1/policies/shop", "").str("source"))
}

// Whatever is taken can be changed and deleted, too.
func TestTheLongestPolicy(t *testing.T) {
	w := newWorld(t)
	text := func(n int, end string) string {
		return string(mustJSON("a(1)//" + strings.Repeat("<", n/6) + strings.Repeat("x", n%6) + end)) // < has 6 bytes as JSON
	}
	const room = maxSource - len(`"a(1)//x"`)
	p := w.must(422, "POST", "/v1/policies", `{"id":"shop","source":`+text(room+1, "x")+`}`)
	require.Equal(t, "source", p.str("field"))
	w.must(201, "POST", "/v1/policies", `{"id":"shop","source":`+text(room, "x")+`}`)
	w.must(200, "PUT", "/v1/policies/shop", `{"source":`+text(room, "y")+`}`)
	w.must(204, "DELETE", "/v1/policies/shop", "")
}

// A policy's taps are for everybody to see, and for the policy alone to change.
func TestAPolicysTapIsNotTheUsersToChange(t *testing.T) {
	w := newWorld(t, func(d *Deps) { d.Planner = &fakePlanner{} })
	w.cloud()
	require.Equal(t, "policy", w.must(422, "POST", "/v1/taps", `{"src":"web","dst":"ids1","action":"forward","policy":"shop"}`).str("field"))
	w.must(201, "POST", "/v1/taps", tapT1)
	require.Equal(t, "policy", w.must(422, "PUT", "/v1/taps/t1", `{"src":"web","dst":"ids1","action":"forward","policy":"shop"}`).str("field"))

	tap := flowtap.Tap{Src: "db", Dst: "ids1", Direction: flowtap.In, Action: flowtap.Forward, Priority: 100, Enabled: true, FailMode: flowtap.FailClosed, Policy: "shop"}
	_, err := w.store.ChangeTaps(context.Background(), store.PolicyChange{Policy: "shop", Put: map[string]flowtap.Tap{"shop-1": tap}})
	require.NoError(t, err)
	got := w.must(200, "GET", "/v1/taps/shop-1", "")
	require.Equal(t, "shop", got.str("policy"))
	for _, req := range [][2]string{{"PUT", got.raw}, {"PUT", `{"src":"db","dst":"ids1","action":"forward"}`}, {"DELETE", ""}} {
		p := w.must(409, req[0], "/v1/taps/shop-1", req[1])
		require.Equal(t, "shop", p.str("conflicts_with"))
		require.Contains(t, p.str("detail"), `the tap follows from policy "shop"`)
		w.must(409, req[0], "/v1/taps/shop-1?dry_run=true", req[1])
	}
	require.Len(t, w.must(200, "GET", "/v1/taps?policy=shop", "").at("items"), 1)
	require.Len(t, w.must(200, "GET", "/v1/taps?policy=", "").at("items"), 1)

	w.must(409, "PUT", "/v1/ports/db", `{"kind":"monitor"}`)
	w.must(409, "DELETE", "/v1/ports/ids1", "")
	w.must(200, "DELETE", "/v1/ports/db?dry_run=true", "")
	w.must(204, "DELETE", "/v1/ports/db", "")
}

// ?wait is over when the policy's taps are on the switches, or are gone.
func TestWaitForAPolicy(t *testing.T) {
	var w *world
	reached := make(chan int64, 10)
	w = newWorld(t, func(d *Deps) {
		d.Settled = func(_ context.Context, rev int64) error { reached <- rev; return nil }
	})
	w.cloud()
	ctx := context.Background()
	var rev, gone atomic.Int64
	go func() { // stands for the compiler
		for b := range w.store.Follow(ctx) {
			for _, e := range b.Events {
				p, ok := e.Object.(*store.Policy)
				if !ok || e.StatusOnly {
					continue
				}
				tap := flowtap.Tap{Src: "db", Dst: "ids1", Direction: flowtap.In, Action: flowtap.Forward, Enabled: true, FailMode: flowtap.FailClosed, Policy: p.ID}
				at, _ := w.store.ChangeTaps(ctx, store.PolicyChange{Policy: p.ID, Revision: p.Revision, Put: map[string]flowtap.Tap{"shop-1": tap}})
				rev.Store(at)
				_ = w.store.Policies().PutStatus(ctx, p.ID, flowtap.PolicyStatus{State: flowtap.PolicyActive, Taps: 1, Revision: revisionText(p.Revision)})
			}
		}
	}()
	made := w.must(201, "POST", "/v1/policies?wait=20", `{"id":"shop","source":"a(1)"}`)
	require.Equal(t, "active", made.str("status.state"))
	require.GreaterOrEqual(t, <-reached, rev.Load())

	go func() {
		for b := range w.store.Follow(ctx) {
			for _, e := range b.Events {
				if e.Collection == store.CollectionPolicies && e.Object == nil {
					at, _ := w.store.ChangeTaps(ctx, store.PolicyChange{Policy: "shop", Delete: []string{"shop-1"}})
					gone.Store(at)
				}
			}
		}
	}()
	w.must(204, "DELETE", "/v1/policies/shop?wait=20", "")
	require.GreaterOrEqual(t, <-reached, gone.Load())
	w.must(404, "GET", "/v1/taps/shop-1", "")
}

// The provider's word in a policy is the provider's own.
func TestAPolicySeesWhatItsAuthorSees(t *testing.T) {
	g := newGuarded(t)
	require.Equal(t, false, g.as("member", 201, "POST", "/v1/policies", `{"id":"a","source":"p(1)","provider":true}`).at("provider"))
	require.Equal(t, true, g.as("provider", 200, "PUT", "/v1/policies/a?project=blue", `{"source":"p(2)","provider":false}`).at("provider"))
	require.Equal(t, false, g.as("member", 200, "PUT", "/v1/policies/a", `{"source":"p(2)","provider":true}`).at("provider"))
}
