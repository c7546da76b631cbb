package store

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/topology"
)

func TestAFollowerSeesEverythingAndThenEveryChange(t *testing.T) {
	eachStore(t, func(t *testing.T, open func() *Store) {
		ctx, cancel := context.WithCancel(testContext(t))
		s, writer := open(), open()
		shop(t, writer)
		create(t, writer.Nodes(), "n1", nodeSpec(1))
		create(t, writer.Taps(), "t1", tapSpec("web", "ids1"))
		require.NoError(t, writer.Taps().PutStatus(ctx, "t1", flowtap.TapStatus{State: flowtap.TapPending}))
		labels, err := writer.EnsureLabels(ctx, []string{"net/shop"})
		require.NoError(t, err)
		waitFor(t, s, revisionOf(t, writer, labelKey("net/shop")))

		batches := s.Follow(ctx)
		b := next(t, batches)
		require.True(t, b.Reset)
		var names []string
		for _, e := range b.Events {
			assert.False(t, e.StatusOnly)
			names = append(names, e.Collection+"/"+e.ID)
		}
		assert.Equal(t, []string{"nodes/n1", "networks/shop", "ports/db", "ports/ids1", "ports/web", "taps/t1", "labels/net/shop"}, names)
		assert.Equal(t, labels["net/shop"], b.Events[6].Object)
		tap := b.Events[5].Object.(*Tap)
		assert.Equal(t, tapSpec("web", "ids1"), tap.Spec)
		assert.Equal(t, flowtap.TapPending, tap.Status.State)

		one := func() Event {
			b := next(t, batches)
			require.False(t, b.Reset)
			require.Len(t, b.Events, 1)
			return b.Events[0]
		}
		require.NoError(t, writer.Taps().PutStatus(ctx, "t1", flowtap.TapStatus{State: flowtap.TapActive}))
		e := one()
		assert.True(t, e.StatusOnly)
		assert.Equal(t, flowtap.TapActive, e.Object.(*Tap).Status.State)
		assert.Equal(t, tap.Meta, e.Object.(*Tap).Meta)

		changed := tapSpec("db", "ids1")
		o, err := writer.Taps().Replace(ctx, "t1", changed, 0)
		require.NoError(t, err)
		e = one()
		assert.False(t, e.StatusOnly)
		assert.Equal(t, o, e.Object)

		require.NoError(t, writer.Taps().Delete(ctx, "t1", 0))
		assert.Equal(t, Event{Collection: CollectionTaps, ID: "t1"}, one(), "one event for the object and its status")
		require.NoError(t, writer.DeleteLabels(ctx, []string{"net/shop"}))
		assert.Equal(t, Event{Collection: CollectionLabels, ID: "net/shop"}, one())

		cancel()
		require.Eventually(t, func() bool { _, ok := <-batches; return !ok }, 5*time.Second, time.Millisecond)
	})
}

// waitFor waits until the store's copy has a revision.
func waitFor(t testing.TB, s *Store, rev int64) {
	t.Helper()
	_, err := s.mirror.withSiblings(testContext(t), "", rev, -1, func(*siblings) {})
	require.NoError(t, err)
}

func revisionOf(t testing.TB, s *Store, key string) int64 {
	t.Helper()
	r, err := s.EtcdClient().Get(testContext(t), key)
	require.NoError(t, err)
	require.Len(t, r.Kvs, 1)
	return r.Kvs[0].ModRevision
}

// replay keeps what a follower tells and checks that its batches follow each other.
type replay struct {
	rev    int64
	seen   map[string]any
	resets int
}

func (r *replay) add(t testing.TB, b Batch) {
	if b.Reset {
		r.seen = map[string]any{}
		r.resets++
	}
	require.GreaterOrEqual(t, b.Revision, r.rev)
	r.rev = b.Revision
	last := int64(0)
	for _, e := range b.Events {
		k := e.Collection + "/" + e.ID
		if e.Object == nil {
			delete(r.seen, k)
			continue
		}
		if n, ok := e.Object.(*Network); ok && !b.Reset && !e.StatusOnly {
			require.Greater(t, n.Revision, last, "in the order of revisions")
			last = n.Revision
		}
		r.seen[k] = e.Object
	}
}

