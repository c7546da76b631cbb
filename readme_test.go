package architecture_test

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestReadmeFirstTap types what README.md says under "A first tap".
func TestReadmeFirstTap(t *testing.T) {
	if testing.Short() {
		t.Log("not run under -short: builds the commands, which make test does")
		return
	}
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	section := regexp.MustCompile("(?s)## A first tap\n\n```sh\n(.*?)```\n\n(.*?)Give it one").FindStringSubmatch(string(readme))
	require.NotNil(t, section, "README.md has no first tap")
	lines := strings.Split(strings.TrimSpace(section[1]), "\n")
	require.Equal(t, "make build && bin/flowtapd &", lines[0])
	promised := regexp.MustCompile("`(.+?)`").FindStringSubmatch(section[2])

	bin := t.TempDir()
	build := exec.Command("go", "build", "-buildvcs=false", "-o", bin+"/", "./cmd/...")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))

	httpAddr := freeAddr(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var log bytes.Buffer
	daemon := exec.CommandContext(ctx, filepath.Join(bin, "flowtapd"), "--http-addr", httpAddr, "--openflow-addr", freeAddr(t))
	daemon.Dir, daemon.Stderr = t.TempDir(), &log
	require.NoError(t, daemon.Start())
	defer func() {
		require.NoError(t, daemon.Process.Signal(os.Interrupt))
		require.NoError(t, daemon.Wait(), "it ends cleanly: %s", &log)
	}()
	require.Eventually(t, func() bool {
		r, err := http.Get("http://" + httpAddr + "/readyz")
		if err != nil {
			return false
		}
		r.Body.Close()
		return r.StatusCode == http.StatusOK
	}, 30*time.Second, 20*time.Millisecond)

	var last string
	for _, line := range lines[1:] {
		sh := exec.CommandContext(ctx, "sh", "-c", strings.ReplaceAll(line, "bin/flowtapctl", filepath.Join(bin, "flowtapctl")))
		sh.Dir = daemon.Dir // with the first token in flowtap-data
		sh.Env = append(os.Environ(), "FLOWTAP_TOKEN=", "FLOWTAP_SERVER=http://"+httpAddr)
		out, err := sh.CombinedOutput()
		require.NoError(t, err, "%s: %s", line, out)
		last = string(out)
	}
	require.Contains(t, last, "t1")
	if !strings.Contains(last, promised[1]) { // the controller may not have looked at the tap yet
		token := filepath.Join(daemon.Dir, "flowtap-data", "admin-token")
		sh := exec.CommandContext(ctx, filepath.Join(bin, "flowtapctl"), "--token-file", token, "--server", "http://"+httpAddr, "wait", "tap", "t1", "--for", "pending", "--timeout", "10s")
		require.NoError(t, sh.Run())
		require.Eventually(t, func() bool {
			out, err := exec.CommandContext(ctx, filepath.Join(bin, "flowtapctl"), "--token-file", token, "--server", "http://"+httpAddr, "get", "taps").CombinedOutput()
			return err == nil && strings.Contains(string(out), promised[1])
		}, 10*time.Second, 20*time.Millisecond, "get taps never said %q", promised[1])
	}
}

// freeAddr gives a loopback address that nobody listens on.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}
