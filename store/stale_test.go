package store

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"

	"github.com/flowtap/flowtap/topology"
)

// stalely reads in every way and says what came of it.
func stalely(t testing.TB, s *Store) (ids []string, stale bool, rev int64) {
	t.Helper()
	ctx, staleness := AllowStale(testContext(t))
	nets, _, err := s.Networks().List(ctx)
	require.NoError(t, err)
	each := 0
	require.NoError(t, s.Networks().Each(ctx, func(*Network) bool { each++; return true }))
	require.Equal(t, len(nets), each)
	for _, n := range nets {
		o, err := s.Networks().Get(ctx, n.ID)
		require.NoError(t, err)
		require.Equal(t, n.ID, o.ID)
		ids = append(ids, n.ID)
	}
	_, err = s.Networks().Get(ctx, "none")
	require.ErrorIs(t, err, ErrNotFound)
	age, rev, stale := staleness.Stale()
	if stale {
		require.GreaterOrEqual(t, age, staleAgain)
	}
	return ids, stale, rev
}

func TestReadsGoOnWhileEtcdIsAway(t *testing.T) {
	t.Parallel()
	e := startEtcd(t, t.TempDir(), 0)
	p := startProxy(t, e.url)
	writer, s := openStore(t, Config{Endpoints: []string{e.url}}), openStore(t, Config{Endpoints: []string{p.url}})
	create(t, writer.Networks(), "one", topology.Network{})
	ids, stale, _ := stalely(t, s)
	assert.Equal(t, []string{"one"}, ids)
	assert.False(t, stale, "a healthy read is linearizable")
	for _, deaf := range []bool{false, true} { // cut, or connected and without an answer
		before := waitForAll(t, s)
		p.set(!deaf, deaf)
		ids, stale, rev := stalely(t, s)
		assert.Contains(t, ids, "one")
		assert.True(t, stale)
		assert.Equal(t, before, rev)
		_, err := s.Networks().Get(shortContext(t), "one")
		require.ErrorIs(t, err, ErrUnavailable, "who did not ask for it gets nothing stale")
		_, _, err = s.Networks().Create(shortContext(t), "x", topology.Network{})
		require.Error(t, err)
		id := fmt.Sprint("meanwhile-", deaf)
		create(t, writer.Networks(), id, topology.Network{})
		p.set(true, false)
		p.set(false, false)
		require.NoError(t, s.Ready(testContext(t)))
		ids, stale, _ = stalely(t, s)
		assert.Contains(t, ids, id)
		assert.False(t, stale)
	}
	p.set(true, false)
}

// waitForAll waits until the mirror has everything, and gives its revision.
func waitForAll(t testing.TB, s *Store) int64 {
	r, err := s.EtcdClient().Get(testContext(t), prefix, clientv3.WithPrefix(), clientv3.WithKeysOnly())
	require.NoError(t, err)
	last := int64(0)
	for _, kv := range r.Kvs {
		last = max(last, kv.ModRevision)
	}
	waitFor(t, s, last)
	rev, _, _ := s.mirror.age()
	return rev
}

// fillUp writes history until etcd takes no more.
func fillUp(t *testing.T, c *clientv3.Client) {
	value := strings.Repeat("x", 512<<10)
	for range 10000 {
		if _, err := c.Put(testContext(t), "/filler", value); err != nil {
			require.ErrorContains(t, err, "space exceeded")
			return
		}
	}
	require.Fail(t, "it is never full")
}

func TestTheEmbeddedEtcdMakesRoomByItself(t *testing.T) {
	t.Parallel()
	s := openStore(t, Config{DataDir: t.TempDir(), quota: 4 << 20})
	create(t, s.Networks(), "before", topology.Network{})
	fillUp(t, s.EtcdClient())
	_, _, err := s.Networks().Create(testContext(t), "after", topology.Network{})
	for errors.Is(err, ErrFull) {
		require.ErrorIs(t, err, ErrUnavailable)
		_, _, err = s.Networks().Create(testContext(t), "after", topology.Network{})
	}
	require.NoError(t, err)
	ids, stale, _ := stalely(t, s)
	assert.Equal(t, []string{"after", "before"}, ids)
	assert.False(t, stale)
}

