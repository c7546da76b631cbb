package northbound

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// watching is an open stream.
type watching struct {
	t      *testing.T
	events chan map[string]any // closed at the end of the stream
	beats  chan struct{}       // one for a comment; more are dropped
}

func (w *world) watch(t *testing.T, path string, secret ...string) *watching {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, "GET", w.http.URL+path, nil)
	require.NoError(t, err)
	for _, s := range secret {
		req.Header.Set("Authorization", "Bearer "+s)
	}
	resp, err := w.http.Client().Do(req)
	require.NoError(t, err)
	t.Cleanup(func() { resp.Body.Close() })
	require.Equal(t, 200, resp.StatusCode)
	require.Equal(t, "text/event-stream", resp.Header.Get("Content-Type"))
	s := &watching{t, make(chan map[string]any, 1000), make(chan struct{}, 1)}
	go func() {
		defer close(s.events)
		in := bufio.NewScanner(resp.Body)
		in.Buffer(nil, 1<<20)
		for in.Scan() {
			if strings.HasPrefix(in.Text(), ":") {
				select {
				case s.beats <- struct{}{}:
				default:
				}
			}
			if data, ok := strings.CutPrefix(in.Text(), "data: "); ok {
				var e map[string]any
				if json.Unmarshal([]byte(data), &e) == nil {
					s.events <- e
				}
			}
		}
	}()
	return s
}

// next is the next event as "TYPE id".
func (s *watching) next() (string, map[string]any) {
	s.t.Helper()
	select {
	case e, ok := <-s.events:
		if !ok {
			return "end", nil
		}
		o, _ := e["object"].(map[string]any)
		return strings.TrimSpace(fmt.Sprintf("%v %v", e["type"], valueOr(o["id"]))), o
	case <-time.After(patience):
		s.t.Fatal("no event came")
		return "", nil
	}
}

func valueOr(v any) any {
	if v == nil {
		return ""
	}
	return v
}

func (s *watching) want(events ...string) {
	s.t.Helper()
	for _, want := range events {
		got, _ := s.next()
		require.Equal(s.t, want, got)
	}
}

func TestWatchShowsWhatIsThereAndThenChanges(t *testing.T) {
	w := newWorld(t)
	w.cloud()
	w.must(201, "POST", "/v1/taps", tapT1)
	all := w.watch(t, "/v1/taps?watch=true")
	all.want("ADDED t1", "SYNCED")
	mine := w.watch(t, "/v1/taps?watch=true&src=db")
	mine.want("SYNCED")

	w.must(201, "POST", "/v1/taps", `{"id":"t2","src":"db","dst":"ids1","action":"forward"}`)
	all.want("ADDED t2")
	mine.want("ADDED t2")
	w.must(200, "PUT", "/v1/taps/t2", `{"src":"web","dst":"ids1","action":"forward","priority":5}`)
	_, o := all.next()
	require.Equal(t, "web", o["src"])
	mine.want("DELETED t2")
	w.must(204, "DELETE", "/v1/taps/t2", "")
	all.want("DELETED t2")
	startController(t, w.store, "")
	typ, o := all.next()
	require.Equal(t, "MODIFIED t1", typ)
	require.Equal(t, "active", o["status"].(map[string]any)["state"])
	select {
	case <-all.beats:
	case <-time.After(patience):
		t.Fatal("no heartbeat")
	}
	w.server.stopOnce.Do(func() { close(w.server.stopping) })
	all.want("end")
	mine.want("end")
}

// A watch begins with what its client has just written, and without what it has just deleted.
func TestWatchIsNotBehindItsClient(t *testing.T) {
	w := newWorld(t, func(d *Deps) { d.MaxWatchers = 100 })
	for i := range 30 {
		id := fmt.Sprintf("n%d", i)
		w.must(201, "POST", "/v1/networks", `{"id":"`+id+`"}`)
		w.watch(t, "/v1/networks?watch=true&id="+id).want("ADDED "+id, "SYNCED")
		w.must(204, "DELETE", "/v1/networks/"+id, "")
		w.watch(t, "/v1/networks?watch=true&id="+id).want("SYNCED")
	}
}

