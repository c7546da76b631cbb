package store

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/server/v3/embed"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/topology"
)

// eachStore runs a test of the contract against an embedded store and against an external etcd. Each
// call of open gives a Store on the same etcd: several connections where it is external, one and the
// same Store where it is embedded, since a data directory has one user.
func eachStore(t *testing.T, test func(t *testing.T, open func() *Store)) {
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		s := openStore(t, Config{DataDir: t.TempDir()})
		test(t, func() *Store { return s })
	})
	t.Run("external", func(t *testing.T) {
		t.Parallel()
		e := startEtcd(t, t.TempDir(), 0)
		test(t, func() *Store { return openStore(t, Config{Endpoints: []string{e.url}}) })
	})
}

func openStore(t testing.TB, c Config) *Store {
	t.Helper()
	s, err := Open(context.Background(), c)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// etcd is an ordinary server on loopback TCP.
type etcd struct {
	*embed.Etcd
	url   string
	port  int
	close func()
}

// startEtcd starts a server; port 0 chooses one.
func startEtcd(t testing.TB, dir string, port int) *etcd {
	t.Helper()
	return startEtcdWith(t, dir, port, transport.TLSInfo{}, nil)
}

// startEtcdWith starts one that speaks TLS, if that says so.
func startEtcdWith(t testing.TB, dir string, port int, tls transport.TLSInfo, change func(*embed.Config)) *etcd {
	t.Helper()
	c := embed.NewConfig()
	c.Dir, c.Name = dir, "external"
	c.TickMs, c.ElectionMs = 10, 100
	c.LogLevel = "fatal"
	scheme := "http"
	if !tls.Empty() {
		scheme, c.ClientTLSInfo = "https", tls
	}
	client := url.URL{Scheme: scheme, Host: fmt.Sprintf("127.0.0.1:%d", port)}
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	c.ListenPeerUrls = nil
	c.InitialCluster = c.Name + "=" + c.AdvertisePeerUrls[0].String()
	if change != nil {
		change(c)
	}
	e, err := embed.StartEtcd(c)
	require.NoError(t, err)
	<-e.Server.ReadyNotify()
	stop := sync.OnceFunc(e.Close)
	t.Cleanup(stop)
	at := netip.MustParseAddrPort(e.Clients[0].Addr().String())
	return &etcd{e, scheme + "://" + at.String(), int(at.Port()), stop}
}

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func nodeSpec(n int) topology.Node {
	return topology.Node{
		DatapathID: openflow.DPID(n), TunnelIP: netip.AddrFrom4([4]byte{172, 16, byte(n >> 8), byte(n)}),
		TunnelInterface: "tun0",
	}
}

func vmSpec(network string, n int) topology.Port {
	return topology.Port{
		Network: network, Kind: topology.KindVM, Interface: fmt.Sprintf("%s-vm%d", network, n),
		MAC: topology.MAC{2, 0, 0, 0, byte(n >> 8), byte(n)},
		IPs: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)})},
	}
}

func monitorSpec(name string) topology.Port {
	return topology.Port{Kind: topology.KindMonitor, Interface: name}
}

func tapSpec(src, dst string) flowtap.Tap {
	return flowtap.Tap{
		Src: src, Dst: dst, Direction: flowtap.Both, Action: flowtap.Forward,
		Priority: 100, Enabled: true, FailMode: "closed",
	}
}

func create[S, T any](t testing.TB, c *Collection[S, T], id string, spec S) *Object[S, T] {
	t.Helper()
	o, created, err := c.Create(testContext(t), id, spec)
	require.NoError(t, err)
	require.True(t, created)
	return o
}

// shop makes the network shop with VMs web and db, and the monitor ids1.
func shop(t testing.TB, s *Store) {
	t.Helper()
	create(t, s.Networks(), "shop", topology.Network{})
	create(t, s.Ports(), "web", vmSpec("shop", 1))
	create(t, s.Ports(), "db", vmSpec("shop", 2))
	create(t, s.Ports(), "ids1", monitorSpec("ids1"))
}

// next takes one batch.
func next(t testing.TB, batches <-chan Batch) Batch {
	t.Helper()
	select {
	case b, ok := <-batches:
		require.True(t, ok, "the follower ended")
		return b
	case <-time.After(20 * time.Second):
		require.FailNow(t, "no batch came")
		return Batch{}
	}
}
