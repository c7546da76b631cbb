package pki

import (
	"crypto/x509"
	"encoding/pem"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func parse(t *testing.T, b []byte) *x509.Certificate {
	block, rest := pem.Decode(b)
	require.NotNil(t, block)
	require.Empty(t, rest)
	c, err := x509.ParseCertificate(block.Bytes)
	require.NoError(t, err)
	return c
}

// Each kind of certificate serves for what it is for and for nothing else.
func TestUsages(t *testing.T) {
	now := time.Now()
	made, err := New("ca", now, now.Add(time.Hour))
	require.NoError(t, err)
	cert, key, err := made.PEM()
	require.NoError(t, err)
	ca, err := Read(cert, key)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(parse(t, cert))
	client, server := x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth
	for kind, may := range map[Kind][]x509.ExtKeyUsage{Switch: {client}, Client: {client}, Server: {server}, Replica: {client, server}} {
		pemCert, _, err := ca.Issue(Request{Name: "n1", Kind: kind, DNS: []string{"a.example", "n1"}, IPs: []net.IP{net.IPv4(10, 0, 0, 1)}, Now: now, Until: now.Add(time.Minute)})
		require.NoError(t, err)
		c := parse(t, pemCert)
		require.Equal(t, "n1", c.Subject.CommonName)
		require.Equal(t, []string{"n1", "a.example"}, c.DNSNames)
		require.NoError(t, c.VerifyHostname("10.0.0.1"))
		require.False(t, c.IsCA)
		for _, usage := range []x509.ExtKeyUsage{client, server} {
			_, err := c.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{usage}})
			allowed := false
			for _, u := range may {
				allowed = allowed || u == usage
			}
			require.Equal(t, allowed, err == nil, "%s: %v", kind, err)
		}
		_, err = c.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: may, CurrentTime: now.Add(2 * time.Minute)})
		require.ErrorContains(t, err, "expired")
	}
}

func TestIssueRefuses(t *testing.T) {
	now := time.Now()
	ca, err := New("ca", now, now.Add(time.Hour))
	require.NoError(t, err)
	good := Request{Name: "n1", Kind: Switch, Now: now, Until: now.Add(time.Minute)}
	for says, spoil := range map[string]func(*Request){
		"cannot be a certificate's name": func(r *Request) { r.Name = "../n1" },
		"no kind":                        func(r *Request) { r.Kind = "x" },
		"authority itself expires":       func(r *Request) { r.Until = now.Add(2 * time.Hour) },
		"expired already":                func(r *Request) { r.Until = now },
	} {
		r := good
		spoil(&r)
		_, _, err := ca.Issue(r)
		require.ErrorContains(t, err, says)
	}
	require.Error(t, ValidName(strings.Repeat("a", 64)))
	cert, _, err := ca.PEM()
	require.NoError(t, err)
	_, other, err := ca.Issue(good)
	require.NoError(t, err)
	_, err = Read(cert, other)
	require.ErrorContains(t, err, "not that of its certificate")
}
