package store

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/client/pkg/v3/transport"

	"github.com/flowtap/flowtap/pki"
	"github.com/flowtap/flowtap/topology"
)

// An etcd that asks for certificates serves whoever has one of its authority, and Open says in one line
// what is wrong with the others. A connection that is made later has the certificate of that time.
func TestTLS(t *testing.T) {
	t.Parallel()
	dir, now := t.TempDir(), time.Now()
	ca, err := pki.New("test", now, now.Add(time.Hour))
	require.NoError(t, err)
	caCert, _, err := ca.PEM()
	require.NoError(t, err)
	pair := func(name string, kind pki.Kind) (cert, key []byte) {
		cert, key, err := ca.Issue(pki.Request{Name: name, Kind: kind, IPs: []net.IP{net.IPv4(127, 0, 0, 1)}, Now: now, Until: now.Add(time.Minute)})
		require.NoError(t, err)
		return cert, key
	}
	files := map[string]string{}
	cert, key := pair("etcd", pki.Replica) // etcd connects to itself, for its gateway
	for name, b := range map[string][]byte{"ca": caCert, "cert": cert, "key": key} {
		files[name] = filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(files[name], b, 0o600))
	}
	info := transport.TLSInfo{CertFile: files["cert"], KeyFile: files["key"], TrustedCAFile: files["ca"], ClientCertAuth: true}
	e := startEtcdWith(t, t.TempDir(), 0, info, nil)

	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(caCert))
	var made atomic.Int32
	bearer := func() *tls.Config {
		made.Add(1)
		pair, err := tls.X509KeyPair(pair("flowtapd", pki.Client))
		require.NoError(t, err)
		return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, Certificates: []tls.Certificate{pair}}
	}
	p := startProxy(t, e.url)
	s := openStore(t, Config{Endpoints: []string{p.url}, TLS: bearer})
	create(t, s.Networks(), "a", topology.Network{})

	before := made.Load()
	p.set(true, false)
	p.set(false, false)
	ctx := testContext(t)
	for _, err = s.Networks().Get(ctx, "a"); err != nil && ctx.Err() == nil; _, err = s.Networks().Get(ctx, "a") {
		t.Log(err)
	}
	require.NoError(t, err)
	require.Greater(t, made.Load(), before, "the new connection asked for today's certificate")

	for says, config := range map[string]func() *tls.Config{
		"unknown authority":    nil,
		"certificate required": func() *tls.Config { return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots} },
	} {
		_, err := Open(context.Background(), Config{Endpoints: []string{e.url}, TLS: config, DialTimeout: 300 * time.Millisecond})
		require.ErrorContains(t, err, says)
		require.NotContains(t, err.Error(), "\n")
	}
}
