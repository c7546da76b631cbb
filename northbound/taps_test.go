package northbound

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Two taps of one port, priority and direction may not have a frame in common.
func TestOverlapIsRefusedWithAWitness(t *testing.T) {
	w := newWorld(t)
	w.cloud()
	w.must(201, "POST", "/v1/taps", tapT1) // in, TCP port 80
	refused := func(a answered) {
		t.Helper()
		require.Equal(t, "t1", a.str("conflicts_with"), a.raw)
		require.NotEmpty(t, a.str("witness"), a.raw)
	}
	const broad = `{"id":"t2","src":"web","dst":"ids1","action":"forward","match":"tcp"%s}`
	refused(w.must(409, "POST", "/v1/taps", fmt.Sprintf(broad, ``)))
	refused(w.must(409, "POST", "/v1/taps", fmt.Sprintf(broad, `,"enabled":false`)))
	refused(w.must(409, "POST", "/v1/taps?dry_run=true", fmt.Sprintf(broad, `,"direction":"in"`)))
	w.must(201, "POST", "/v1/taps", fmt.Sprintf(broad, `,"priority":7`))
	refused(w.must(409, "PUT", "/v1/taps/t2", fmt.Sprintf(broad, ``)))
	w.must(200, "PUT", "/v1/taps/t2", fmt.Sprintf(broad, `,"direction":"out"`))
	w.must(201, "POST", "/v1/taps", `{"id":"t3","src":"db","dst":"ids1","action":"forward"}`)
	refused(w.must(409, "PUT", "/v1/taps/t3", `{"src":"web","dst":"ids1","action":"forward","match":"tcp,tp_dst=80","direction":"in"}`))
}

// A witness is a frame, also where two taps meet in the replies to a sender alone.
func TestWitnessIsAFrame(t *testing.T) {
	w := newWorld(t)
	w.cloud()
	w.must(201, "POST", "/v1/taps", `{"id":"t1","src":"web","dst":"ids1","action":"forward","match":"in_port=db,tcp,tp_dst=80"}`)
	p := w.must(409, "POST", "/v1/taps", `{"id":"t2","src":"web","dst":"ids1","action":"forward","direction":"out"}`)
	require.Equal(t, "tcp,dl_dst=02:00:00:00:00:02,tp_src=80", p.str("witness"))
	require.Contains(t, p.str("detail"), p.str("witness"))
	w.must(201, "POST", "/v1/taps", `{"id":"t3","src":"db","dst":"ids1","action":"forward","match":"in_port=ghost"}`)
	p = w.must(409, "POST", "/v1/taps", `{"id":"t4","src":"db","dst":"ids1","action":"forward","direction":"out"}`)
	require.Equal(t, "ip", p.str("witness"), "of a port that does not exist nothing can be said")
	p = w.must(409, "POST", "/v1/taps", `{"id":"t5","src":"db","dst":"ids1","action":"forward","direction":"in","match":"udp"}`)
	require.Equal(t, "udp,in_port=ghost", p.str("witness"))
}

// Of many overlapping taps that are posted at once, one is made.
func TestConcurrentOverlapsLeaveOne(t *testing.T) {
	w := newWorld(t)
	w.cloud()
	const n = 8
	var made, refused atomic.Int64
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			switch w.do("POST", "/v1/taps", fmt.Sprintf(`{"id":"t%d","src":"web","dst":"ids1","action":"forward"}`, i)).status {
			case 201:
				made.Add(1)
			case 409:
				refused.Add(1)
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 1, made.Load())
	require.EqualValues(t, n-1, refused.Load())
}

// Of many PUTs that carry the same If-Match, one happens.
func TestConcurrentIfMatchLetsOneThrough(t *testing.T) {
	w := newWorld(t)
	w.cloud()
	rev := w.must(201, "POST", "/v1/taps", tapT1).str("revision")
	const n = 12
	var done, refused atomic.Int64
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			body := fmt.Sprintf(`{"src":"web","dst":"ids1","action":"forward","match":"tcp","priority":%d}`, i)
			switch w.do("PUT", "/v1/taps/t1", body, "If-Match", `"`+rev+`"`).status {
			case 200:
				done.Add(1)
			case 412:
				refused.Add(1)
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 1, done.Load())
	require.EqualValues(t, n-1, refused.Load())
}

