package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"pgregory.net/rapid"

	"github.com/flowtap/flowtap/access"
	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/topology"
)

func policyTap(src, dst, match string) flowtap.Tap {
	t := tapSpec(src, dst)
	m, err := flowtap.ParseMatch(match)
	if err != nil {
		panic(err)
	}
	t.Match, t.Policy, t.Direction = m, "p", flowtap.In
	return t
}

func (s *Store) change(t testing.TB, put map[string]flowtap.Tap, gone ...string) error {
	return s.changeTaps(t, PolicyChange{Policy: "p", Put: put, Delete: gone})
}

// changeTaps looks again a few times, as long as something has changed.
func (s *Store) changeTaps(t testing.TB, c PolicyChange) (err error) {
	for range 100 {
		if _, err = s.ChangeTaps(testContext(t), c); !errors.Is(err, ErrChanged) {
			break
		}
		pause(testContext(t), undoAgain)
	}
	return err
}

// stored gives all taps as etcd has them, by id.
func (s *Store) storedTaps(t testing.TB) map[string]Tap {
	t.Helper()
	all, _, err := s.Taps().stored(testContext(t))
	require.NoError(t, err)
	out := map[string]Tap{}
	for _, o := range all {
		o := *o
		o.Revision = 0
		out[o.ID] = o
	}
	return out
}

// On an etcd as it comes, too, a change is made as a whole, also one that is too large for a transaction.
func TestChangesOfTapsAreWhole(t *testing.T) {
	eachStore(t, func(t *testing.T, open func() *Store) {
		s := open()
		shop(t, s)
		put := map[string]flowtap.Tap{}
		for i := range 230 {
			put[fmt.Sprintf("p-%03d", i)] = policyTap([]string{"web", "db"}[i%2], "ids1", fmt.Sprintf("tcp,tp_dst=%d", i+1))
		}
		batches := s.Follow(testContext(t))
		next(t, batches)
		require.NoError(t, s.change(t, put))
		require.Len(t, s.storedTaps(t), 230)
		view, plans := map[string]bool{}, map[string]bool{}
		for len(view) < 230 || len(plans) > 0 { // who sees a plan's taps before the last of them sees the plan as well
			for _, e := range next(t, batches).Events {
				switch e.Collection {
				case CollectionTaps:
					view[e.ID] = true
				case CollectionPlans:
					if plans[e.ID] = true; e.Object == nil {
						delete(plans, e.ID)
					}
				}
			}
			if n := len(view); 0 < n && n < 230 {
				require.NotEmpty(t, plans, "%d taps are there and nothing says that they are part of a change", len(view))
			}
		}
		require.NoError(t, s.change(t, nil, slices.Collect(maps.Keys(put))...))
		require.Empty(t, s.storedTaps(t))
		r, err := s.read(testContext(t), clientv3.OpGet(plansPrefix, clientv3.WithPrefix(), clientv3.WithCountOnly()), clientv3.OpGet(refsOf(CollectionPorts, "ids1"), clientv3.WithPrefix(), clientv3.WithCountOnly()))
		require.NoError(t, err)
		require.Zero(t, r.Responses[0].GetResponseRange().Count)
		require.Zero(t, r.Responses[1].GetResponseRange().Count)
	})
}

func TestChangesOfTapsAreRefused(t *testing.T) {
	t.Parallel()
	s := openStore(t, Config{DataDir: t.TempDir(), txnOps: 10})
	shop(t, s)
	create(t, s.Taps(), "mine", tapSpec("db", "ids1"))
	create(t, s.Projects(), "default", access.Project{Quotas: access.Quotas{"taps": 6}})
	create(t, s.Policies(), "p", flowtap.Policy{Source: "x"})
	pol, err := s.Policies().Get(testContext(t), "p")
	require.NoError(t, err)
	require.NoError(t, s.changeAt(t, pol.Revision, map[string]flowtap.Tap{"p-0": policyTap("web", "ids1", "udp")}))
	before := s.storedTaps(t)
	var overlap *OverlapError
	var quota *QuotaError
	var reference *ReferenceError
	var exists *ExistsError
	many := map[string]flowtap.Tap{}
	for i := range 4 {
		many[fmt.Sprintf("p-a%d", i)] = policyTap("web", "ids1", fmt.Sprintf("tcp,tp_dst=%d", i))
	}
	more := maps.Clone(many)
	more["p-b"] = policyTap("web", "ids1", "arp")
	with := func(id string, tap flowtap.Tap) map[string]flowtap.Tap {
		m := maps.Clone(many)
		delete(m, "p-a0")
		m[id] = tap
		return m
	}
	for name, c := range map[string]struct {
		put  map[string]flowtap.Tap
		want any
	}{
		"a tap made by hand is in the way": {with("p-x", policyTap("db", "ids1", "tcp")), &overlap},
		"two of its own overlap":           {with("p-x", policyTap("web", "ids1", "tcp")), &overlap},
		"the port is not there":            {with("p-x", policyTap("zeb", "ids1", "tcp")), &reference},
		"the monitor is not there":         {with("p-x", policyTap("web", "ids9", "udp")), &reference},
		"the monitor is another project's": {with("p-x", policyTap("web", "blue:ids", "udp")), &reference},
		"the id is that of a tap by hand":  {with("mine", policyTap("web", "ids1", "icmp")), &exists},
		"there is no room in the project":  {more, &quota},
	} {
		require.ErrorAs(t, s.changeAt(t, pol.Revision, c.put), c.want, name)
		require.Equal(t, before, s.storedTaps(t), name)
	}
	require.Equal(t, QuotaError{"default", CollectionTaps, 6, 2, 5}, *quota)
	_, err = s.ChangeTaps(testContext(t), PolicyChange{Policy: "p", Revision: pol.Revision - 1, Put: map[string]flowtap.Tap{"p-1": policyTap("web", "ids1", "tcp")}})
	require.ErrorIs(t, err, ErrChanged, "the policy is another by now")
	require.Equal(t, before, s.storedTaps(t))
	require.NoError(t, s.changeAt(t, pol.Revision, with("p-0", policyTap("web", "ids1", "udp"))), "what is replaced needs no room")
}

