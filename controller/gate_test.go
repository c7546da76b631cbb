package controller

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/ofsim/simswitch"
	"github.com/flowtap/flowtap/store"
	"github.com/flowtap/flowtap/topology"
)

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

// A node that pins a certificate is served over TLS only, from the moment that it does.
func TestAPinEndsAPlainConnection(t *testing.T) {
	t.Parallel()
	l := newLab(t, 1, quick())
	l.nodes()
	sw := l.sws[0]
	state := func(want string) {
		l.eventually(func() error { return expect(l.nodeStatus("n1").State, want) })
	}
	state(topology.NodeConnected)
	pin := func(name string) {
		n := l.nodeSpec(sw)
		n.Certificate = name
		_, err := l.store.Nodes().Replace(l.ctx(), "n1", n, 0)
		require.NoError(t, err)
	}
	pin("n1")
	l.eventually(func() error { return disconnected(sw) })
	state(topology.NodeDisconnected)
	require.NoError(t, sw.Connect(l.addr))
	l.eventually(func() error { return disconnected(sw) })
	require.Equal(t, 2, l.warned.count("the connection is not by TLS"))
	pin("")
	require.NoError(t, sw.Connect(l.addr))
	state(topology.NodeConnected)
}

// Switches that nobody knows are few, and take no place of one that is known.
func TestStrangersAreBounded(t *testing.T) {
	t.Parallel()
	config := quick()
	config.MaxStrangers = 2
	l := newLab(t, 4, config)
	l.connect(l.sws[:2]...)
	l.eventually(func() error { return expect(len(l.ctl.Unregistered()), 2) })
	l.connect(l.sws[2])
	l.eventually(func() error { return disconnected(l.sws[2]) })
	require.NotZero(t, l.warned.count("2 switches that no node names"))
	l.node(l.sws[3])
	l.eventually(func() error { // when the gate knows
		if p := l.ctl.gate.pins.Load(); p == nil || p.nodes[4] == nil {
			return errors.New("not yet known")
		}
		return nil
	})
	l.connect(l.sws[3])
	l.eventually(func() error { return expect(l.nodeStatus("n4").State, topology.NodeConnected) })
	require.Len(t, l.ctl.Unregistered(), 2)
}

// Whoever claims a connected switch's datapath id and leaves before the switch was asked must not end the
// switch's connection, and many of them are one question.
func TestClaimantsCostTheSwitchNothing(t *testing.T) {
	t.Parallel()
	config := quick()
	config.AuditInterval = time.Hour
	l := newLab(t, 1, config)
	l.connect()
	l.eventually(func() error { return expect(len(l.ctl.Unregistered()), 1) })
	held := l.ctl.sessions.list()[0]
	l.sws[0].Delay(200 * time.Millisecond)
	before := held.conn.Stats().MessagesOut
	asked := func() error {
		held.claimed.mu.Lock()
		defer held.claimed.mu.Unlock()
		if held.claimed.asking == nil && held.claimed.answered.IsZero() {
			return errors.New("nobody was asked")
		}
		return nil
	}
	gone := simswitch.NewFabric().Add(1, l.sws[0].Tunnel())
	require.NoError(t, gone.Connect(l.addr))
	l.eventually(asked)
	gone.Disconnect()
	for range 30 {
		c := simswitch.NewFabric().Add(1, l.sws[0].Tunnel())
		require.NoError(t, c.Connect(l.addr))
		l.eventually(func() error { return disconnected(c) })
	}
	l.sws[0].Delay(0)
	require.NoError(t, held.conn.Err())
	require.Same(t, held, l.ctl.sessions.list()[0])
	require.Less(t, held.conn.Stats().MessagesOut-before, uint64(30))
}
