package tlsfiles

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/pki"
)

// site is an authority and a directory with a server's files, and a clock that the test moves.
type site struct {
	t     *testing.T
	ca    *pki.Authority
	files Files
	log   bytes.Buffer
	now   time.Time
}

func newSite(t *testing.T) *site {
	dir := t.TempDir()
	s := &site{t: t, now: time.Now(), files: Files{Option: "--http-tls", Cert: filepath.Join(dir, "s.pem"), Key: filepath.Join(dir, "s-key.pem"), CA: filepath.Join(dir, "ca.pem")}}
	s.ca = s.authority()
	s.publish(s.ca)
	s.issue("first")
	return s
}

func (s *site) authority() *pki.Authority {
	ca, err := pki.New("test", time.Now(), time.Now().Add(time.Hour))
	require.NoError(s.t, err)
	return ca
}

// publish writes the file of authorities.
func (s *site) publish(cas ...*pki.Authority) {
	var all []byte
	for _, ca := range cas {
		cert, _, err := ca.PEM()
		require.NoError(s.t, err)
		all = append(all, cert...)
	}
	s.write(s.files.CA, all)
}

// write replaces a file whole.
func (s *site) write(name string, b []byte) {
	require.NoError(s.t, os.WriteFile(name+".new", b, 0o600))
	require.NoError(s.t, os.Rename(name+".new", name))
}

func (s *site) pair(ca *pki.Authority, name string, kind pki.Kind) (cert, key []byte) {
	cert, key, err := ca.Issue(pki.Request{Name: name, Kind: kind, IPs: []net.IP{net.IPv4(127, 0, 0, 1)}, Now: time.Now(), Until: time.Now().Add(time.Minute)})
	require.NoError(s.t, err)
	return cert, key
}

// issue writes the server's certificate and key anew.
func (s *site) issue(name string) {
	cert, key := s.pair(s.ca, name, pki.Replica)
	s.write(s.files.Cert, cert)
	s.write(s.files.Key, key)
}

func (s *site) load() *Source {
	src, err := load(s.files, slog.New(slog.NewTextHandler(&s.log, nil)), func() time.Time { return s.now })
	require.NoError(s.t, err)
	return src
}

// later lets the time pass after which files are looked at again.
func (s *site) later() { s.now = s.now.Add(lookAgain) }

// greet makes one connection; it gives what the client and the server saw of each other.
func greet(t *testing.T, server, client *tls.Config) (seen, served tls.ConnectionState, err error) {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", server)
	require.NoError(t, err)
	defer l.Close()
	type result struct {
		state tls.ConnectionState
		err   error
	}
	done := make(chan result, 1)
	go func() {
		nc, err := l.Accept()
		if err != nil {
			done <- result{err: err}
			return
		}
		defer nc.Close()
		err = nc.(*tls.Conn).Handshake()
		done <- result{nc.(*tls.Conn).ConnectionState(), err}
	}()
	client = client.Clone()
	client.ServerName = "127.0.0.1"
	nc, err := tls.Dial("tcp", l.Addr().String(), client)
	if err == nil {
		seen = nc.ConnectionState()
		defer nc.Close()
	}
	r := <-done
	if err == nil {
		err = r.err
	}
	return seen, r.state, err
}

func (s *site) trusting(ca *pki.Authority) *tls.Config {
	cert, _, err := ca.PEM()
	require.NoError(s.t, err)
	pool := x509.NewCertPool()
	require.True(s.t, pool.AppendCertsFromPEM(cert))
	return &tls.Config{RootCAs: pool}
}

func (s *site) bearing(ca *pki.Authority, name string) *tls.Config {
	c := s.trusting(s.ca)
	cert, key := s.pair(ca, name, pki.Switch)
	pair, err := tls.X509KeyPair(cert, key)
	require.NoError(s.t, err)
	c.Certificates = []tls.Certificate{pair}
	return c
}

func TestANewCertificateIsUsedWithoutARestart(t *testing.T) {
	s := newSite(t)
	src := s.load()
	server, anybody := src.Server(Server{}), s.trusting(s.ca)
	name := func() string {
		seen, _, err := greet(t, server, anybody)
		require.NoError(t, err)
		require.Equal(t, uint16(tls.VersionTLS13), seen.Version)
		return seen.PeerCertificates[0].Subject.CommonName
	}
	require.Equal(t, "first", name())
	s.issue("second")
	require.Equal(t, "first", name(), "files are looked at once a second")
	s.later()
	require.Equal(t, "second", name())
	require.Contains(t, s.log.String(), "read again")
	require.Equal(t, "second", src.Client().Certificates[0].Leaf.Subject.CommonName, "clients have it, too")
}