func (s *Store) changeAt(t testing.TB, policy int64, put map[string]flowtap.Tap) error {
	return s.changeTaps(t, PolicyChange{Policy: "p", Revision: policy, Put: put})
}

// Whatever a change is and wherever it ends, what was there before is there again, to the last counter, when it is undone.
func TestAnInterruptedChangeIsUndone(t *testing.T) {
	t.Parallel()
	s := openStore(t, Config{DataDir: t.TempDir(), txnOps: 15})
	shop(t, s)
	ctx := testContext(t)
	create(t, s.Taps(), "mine", func() flowtap.Tap { m := policyTap("web", "ids1", "arp"); m.Policy = ""; return m }())
	have := map[string]flowtap.Tap{}
	rapid.Check(t, func(rt *rapid.T) {
		c := PolicyChange{Policy: "p", Put: map[string]flowtap.Tap{}}
		for i := range rapid.IntRange(4, 12).Draw(rt, "taps") {
			id := fmt.Sprintf("p-%02d", i)
			tap := policyTap(rapid.SampledFrom([]string{"web", "db"}).Draw(rt, "src"), "ids1", fmt.Sprintf("tcp,tp_dst=%d", i+1))
			if old, there := have[id]; there {
				tap.Src = old.Src
				tap.Truncate = rapid.IntRange(64, 70).Draw(rt, "truncate")
			}
			if rapid.IntRange(0, 3).Draw(rt, "gone") > 0 {
				c.Put[id] = tap
			} else {
				c.Delete = append(c.Delete, id)
			}
		}
		for id := range have {
			require.NoError(rt, s.Taps().PutStatus(ctx, id, flowtap.TapStatus{State: "active", Counters: flowtap.Counters{MatchedPackets: uint64(rapid.IntRange(1, 99).Draw(rt, "packets"))}}))
		}
		before := s.storedTaps(t)
		steps, more, err := s.steps(ctx, c)
		require.NoError(rt, err)
		chunks := chunked(steps, s.txnOps)
		for i := range rapid.IntRange(0, len(chunks)-1).Draw(rt, "done") {
			n, _, err := s.changeChunk(ctx, c, chunks[i], &quota{s: s}, more, i, len(chunks))
			require.NoError(rt, err)
			more -= n
		}
		_, err = s.UndoPlans(ctx)
		require.NoError(rt, err)
		require.Equal(rt, before, s.storedTaps(t))

		require.NoError(rt, s.changeTaps(t, c))
		maps.Copy(have, c.Put)
		for _, id := range c.Delete {
			delete(have, id)
		}
		for id, tap := range have {
			require.Equal(rt, tap, s.storedTaps(t)[id].Spec)
		}
		require.Len(rt, s.storedTaps(t), len(have)+1)
	})
}

