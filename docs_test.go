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
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// binaries is where programs puts what it builds; TestMain removes it.
var binaries string

func TestMain(m *testing.M) {
	code := m.Run()
	if binaries != "" {
		_ = os.RemoveAll(binaries)
	}
	os.Exit(code)
}

var build = sync.OnceValue(func() error {
	dir, err := os.MkdirTemp("", "flowtap-docs-")
	if err != nil {
		return err
	}
	binaries = dir
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", dir+"/", "./cmd/...")
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	return cmd.Run()
})

// programs builds the commands, once for all pages, and says where they are.
func programs(t *testing.T) string {
	t.Helper()
	require.NoError(t, build())
	return binaries
}

// short reports, and says, that a page is not tried under -short.
func short(t *testing.T) bool {
	if testing.Short() {
		t.Log("not run under -short: builds the commands, which make test does")
	}
	return testing.Short()
}

// A site is a flowtapd of its own, as somebody has who follows a page from its beginning.
type site struct {
	t   *testing.T
	ctx context.Context
	dir string // where it was started: flowtap-data is there
	url string
}

// newSite starts flowtapd without options but addresses; it must end cleanly when the test does.
func newSite(t *testing.T) *site {
	bin := programs(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	addr := freeAddr(t)
	s := &site{t: t, ctx: ctx, dir: t.TempDir(), url: "http://" + addr}
	var log bytes.Buffer
	daemon := exec.CommandContext(ctx, filepath.Join(bin, "flowtapd"), "--http-addr", addr, "--openflow-addr", freeAddr(t))
	daemon.Dir, daemon.Stderr = s.dir, &log
	require.NoError(t, daemon.Start())
	t.Cleanup(func() {
		defer cancel()
		require.NoError(t, daemon.Process.Signal(os.Interrupt))
		require.NoError(t, daemon.Wait(), "it ends cleanly: %s", &log)
	})
	require.Eventually(t, func() bool {
		r, err := http.Get(s.url + "/readyz")
		if err != nil {
			return false
		}
		r.Body.Close()
		return r.StatusCode == http.StatusOK
	}, 30*time.Second, 20*time.Millisecond)
	return s
}

// types runs a line of a page, with what there is in bin/ or on the PATH, and gives what it says.
func (s *site) types(line string) string {
	s.t.Helper()
	sh := exec.CommandContext(s.ctx, "sh", "-c", strings.ReplaceAll(line, "bin/flowtapctl", "flowtapctl"))
	sh.Dir = s.dir // with the first token in flowtap-data
	sh.Env = append(os.Environ(), "FLOWTAP_TOKEN=", "FLOWTAP_SERVER="+s.url, "PATH="+binaries+":"+os.Getenv("PATH"))
	out, err := sh.CombinedOutput()
	require.NoError(s.t, err, "%s: %s", line, out)
	return string(out)
}

// says waits until a line says something: the controller may not have looked yet.
func (s *site) says(line, want string) {
	s.t.Helper()
	require.Eventually(s.t, func() bool { return strings.Contains(s.types(line), want) }, 20*time.Second, 20*time.Millisecond, "%s never said %q", line, want)
}

// freeAddr gives a loopback address that nobody listens on.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

// lines are those of a page's sh blocks, with continued ones put together.
func lines(page string) (lines []string) {
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(page, -1) {
		for _, line := range strings.Split(strings.ReplaceAll(block[1], "\\\n", " "), "\n") {
			if strings.TrimSpace(line) != "" {
				lines = append(lines, line)
			}
		}
	}
	return lines
}