func TestAFullEtcdTakesNothingAndSaysWhatToDo(t *testing.T) {
	t.Parallel()
	e := startEtcdWith(t, t.TempDir(), 0, transport.TLSInfo{}, func(c *embed.Config) { c.QuotaBackendBytes = 4 << 20 })
	s, ctx := openStore(t, Config{Endpoints: []string{e.url}}), testContext(t)
	create(t, s.Networks(), "before", topology.Network{})
	fillUp(t, s.EtcdClient())
	_, _, err := s.Networks().Create(ctx, "refused", topology.Network{})
	require.ErrorIs(t, err, ErrUnavailable)
	require.ErrorIs(t, err, ErrFull)
	require.ErrorContains(t, err, "compact and defragment")
	ids, stale, _ := stalely(t, s)
	assert.Equal(t, []string{"before"}, ids)
	assert.False(t, stale, "etcd still answers reads")
	r, err := s.EtcdClient().Get(ctx, schemaKey)
	require.NoError(t, err)
	_, err = s.EtcdClient().Compact(ctx, r.Header.Revision, clientv3.WithCompactPhysical())
	require.NoError(t, err)
	_, err = s.EtcdClient().Defragment(ctx, e.url)
	require.NoError(t, err)
	_, err = s.EtcdClient().AlarmDisarm(ctx, &clientv3.AlarmMember{})
	require.NoError(t, err)
	create(t, s.Networks(), "after", topology.Network{})
}

// freePort is a port that nobody listens at now.
func freePort(t testing.TB) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// startCluster starts three members and gives the client URL of the first, and what starts and stops
// the other two.
func startCluster(t *testing.T) (string, func(), func()) {
	var peers, dirs, clients [3]string
	var initial []string
	for i := range 3 {
		peers[i] = fmt.Sprintf("http://127.0.0.1:%d", freePort(t))
		clients[i] = fmt.Sprintf("http://127.0.0.1:%d", freePort(t))
		dirs[i] = t.TempDir()
		initial = append(initial, fmt.Sprintf("m%d=%s", i, peers[i]))
	}
	start := func(i int) *embed.Etcd {
		c := embed.NewConfig()
		c.Dir, c.Name, c.LogLevel, c.TickMs, c.ElectionMs = dirs[i], fmt.Sprintf("m%d", i), "fatal", 20, 200
		at, _ := url.Parse(peers[i])
		client, _ := url.Parse(clients[i])
		c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{*at}, []url.URL{*at}
		c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{*client}, []url.URL{*client}
		c.InitialCluster = strings.Join(initial, ",")
		e, err := embed.StartEtcd(c)
		if !assert.NoError(t, err) {
			return nil
		}
		<-e.Server.ReadyNotify()
		return e
	}
	var members [3]*embed.Etcd
	both := func(ids []int, f func(int)) {
		var all sync.WaitGroup
		for _, i := range ids {
			all.Go(func() { f(i) })
		}
		all.Wait()
	}
	both([]int{0, 1, 2}, func(i int) { members[i] = start(i) })
	stop := func() { both([]int{1, 2}, func(i int) { members[i].Close() }) }
	t.Cleanup(func() { both([]int{0, 1, 2}, func(i int) { members[i].Close() }) })
	return clients[0], stop, func() { both([]int{1, 2}, func(i int) { members[i] = start(i) }) }
}

func TestWithoutALeaderReadsGoOnAndNothingIsAcknowledged(t *testing.T) {
	t.Parallel()
	url, stop, start := startCluster(t)
	s, ctx := openStore(t, Config{Endpoints: []string{url}}), testContext(t)
	create(t, s.Networks(), "before", topology.Network{})
	waitForAll(t, s)
	stop()
	short, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	_, _, err := s.Networks().Create(short, "lost", topology.Network{})
	require.True(t, errors.Is(err, ErrUnavailable) || errors.Is(err, ErrOutcomeUnknown), "%v", err)
	ids, stale, _ := stalely(t, s)
	assert.Equal(t, []string{"before"}, ids)
	assert.True(t, stale)
	start()
	require.NoError(t, s.Ready(ctx))
	_, _, err = s.Networks().Create(ctx, "lost", topology.Network{}) // new, or what had happened after all
	require.NoError(t, err)
	ids, stale, _ = stalely(t, s)
	assert.Equal(t, []string{"before", "lost"}, ids)
	assert.False(t, stale)
}