func TestWatchersAreBounded(t *testing.T) {
	w := newWorld(t, func(d *Deps) { d.MaxWatchers = 2 })
	w.watch(t, "/v1/taps?watch=true").want("SYNCED")
	w.watch(t, "/v1/nodes?watch=true").want("SYNCED")
	a := w.must(503, "GET", "/v1/ports?watch=true", "")
	require.Equal(t, "1", a.header.Get("Retry-After"))
}

// A reader that fell behind is shown the difference between what it has and what there is.
func TestLaggingWatcherCatchesUp(t *testing.T) {
	w := newWorld(t)
	res := w.server.networks()
	sub := w.server.hub.subscribe("networks", "")
	defer sub.close()
	for i := range 3 {
		w.must(201, "POST", "/v1/networks", fmt.Sprintf(`{"id":"n%d"}`, i))
	}
	view := newView(res, providers, filters{})
	types := func() (out []string) {
		changes, whole, _ := sub.take()
		events, err := view.events(changes, whole)
		require.NoError(t, err)
		for _, e := range events {
			var o struct{ ID string }
			require.NoError(t, json.Unmarshal(e.Object, &o))
			out = append(out, e.Type+" "+o.ID)
		}
		return out
	}
	require.Eventually(t, func() bool {
		sub.hub.mu.Lock()
		defer sub.hub.mu.Unlock()
		return len(sub.hub.objects["networks"]) == 3
	}, patience, time.Millisecond)
	require.Equal(t, []string{"ADDED n0", "ADDED n1", "ADDED n2"}, types())
	w.must(204, "DELETE", "/v1/networks/n0", "")
	w.must(200, "PUT", "/v1/networks/n1", `{"labels":{"a":"b"}}`)
	w.must(201, "POST", "/v1/networks", `{"id":"n3"}`)
	require.Eventually(t, func() bool {
		sub.hub.mu.Lock()
		defer sub.hub.mu.Unlock()
		return sub.hub.objects["networks"]["n3"] != nil
	}, patience, time.Millisecond)
	w.server.hub.mu.Lock()
	sub.lagged, sub.queue = true, nil
	w.server.hub.mu.Unlock()
	require.Equal(t, []string{"DELETED n0", "MODIFIED n1", "ADDED n3"}, types())
}

func TestWaitHoldsUntilTheStatusSpeaksOfTheRevision(t *testing.T) {
	var c *controller
	w := newWorld(t, func(d *Deps) {
		d.Settled = func(ctx context.Context, rev int64) error { return c.settled(ctx, rev) }
	})
	c = startController(t, w.store, "")
	w.must(201, "POST", "/v1/networks", `{"id":"shop"}`)
	port := w.must(201, "POST", "/v1/ports?wait=20", `{"id":"web","network":"shop"}`)
	require.Equal(t, "active", port.str("status.state"))
	w.must(201, "POST", "/v1/ports?wait=20", `{"id":"ids1","kind":"monitor"}`)
	tap := w.must(201, "POST", "/v1/taps?wait=20", tapT1)
	require.Equal(t, "active", tap.str("status.state"))
	require.Equal(t, tap.str("revision"), tap.str("status.revision"))
	again := w.must(200, "POST", "/v1/taps?wait=20", tapT1)
	require.Equal(t, tap.body, again.body)
	put := w.must(200, "PUT", "/v1/taps/t1?wait=20", `{"src":"web","dst":"ids1","action":"forward"}`)
	require.NotEqual(t, tap.str("revision"), put.str("revision"))
	require.Equal(t, put.str("revision"), put.str("status.revision"))
	w.must(204, "DELETE", "/v1/taps/t1?wait=20", "")
}

// A reason that no waiting cures ends the wait; one that it cures does not.
func TestWaitEndsAtAFinalReason(t *testing.T) {
	w := newWorld(t)
	w.cloud()
	startController(t, w.store, "port web is on no switch")
	tap := w.must(201, "POST", "/v1/taps?wait=3600", tapT1)
	require.Equal(t, "port web is on no switch", tap.str("status.reason"))
	require.True(t, finalReason("port web is on no switch"))
	require.False(t, finalReason("applying: 1 of 2 switches"))
	require.False(t, finalReason(""))
}

