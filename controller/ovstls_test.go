package controller

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/ofsim/ovstest"
	"github.com/flowtap/flowtap/pki"
	"github.com/flowtap/flowtap/tlsfiles"
	"github.com/flowtap/flowtap/topology"
)

// site has the files of an authority, of a controller and of switches.
type site struct {
	t   *testing.T
	ca  *pki.Authority
	dir string
}

func (s *site) file(name string) string { return filepath.Join(s.dir, name) }

func (s *site) write(name string, b []byte) {
	require.NoError(s.t, os.WriteFile(s.file(name), b, 0o600))
}

// issue writes NAME.pem and NAME-key.pem, signed by ca.
func (s *site) issue(ca *pki.Authority, file, name string, kind pki.Kind) {
	cert, key, err := ca.Issue(pki.Request{Name: name, Kind: kind, Now: time.Now(), Until: time.Now().Add(time.Hour)})
	require.NoError(s.t, err)
	s.write(file+".pem", cert)
	s.write(file+"-key.pem", key)
}

// TestOpenVSwitchOverTLS is the whole story of a node's key on a real switch: it connects with it, and
// what has another node's or another authority's is refused; new certificates on both sides need no
// restart.
func TestOpenVSwitchOverTLS(t *testing.T) {
	ovs := ovstest.Start(t, 1)
	if ovs == nil {
		return
	}
	s := &site{t: t, dir: t.TempDir()}
	authority := func() *pki.Authority {
		ca, err := pki.New("test", time.Now(), time.Now().Add(2*time.Hour))
		require.NoError(t, err)
		return ca
	}
	s.ca = authority()
	ca, _, err := s.ca.PEM()
	require.NoError(t, err)
	s.write("ca.pem", ca)
	s.issue(s.ca, "flowtapd", "flowtapd", pki.Server)
	for _, name := range []string{"n1", "n2"} {
		s.issue(s.ca, name, name, pki.Switch)
	}
	s.issue(authority(), "stranger", "n1", pki.Switch)

	source, err := tlsfiles.Load(tlsfiles.Files{Option: "--openflow-tls", Cert: s.file("flowtapd.pem"), Key: s.file("flowtapd-key.pem"), CA: s.file("ca.pem")}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	config := quick()
	config.Conn.TLS = source.Server(tlsfiles.Server{Clients: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12})
	l := newLab(t, 0, config)
	dpid, err := openflow.ParseDPID(strings.Trim(strings.TrimSpace(ovs.Vsctl("get", "bridge", "br0", "datapath_id")), `"`))
	require.NoError(t, err)
	for i, name := range []string{"n1", "n2"} {
		_, _, err = l.store.Nodes().Create(l.ctx(), name, topology.Node{DatapathID: dpid + openflow.DPID(i), TunnelIP: netip.AddrFrom4([4]byte{172, 16, 0, byte(i + 1)}),
			TunnelInterface: "tun0", Certificate: name})
		require.NoError(t, err)
	}
	// become has the switch connect with a key.
	become := func(name string) {
		ovs.Vsctl("del-controller", "br0")
		l.eventually(func() error { return expect(len(l.ctl.sessions.list()), 0) })
		ovs.Vsctl("set-ssl", s.file(name+"-key.pem"), s.file(name+".pem"), s.file("ca.pem"),
			"--", "set-controller", "br0", "ssl:"+l.addr)
	}
	connected := func() *session {
		t.Helper()
		var found *session
		l.eventually(func() error {
			if all := l.ctl.sessions.list(); len(all) == 1 && l.nodeStatus("n1").State == topology.NodeConnected {
				found = all[0]
				return nil
			}
			return fmt.Errorf("n1 is not connected: %v", l.warned.lines)
		})
		return found
	}
	refused := func(text string) {
		t.Helper()
		l.eventually(func() error {
			if l.warned.count(text) == 0 {
				return fmt.Errorf("nothing says %q: %v", text, l.warned.lines)
			}
			return nil
		})
		require.Empty(t, l.ctl.sessions.list())
	}

	become("n1")
	state := connected().conn.TLS()
	t.Logf("Open vSwitch speaks %s, %s", tls.VersionName(state.Version), tls.CipherSuiteName(state.CipherSuite))
	require.GreaterOrEqual(t, state.Version, uint16(tls.VersionTLS12))
	become("n2")
	refused(`node n1 wants a certificate that bears the name n1, and this one bears ["n2"]`)
	become("stranger")
	refused("unknown authority")
	ovs.Vsctl("set-controller", "br0", "tcp:"+l.addr)
	refused("first record does not look like a TLS handshake")

	become("n1")
	first := connected().conn.TLS().VerifiedChains[0][0].SerialNumber
	// Everything anew: the controller's authority and certificate, and the switch's, in their places.
	s.ca = authority()
	ca, _, err = s.ca.PEM()
	require.NoError(t, err)
	s.write("ca.pem", ca)
	s.issue(s.ca, "flowtapd", "flowtapd", pki.Server)
	s.issue(s.ca, "n1", "n1", pki.Switch)
	require.Len(t, l.ctl.sessions.list(), 1, "what is connected stays")
	become("n1")
	require.NotEqual(t, first, connected().conn.TLS().VerifiedChains[0][0].SerialNumber)
}
