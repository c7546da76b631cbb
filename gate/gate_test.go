package gate

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/ofconn"
	"github.com/flowtap/flowtap/openflow/ofsim/simswitch"
	"github.com/flowtap/flowtap/store"
	"github.com/flowtap/flowtap/topology"
)

// patience bounds every wait; none takes that long when all is well.
const patience = 20 * time.Second

// Which certificate may be which switch. n1 has two bridges and pins a name, n2 pins one, n3 none; 9 is
// nobody's.
func TestPins(t *testing.T) {
	p := newPins(map[string]*store.Node{
		"n1": {Meta: store.Meta{ID: "n1"}, Spec: topology.Node{DatapathID: 1, TunnelDatapathID: 0x101, Certificate: "one"}},
		"n2": {Meta: store.Meta{ID: "n2"}, Spec: topology.Node{DatapathID: 2, Certificate: "two"}},
		"n3": {Meta: store.Meta{ID: "n3"}, Spec: topology.Node{DatapathID: 3}},
	})
	bearing := func(cn string, dns ...string) *tls.ConnectionState {
		return &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{{Subject: pkix.Name{CommonName: cn}, DNSNames: dns}}}}
	}
	for name, c := range map[string]struct {
		state *tls.ConnectionState
		may   []openflow.DPID
	}{
		"plain TCP":                     {nil, []openflow.DPID{3, 9}},
		"TLS without a certificate":     {&tls.ConnectionState{}, []openflow.DPID{3, 9}},
		"a name that nobody pins":       {bearing("x", "y"), []openflow.DPID{3, 9}},
		"one, as common name":           {bearing("one"), []openflow.DPID{1, 0x101}},
		"one, as DNS name":              {bearing("x", "y", "one"), []openflow.DPID{1, 0x101}},
		"both names, of two nodes' key": {bearing("one", "two"), []openflow.DPID{1, 0x101, 2}},
		"not what begins alike":         {bearing("one.example"), []openflow.DPID{3, 9}},
	} {
		t.Run(name, func(t *testing.T) {
			var may []openflow.DPID
			for _, dpid := range []openflow.DPID{1, 0x101, 2, 3, 9} {
				if p.allow(dpid, c.state) == nil {
					may = append(may, dpid)
				}
			}
			require.Equal(t, c.may, may)
		})
	}
}

func TestFairest(t *testing.T) {
	require.Equal(t, -1, fairest([]string{"a", "a"}, "a"), "its own")
	require.Equal(t, -1, fairest([]string{"a", "a", "b"}, "b"), "that would turn things round")
	require.Equal(t, 1, fairest([]string{"b", "a", "a"}, "c"))
	require.Equal(t, -1, fairest([]string{"b", "a"}, "c"))
	require.Equal(t, -1, fairest(nil, "c"))
}

// world is a gate before a listener, and what it is told of nodes.
type world struct {
	t     *testing.T
	g     *Gate
	addr  string
	nodes chan store.Batch

	mu  sync.Mutex // guards log
	log bytes.Buffer
}

// Write implements io.Writer, for the log.
func (w *world) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.Write(b)
}

// says counts the lines of the log that have a text.
func (w *world) says(text string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Count(w.log.String(), text)
}

func newWorld(t *testing.T, maxStrangers int, config ofconn.Config) *world {
	w := &world{t: t, nodes: make(chan store.Batch)}
	log := slog.New(slog.NewTextHandler(w, nil))
	w.g = New(log, prometheus.NewRegistry(), maxStrangers)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	w.addr = ln.Addr().String()
	config.Logger = log
	ctx, cancel := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() { w.g.Run(w.nodes) })
	run.Go(func() {
		_ = ofconn.Serve(ctx, ln, config, func(alive context.Context, conn *ofconn.Conn) {
			if leave, ok := w.g.Enter(alive, conn); ok {
				defer leave()
				<-alive.Done()
			}
		})
	})
	t.Cleanup(func() { cancel(); close(w.nodes); run.Wait() })
	return w
}

