package store

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/topology"
)

// childDir, when set, makes the test binary a process that writes to a store until it is killed.
const childDir = "FLOWTAP_STORE_TEST_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if err := writeForever(dir); err != nil {
			fmt.Println("error:", err)
		}
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// writeForever prints the id and number of each object after its write was acknowledged.
func writeForever(dir string) error {
	ctx := context.Background()
	s, err := Open(ctx, Config{DataDir: dir})
	if err != nil {
		return err
	}
	fmt.Println("open", 0)
	for i := 0; ; i++ {
		id := fmt.Sprintf("net-%d-%d", os.Getpid(), i)
		o, _, err := s.Networks().Create(ctx, id, topology.Network{})
		if err != nil {
			return err
		}
		fmt.Println(id, o.Num)
	}
}

func TestWhatWasAcknowledgedSurvivesKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	acknowledged := map[string]string{}
	for round := range 4 {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), childDir+"="+dir)
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, child.Start())
		watchdog := time.AfterFunc(time.Minute, func() { _ = child.Process.Kill() })
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			id, num, ok := strings.Cut(lines.Text(), " ")
			require.True(t, ok && id != "error:", lines.Text())
			if id == "open" {
				_, err := Open(testContext(t), Config{DataDir: dir})
				require.ErrorContains(t, err, fmt.Sprintf("in use by process %d", child.Process.Pid))
				continue
			}
			acknowledged[id] = num
			if n == 100+50*round { // in the middle of a write, most likely
				require.NoError(t, child.Process.Kill())
			}
		}
		watchdog.Stop()
		require.Error(t, child.Wait())
	}
	require.GreaterOrEqual(t, len(acknowledged), 700)
	s := openStore(t, Config{DataDir: dir})
	all, _, err := s.Networks().List(testContext(t))
	require.NoError(t, err)
	stored, owner := map[string]string{}, map[uint32]string{}
	for _, o := range all {
		stored[o.ID] = fmt.Sprint(o.Num)
		assert.Empty(t, owner[o.Num], "number %d was given twice", o.Num)
		owner[o.Num] = o.ID
	}
	for id, num := range acknowledged {
		assert.Equal(t, num, stored[id], id)
	}
	assert.LessOrEqual(t, len(stored), len(acknowledged)+4, "at most the write that was under way at each kill")
}
