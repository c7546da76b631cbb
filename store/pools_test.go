package store

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/access"
	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/topology"
)

func poolSpec(ports ...string) topology.Pool {
	p := topology.Pool{Mode: topology.PoolSpread}
	for _, id := range ports {
		p.Members = append(p.Members, topology.PoolMember{Port: id, Weight: 1})
	}
	return p
}

func TestPoolsHoldTheirMembersAndTapsTheirPool(t *testing.T) {
	eachStore(t, func(t *testing.T, open func() *Store) {
		ctx, s := testContext(t), open()
		shop(t, s)
		create(t, s.Ports(), "ids2", monitorSpec("ids2"))
		var reference *ReferenceError
		_, _, err := s.Pools().Create(ctx, "ids", poolSpec("ids1", "ghost"))
		require.ErrorAs(t, err, &reference)
		require.Equal(t, ReferenceError{"members.1.port", CollectionPorts, "ghost"}, *reference)
		tap := tapSpec("web", "")
		tap.DstPool = "ids"
		_, _, err = s.Taps().Create(ctx, "t1", tap)
		require.ErrorAs(t, err, &reference)
		require.Equal(t, ReferenceError{"dst_pool", CollectionPools, "ids"}, *reference)

		create(t, s.Pools(), "ids", poolSpec("ids1", "ids2"))
		create(t, s.Taps(), "t1", tap)
		var used *InUseError
		require.ErrorAs(t, s.Ports().Delete(ctx, "ids2", 0), &used)
		require.Equal(t, []string{"ids"}, used.Users)
		require.ErrorAs(t, s.Pools().Delete(ctx, "ids", 0), &used)
		require.Equal(t, []string{"t1"}, used.Users)
		_, err = s.Pools().Replace(ctx, "ids", poolSpec("ids1"), 0)
		require.NoError(t, err)
		require.NoError(t, s.Ports().Delete(ctx, "ids2", 0), "no member any more")
		require.NoError(t, s.Taps().Delete(ctx, "t1", 0))
		require.NoError(t, s.Pools().Delete(ctx, "ids", 0))
		require.NoError(t, s.Ports().Delete(ctx, "ids1", 0))
	})
}

func TestPoolsAreFollowed(t *testing.T) {
	eachStore(t, func(t *testing.T, open func() *Store) {
		ctx, s := testContext(t), open()
		shop(t, s)
		made := create(t, s.Pools(), "ids", poolSpec("ids1"))
		waitFor(t, s, made.Revision)
		batches := s.Follow(ctx)
		events := next(t, batches).Events
		require.Len(t, events, 5)
		require.Equal(t, CollectionPools, events[4].Collection, "after the ports that it names")
		require.Equal(t, poolSpec("ids1"), events[4].Object.(*Pool).Spec)
		require.NoError(t, s.Pools().PutStatus(ctx, "ids", topology.PoolStatus{Slices: map[string]int{"ids1": 64}}))
		e := next(t, batches).Events[0]
		require.True(t, e.StatusOnly)
		require.Equal(t, 64, e.Object.(*Pool).Status.Slices["ids1"])
	})
}

func TestAPortIsOneMonitorsReturnPort(t *testing.T) {
	eachStore(t, func(t *testing.T, open func() *Store) {
		ctx, s := testContext(t), open()
		shop(t, s)
		arm := func(name, returns string) topology.Port {
			p := monitorSpec(name)
			p.ReturnPort = returns
			return p
		}
		create(t, s.Ports(), "ids2", arm("ids2", "ids1"))
		_, _, err := s.Ports().Create(ctx, "ids3", arm("ids3", "ids1"))
		var taken *UniqueError
		require.ErrorAs(t, err, &taken)
		require.Equal(t, UniqueError{"return_port", "ids1", "ids2"}, *taken)
		var used *InUseError
		require.ErrorAs(t, s.Ports().Delete(ctx, "ids1", 0), &used)
		require.Equal(t, []string{"ids2"}, used.Users)
		var reference *ReferenceError
		_, _, err = s.Ports().Create(ctx, "ids3", arm("ids3", "ghost"))
		require.ErrorAs(t, err, &reference)
		require.Equal(t, "return_port", reference.Field)
	})
}