func TestFollowersUnderConcurrentWritesEndWithWhatIsStored(t *testing.T) {
	eachStore(t, func(t *testing.T, open func() *Store) {
		ctx, stores := testContext(t), []*Store{open(), open()}
		slow, fast := replay{}, replay{}
		slowly, quickly := stores[0].Follow(ctx), stores[0].Follow(ctx)
		slow.add(t, next(t, slowly)) // and then nothing until the end
		written := make(chan struct{})
		go func() {
			defer close(written)
			together(4, func(i int) {
				for j := range 40 {
					id := fmt.Sprintf("net-%d-%d", i, j%10)
					networks := stores[i%2].Networks()
					_, _, err := networks.Create(ctx, id, topology.Network{})
					assert.NoError(t, err)
					assert.NoError(t, networks.PutStatus(ctx, id, topology.NetworkStatus{Members: j}))
					if j%3 == 0 {
						assert.NoError(t, networks.Delete(ctx, id, 0))
					}
				}
			})
			_, _, err := stores[1].Networks().Create(ctx, "last", topology.Network{})
			assert.NoError(t, err)
		}()
		for fast.seen["networks/last"] == nil {
			fast.add(t, next(t, quickly))
		}
		<-written
		for slow.seen["networks/last"] == nil {
			slow.add(t, next(t, slowly))
		}
		all, _, err := stores[1].Networks().List(ctx)
		require.NoError(t, err)
		want := map[string]any{}
		for _, o := range all {
			want["networks/"+o.ID] = o
		}
		assert.Equal(t, want, fast.seen)
		assert.Equal(t, want, slow.seen)
		assert.Equal(t, 1, fast.resets)
		assert.Equal(t, 1, slow.resets)
	})
}

func TestAFollowerThatFallsTooFarBehindStartsOver(t *testing.T) {
	ctx, s := testContext(t), openStore(t, Config{DataDir: t.TempDir()})
	waitFor(t, s, create(t, s.Networks(), "shop", topology.Network{}).Revision)
	batches := s.Follow(ctx)
	require.True(t, next(t, batches).Reset)

	// As the watch would bring them, only faster.
	f := onlyFollower(t, s)
	s.mirror.mu.Lock()
	f.lockedAdd(make([]Event, followBuffer), s.mirror.rev+1)
	f.lockedAdd(make([]Event, 1), s.mirror.rev+2)
	assert.Nil(t, f.pending, "nothing is kept for it")
	s.mirror.mu.Unlock()
	for b := next(t, batches); !b.Reset; b = next(t, batches) {
		require.Len(t, b.Events, followBuffer, "at most the batch that was under way already")
	}
	create(t, s.Networks(), "more", topology.Network{})
	b := next(t, batches)
	assert.False(t, b.Reset)
	assert.Len(t, b.Events, 1)
}

func onlyFollower(t *testing.T, s *Store) *follower {
	s.mirror.mu.Lock()
	defer s.mirror.mu.Unlock()
	require.Len(t, s.mirror.followers, 1)
	for f := range s.mirror.followers {
		return f
	}
	return nil
}

func TestCloseEndsFollowersAndWaits(t *testing.T) {
	s := openStore(t, Config{DataDir: t.TempDir()})
	reading, ignored := s.Follow(testContext(t)), s.Follow(testContext(t))
	next(t, reading)
	require.NoError(t, s.Close())
	_, ok := <-reading
	assert.False(t, ok)
	for range ignored { // whatever was offered, it ends
	}
	_, ok = <-s.Follow(testContext(t))
	assert.False(t, ok)
	_, _, err := s.Networks().Create(testContext(t), "late", topology.Network{})
	require.ErrorIs(t, err, ErrClosed)
	_, err = s.Networks().Get(testContext(t), "late")
	require.ErrorIs(t, err, ErrClosed)
	require.NoError(t, s.Close(), "again")
}
