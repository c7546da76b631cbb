package store

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/topology"
)

func TestAnObjectIsCreatedReadReplacedAndDeleted(t *testing.T) {
	eachStore(t, func(t *testing.T, open func() *Store) {
		ctx, s := testContext(t), open()
		shop(t, s)
		o := create(t, s.Taps(), "t1", tapSpec("web", "ids1"))
		assert.Equal(t, "t1", o.ID)
		assert.NotZero(t, o.Num)
		assert.NotZero(t, o.Revision)
		assert.False(t, o.CreatedAt.IsZero())

		got, err := s.Taps().Get(ctx, "t1")
		require.NoError(t, err)
		assert.Equal(t, o, got)

		changed := tapSpec("db", "ids1")
		r, err := s.Taps().Replace(ctx, "t1", changed, o.Revision)
		require.NoError(t, err)
		assert.Equal(t, changed, r.Spec)
		assert.Greater(t, r.Revision, o.Revision)
		assert.Equal(t, o.Num, r.Num)
		assert.Equal(t, o.CreatedAt, r.CreatedAt)
		got, err = s.Taps().Get(ctx, "t1")
		require.NoError(t, err)
		assert.Equal(t, r, got)

		require.NoError(t, s.Taps().Delete(ctx, "t1", r.Revision))
		_, err = s.Taps().Get(ctx, "t1")
		assert.ErrorIs(t, err, ErrNotFound)
		assert.ErrorIs(t, s.Taps().Delete(ctx, "t1", 0), ErrNotFound)
		_, err = s.Taps().Replace(ctx, "t1", changed, 0)
		assert.ErrorIs(t, err, ErrNotFound)

		again := create(t, s.Taps(), "t1", changed)
		assert.NotEqual(t, o.Num, again.Num, "a number is never used again")
	})
}

func TestCreatingTheSameAgainIsNoConflict(t *testing.T) {
	eachStore(t, func(t *testing.T, open func() *Store) {
		ctx, s := testContext(t), open()
		shop(t, s)
		o := create(t, s.Taps(), "t1", tapSpec("web", "ids1"))
		require.NoError(t, s.Taps().PutStatus(ctx, "t1", flowtap.TapStatus{State: flowtap.TapActive}))

		same, created, err := s.Taps().Create(ctx, "t1", tapSpec("web", "ids1"))
		require.NoError(t, err)
		assert.False(t, created)
		assert.Equal(t, o.Meta, same.Meta)
		assert.Equal(t, flowtap.TapActive, same.Status.State)

		_, _, err = s.Taps().Create(ctx, "t1", tapSpec("db", "ids1"))
		var exists *ExistsError
		require.ErrorAs(t, err, &exists)
		assert.Equal(t, ExistsError{CollectionTaps, "t1"}, *exists)
		assert.Equal(t, "create tap t1: tap t1 exists already and is different", err.Error())

		next := create(t, s.Taps(), "t2", tapSpec("web", "ids1"))
		assert.LessOrEqual(t, next.Num, o.Num+2, "refused creations waste no numbers")
	})
}

func TestARevisionGuardsReplaceAndDelete(t *testing.T) {
	eachStore(t, func(t *testing.T, open func() *Store) {
		ctx, s := testContext(t), open()
		o := create(t, s.Networks(), "shop", topology.Network{})
		r, err := s.Networks().Replace(ctx, "shop", topology.Network{Labels: map[string]string{"a": "1"}}, o.Revision)
		require.NoError(t, err)
		_, err = s.Networks().Replace(ctx, "shop", topology.Network{}, o.Revision)
		var wrong *RevisionError
		require.ErrorAs(t, err, &wrong)
		assert.Equal(t, RevisionError{Want: o.Revision, Have: r.Revision}, *wrong)
		require.ErrorAs(t, s.Networks().Delete(ctx, "shop", o.Revision), &wrong)

		unchanged, err := s.Networks().Replace(ctx, "shop", r.Spec, r.Revision)
		require.NoError(t, err)
		assert.Equal(t, r.Revision, unchanged.Revision, "a replacement that changes nothing writes nothing")
		_, err = s.Networks().Replace(ctx, "shop", topology.Network{}, 0)
		require.NoError(t, err)
	})
}