// What cannot be again is left out, and what can be is not. Nobody takes the place of a tap by the API before the change has
// ended: who acts on taps still has it.
func TestUndoWhereSomebodyTookThePlace(t *testing.T) {
	t.Parallel()
	s := openStore(t, Config{DataDir: t.TempDir(), txnOps: 5})
	shop(t, s)
	ctx := testContext(t)
	require.NoError(t, s.change(t, map[string]flowtap.Tap{"p-1": policyTap("web", "ids1", "tcp"), "p-2": policyTap("web", "ids1", "udp")}))
	c := PolicyChange{Policy: "p", Delete: []string{"p-1", "p-2"}}
	steps, more, err := s.steps(ctx, c)
	require.NoError(t, err)
	chunks := chunked(steps, s.txnOps)
	require.Len(t, chunks, 2)
	_, _, err = s.changeChunk(ctx, c, chunks[0], &quota{s: s}, more, 0, 2)
	require.NoError(t, err)
	hand := policyTap("web", "ids1", "tcp")
	hand.Policy = ""
	var overlap *OverlapError
	_, _, err = s.Taps().Create(ctx, "mine", hand, WithoutOverlap())
	require.ErrorAs(t, err, &overlap)
	require.Equal(t, "p-1", overlap.With)
	require.ErrorAs(t, s.CheckOverlap(ctx, "mine", hand), &overlap)
	_, _, err = s.Taps().Create(ctx, "mine", hand)
	require.NoError(t, err)

	_, err = s.ChangeTaps(ctx, PolicyChange{Policy: "p", Put: map[string]flowtap.Tap{"p-3": policyTap("db", "ids1", "")}})
	require.ErrorIs(t, err, ErrChanged, "one change of a policy at a time")
	undone, err := s.UndoPlans(ctx)
	require.NoError(t, err)
	require.Equal(t, revisionOf(t, s, guardKey("web")), undone)
	require.Equal(t, []string{"mine", "p-2"}, slices.Sorted(maps.Keys(s.storedTaps(t))))
	require.NoError(t, s.change(t, map[string]flowtap.Tap{"p-3": policyTap("db", "ids1", "")}))
	undone, err = s.UndoPlans(ctx)
	require.NoError(t, err)
	require.Zero(t, undone, "there is nothing to undo")
	require.NoError(t, s.CheckOverlap(ctx, "mine", hand))
}

// That others make taps in the same project meanwhile is no reason to begin anew.
func TestALargeChangeAmongOthersWrites(t *testing.T) {
	t.Parallel()
	s := openStore(t, Config{DataDir: t.TempDir(), txnOps: 10})
	create(t, s.Projects(), "blue", access.Project{})
	create(t, s.Networks(), "blue:shop", topology.Network{})
	create(t, s.Ports(), "blue:web", vmSpec("blue:shop", 1))
	create(t, s.Ports(), "blue:ids1", monitorSpec("ids1"))
	ctx, cancel := context.WithCancel(testContext(t))
	changes := s.Follow(ctx)
	next(t, changes)
	var others sync.WaitGroup
	defer others.Wait()
	defer cancel()
	others.Go(func() { // another process, which counts by itself
		left := chunkTries - 2
		for b := range changes {
			for _, e := range b.Events {
				if e.Collection != CollectionPlans || left == 0 {
					continue
				}
				left--
				_, err := s.EtcdClient().Put(testContext(t), refsOf(CollectionProjects, "blue")+"taps/other"+fmt.Sprint(left), "")
				assert.NoError(t, err)
			}
		}
	})
	put := map[string]flowtap.Tap{}
	for i := range 40 {
		tap := policyTap("blue:web", "blue:ids1", fmt.Sprintf("tcp,tp_dst=%d", i+1))
		tap.Policy = "blue:p"
		put[fmt.Sprintf("blue:p-%03d", i)] = tap
	}
	_, err := s.ChangeTaps(ctx, PolicyChange{Policy: "blue:p", Put: put})
	require.NoError(t, err)
	require.Len(t, s.storedTaps(t), 40)
}

// A port with many taps has an index of them, which a change that is refused leaves as it was.
func TestAChangeAmongManyTaps(t *testing.T) {
	t.Parallel()
	s := openStore(t, Config{DataDir: t.TempDir()})
	shop(t, s)
	put := map[string]flowtap.Tap{}
	for i := range largeSet + 1 {
		put[fmt.Sprintf("p-%04d", i)] = policyTap("web", "ids1", fmt.Sprintf("tcp,tp_dst=%d", i+1))
	}
	require.NoError(t, s.change(t, put))
	var overlap *OverlapError
	free := func(id, match, with string) {
		t.Helper()
		tap := policyTap("web", "ids1", match)
		tap.Policy = ""
		err := s.CheckOverlap(testContext(t), id, tap)
		if with == "" {
			require.NoError(t, err)
			return
		}
		require.ErrorAs(t, err, &overlap)
		require.Equal(t, with, overlap.With)
	}
	moved := map[string]flowtap.Tap{"p-x": put["p-0000"]}
	require.NoError(t, s.change(t, moved, "p-0000"), "what goes makes room")
	free("mine", "tcp,tp_dst=1", "p-x")
	bad := map[string]flowtap.Tap{"p-0000": put["p-0000"], "p-y": policyTap("web", "ids1", "tcp,tp_dst=2-3")}
	require.ErrorAs(t, s.change(t, bad, "p-x", "p-0001"), &overlap)
	require.Equal(t, "p-0002", overlap.With)
	free("mine", "tcp,tp_dst=1", "p-x")
	free("mine", "tcp,tp_dst=2", "p-0001")
	free("p-x", "tcp,tp_dst=1", "")
	free("mine", fmt.Sprintf("tcp,tp_dst=%d", largeSet+2), "")
}
