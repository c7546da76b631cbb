package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/store"
)

// A whole flowtapd, logging all that it can, is given secrets in every way that they come, and in those that
// they should not come in; its log has none of them.
func TestNoSecretIsLogged(t *testing.T) {
	dir := certificates(t)
	data := filepath.Join(dir, "data")
	peers := strings.Repeat("5ec2e7", 10)
	st, err := store.Open(t.Context(), store.Config{DataDir: data})
	require.NoError(t, err)
	_, err = st.EtcdClient().Put(t.Context(), "/flowtap/v1/cluster/secret", peers)
	require.NoError(t, err)
	require.NoError(t, st.Close())

	d := startLogged(t, "--data-dir", data, "--http-addr", "127.0.0.1:0", "--openflow-addr", "127.0.0.1:0", "--log-level", "debug",
		"--http-tls-cert", filepath.Join(dir, "s.pem"), "--http-tls-key", filepath.Join(dir, "s-key.pem"))
	admin := strings.TrimSpace(read(t, filepath.Join(data, adminToken)))
	wrong := admin[:len(admin)-4] + "wrng"
	bearer := func(secret string) http.Header { return http.Header{"Authorization": {"Bearer " + secret}} }
	users := "https://" + d.http
	require.Equal(t, http.StatusOK, d.status("GET", users+"/v1/taps", "", bearer(admin)))
	require.Equal(t, http.StatusUnauthorized, d.status("GET", users+"/v1/taps", "", bearer(wrong)))
	status, answer := d.request("POST", users+"/v1/tokens", `{"name": "somebody", "role": "provider"}`, bearer(admin))
	require.Equal(t, http.StatusCreated, status, answer)
	var made struct{ ID, Secret string }
	require.NoError(t, json.Unmarshal([]byte(answer), &made))
	require.NotEmpty(t, made.Secret)
	require.Equal(t, http.StatusOK, d.status("GET", users+"/v1/taps", "", bearer(made.Secret)))
	require.Equal(t, http.StatusNoContent, d.status("DELETE", users+"/v1/tokens/"+made.ID, "", bearer(admin)))
	require.Equal(t, http.StatusUnauthorized, d.status("GET", users+"/v1/taps", "", bearer(made.Secret)), "revoked")
	for _, body := range []string{`{"id": "%s`, `{"%s": 1}`, `{"id": "n", "id": "%s"}`, `{"id": "%s"}`, `%s`} {
		status := d.status("POST", users+"/v1/networks", fmt.Sprintf(body, admin), bearer(admin))
		require.True(t, status >= 400 && status < 500, "%s: %d", body, status)
	}
	for _, path := range []string{"/v1/taps?token=", "/v1/taps?page=", "/v1/taps/", "/"} {
		d.status("GET", users+path+admin, "", bearer(admin))
	}
	basic := base64.StdEncoding.EncodeToString([]byte("admin:" + admin))
	require.Equal(t, http.StatusUnauthorized, d.status("GET", users+"/v1/taps", "", http.Header{"Authorization": {"Basic " + basic}}))

	link := "http://" + d.peers + "/link"
	for secret, want := range map[string]int{peers[1:] + "x": http.StatusUnauthorized, peers: http.StatusMethodNotAllowed} {
		require.Equal(t, want, d.status("PUT", link, secret, http.Header{"Flowtap-Peer": {secret}}))
	}
	require.NotEqual(t, http.StatusUnauthorized, d.status("POST", "http://"+d.peers+"/settled", "no "+peers, http.Header{"Flowtap-Peer": {peers}}))

	for _, addr := range []string{d.openflow, d.http, d.peers} { // someone is at the wrong door
		nc, err := net.Dial("tcp", addr)
		require.NoError(t, err)
		_, err = fmt.Fprintf(nc, "GET /v1/taps HTTP/1.1\r\nAuthorization: Bearer %s\r\nFlowtap-Peer: %s\r\nHost : x\r\n\r\n", admin, peers)
		require.NoError(t, err)
		_, _ = io.Copy(io.Discard, nc) // a reset will do, too
		_ = nc.Close()
	}

	// What is said of a connection may be said after it has ended.
	require.Eventually(t, func() bool { return strings.Contains(d.text(), "handshake failed") }, time.Minute, 10*time.Millisecond)
	d.stop()
	text := d.text()
	for _, some := range []string{"level=DEBUG", "login refused", "handshake failed", "flowtapd ends"} {
		require.Contains(t, text, some, "the log is there")
	}
	key := strings.Split(read(t, filepath.Join(dir, "s-key.pem")), "\n")[1]
	for name, secret := range map[string]string{"the first token": admin, "a token that was refused": wrong, "a token made": made.Secret, "a password": basic,
		"the replicas' secret": peers, "a private key": key} {
		for _, line := range strings.Split(text, "\n") {
			require.NotContains(t, line, secret, name)
		}
	}
}

// logged is a flowtapd in this process whose standard error is a file.
type logged struct {
	t                     *testing.T
	path                  string
	openflow, http, peers string
	stop                  func()
	client                *http.Client
}

var readyLine = regexp.MustCompile(`msg="flowtapd is ready" openflow=(\S+) http=(\S+) peers=(\S+)`)

func startLogged(t *testing.T, args ...string) *logged {
	d := &logged{t: t, path: filepath.Join(t.TempDir(), "log"), client: &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}}
	file, err := os.Create(d.path)
	require.NoError(t, err)
	stderr, output := os.Stderr, log.Writer()
	os.Stderr = file
	log.SetOutput(file)
	c := command()
	c.SetArgs(args)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.ExecuteContext(ctx) }()
	stopped := false
	d.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		err := <-done
		os.Stderr = stderr
		log.SetOutput(output)
		_ = file.Close()
		require.NoError(t, err)
	}
	t.Cleanup(d.stop)
	var m []string
	require.Eventually(t, func() bool {
		m = readyLine.FindStringSubmatch(d.text())
		return m != nil || len(done) > 0
	}, time.Minute, 10*time.Millisecond)
	require.NotNil(t, m, "it ended")
	d.openflow, d.http, d.peers = m[1], m[2], m[3]
	require.Eventually(t, func() bool { return d.status("GET", "https://"+d.http+"/readyz", "", nil) == http.StatusOK }, time.Minute, 10*time.Millisecond)
	return d
}

func (d *logged) text() string { return read(d.t, d.path) }

func (d *logged) status(method, url, body string, h http.Header) int {
	status, _ := d.request(method, url, body, h)
	return status
}

func (d *logged) request(method, url, body string, h http.Header) (int, string) {
	r, err := http.NewRequestWithContext(d.t.Context(), method, url, bytes.NewReader([]byte(body)))
	require.NoError(d.t, err)
	if h != nil {
		r.Header = h.Clone()
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	answer, err := d.client.Do(r)
	require.NoError(d.t, err)
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	require.NoError(d.t, err)
	return answer.StatusCode, string(b)
}

func read(t *testing.T, path string) string {
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(b)
}
