package replica

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"

	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/ofconn"
	"github.com/flowtap/flowtap/openflow/ofsim/ovstest"
)

// patience bounds every wait; none takes that long when all is well. Leases and links do not run out by
// themselves here: a machine that is busy with other things would end them at any time.
const patience = time.Minute

func TestMain(m *testing.M) {
	code := m.Run()
	for end := time.Now().Add(patience / 3); code == 0; time.Sleep(5 * time.Millisecond) {
		buf := make([]byte, 4<<20)
		text := string(buf[:runtime.Stack(buf, true)])
		if !strings.Contains(text, "flowtap/replica.(") {
			break
		}
		if time.Now().After(end) {
			os.Stderr.WriteString("goroutines left behind:\n" + text)
			code = 1
		}
	}
	os.Exit(code)
}

// startEtcd starts a server on loopback.
func startEtcd(t testing.TB) (endpoint string) {
	c := embed.NewConfig()
	c.Dir, c.Name, c.LogLevel = t.TempDir(), "external", "fatal"
	c.TickMs, c.ElectionMs = 10, 100
	c.ListenClientUrls = []url.URL{{Scheme: "http", Host: "127.0.0.1:0"}}
	c.AdvertiseClientUrls, c.ListenPeerUrls = c.ListenClientUrls, nil
	c.InitialCluster = c.Name + "=" + c.AdvertisePeerUrls[0].String()
	e, err := embed.StartEtcd(c)
	require.NoError(t, err)
	<-e.Server.ReadyNotify()
	t.Cleanup(e.Close)
	return "http://" + e.Clients[0].Addr().String()
}

// A node is one replica, with a leader that does nothing but to have connections to switches.
type node struct {
	t      testing.TB
	name   string
	client *clientv3.Client
	addr   string // for switches
	r      *Replica
	halt   func()

	mu    sync.Mutex // guards what follows
	term  *Term
	conns map[openflow.DPID]*ofconn.Conn // the leader's
}

func start(t testing.TB, etcd, name string) *node {
	t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{etcd}, Logger: nil})
	require.NoError(t, err)
	listen := func() net.Listener {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		return ln
	}
	n := &node{t: t, name: name, client: client, conns: map[openflow.DPID]*ofconn.Conn{}}
	switches := listen()
	n.addr = "tcp:" + switches.Addr().String()
	n.r = New(Deps{Client: client, Name: name, Version: "test", Switches: switches, Peers: listen(), LeaseTTL: time.Hour, LinkSilence: time.Minute,
		Lead: n.lead, Settled: func(context.Context, int64) error { return nil }, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)).With("at", name)})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.r.Run(ctx) }()
	n.halt = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(patience):
			buf := make([]byte, 1<<20)
			t.Errorf("%s does not end:\n%s", name, buf[:runtime.Stack(buf, true)])
		}
		_ = client.Close()
	})
	t.Cleanup(n.halt)
	return n
}

// kill ends a replica as the end of its process would: nobody is told.
func (n *node) kill() {
	_ = n.client.Close()
	n.halt()
}

func (n *node) lead(ctx context.Context, term *Term) error {
	n.mu.Lock()
	n.term = term
	n.mu.Unlock()
	return ofconn.Serve(ctx, term.Switches, ofconn.Config{Relayed: true}, func(alive context.Context, c *ofconn.Conn) {
		n.mu.Lock()
		n.conns[c.Features().DPID] = c
		n.mu.Unlock()
		stop := context.AfterFunc(ctx, func() { _ = c.Close() })
		defer stop()
		for range c.Events() {
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.conns[c.Features().DPID] == c {
			delete(n.conns, c.Features().DPID)
		}
	})
}

// session is the leader's connection to a switch, nil where there is none.
func (n *node) session(d openflow.DPID) *ofconn.Conn {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.conns[d]
}

func (n *node) lastTerm() *Term {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.term
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not in time: " + what)
		}
	}
}

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// ovs is an Open vSwitch with as many bridges, br0 and so on, that dials the replicas.
func ovs(t testing.TB, bridges int, nodes ...*node) (*ovstest.OVS, []openflow.DPID) {
	o := ovstest.Start(t, 1)
	if o == nil {
		return nil, nil
	}
	var dpids []openflow.DPID
	for i := range bridges {
		br := fmt.Sprintf("br%d", i)
		if i > 0 {
			o.Vsctl("add-br", br, "--", "set", "bridge", br, "datapath_type=dummy", "fail_mode=secure", "protocols=OpenFlow13")
		}
		d, err := openflow.ParseDPID(strings.Trim(strings.TrimSpace(o.Vsctl("get", "bridge", br, "datapath_id")), `"`))
		require.NoError(t, err)
		dpids = append(dpids, d)
		dial(o, br, nodes...)
	}
	return o, dpids
}

func dial(o *ovstest.OVS, br string, nodes ...*node) {
	args := []string{"set-controller", br}
	for _, n := range nodes {
		args = append(args, n.addr)
	}
	o.Vsctl(args...)
}

// leader waits for one that has a session with every switch, and gives it.
func leader(t testing.TB, dpids []openflow.DPID, nodes ...*node) (is *node) {
	t.Helper()
	eventually(t, "a leader with all switches", func() bool {
		for _, n := range nodes {
			is = n
			for _, d := range dpids {
				if n.session(d) == nil {
					is = nil
				}
			}
			if is != nil {
				return true
			}
		}
		return false
	})
	return is
}

// flow is what a test changes.
func flow(cookie uint64) []openflow.Message {
	return []openflow.Message{&openflow.FlowMod{Flow: openflow.Flow{Priority: 7, Cookie: cookie,
		Match: openflow.Match{openflow.Uint(openflow.FieldInPort, cookie)}}}}
}
