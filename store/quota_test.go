package store

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/access"
	"github.com/flowtap/flowtap/topology"
)

// A quota holds when processes that know nothing of each other create all at once, also one that is given to the
// project default.
func TestQuotaHoldsAcrossProcesses(t *testing.T) {
	eachStore(t, func(t *testing.T, open func() *Store) {
		ctx, stores := testContext(t), []*Store{open(), open()}
		for _, project := range []string{"blue", topology.DefaultProject} {
			create(t, stores[0].Projects(), project, access.Project{Quotas: access.Quotas{"networks": 10}})
			var made atomic.Int64
			together(50, func(i int) {
				_, created, err := stores[i%2].Networks().Create(ctx, topology.Qualify(project, fmt.Sprintf("n%d", i)), topology.Network{})
				var full *QuotaError
				if err == nil && created {
					made.Add(1)
				} else {
					assert.True(t, errors.As(err, &full), "%v", err)
				}
			})
			require.EqualValues(t, 10, made.Load(), project)
		}
		all, _, err := stores[1].Networks().List(ctx)
		require.NoError(t, err)
		require.Len(t, all, 20)
	})
}

// A change and its record are of one revision; what was refused has no record; a sweep takes the oldest.
func TestAuditRecordsAreOfTheChange(t *testing.T) {
	s, ctx := openStore(t, Config{DataDir: t.TempDir()}), testContext(t)
	record := func(i int) WriteOption {
		return Recorded(access.Record{Principal: "p", Request: fmt.Sprintf("r%d", i)})
	}
	net, _, err := s.Networks().Create(ctx, "net", topology.Network{}, record(0))
	require.NoError(t, err)
	_, _, err = s.Networks().Create(ctx, "net", topology.Network{Labels: map[string]string{"a": "b"}}, record(1))
	require.Error(t, err)
	require.Error(t, s.Networks().Delete(ctx, "net", net.Revision+1, record(2)))
	put, err := s.Networks().Replace(ctx, "net", topology.Network{Labels: map[string]string{"a": "b"}}, 0, record(3))
	require.NoError(t, err)
	require.NoError(t, s.Networks().Delete(ctx, "net", 0, record(4)))
	found, next, err := s.Audit(ctx, access.Filter{}, "", false, 100)
	require.NoError(t, err)
	require.Empty(t, next)
	require.Len(t, found, 3)
	require.Equal(t, []int64{net.Revision, put.Revision}, []int64{found[0].Revision, found[1].Revision})
	require.Equal(t, []string{"r0", "r3", "r4"}, []string{found[0].Request, found[1].Request, found[2].Request})

	removed, err := s.SweepAudit(ctx, time.Unix(0, 0), 1)
	require.NoError(t, err)
	require.Equal(t, 2, removed)
	left, _, err := s.Audit(ctx, access.Filter{}, "", true, 100)
	require.NoError(t, err)
	require.Equal(t, found[2:], left)
	removed, err = s.SweepAudit(ctx, found[2].Time.Add(time.Second), 100)
	require.NoError(t, err)
	require.Equal(t, 1, removed)
}

// Who makes a tap of the same project at the same moment costs a tap another try, and no more.
func TestATapThatLosesARaceForRoom(t *testing.T) {
	t.Parallel()
	s := openStore(t, Config{DataDir: t.TempDir()})
	create(t, s.Projects(), "blue", access.Project{})
	create(t, s.Networks(), "blue:shop", topology.Network{})
	create(t, s.Ports(), "blue:web", vmSpec("blue:shop", 1))
	made := create(t, s.Ports(), "blue:ids1", monitorSpec("ids1"))
	waitFor(t, s, made.Revision)
	calls := 0
	_, _, err := s.Taps().Create(testContext(t), "blue:t", tapSpec("blue:web", "blue:ids1"), WithSiblingCheck(func([]*Tap) error {
		if calls++; calls > 1 {
			return nil
		}
		_, err := s.EtcdClient().Put(testContext(t), refsOf(CollectionProjects, "blue")+"taps/other", "") // as another process does
		return err
	}))
	require.NoError(t, err)
	require.Equal(t, 2, calls)
}