// A match comes back in one canonical form, and the three spellings are the same tap.
func TestSpellingsAreTheSameTap(t *testing.T) {
	w := newWorld(t)
	w.cloud()
	post := func(status int, match string) string {
		return w.must(status, "POST", "/v1/taps", `{"id":"t1","src":"web","dst":"ids1","action":"forward","match":`+match+`}`).str("match")
	}
	first := post(201, `"nw_src = 0.0.0.0/0; nw_proto = TCP; tp_dst = 80"`)
	require.Equal(t, first, post(200, `"tcp,tp_dst=80"`))
	require.Equal(t, first, post(200, `{"nw_proto":"TCP","tp_dst":80}`))
}

// A port that taps name cannot become a monitor, nor a monitor a VM.
func TestKindIsFixedWhileTapped(t *testing.T) {
	w := newWorld(t)
	w.cloud()
	w.must(201, "POST", "/v1/taps", tapT1)
	p := w.must(409, "PUT", "/v1/ports/ids1", `{"network":"shop"}`)
	require.Equal(t, "kind", p.str("field"))
	require.Equal(t, []any{"t1"}, p.at("users"))
	w.must(409, "PUT", "/v1/ports/web", `{"kind":"monitor"}`)
	w.must(204, "DELETE", "/v1/taps/t1", "")
	w.must(200, "PUT", "/v1/ports/ids1", `{"network":"shop"}`)
}

// Before the controller has looked, the states say so.
func TestStatusBeforeTheController(t *testing.T) {
	w := newWorld(t)
	w.cloud()
	w.must(201, "POST", "/v1/nodes", samples[0].body)
	tap := w.must(201, "POST", "/v1/taps", tapT1)
	require.Equal(t, "pending", tap.str("status.state"))
	require.NotEmpty(t, tap.str("status.reason"))
	require.Equal(t, "pending", w.must(200, "GET", "/v1/ports/web", "").str("status.state"))
	require.Equal(t, "disconnected", w.must(200, "GET", "/v1/nodes/x", "").str("status.state"))
}

// BenchmarkPostTap is a POST to its 201, through the embedded store with its fsync.
func BenchmarkPostTap(b *testing.B) {
	for _, present := range []int{10, 10_000} {
		b.Run(fmt.Sprintf("present=%d", present), func(b *testing.B) {
			w := newWorld(b)
			w.cloud()
			const ports = 100
			for i := range ports {
				w.must(201, "POST", "/v1/ports", fmt.Sprintf(`{"id":"p%d","network":"shop"}`, i))
			}
			body := func(i int) string {
				return fmt.Sprintf(`{"id":"t%d","src":"p%d","dst":"ids1","action":"forward","match":"tcp,tp_dst=%d","direction":"in"}`, i, i%ports, 1+i/ports%65000)
			}
			var wg sync.WaitGroup
			for k := range 16 {
				wg.Go(func() {
					for i := k; i < present; i += 16 {
						post(w.server, body(i))
					}
				})
			}
			wg.Wait()
			if got := len(w.must(200, "GET", "/v1/taps", "").at("items").([]any)); got != present {
				b.Fatalf("%d taps are present, not %d", got, present)
			}
			i := present
			var took []time.Duration
			for b.Loop() {
				start := time.Now()
				if code := post(w.server, body(i)); code != http.StatusCreated {
					b.Fatal(code)
				}
				took = append(took, time.Since(start))
				i++
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
		})
	}
}

// post is one POST of a tap without a connection.
func post(h http.Handler, body string) int {
	r := httptest.NewRequest("POST", "/v1/taps", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec.Code
}