func TestHalfASetLeavesTheOldOneInUseAndIsLoggedOnce(t *testing.T) {
	s := newSite(t)
	server, anybody := s.load().Server(Server{}), s.trusting(s.ca)
	check := func(want string, logged int) {
		t.Helper()
		for range 3 {
			s.later()
			seen, _, err := greet(t, server, anybody)
			require.NoError(t, err)
			require.Equal(t, want, seen.PeerCertificates[0].Subject.CommonName)
		}
		require.Equal(t, logged, bytes.Count(s.log.Bytes(), []byte("cannot be used")), "%s", &s.log)
	}
	cert, key := s.pair(s.ca, "second", pki.Server)
	s.write(s.files.Cert, cert) // its key is not there yet
	check("first", 1)
	s.write(s.files.Key, key[:len(key)/2]) // being written
	check("first", 2)
	require.NoError(t, os.Remove(s.files.Key))
	check("first", 3)
	s.write(s.files.Key, key)
	check("second", 3)
	cas, err := os.ReadFile(s.files.CA)
	require.NoError(t, err)
	s.write(s.files.CA, append(cas, cas[:len(cas)-20]...))
	check("second", 4)
}

// Who must bear a certificate, may bear one, and whose it must be.
func TestClientCertificates(t *testing.T) {
	s := newSite(t)
	other := s.authority()
	src := s.load()
	for _, how := range []tls.ClientAuthType{tls.RequireAndVerifyClientCert, tls.VerifyClientCertIfGiven} {
		server := src.Server(Server{Clients: how, MinVersion: tls.VersionTLS12})
		_, _, err := greet(t, server, s.trusting(s.ca))
		require.Equal(t, how == tls.RequireAndVerifyClientCert, err != nil, "without one: %v", err)
		_, served, err := greet(t, server, s.bearing(s.ca, "n1"))
		require.NoError(t, err)
		require.Equal(t, []string{"n1"}, Names(served.VerifiedChains[0][0]))
		_, _, err = greet(t, server, s.bearing(other, "n1"))
		require.Error(t, err, "from another authority")
		old := s.bearing(s.ca, "n1")
		old.MaxVersion = tls.VersionTLS12
		_, _, err = greet(t, server, old)
		require.NoError(t, err)
		old.MaxVersion = tls.VersionTLS11
		_, _, err = greet(t, server, old)
		require.Error(t, err)
	}
	// A new set of authorities counts from the next connection on, also for one that could resume.
	server := src.Server(Server{Clients: tls.RequireAndVerifyClientCert})
	known := s.bearing(s.ca, "n1")
	known.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	_, _, err := greet(t, server, known)
	require.NoError(t, err)
	s.publish(other)
	s.later()
	_, _, err = greet(t, server, known)
	require.Error(t, err)
}

func TestAClientTrustsItsAuthoritiesOnly(t *testing.T) {
	s := newSite(t)
	src := s.load()
	cert, key := s.pair(s.authority(), "elsewhere", pki.Server)
	foreign, err := tls.X509KeyPair(cert, key)
	require.NoError(t, err)
	_, _, err = greet(t, &tls.Config{Certificates: []tls.Certificate{foreign}}, src.Client())
	require.ErrorContains(t, err, "unknown authority")
	_, _, err = greet(t, src.Server(Server{}), src.Client())
	require.NoError(t, err)
}

// What cannot be used at the start is said in one line that names the option.
func TestLoadRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*site)
		says  string
	}{
		"no certificate file": {func(s *site) { s.files.Cert += "x" }, "--http-tls-cert: open "},
		"no key file":         {func(s *site) { s.files.Key += "x" }, "--http-tls-key: open "},
		"no authorities":      {func(s *site) { s.files.CA += "x" }, "--http-tls-ca: open "},
		"key missing":         {func(s *site) { s.files.Key = "" }, "--http-tls-cert without --http-tls-key"},
		"certificate missing": {func(s *site) { s.files.Cert = "" }, "--http-tls-key without --http-tls-cert"},
		"another's key": {func(s *site) {
			_, key := s.pair(s.ca, "x", pki.Server)
			s.write(s.files.Key, key)
		}, "private key does not match public key"},
		"a key among the authorities": {func(s *site) { s.files.CA = s.files.Key }, "only certificates belong there"},
		"nonsense as authorities":     {func(s *site) { s.write(s.files.CA, []byte("nonsense")) }, "no certificate in PEM"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			c.spoil(s)
			_, err := Load(s.files, slog.New(slog.DiscardHandler))
			require.ErrorContains(t, err, c.says)
			require.NotContains(t, err.Error(), "\n")
		})
	}
}
