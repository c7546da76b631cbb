package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// proc makes a proc file system, of which files may be changed by calling it again.
func proc(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		if strings.HasSuffix(name, "ns/net") {
			require.NoError(t, os.Symlink(text, path))
			continue
		}
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	}
}

const meminfo = "MemTotal:       1000 kB\nMemFree:         100 kB\nMemAvailable:    750 kB\n"

func TestCPUAndMemoryOfAMachine(t *testing.T) {
	dir, now := t.TempDir(), time.Unix(1000, 0)
	proc(t, dir, map[string]string{"meminfo": meminfo, "stat": "cpu  100 0 100 700 100 0 0 0 50 0\ncpu0 1 1 1 1 1 1\ncpu1 1 1 1 1 1 1\nintr 5\n"})
	m := &meter{proc: dir}
	r, err := m.read(now)
	require.NoError(t, err)
	assert.Equal(t, nodeReport{Memory: 0.25}, r, "nothing is known of CPU yet")
	// 100 ticks later 20 of them were work: user 10, system 5, stolen 5; guests are in user.
	proc(t, dir, map[string]string{"stat": "cpu  110 0 105 760 120 0 0 5 60 0\ncpu0 1 1 1 1 1 1\ncpu1 1 1 1 1 1 1\n"})
	r, err = m.read(now.Add(time.Second))
	require.NoError(t, err)
	assert.InDelta(t, 0.2, r.CPU, 1e-9)
}

func TestCPUOfANamespace(t *testing.T) {
	dir, now := t.TempDir(), time.Unix(1000, 0)
	const stat = "cpu  100 0 100 700 100 0 0 0 0 0\ncpu0 1 1 1 1 1 1\ncpu1 1 1 1 1 1 1\n"
	proc(t, dir, map[string]string{"meminfo": meminfo, "stat": stat, "7/ns/net": "net:[1]", "7/task/7/schedstat": "1000000000 0 3\n", "7/task/8/schedstat": "0 0 3\n",
		"9/ns/net": "net:[2]", "9/task/9/schedstat": "1000000000 0 3\n"})
	m := &meter{proc: dir, namespace: 7, cpus: 4}
	r, err := m.read(now)
	require.NoError(t, err)
	assert.Zero(t, r.CPU)
	// In a second one thread ran for 0.3 s, another waited for 0.5 s, and a new one ran for 0.2 s; the other namespace's are not counted.
	proc(t, dir, map[string]string{"7/task/7/schedstat": "1300000000 0 3\n", "7/task/8/schedstat": "0 500000000 3\n",
		"9/task/9/schedstat": "9000000000 0 3\n", "11/ns/net": "net:[1]", "11/task/11/schedstat": "200000000 0 1\n", "12/task/12/schedstat": "gone"})
	r, err = m.read(now.Add(time.Second))
	require.NoError(t, err)
	assert.InDelta(t, 1.0/4, r.CPU, 1e-9)
	// Without a number of processors it is the machine's.
	m.cpus = 0
	proc(t, dir, map[string]string{"7/task/7/schedstat": "2300000000 0 3\n"})
	r, err = m.read(now.Add(2 * time.Second))
	require.NoError(t, err)
	assert.InDelta(t, 0.5, r.CPU, 1e-9)
	proc(t, dir, map[string]string{"7/task/7/schedstat": "99300000000 0 3\n"})
	r, err = m.read(now.Add(3 * time.Second))
	require.NoError(t, err)
	assert.Equal(t, 1.0, r.CPU, "never more than all")
}

func TestProcThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		files map[string]string
		says  string
	}{{nil, "meminfo"}, {map[string]string{"meminfo": "x"}, "no MemTotal"}, {map[string]string{"meminfo": meminfo}, "stat"},
		{map[string]string{"stat": "cpu  a 0 0 0 0 0"}, "stat"}, {map[string]string{"stat": "intr 1"}, "no line"}} {
		proc(t, dir, c.files)
		_, err := (&meter{proc: dir}).read(time.Now())
		assert.ErrorContains(t, err, c.says)
	}
}

// The agent reports again and again, goes on when the server is back, and says what was wrong once.
func TestNodeAgentReports(t *testing.T) {
	dir := t.TempDir()
	proc(t, dir, map[string]string{"meminfo": meminfo, "stat": "cpu  1 0 1 7 1 0 0 0 0 0\n"})
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	calls := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls++
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		assert.Equal(t, "PUT /v1/nodes/n1/load", r.Method+" "+r.URL.Path)
		var report map[string]float64
		assert.NoError(t, json.Unmarshal(body, &report))
		assert.Equal(t, map[string]float64{"cpu": 0, "memory": 0.25, "link": 1e6}, report)
		switch {
		case calls < 3:
			w.WriteHeader(http.StatusServiceUnavailable)
		case calls == 5:
			stop()
			fallthrough
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	}))
	defer server.Close()
	var out, errs bytes.Buffer
	code := run(ctx, []string{"node-agent", "--node", "n1", "--interval", "100ms", "--link", "1e6", "--proc", dir, "--server", server.URL}, world{in: strings.NewReader(""), out: &out, err: &errs})
	assert.Zero(t, code, errs.String())
	assert.Equal(t, 5, calls)
	assert.Equal(t, 1, strings.Count(errs.String(), "not reported"), errs.String())
	assert.Equal(t, 1, strings.Count(errs.String(), "reported again"))

	for line, says := range map[string]string{"node-agent": "which node", "node-agent --node n1 --interval 1ms": "100ms at least", "node-agent --node n1 --cpus -1": "negative"} {
		errs.Reset()
		assert.Equal(t, exitUsage, run(context.Background(), strings.Fields(line), world{in: strings.NewReader(""), out: &out, err: &errs}), line)
		assert.Contains(t, errs.String(), says)
	}
	forbidden := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	defer forbidden.Close()
	assert.Equal(t, exitRefused, run(context.Background(), []string{"node-agent", "--node", "n1", "--interval", "100ms", "--proc", dir, "--server", forbidden.URL}, world{in: strings.NewReader(""), out: &out, err: &errs}))
}
