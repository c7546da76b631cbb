package store

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/flowtap/flowtap/topology"
)

func TestAFollowerSurvivesCompaction(t *testing.T) {
	t.Parallel()
	ctx, e := testContext(t), startEtcd(t, t.TempDir(), 0)
	p := startProxy(t, e.url)
	writer, reader := openStore(t, Config{Endpoints: []string{e.url}}), openStore(t, Config{Endpoints: []string{p.url}})
	create(t, writer.Networks(), "before", topology.Network{})
	batches := reader.Follow(ctx)
	var r replay
	for r.seen["networks/before"] == nil {
		r.add(t, next(t, batches))
	}

	p.set(true, false) // the reader misses what follows, and etcd forgets it
	require.NoError(t, writer.Networks().Delete(ctx, "before", 0))
	var last *Network
	for i := range 10 {
		last = create(t, writer.Networks(), fmt.Sprint("while-away-", i), topology.Network{})
	}
	_, err := writer.EtcdClient().Compact(ctx, last.Revision, clientv3.WithCompactPhysical())
	require.NoError(t, err)
	p.set(false, false)

	b := next(t, batches)
	require.True(t, b.Reset, "what was missed cannot be told one by one")
	r.add(t, b)
	assert.Len(t, r.seen, 10)
	create(t, writer.Networks(), "after", topology.Network{})
	for r.seen["networks/after"] == nil {
		r.add(t, next(t, batches))
	}
	assert.Len(t, r.seen, 11)
}

func TestAFollowerSurvivesALostConnectionWithoutStartingOver(t *testing.T) {
	t.Parallel()
	ctx, e := testContext(t), startEtcd(t, t.TempDir(), 0)
	p := startProxy(t, e.url)
	writer, reader := openStore(t, Config{Endpoints: []string{e.url}}), openStore(t, Config{Endpoints: []string{p.url}})
	batches := reader.Follow(ctx)
	var r replay
	r.add(t, next(t, batches))
	for i := range 3 {
		p.set(true, false)
		id := fmt.Sprint("while-away-", i)
		create(t, writer.Networks(), id, topology.Network{})
		p.set(false, false)
		for r.seen["networks/"+id] == nil {
			r.add(t, next(t, batches))
		}
	}
	assert.Equal(t, 1, r.resets)
	_, _, err := reader.Networks().Create(ctx, "by-reader", topology.Network{})
	require.NoError(t, err)
}

func TestAFollowerSurvivesARestartedEtcd(t *testing.T) {
	t.Parallel()
	ctx, dir := testContext(t), t.TempDir()
	e := startEtcd(t, dir, 0)
	p := startProxy(t, e.url)
	s := openStore(t, Config{Endpoints: []string{p.url}})
	batches := s.Follow(ctx)
	var r replay
	r.add(t, next(t, batches))
	p.set(true, false) // as a kill does; etcd itself would wait for its watchers
	e.close()
	short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, s.Ready(short), ErrUnavailable)
	startEtcd(t, dir, e.port)
	p.set(false, false)
	require.NoError(t, s.Ready(ctx))
	create(t, s.Networks(), "after", topology.Network{})
	for r.seen["networks/after"] == nil {
		r.add(t, next(t, batches))
	}
	p.set(true, false)
}

func TestAFollowerStartsOverWhenEtcdWasReplaced(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	e := startEtcd(t, t.TempDir(), 0)
	p := startProxy(t, e.url)
	s := openStore(t, Config{Endpoints: []string{p.url}})
	for i := range 20 {
		waitFor(t, s, create(t, s.Networks(), fmt.Sprint("old-", i), topology.Network{}).Revision)
	}
	batches := s.Follow(ctx)
	require.Len(t, next(t, batches).Events, 20)
	p.set(true, false)
	e.close()
	startEtcd(t, t.TempDir(), e.port) // as a restored backup: its revisions start lower
	p.set(false, false)
	b := next(t, batches)
	assert.True(t, b.Reset)
	assert.Empty(t, b.Events)
	create(t, s.Networks(), "new", topology.Network{})
	assert.Len(t, next(t, batches).Events, 1)
	p.set(true, false)
}

func TestAWriteWithoutAnAnswerHasAnUnknownOutcome(t *testing.T) {
	t.Parallel()
	ctx, e := testContext(t), startEtcd(t, t.TempDir(), 0)
	p := startProxy(t, e.url)
	s := openStore(t, Config{Endpoints: []string{p.url}})
	create(t, s.Networks(), "warm", topology.Network{}) // so that numbers are reserved
	p.set(false, true)
	short, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	_, _, err := s.Networks().Create(short, "maybe", topology.Network{})
	require.ErrorIs(t, err, ErrOutcomeUnknown)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NotErrorIs(t, err, ErrUnavailable)
	assert.NotContains(t, err.Error(), "\n")
	p.set(true, false)
	p.set(false, false)
	require.NoError(t, s.Ready(ctx)) // a read may be repeated until the way is open again
	_, created, err := s.Networks().Create(ctx, "maybe", topology.Network{})
	require.NoError(t, err)
	assert.False(t, created, "it had happened")
}

