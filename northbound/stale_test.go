package northbound

import (
	"context"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/server/v3/embed"

	"github.com/flowtap/flowtap/store"
)

// What is read while etcd is away is what was there, and says so; a healthy read says nothing.
func TestAnswersSayThatTheyAreStale(t *testing.T) {
	c := embed.NewConfig()
	c.Dir, c.LogLevel, c.TickMs, c.ElectionMs, c.ListenPeerUrls = t.TempDir(), "fatal", 10, 100, nil
	at := url.URL{Scheme: "http", Host: "127.0.0.1:0"}
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{at}, []url.URL{at}
	e, err := embed.StartEtcd(c)
	require.NoError(t, err)
	t.Cleanup(e.Close)
	<-e.Server.ReadyNotify()
	w := newWorld(t, func(d *Deps) {
		st, err := store.Open(context.Background(), store.Config{Endpoints: []string{"http://" + e.Clients[0].Addr().String()}})
		require.NoError(t, err)
		t.Cleanup(func() { _ = st.Close() })
		d.Store = st
	})
	w.must(201, "POST", "/v1/networks", `{"id":"shop"}`)
	a := w.must(200, "GET", "/v1/networks", "")
	require.Empty(t, a.header.Get("Warning"))
	require.Empty(t, a.header.Get("FlowTap-Stale"))
	ctx, cancel := context.WithCancel(context.Background())
	for b := range w.server.deps.Store.Follow(ctx) { // until the copy in memory has it
		if len(b.Events) > 0 {
			break
		}
	}
	cancel()
	e.Server.HardStop()
	for _, path := range []string{"/v1/networks", "/v1/networks/shop"} {
		a = w.must(200, "GET", path, "")
		require.Equal(t, `110 - "Response is Stale"`, a.header.Get("Warning"), path)
		require.NotEmpty(t, a.header.Get("FlowTap-Stale"))
		require.NotEmpty(t, a.header.Get("FlowTap-Revision"))
	}
	w.must(404, "GET", "/v1/networks/none", "")
}
