package northbound

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/require"
)

// listening serves the world's store on a listener, as flowtapd does.
func listening(t *testing.T, w *world, change ...func(*Deps)) string {
	deps := Deps{Store: w.store, Insecure: true, Logger: slog.New(slog.DiscardHandler)}
	for _, f := range change {
		f(&deps)
	}
	server, err := New(deps)
	require.NoError(t, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, ln) }()
	t.Cleanup(func() { cancel(); require.NoError(t, <-done) })
	return ln.Addr().String()
}

// raw connects from one of loopback's addresses and says something.
func raw(t *testing.T, from, addr, text string) net.Conn {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	nc, err := d.Dial("tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = nc.Close() })
	_, err = io.WriteString(nc, text)
	require.NoError(t, err)
	require.NoError(t, nc.SetReadDeadline(time.Now().Add(patience)))
	return nc
}

// 200 connections of one address that say nothing, half a header, or that a body comes which does not, cost
// a user at another address nothing.
func TestSilentConnectionsKeepNobodyOut(t *testing.T) {
	w := newWorld(t)
	addr := listening(t, w)
	for i := range 200 {
		raw(t, "127.0.0.7", addr, []string{"", "GET /v1/taps HTTP/1.1\r\nHost: x\r\nX-Slow: ",
			"POST /v1/networks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"}[i%3])
	}
	nc := raw(t, "127.0.0.8", addr, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode)
}

// What is too long, too deep or too many is refused with a problem that says so.
func TestBoundsOnBodies(t *testing.T) {
	w := newWorld(t)
	list := strings.TrimSuffix(strings.Repeat("1,", maxElements+1), ",")
	names := make([]string, maxElements+1)
	for i := range names {
		names[i] = fmt.Sprintf(`"k%d":1`, i)
	}
	for name, body := range map[string]string{
		"list":    `{"id":"a","members":[` + list + `]}`,
		"object":  `{"id":"a","labels":{` + strings.Join(names, ",") + `}}`,
		"members": `{` + strings.Join(names, ",") + `}`,
		"depth":   `{"id":"a","labels":` + strings.Repeat("[", 30) + strings.Repeat("]", 30) + `}`,
	} {
		t.Run(name, func(t *testing.T) {
			a := w.must(400, "POST", "/v1/pools", body)
			require.Regexp(t, "has more than 4096|nests deeper", a.str("detail"))
		})
	}
}

// One address has its share of the watches; another's go on.
func TestWatchesAreShared(t *testing.T) {
	w := newWorld(t)
	addr := listening(t, w, func(d *Deps) { d.MaxWatchersPerSource = 1 })
	for i, from := range []string{"127.0.0.7", "127.0.0.7", "127.0.0.8"} {
		nc := raw(t, from, addr, "GET /v1/taps?watch=true HTTP/1.1\r\nHost: x\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
		require.NoError(t, err) // to close the body would be to wait for the end of the watch
		require.Equal(t, []int{200, 503, 200}[i], resp.StatusCode)
	}
}

// A connection is settled by a request with a good login, and by nothing else. One login has its share of the
// watches wherever it comes from; another's go on from the same address.
func TestALoginSettlesAndIsCounted(t *testing.T) {
	g := newGuarded(t)
	registry := prometheus.NewRegistry()
	addr := listening(t, g.world, func(d *Deps) { d.Insecure, d.MaxWatchersPerSource, d.Registry = false, 1, registry })
	settled := func() string {
		page := httptest.NewRecorder()
		promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(page, httptest.NewRequest("GET", "/metrics", nil))
		m := regexp.MustCompile(`flowtap_connections\{.*state="settled"\} (\d+)`).FindStringSubmatch(page.Body.String())
		require.NotNil(t, m)
		return m[1]
	}
	ask := func(from, path, secret string) int {
		nc := raw(t, from, addr, "GET "+path+" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+secret+"\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
		require.NoError(t, err)
		return resp.StatusCode // to close the body would be to wait for the end of a watch
	}
	for path, want := range map[string]int{"/readyz": 200, "/v1/none": 404, "/v1/taps": 401} {
		require.Equal(t, want, ask("127.0.0.7", path, g.secrets["expired"]), path)
		require.Equal(t, "0", settled(), path)
	}
	const watch = "/v1/taps?watch=true"
	require.Equal(t, 200, ask("127.0.0.7", watch, g.secrets["member"]))
	require.Equal(t, "1", settled())
	require.Equal(t, 503, ask("127.0.0.8", watch, g.secrets["member"]))
	require.Equal(t, 200, ask("127.0.0.7", watch, g.secrets["reader"]))
}
