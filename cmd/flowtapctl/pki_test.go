package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/tlsfiles"
)

// local runs a command line that needs no server.
func local(line string) output {
	var out, errs bytes.Buffer
	code := run(context.Background(), strings.Fields(line), world{in: strings.NewReader(""), out: &out, err: &errs})
	return output{code, out.String(), errs.String()}
}

// The files that pki makes are what flowtapctl and a server need to trust each other.
func TestPKI(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	ok := func(line string) string {
		t.Helper()
		o := local(line + " --dir " + dir)
		require.Equal(t, exitOK, o.code, o.err)
		return o.out
	}
	require.Equal(t, filepath.Join(dir, "ca.pem")+"\n"+filepath.Join(dir, "ca-key.pem")+"\n", ok("pki init"))
	ok("pki issue --name flowtapd --kind server --ip 127.0.0.1 --dns flowtap.example")
	ok("pki issue --name alice --kind client --days 1")
	for _, name := range []string{"ca", "flowtapd", "alice"} {
		info, err := os.Stat(filepath.Join(dir, name+"-key.pem"))
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	}

	file := func(name string) string { return filepath.Join(dir, name) }
	source, err := tlsfiles.Load(tlsfiles.Files{Option: "x", Cert: file("flowtapd.pem"), Key: file("flowtapd-key.pem"), CA: file("ca.pem")}, nil)
	require.NoError(t, err)
	var seen []string
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = nil
		if len(r.TLS.VerifiedChains) > 0 {
			seen = tlsfiles.Names(r.TLS.VerifiedChains[0][0])
		}
		_, _ = io.WriteString(w, `{"items":[],"next":""}`)
	}))
	srv.Listener = tls.NewListener(srv.Listener, source.Server(tlsfiles.Server{Clients: tls.VerifyClientCertIfGiven}))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // of the client that does not trust us
	srv.Start()
	defer srv.Close()
	url := "https" + strings.TrimPrefix(srv.URL, "http")
	o := local("get taps --server " + url + " --ca " + file("ca.pem"))
	require.Equal(t, exitOK, o.code, o.err)
	require.Empty(t, seen)
	o = local("get taps --server " + url + " --ca " + file("ca.pem") + " --cert " + file("alice.pem") + " --key " + file("alice-key.pem"))
	require.Equal(t, exitOK, o.code, o.err)
	require.Contains(t, seen, "alice")
	o = local("get taps --server " + url)
	require.Equal(t, exitRefused, o.code)
	require.Contains(t, o.err, "certificate signed by unknown authority")
	o = local("get taps --server " + srv.URL + " --ca " + file("ca.pem"))
	require.Equal(t, exitUsage, o.code)
	require.Contains(t, o.err, "certificates are for an https server")
	o = local("get taps --server " + url + " --cert " + file("alice.pem"))
	require.Equal(t, exitUsage, o.code)
	require.Contains(t, o.err, "--cert without --key")
}

func TestPKIOverwritesOnlyWhenForced(t *testing.T) {
	dir := t.TempDir()
	at := " --dir " + dir
	require.Equal(t, exitRefused, local("pki issue --name n1 --kind switch"+at).code, "no authority yet")
	require.Equal(t, exitOK, local("pki init"+at).code)
	require.Equal(t, exitOK, local("pki issue --name n1 --kind switch"+at).code)
	serial := func() string {
		b, err := os.ReadFile(filepath.Join(dir, "n1.pem"))
		require.NoError(t, err)
		return string(b)
	}
	before := serial()
	for _, line := range []string{"pki init", "pki issue --name n1 --kind switch"} {
		o := local(line + at)
		require.Equal(t, exitRefused, o.code)
		require.Contains(t, o.err, "is there already")
	}
	require.Equal(t, before, serial())
	require.Equal(t, exitOK, local("pki issue --name n1 --kind switch --force"+at).code)
	require.NotEqual(t, before, serial())
	_, err := tls.LoadX509KeyPair(filepath.Join(dir, "n1.pem"), filepath.Join(dir, "n1-key.pem"))
	require.NoError(t, err)
	left, err := filepath.Glob(filepath.Join(dir, ".new-*"))
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestPKIUsage(t *testing.T) {
	for line, says := range map[string]string{
		"pki issue --kind switch":                       "cannot be a certificate's name",
		"pki issue --name ca --kind switch":             "is the authority's",
		"pki issue --name n1":                           "--kind must be one of switch, server, client, replica",
		"pki issue --name n1 --kind server --ip x":      "not an IP address",
		"pki issue --name n1 --kind server --days 0":    "--days must be",
		"pki issue --name n1 --kind server --days 4000": "authority itself expires",
		"pki issue extra --name n1 --kind server":       "unexpected argument",
		"pki issue --name a/b --kind server":            "cannot be a certificate's name",
	} {
		dir := t.TempDir()
		require.Equal(t, exitOK, local("pki init --dir "+dir).code)
		o := local(line + " --dir " + dir)
		require.Equal(t, exitUsage, o.code, "%s: %s", line, o.err)
		require.Contains(t, o.err, says)
	}
}