func TestAListIsEverythingAtOneRevision(t *testing.T) {
	eachStore(t, func(t *testing.T, open func() *Store) {
		ctx, s := testContext(t), open()
		all, rev, err := s.Networks().List(ctx)
		require.NoError(t, err)
		assert.Empty(t, all)
		assert.NotZero(t, rev)
		for i := range 30 {
			create(t, s.Networks(), fmt.Sprintf("net%02d", i), topology.Network{})
		}
		require.NoError(t, s.Networks().PutStatus(ctx, "net07", topology.NetworkStatus{Label: 99}))
		all, rev, err = s.Networks().List(ctx)
		require.NoError(t, err)
		require.Len(t, all, 30)
		for i, o := range all {
			assert.Equal(t, fmt.Sprintf("net%02d", i), o.ID)
			assert.LessOrEqual(t, o.Revision, rev)
		}
		assert.EqualValues(t, 99, all[7].Status.Label)
		stored, _, err := s.Networks().stored(ctx)
		require.NoError(t, err)
		assert.Equal(t, stored, all, "the copy in memory is what etcd has")

		_, err = s.EtcdClient().Put(ctx, "/somebody/else", "")
		require.NoError(t, err)
		all, _, err = s.Networks().List(ctx)
		require.NoError(t, err)
		assert.Equal(t, stored, all)
	})
}

func TestStatusAndEditsDoNotMeet(t *testing.T) {
	eachStore(t, func(t *testing.T, open func() *Store) {
		ctx, s := testContext(t), open()
		shop(t, s)
		active := topology.PortStatus{State: topology.PortActive, Node: "n1", OFPort: 3}
		require.ErrorIs(t, s.Ports().PutStatus(ctx, "none", active), ErrNotFound)
		before, err := s.Ports().Get(ctx, "web")
		require.NoError(t, err)

		require.NoError(t, s.Ports().PutStatus(ctx, "web", active))
		after, err := s.Ports().Get(ctx, "web")
		require.NoError(t, err)
		assert.Equal(t, before.Meta, after.Meta)
		assert.Equal(t, active, after.Status)

		changed := before.Spec
		changed.Labels = map[string]string{"tier": "public"}
		r, err := s.Ports().Replace(ctx, "web", changed, before.Revision)
		require.NoError(t, err, "a status write is no conflict for an edit")
		assert.Equal(t, active, r.Status)

		at := revision(t, s)
		require.NoError(t, s.Ports().PutStatus(ctx, "web", active))
		assert.Equal(t, at, revision(t, s), "an equal status is not written")
		require.NoError(t, s.Ports().UpdateStatus(ctx, "web", func(was topology.PortStatus) (topology.PortStatus, bool) {
			assert.Equal(t, active, was)
			was.OFPort = 4
			return was, false
		}))
		assert.Equal(t, at, revision(t, s), "an update that says no is not written")

		require.NoError(t, s.Ports().Delete(ctx, "web", 0))
		require.ErrorIs(t, s.Ports().PutStatus(ctx, "web", active), ErrNotFound)
		create(t, s.Ports(), "web", changed)
		fresh, err := s.Ports().Get(ctx, "web")
		require.NoError(t, err)
		assert.Zero(t, fresh.Status, "a new object does not inherit the status of an old one")
	})
}

func TestIdsCannotReachOtherKeys(t *testing.T) {
	s := openStore(t, Config{DataDir: t.TempDir()})
	for _, id := range []string{"", "a/b", "a\x00"} {
		_, _, err := s.Networks().Create(testContext(t), id, topology.Network{})
		var field *topology.FieldError
		require.ErrorAs(t, err, &field)
		assert.Equal(t, "id", field.Field)
	}
}

// revision is etcd's.
func revision(t testing.TB, s *Store) int64 {
	t.Helper()
	r, err := s.EtcdClient().Get(testContext(t), schemaKey)
	require.NoError(t, err)
	return r.Header.Revision
}

func TestAListHasWhatWasWrittenThroughAnotherStore(t *testing.T) {
	eachStore(t, func(t *testing.T, open func() *Store) {
		ctx, a, b := testContext(t), open(), open()
		for i := range 50 {
			id := fmt.Sprint("net", i)
			create(t, a.Networks(), id, topology.Network{})
			all, _, err := b.Networks().List(ctx)
			require.NoError(t, err)
			require.Len(t, all, 1)
			require.NoError(t, b.Networks().Delete(ctx, id, 0))
			all, _, err = a.Networks().List(ctx)
			require.NoError(t, err)
			require.Empty(t, all)
		}
	})
}