// Without anybody who carries changes out, a wait lasts as long as it was asked to.
func TestWaitIsBounded(t *testing.T) {
	w := newWorld(t)
	w.cloud()
	for _, req := range [][3]string{
		{"POST", "/v1/taps", tapT1}, {"PUT", "/v1/taps/t1", `{"src":"web","dst":"ids1","action":"forward"}`},
		{"PUT", "/v1/ports/db", `{"network":"shop"}`}, {"DELETE", "/v1/taps/t1", ""},
	} {
		start := time.Now()
		a := w.do(req[0], req[1]+"?wait=0.05", req[2])
		require.Less(t, a.status, 300, a.raw)
		require.GreaterOrEqual(t, time.Since(start), 50*time.Millisecond, req)
	}
	w.must(201, "POST", "/v1/taps", tapT1)
}

// Serve ends watches and waits when its context ends, and nothing is cut off.
func TestServeStops(t *testing.T) {
	w := newWorld(t)
	w.cloud()
	s, err := New(Deps{Store: w.store, Insecure: true, Logger: w.server.deps.Logger})
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	w.http.URL = "http://" + l.Addr().String()
	stream := w.watch(t, "/v1/taps?watch=true")
	stream.want("SYNCED")
	held := make(chan answered, 1)
	go func() { held <- w.do("POST", "/v1/taps?wait=3600", tapT1) }()
	stream.want("ADDED t1")
	cancel()
	stream.want("end")
	require.Equal(t, 201, (<-held).status)
	require.NoError(t, <-ended)
}

func TestListPagesAndFilters(t *testing.T) {
	w := newWorld(t, func(d *Deps) {
		d.Unregistered = func() []UnregisteredNode {
			return []UnregisteredNode{{DatapathID: 9, Version: "3.1.0", Since: time.Unix(1, 0)}, {DatapathID: 8}}
		}
	})
	w.cloud()
	for i := range 5 {
		w.must(201, "POST", "/v1/taps", fmt.Sprintf(`{"id":"t%d","src":"web","dst":"ids1","action":"forward","match":"tcp,tp_dst=%d","direction":"in"}`, i, i+1))
	}
	w.must(201, "POST", "/v1/nodes", samples[0].body)
	ids := func(path string) (out []string) {
		for _, it := range w.must(200, "GET", path, "").at("items").([]any) {
			out = append(out, it.(map[string]any)["id"].(string))
		}
		return out
	}
	var pages []string
	next := ""
	for {
		a := w.must(200, "GET", "/v1/taps?limit=2&page="+next, "")
		pages = append(pages, fmt.Sprint(len(a.at("items").([]any))))
		if len(pages) == 1 {
			w.must(204, "DELETE", "/v1/taps/t1", "") // seen already: moves no other over the border
		}
		if next = a.str("next"); next == "" {
			break
		}
	}
	require.Equal(t, []string{"2", "2", "1"}, pages)
	require.Equal(t, []string{"t0"}, ids("/v1/taps?match=nw_proto%3DTCP%3B%20tp_dst%3D1"))
	require.Equal(t, []string{"t0", "t2"}, ids("/v1/taps?id=t0&id=t2&state=pending"))
	require.Empty(t, ids("/v1/taps?state=active"))
	require.Equal(t, []string{"t0", "t2", "t3", "t4"}, ids("/v1/taps?enabled=true&priority=100&src=web"))
	require.Empty(t, ids("/v1/taps?match=nonsense%3D"))
	require.Equal(t, []string{"web"}, ids("/v1/ports?mac=02:00:00:00:00:01"))
	require.Equal(t, []string{"web"}, ids("/v1/ports?ips=10.0.0.1"))
	require.Equal(t, []string{"ids1"}, ids("/v1/ports?network="))
	require.Equal(t, []string{"db", "web"}, ids("/v1/ports?kind=vm&network=shop"))
	require.Equal(t, []string{"db", "web"}, ids("/v1/ports?mac=02-00-00-00-00-01&mac=02:00:00:00:00:02"))
	require.Equal(t, []string{"0000000000000008", "0000000000000009"}, ids("/v1/nodes?state=unregistered"))
	require.Equal(t, []string{"0000000000000009"}, ids("/v1/nodes?state=unregistered&datapath_id=0000000000000009"))
	require.Equal(t, []string{"x"}, ids("/v1/nodes"))
}
