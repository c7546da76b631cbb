package gate

import (
	"crypto/tls"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/ofconn"
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
	t.Parallel()
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
	config := ofconn.Config{TLS: source.Server(tlsfiles.Server{Clients: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12})}
	w := newWorld(t, 8, config)
	dpid, err := openflow.ParseDPID(strings.Trim(strings.TrimSpace(ovs.Vsctl("get", "bridge", "br0", "datapath_id")), `"`))
	require.NoError(t, err)
	w.tell(topology.Node{DatapathID: dpid, Certificate: "n1"}, topology.Node{DatapathID: dpid + 1, Certificate: "n2"})
	// become has the switch connect with a key.
	become := func(name string) {
		ovs.Vsctl("del-controller", "br0")
		w.eventually("it hangs up", func() bool { return len(w.g.all()) == 0 })
		ovs.Vsctl("set-ssl", s.file(name+"-key.pem"), s.file(name+".pem"), s.file("ca.pem"),
			"--", "set-controller", "br0", "ssl:"+w.addr)
	}
	refused := func(text string) {
		t.Helper()
		w.eventually(text, func() bool { return w.says(text) > 0 })
		require.Empty(t, w.g.all())
	}

	become("n1")
	state := w.holds(dpid).conn.TLS()
	t.Logf("Open vSwitch speaks %s, %s", tls.VersionName(state.Version), tls.CipherSuiteName(state.CipherSuite))
	require.GreaterOrEqual(t, state.Version, uint16(tls.VersionTLS12))
	become("n2")
	refused(`node a wants a certificate that bears the name n1, and this one bears`)
	become("stranger")
	refused("unknown authority")
	ovs.Vsctl("set-controller", "br0", "tcp:"+w.addr)
	refused("first record does not look like a TLS handshake")

	become("n1")
	first := w.holds(dpid).conn.TLS().VerifiedChains[0][0].SerialNumber
	// Everything anew: the controller's authority and certificate, and the switch's, in their places.
	s.ca = authority()
	ca, _, err = s.ca.PEM()
	require.NoError(t, err)
	s.write("ca.pem", ca)
	s.issue(s.ca, "flowtapd", "flowtapd", pki.Server)
	s.issue(s.ca, "n1", "n1", pki.Switch)
	require.Len(t, w.g.all(), 1, "what is connected stays")
	become("n1")
	require.NotEqual(t, first, w.holds(dpid).conn.TLS().VerifiedChains[0][0].SerialNumber)
}
