package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/pki"
)

// certificates makes files s.pem, s-key.pem, other-key.pem and ca.pem.
func certificates(t *testing.T) (dir string) {
	dir = t.TempDir()
	now := time.Now()
	ca, err := pki.New("test", now, now.Add(time.Hour))
	require.NoError(t, err)
	put := func(name string, b []byte) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), b, 0o600))
	}
	for _, name := range []string{"s", "other"} {
		cert, key, err := ca.Issue(pki.Request{Name: name, Kind: pki.Server, Now: now, Until: now.Add(time.Minute)})
		require.NoError(t, err)
		put(name+".pem", cert)
		put(name+"-key.pem", key)
	}
	cert, _, err := ca.PEM()
	require.NoError(t, err)
	put("ca.pem", cert)
	return dir
}

// A command line that cannot be, or would let others in, ends at once with one line that says what to
// give.
func TestWrongTLSOptions(t *testing.T) {
	dir := certificates(t)
	for line, says := range map[string]string{
		"--http-addr 0.0.0.0:0": "give --http-tls-cert and --http-tls-key",
		"--openflow-addr :0":    "give --openflow-tls-cert and --openflow-tls-key",
		"--http-addr 0.0.0.0:0 --openflow-tls-cert DIR/s.pem --openflow-tls-key DIR/s-key.pem --openflow-tls-ca DIR/ca.pem": "give --http-tls-cert",
		"--http-tls-cert DIR/s.pem":                                                          "--http-tls-cert without --http-tls-key",
		"--etcd-tls-key DIR/s-key.pem":                                                       "--etcd-tls-key without --etcd-tls-cert",
		"--http-tls-ca DIR/ca.pem":                                                           "--http-tls-ca without --http-tls-cert",
		"--openflow-tls-cert DIR/s.pem --openflow-tls-key DIR/s-key.pem":                     "--openflow-tls needs all of",
		"--peer-tls-ca DIR/ca.pem":                                                           "--peer-tls needs all of",
		"--etcd-tls-ca DIR/ca.pem":                                                           "name it with --etcd-endpoints",
		"--http-tls-cert DIR/no.pem --http-tls-key DIR/s-key.pem":                            "--http-tls-cert: open",
		"--http-tls-cert DIR/s.pem --http-tls-key DIR/other-key.pem":                         "private key does not match public key",
		"--http-tls-cert DIR/s.pem --http-tls-key DIR/s-key.pem --http-tls-ca DIR/s-key.pem": "only certificates belong there",
	} {
		t.Run(line, func(t *testing.T) {
			c := command()
			c.SetArgs(strings.Fields(strings.ReplaceAll(line, "DIR", dir) + " --data-dir " + filepath.Join(dir, "data")))
			err := c.ExecuteContext(context.Background())
			require.ErrorContains(t, err, says)
			require.NotContains(t, err.Error(), "\n")
			var usage usageError
			require.True(t, errors.As(err, &usage), "exit code 2")
			require.NoDirExists(t, filepath.Join(dir, "data"))
		})
	}
}