// tell says which nodes there are.
func (w *world) tell(nodes ...topology.Node) {
	b := store.Batch{Reset: true}
	for i, n := range nodes {
		id := string(rune('a' + i))
		b.Events = append(b.Events, store.Event{Collection: store.CollectionNodes, ID: id, Object: &store.Node{Meta: store.Meta{ID: id}, Spec: n}})
	}
	w.nodes <- b
	w.nodes <- store.Batch{} // taken when the first was dealt with
}

func (w *world) eventually(what string, done func() bool) {
	w.t.Helper()
	for end := time.Now().Add(patience); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("not in time: %s\n%s", what, w.log.String())
		}
	}
}

// connect makes a switch and has it connect.
func (w *world) connect(d openflow.DPID) *simswitch.Switch {
	sw := simswitch.NewFabric().Add(d, netip.AddrFrom4([4]byte{172, 16, 0, 1}))
	w.t.Cleanup(sw.Disconnect)
	require.NoError(w.t, sw.Connect(w.addr))
	return sw
}

// holds waits until a switch, and nobody else, is the one with its datapath id.
func (w *world) holds(d openflow.DPID) *holder {
	w.t.Helper()
	var h *holder
	w.eventually("the switch is let in", func() bool { h = w.g.all()[d]; return h != nil })
	return h
}

func (w *world) gone(sw *simswitch.Switch) {
	w.t.Helper()
	w.eventually("the switch is refused", func() bool { return !sw.Connected() })
}

// A node that pins a certificate is served over TLS only, from the moment that it does. Before the nodes are
// known, nobody is served.
func TestAPinEndsAPlainConnection(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 8, ofconn.Config{})
	sw := w.connect(1)
	require.Empty(t, w.g.all())
	w.tell(topology.Node{DatapathID: 1})
	w.holds(1)
	w.tell(topology.Node{DatapathID: 1, Certificate: "n1"})
	w.gone(sw)
	w.gone(w.connect(1))
	require.Equal(t, 2, w.says("the connection is not by TLS"))
	w.tell(topology.Node{DatapathID: 1})
	w.connect(1)
	w.holds(1)
}

// Switches that nobody knows are few, and take no place of one that is known.
func TestStrangersAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, ofconn.Config{})
	w.tell(topology.Node{DatapathID: 4})
	w.connect(1)
	w.connect(2)
	w.holds(1)
	w.holds(2)
	w.gone(w.connect(3))
	require.Equal(t, 1, w.says("2 switches that no node names"))
	w.connect(4)
	w.holds(4)
	require.Len(t, w.g.all(), 3)
}

// Whoever claims a connected switch's datapath id and leaves before the switch has answered does not end the
// switch's connection, and many claimants are one question.
func TestClaimantsCostTheSwitchNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 8, ofconn.Config{EchoInterval: time.Hour})
	w.tell()
	sw := w.connect(1)
	held := w.holds(1)
	sw.Delay(300 * time.Millisecond)
	before := held.conn.Stats().MessagesOut
	claimant := w.connect(1)
	w.eventually("the switch is asked", func() bool {
		held.claims.mu.Lock()
		defer held.claims.mu.Unlock()
		return held.asking != nil || !held.answered.IsZero()
	})
	claimant.Disconnect()
	for range 30 {
		w.gone(w.connect(1))
	}
	require.NoError(t, held.conn.Err())
	require.Same(t, held, w.holds(1))
	require.Less(t, held.conn.Stats().MessagesOut-before, uint64(30))
	require.NotZero(t, w.says("a switch with this datapath id is connected"))
}

// A switch that is silent loses its place to one that says that it is the same.
func TestASilentSwitchMakesWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 8, ofconn.Config{})
	w.tell()
	sw := w.connect(1)
	held := w.holds(1)
	sw.Hang(true)
	t.Cleanup(func() { sw.Hang(false) })
	w.connect(1)
	w.eventually("the other has the place", func() bool { h := w.g.all()[1]; return h != nil && h != held })
	require.Error(t, held.conn.Err())
}
