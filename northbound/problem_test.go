package northbound

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/store"
	"github.com/flowtap/flowtap/topology"
)

// Each error of the store and of the types has its status, however deep it is wrapped.
func TestProblemOfErrors(t *testing.T) {
	many := make([]string, 200)
	for _, c := range []struct {
		err           error
		status, retry int
	}{
		{store.ErrNotFound, 404, 0},
		{store.ErrUnavailable, 503, 1},
		{store.ErrClosed, 503, 1},
		{store.ErrOutcomeUnknown, 503, 1},
		{&store.ExistsError{Collection: "taps", ID: "t1"}, 409, 0},
		{&store.UniqueError{Field: "mac", Value: "x", Owner: "web"}, 409, 0},
		{&store.InUseError{Collection: "ports", ID: "web", Users: many}, 409, 0},
		{&store.RevisionError{Want: 1, Have: 2}, 412, 0},
		{&store.ReferenceError{Field: "src", Collection: "ports", ID: "x"}, 422, 0},
		{&topology.FieldError{Field: "mac", Detail: "no"}, 422, 0},
		{invalid("dst", "no"), 422, 0},
		{errors.New("secret"), 500, 0},
	} {
		p := problemOf(fmt.Errorf("outer: %w", fmt.Errorf("inner: %w", c.err)))
		require.Equal(t, c.status, p.Status, "%v", c.err)
		require.Equal(t, c.retry, p.retryAfter, "%v", c.err)
		require.LessOrEqual(t, len(p.Users), maxUsers)
		require.NotContains(t, p.Detail, "secret")
	}
	// Whether it happened is the question that the client must ask.
	require.Contains(t, problemOf(store.ErrOutcomeUnknown).Detail, "repeat the request")
}

type panicPlanner struct{}

func (panicPlanner) DryRun(context.Context, []Change) ([]SwitchChange, error) { panic("secret") }

// A bug costs one request a 500 that tells nothing, and the log has the rest.
func TestPanicIsOneRequests(t *testing.T) {
	w := newWorld(t, func(d *Deps) { d.Planner = panicPlanner{} })
	r := httptest.NewRequest("POST", "/v1/networks?dry_run=true", strings.NewReader(`{"id":"a"}`))
	r.Header.Set("Content-Type", "application/json")
	rec := httptest.NewRecorder()
	w.server.ServeHTTP(rec, r)
	require.Equal(t, 500, rec.Code)
	require.Equal(t, ProblemType, rec.Header().Get("Content-Type"))
	require.NotContains(t, rec.Body.String(), "secret")
	w.must(201, "POST", "/v1/networks", `{"id":"a"}`)
}

func TestDepsAreChecked(t *testing.T) {
	_, err := New(Deps{})
	require.ErrorContains(t, err, "Store is nil")
	w := newWorld(t)
	_, err = New(Deps{Store: w.store})
	require.ErrorContains(t, err, "Logger is nil")
}
