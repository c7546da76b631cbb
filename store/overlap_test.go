package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/flowtap"
)

// portTap is a tap on what one sends to some of its TCP ports.
func portTap(src string, first, last int) flowtap.Tap {
	t := tapSpec(src, "ids1")
	t.Direction = flowtap.Out
	if err := t.Match.UnmarshalText(fmt.Appendf(nil, "tcp,tp_dst=%d-%d", first, last)); err != nil {
		panic(err)
	}
	return t
}

// Whatever two processes do at once, no two taps overlap, and what is refused does overlap.
func TestNoTwoTapsOverlap(t *testing.T) {
	eachStore(t, func(t *testing.T, open func() *Store) {
		ctx, stores := testContext(t), []*Store{open(), open()}
		shop(t, stores[0])
		var made, refused atomic.Int32
		together(6, func(k int) {
			rnd, s := rand.New(rand.NewPCG(1, uint64(k))), stores[k%2]
			for range 40 {
				id, first := fmt.Sprint("t", rnd.IntN(12)), 1+rnd.IntN(40)
				spec := portTap([]string{"web", "db"}[rnd.IntN(2)], first, first+rnd.IntN(8))
				var err error
				switch rnd.IntN(3) {
				case 0:
					_, _, err = s.Taps().Create(ctx, id, spec, WithoutOverlap())
				case 1:
					_, err = s.Taps().Replace(ctx, id, spec, 0, WithoutOverlap())
				case 2:
					_ = s.Taps().Delete(ctx, id, 0)
					continue
				}
				var overlap *OverlapError
				var exists *ExistsError
				switch {
				case err == nil:
					made.Add(1)
				case errors.As(err, &overlap):
					refused.Add(1)
				default:
					assert.True(t, errors.Is(err, ErrNotFound) || errors.As(err, &exists), "%v", err)
				}
			}
		})
		require.NotZero(t, made.Load())
		all, _, err := stores[0].Taps().List(ctx)
		require.NoError(t, err)
		for i, a := range all {
			for _, b := range all[:i] {
				_, w, ok := flowtap.Overlap(a.Spec, b.Spec)
				require.False(t, ok, "%s and %s: %s", a.ID, b.ID, w)
			}
		}
		t.Logf("%d writes, %d overlapped", made.Load(), refused.Load())
	})
}

func TestOverlapNamesTheOther(t *testing.T) {
	eachStore(t, func(t *testing.T, open func() *Store) {
		ctx, s, other := testContext(t), open(), open()
		shop(t, s)
		create(t, s.Taps(), "t1", portTap("web", 80, 90))
		create(t, s.Taps(), "t2", portTap("web", 100, 110))
		refused := func(s *Store, id string, spec flowtap.Tap, with string) {
			t.Helper()
			var overlap *OverlapError
			_, _, err := s.Taps().Create(ctx, id, spec, WithoutOverlap())
			require.ErrorAs(t, err, &overlap)
			require.Equal(t, with, overlap.With)
			require.Equal(t, flowtap.Out, overlap.Direction)
			require.NotEmpty(t, overlap.Witness.String())
			require.ErrorAs(t, s.CheckOverlap(ctx, id, spec), &overlap)
		}
		refused(other, "t3", portTap("web", 85, 95), "t1")
		require.NoError(t, other.Taps().Delete(ctx, "t1", 0))
		require.NoError(t, s.CheckOverlap(ctx, "t3", portTap("web", 85, 95)), "what another process deleted is gone")
		create(t, s.Taps(), "t3", portTap("web", 85, 95))
		_, err := other.Taps().Replace(ctx, "t2", portTap("web", 100, 120), 0, WithoutOverlap())
		require.NoError(t, err, "a tap does not overlap itself")
		refused(s, "t4", portTap("web", 120, 120), "t2")
		_, err = s.Taps().Replace(ctx, "t2", portTap("db", 100, 120), 0, WithoutOverlap())
		require.NoError(t, err)
		require.NoError(t, other.CheckOverlap(ctx, "t4", portTap("web", 120, 120)), "it has moved to another port")
		refused(other, "t4", portTap("db", 120, 120), "t2")
		_, created, err := other.Taps().Create(ctx, "t2", portTap("db", 100, 120), WithoutOverlap())
		require.NoError(t, err)
		require.False(t, created)
		require.NoError(t, s.CheckOverlap(context.Background(), "t9", portTap("nobody", 1, 2)))
	})
}