// VLANs come from numbers of their own, die with their network, and running out of them stops nothing
// else.
func TestVLANs(t *testing.T) {
	eachStore(t, func(t *testing.T, open func() *Store) {
		ctx, s := testContext(t), open()
		create(t, s.Networks(), "shop", topology.Network{})
		one, err := s.EnsureLabels(ctx, []string{VLANKey("shop"), "net/shop"})
		require.NoError(t, err)
		require.Equal(t, map[string]uint32{VLANKey("shop"): VLANMin, "net/shop": LabelMin}, one)
		require.NoError(t, s.Networks().Delete(ctx, "shop", 0))
		r, err := s.EtcdClient().Get(ctx, labelKey(VLANKey("shop")))
		require.NoError(t, err)
		require.Empty(t, r.Kvs)

		var keys []string
		for i := range VLANMax - VLANMin + 1 {
			keys = append(keys, VLANKey(fmt.Sprint("n", i)))
		}
		all, err := s.EnsureLabels(ctx, keys)
		require.NoError(t, err, "the one of the network that is gone, too")
		used := map[uint32]bool{}
		for k, n := range all {
			assert.False(t, used[n] || n < VLANMin || n > VLANMax, "%s has %d", k, n)
			used[n] = true
		}
		require.Len(t, used, len(keys))
		got, err := s.EnsureLabels(ctx, []string{VLANKey("one-more"), VLANKey("n7"), "net/one-more"})
		require.ErrorIs(t, err, ErrNumbersUsedUp)
		require.Equal(t, map[string]uint32{VLANKey("n7"): all[VLANKey("n7")], "net/one-more": LabelMin + 1}, got)
	})
}

// Each sees what List sees.
func TestEach(t *testing.T) {
	eachStore(t, func(t *testing.T, open func() *Store) {
		ctx, s, other := testContext(t), open(), open()
		shop(t, other)
		seen := map[string]bool{}
		require.NoError(t, s.Ports().Each(ctx, func(p *Port) bool { seen[p.ID] = true; return true }))
		require.Equal(t, map[string]bool{"web": true, "db": true, "ids1": true}, seen)
		calls := 0
		require.NoError(t, s.Ports().Each(ctx, func(*Port) bool { calls++; return false }))
		require.Equal(t, 1, calls)
	})
}

// RedirectedFrom follows taps through every change of where they lead.
func TestRedirectedFrom(t *testing.T) {
	eachStore(t, func(t *testing.T, open func() *Store) {
		ctx, s, other := testContext(t), open(), open()
		shop(t, s)
		create(t, s.Pools(), "ids", poolSpec("ids1"))
		redirect := tapSpec("web", "ids1")
		redirect.Action = flowtap.Redirect
		from := func(want ...string) {
			t.Helper()
			var srcs []string
			require.Eventually(t, func() bool { // a mirror that is behind does not know
				got, known, err := other.RedirectedFrom(ctx, "ids1")
				srcs = got
				return assert.NoError(t, err) && known
			}, 5*time.Second, time.Millisecond)
			require.ElementsMatch(t, want, srcs)
		}
		create(t, s.Taps(), "t1", tapSpec("web", "ids1"))
		from()
		_, err := s.Taps().Replace(ctx, "t1", redirect, 0)
		require.NoError(t, err)
		create(t, s.Taps(), "t2", redirect)
		from("web")
		redirect.Dst, redirect.DstPool = "", "ids"
		create(t, s.Taps(), "t3", redirect)
		from("web", "web")
		redirect.Src = "db"
		_, err = s.Taps().Replace(ctx, "t3", redirect, 0)
		require.NoError(t, err)
		from("web", "db")
		require.NoError(t, s.Taps().Delete(ctx, "t1", 0))
		from("web", "db")
		require.NoError(t, s.Taps().Delete(ctx, "t2", 0))
		from("db")
		require.NoError(t, s.Taps().Delete(ctx, "t3", 0))
		from()
		other.mirror.mu.Lock()
		defer other.mirror.mu.Unlock()
		require.Empty(t, other.mirror.redirects.from)
	})
}

// All members of the largest pool can be others at once, on an etcd as it comes, too.
func TestAllMembersOfAPoolAreReplaced(t *testing.T) {
	eachStore(t, func(t *testing.T, open func() *Store) {
		ctx, s := testContext(t), open()
		var ids [2][]string
		for i := range 2 * topology.MaxMembers {
			id := fmt.Sprintf("ids%03d", i)
			ids[i%2] = append(ids[i%2], id)
		}
		together(8, func(k int) {
			for i := k; i < 2*topology.MaxMembers; i += 8 {
				_, _, err := s.Ports().Create(ctx, ids[i%2][i/2], monitorSpec(ids[i%2][i/2]))
				assert.NoError(t, err)
			}
		})
		made := create(t, s.Pools(), "ids", poolSpec(ids[0]...))
		_, err := s.Pools().Replace(ctx, "ids", poolSpec(ids[1]...), made.Revision, Recorded(access.Record{Request: "r"}),
			WithUsers(func([]User) error { return nil }))
		require.NoError(t, err)
		require.NoError(t, s.Ports().Delete(ctx, ids[0][0], 0), "no member any more")
		var used *InUseError
		require.ErrorAs(t, s.Ports().Delete(ctx, ids[1][63], 0), &used)
		records, _, err := s.Audit(ctx, access.Filter{Collection: CollectionPools}, "", false, 10)
		require.NoError(t, err)
		require.Len(t, records, 1)
	})
}
