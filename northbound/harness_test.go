package northbound

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/access"
	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/store"
	"github.com/flowtap/flowtap/topology"
)

// patience bounds every wait of a test.
const patience = 20 * time.Second

// world is a server over a real embedded store.
type world struct {
	t      testing.TB
	store  *store.Store
	server *Server
	http   *httptest.Server
	stop   func()
}

func newWorld(t testing.TB, change ...func(*Deps)) *world {
	t.Helper()
	st, err := store.Open(context.Background(), store.Config{DataDir: t.TempDir()})
	require.NoError(t, err)
	deps := Deps{Store: st, Insecure: true, Logger: slog.New(slog.NewTextHandler(testLog{t}, nil)), Registry: prometheus.NewRegistry(), Heartbeat: 20 * time.Millisecond}
	for _, f := range change {
		f(&deps)
	}
	s, err := New(deps)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { s.Run(ctx) })
	w := &world{t: t, store: st, server: s}
	var h http.Handler = s
	if tt, ok := t.(*testing.T); ok {
		h = validated(tt, s)
	}
	w.http = httptest.NewServer(h)
	w.stop = sync.OnceFunc(func() {
		cancel()
		wg.Wait()
		w.http.Close()
		_ = st.Close()
	})
	t.Cleanup(w.stop)
	return w
}

// answered is one answer, read whole.
type answered struct {
	status int
	header http.Header
	raw    string
	body   map[string]any
}

func (a answered) str(path string) string { s, _ := a.at(path).(string); return s }

func (a answered) at(path string) any {
	var v any = a.body
	for _, k := range strings.Split(path, ".") {
		m, _ := v.(map[string]any)
		v = m[k]
	}
	return v
}

// do sends a request; header is name, value, name, value.
func (w *world) do(method, path, body string, header ...string) answered {
	w.t.Helper()
	req, err := http.NewRequest(method, w.http.URL+path, strings.NewReader(body))
	require.NoError(w.t, err)
	if method == "POST" || method == "PUT" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := w.http.Client().Do(req)
	require.NoError(w.t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(w.t, err)
	a := answered{status: resp.StatusCode, header: resp.Header, raw: string(b)}
	if len(bytes.TrimSpace(b)) > 0 && strings.Contains(resp.Header.Get("Content-Type"), "json") && resp.Header.Get("Content-Type") != mediaLines {
		require.NoError(w.t, json.Unmarshal(b, &a.body), "%s", b)
	}
	return a
}

// must is do with a status that is expected.
func (w *world) must(status int, method, path, body string, header ...string) answered {
	w.t.Helper()
	a := w.do(method, path, body, header...)
	require.Equal(w.t, status, a.status, "%s %s %s: %s", method, path, body, a.raw)
	return a
}

// cloud makes a network, two VMs and a monitor, all valid.
func (w *world) cloud() {
	w.t.Helper()
	w.must(201, "POST", "/v1/networks", `{"id":"shop"}`)
	w.must(201, "POST", "/v1/ports", `{"id":"web","network":"shop","mac":"02:00:00:00:00:01","ips":["10.0.0.1"]}`)
	w.must(201, "POST", "/v1/ports", `{"id":"db","network":"shop","mac":"02:00:00:00:00:02","ips":["10.0.0.2"]}`)
	w.must(201, "POST", "/v1/ports", `{"id":"ids1","kind":"monitor"}`)
}

const tapT1 = `{"id":"t1","src":"web","dst":"ids1","action":"forward","match":"nw_proto=TCP; tp_dst=80","direction":"in"}`

// controller is a stand-in that gives every tap and port a status, and remembers up to which
// revision it has done so.
type controller struct {
	mu      sync.Mutex // guards below
	done    int64
	changed chan struct{} // closed and replaced when done moves
	reason  string        // not empty: taps stay pending for this reason
}

func startController(t testing.TB, st *store.Store, reason string) *controller {
	c := &controller{changed: make(chan struct{}), reason: reason}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for b := range st.Follow(ctx) {
			for _, e := range b.Events {
				if !e.StatusOnly {
					c.observe(ctx, st, e)
				}
			}
			c.mu.Lock()
			c.done = b.Revision
			close(c.changed)
			c.changed = make(chan struct{})
			c.mu.Unlock()
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	return c
}

// observe writes a status; what cannot be written is gone or the test is over.
func (c *controller) observe(ctx context.Context, st *store.Store, e store.Event) {
	switch o := e.Object.(type) {
	case *store.Tap:
		s := flowtap.TapStatus{State: flowtap.TapActive, SrcNode: "n1", DstNode: "n2", Revision: revisionText(o.Revision)}
		if c.reason != "" {
			s.State, s.Reason = flowtap.TapPending, c.reason
		}
		_ = st.Taps().PutStatus(ctx, o.ID, s)
	case *store.Port:
		_ = st.Ports().PutStatus(ctx, o.ID, topology.PortStatus{State: topology.PortActive, Node: "n1", OFPort: 3})
	}
}

// settled is Deps.Settled.
func (c *controller) settled(ctx context.Context, revision int64) error {
	for {
		c.mu.Lock()
		done, changed := c.done, c.changed
		c.mu.Unlock()
		if done >= revision {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// testLog writes the server's log into the test's.
type testLog struct{ testing.TB }

func (l testLog) Write(b []byte) (int, error) {
	if _, fuzzing := l.TB.(*testing.F); !fuzzing { // which may not log while its function runs
		l.Log(strings.TrimSpace(string(b)))
	}
	return len(b), nil
}

// providers is the scope of a provider, in the project default.
var providers = &scope{principal: access.Principal{Provider: true}, project: topology.DefaultProject}