func TestAWriteThatCannotBeSentIsUnavailable(t *testing.T) {
	t.Parallel()
	ctx, e := testContext(t), startEtcd(t, t.TempDir(), 0)
	s := openStore(t, Config{Endpoints: []string{e.url}})
	create(t, s.Networks(), "warm", topology.Network{})
	over, cancel := context.WithCancel(ctx)
	cancel()
	_, _, err := s.Networks().Create(over, "x", topology.Network{})
	require.ErrorIs(t, err, ErrUnavailable)
	require.ErrorIs(t, err, context.Canceled)
	e.close()
	_, err = s.Networks().Get(shortContext(t), "warm")
	require.ErrorIs(t, err, ErrUnavailable)
	_, _, err = s.Networks().Create(shortContext(t), "x", topology.Network{})
	require.ErrorIs(t, err, ErrUnavailable, "the connection is gone, so nothing was sent")
	require.NotErrorIs(t, err, ErrOutcomeUnknown)
}

func shortContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

func TestOpenSaysInOneLineWhatIsWrong(t *testing.T) {
	t.Parallel()
	open := func(c Config) string {
		c.DialTimeout = time.Second
		s, err := Open(testContext(t), c)
		if err == nil {
			_ = s.Close()
		}
		require.Error(t, err)
		assert.NotContains(t, err.Error(), "\n")
		assert.Equal(t, strings.Contains(err.Error(), "cannot be reached"), errors.Is(err, ErrUnavailable), "whether it is worth waiting")
		return err.Error()
	}
	t.Run("nothing configured", func(t *testing.T) {
		assert.Contains(t, open(Config{}), "either Endpoints or DataDir")
	})
	t.Run("nobody listens", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		url := "http://" + l.Addr().String()
		require.NoError(t, l.Close())
		assert.Regexp(t, "^etcd at "+url+" cannot be reached: .*connection refused$", open(Config{Endpoints: []string{url}}))
	})
	t.Run("somebody listens and says nothing", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer l.Close()
		url := "http://" + l.Addr().String()
		assert.Regexp(t, "^etcd at "+url+" cannot be reached: .*no answer in time", open(Config{Endpoints: []string{url}}))
	})
	t.Run("the directory is a file", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "file")
		require.NoError(t, os.WriteFile(path, nil, 0o600))
		assert.Contains(t, open(Config{DataDir: path}), "not a directory")
	})
	t.Run("the directory is in use", func(t *testing.T) {
		dir := t.TempDir()
		s := openStore(t, Config{DataDir: dir})
		assert.Equal(t, fmt.Sprintf("the embedded etcd in %s: in use by process %d: stop it or choose another data directory",
			dir, os.Getpid()), open(Config{DataDir: dir}))
		require.NoError(t, s.Close())
		openStore(t, Config{DataDir: dir})
	})
	t.Run("damaged files", func(t *testing.T) {
		dir := t.TempDir()
		require.NoError(t, openStore(t, Config{DataDir: dir}).Close())
		require.NoError(t, os.WriteFile(filepath.Join(dir, "etcd", "member", "snap", "db"), make([]byte, 64<<10), 0o600))
		assert.Regexp(t, "^the embedded etcd in "+dir+": .*damaged", open(Config{DataDir: dir}))
	})
	t.Run("a newer schema", func(t *testing.T) {
		dir := t.TempDir()
		s := openStore(t, Config{DataDir: dir})
		_, err := s.EtcdClient().Put(testContext(t), schemaKey, `{"version": 7}`)
		require.NoError(t, err)
		require.NoError(t, s.Close())
		assert.Contains(t, open(Config{DataDir: dir}), "written by a newer FlowTap (schema 7, this program knows 1)")
	})
}

func TestAnUnreadableObjectIsNotActedOn(t *testing.T) {
	t.Parallel()
	ctx, s := testContext(t), openStore(t, Config{DataDir: t.TempDir()})
	waitFor(t, s, create(t, s.Networks(), "good", topology.Network{}).Revision)
	_, err := s.EtcdClient().Put(ctx, objectKey(CollectionNetworks, "bad"), `{"v": 9}`)
	require.NoError(t, err)
	_, err = s.Networks().Get(ctx, "bad")
	require.ErrorContains(t, err, "version 9")
	_, _, err = s.Networks().List(ctx)
	require.ErrorContains(t, err, "version 9", "a list says that it is not whole")
	b := next(t, s.Follow(ctx))
	for _, e := range b.Events {
		assert.NotEqual(t, "bad", e.ID)
	}
}
