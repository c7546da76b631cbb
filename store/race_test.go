package store

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/topology"
)

// together runs f n times at once.
func together(n int, f func(i int)) {
	var all sync.WaitGroup
	ready := make(chan struct{})
	for i := range n {
		all.Go(func() {
			<-ready
			f(i)
		})
	}
	close(ready)
	all.Wait()
}

func TestOfRacingCreatorsOneGetsTheValue(t *testing.T) {
	eachStore(t, func(t *testing.T, open func() *Store) {
		ctx, stores := testContext(t), []*Store{open(), open()}
		create(t, stores[0].Networks(), "shop", topology.Network{})
		for round := range 10 {
			var won atomic.Int32
			together(8, func(i int) {
				p := vmSpec("shop", 100*round+i)
				p.MAC = topology.MAC{2, 1, 0, 0, 0, byte(round)}
				_, _, err := stores[i%2].Ports().Create(ctx, fmt.Sprintf("p%d-%d", round, i), p)
				var taken *UniqueError
				switch {
				case err == nil:
					won.Add(1)
				case !errors.As(err, &taken):
					assert.NoError(t, err)
				default:
					assert.Equal(t, "mac", taken.Field)
				}
			})
			assert.EqualValues(t, 1, won.Load())
		}
	})
}

func TestCreateAndDeleteNeverLeaveADanglingReference(t *testing.T) {
	eachStore(t, func(t *testing.T, open func() *Store) {
		ctx, stores := testContext(t), []*Store{open(), open()}
		s := stores[0]
		shop(t, s)
		var both [2]int
		for round := range 60 {
			dst := fmt.Sprintf("m%d", round)
			create(t, s.Ports(), dst, monitorSpec(dst))
			var errs [2]error
			together(2, func(i int) {
				if i == 0 {
					_, _, errs[0] = stores[0].Taps().Create(ctx, dst, tapSpec("web", dst))
				} else {
					errs[1] = stores[1].Ports().Delete(ctx, dst, 0)
				}
			})
			var missing *ReferenceError
			var used *InUseError
			switch {
			case errs[0] == nil:
				both[0]++
				require.ErrorAs(t, errs[1], &used)
			case errs[1] == nil:
				both[1]++
				require.ErrorAs(t, errs[0], &missing)
			default:
				require.Fail(t, "both failed", "%v, %v", errs[0], errs[1])
			}
		}
		t.Logf("the create won %d times, the delete %d times", both[0], both[1])
		taps, _, err := s.Taps().List(ctx)
		require.NoError(t, err)
		for _, o := range taps {
			_, err := s.Ports().Get(ctx, o.Spec.Dst)
			assert.NoError(t, err)
		}
	})
}

// errFull is what a check that allows only so many siblings answers.
var errFull = errors.New("full")

func atMost(n int) WriteOption {
	return WithSiblingCheck(func(siblings []*Tap) error {
		if len(siblings) >= n {
			return fmt.Errorf("%d siblings: %w", len(siblings), errFull)
		}
		return nil
	})
}

func TestSiblingsAreCheckedAsTheyAreWhenTheWriteHappens(t *testing.T) {
	eachStore(t, func(t *testing.T, open func() *Store) {
		ctx, stores := testContext(t), []*Store{open(), open()}
		shop(t, stores[0])
		var won atomic.Int32
		together(16, func(i int) {
			_, _, err := stores[i%2].Taps().Create(ctx, fmt.Sprintf("t%d", i), tapSpec("web", "ids1"), atMost(3))
			if err == nil {
				won.Add(1)
			} else {
				assert.ErrorIs(t, err, errFull)
			}
		})
		assert.EqualValues(t, 3, won.Load())

		// Replace moves a tap to another src under the same rule, from both sides at once.
		for i := range 6 {
			create(t, stores[0].Taps(), fmt.Sprintf("r%d", i), tapSpec("db", "ids1"))
		}
		won.Store(0)
		together(6, func(i int) {
			_, err := stores[i%2].Taps().Replace(ctx, fmt.Sprintf("r%d", i), tapSpec("web", "ids1"), 0, atMost(5))
			if err == nil {
				won.Add(1)
			} else {
				assert.ErrorIs(t, err, errFull)
			}
		})
		assert.EqualValues(t, 2, won.Load())

		// What was deleted is no sibling any more, whoever deleted it.
		all, _, err := stores[0].Taps().List(ctx)
		require.NoError(t, err)
		for i, o := range all {
			require.NoError(t, stores[i%2].Taps().Delete(ctx, o.ID, 0))
			_, _, err := stores[(i+1)%2].Taps().Create(ctx, "only", tapSpec(o.Spec.Src, "ids1"),
				WithSiblingCheck(func(siblings []*Tap) error {
					for _, x := range siblings {
						if x.ID == o.ID {
							return errors.New("still there")
						}
					}
					return nil
				}))
			require.NoError(t, err)
			require.NoError(t, stores[i%2].Taps().Delete(ctx, "only", 0))
		}
	})
}

func TestTheSiblingCheckSeesAllOthersInOrder(t *testing.T) {
	eachStore(t, func(t *testing.T, open func() *Store) {
		ctx, s := testContext(t), open()
		shop(t, s)
		var seen []string
		look := WithSiblingCheck(func(siblings []*Tap) error {
			seen = nil
			for _, o := range siblings {
				seen = append(seen, o.ID)
			}
			return nil
		})
		for _, id := range []string{"c", "a", "d", "b"} {
			create(t, s.Taps(), id, tapSpec("web", "ids1"))
		}
		create(t, s.Taps(), "z", tapSpec("db", "ids1"))
		_, _, err := s.Taps().Create(ctx, "bb", tapSpec("web", "ids1"), look)
		require.NoError(t, err)
		assert.Equal(t, []string{"a", "b", "c", "d"}, seen)
		changed := tapSpec("web", "ids1")
		changed.Priority = 7
		_, err = s.Taps().Replace(ctx, "c", changed, 0, look)
		require.NoError(t, err)
		assert.Equal(t, []string{"a", "b", "bb", "d"}, seen)

		// The same tap again is what it was, even where its siblings would refuse it by now.
		no := WithSiblingCheck(func([]*Tap) error { return errFull })
		_, created, err := s.Taps().Create(ctx, "c", changed, no)
		require.NoError(t, err)
		assert.False(t, created)
		_, _, err = s.Taps().Create(ctx, "new", changed, no)
		require.ErrorIs(t, err, errFull)
	})
}

func TestConcurrentEditsAndStatusesAreAllThere(t *testing.T) {
	eachStore(t, func(t *testing.T, open func() *Store) {
		ctx, stores := testContext(t), []*Store{open(), open()}
		shop(t, stores[0])
		create(t, stores[0].Taps(), "t1", tapSpec("web", "ids1"))
		const n = 10
		var edits atomic.Int32
		together(4, func(i int) {
			s := stores[i%2]
			for range n {
				if i < 2 {
					assert.NoError(t, s.Taps().UpdateStatus(ctx, "t1", func(was flowtap.TapStatus) (flowtap.TapStatus, bool) {
						was.Counters.MatchedPackets++
						return was, true
					}))
					continue
				}
				for {
					o, err := s.Taps().Get(ctx, "t1")
					if !assert.NoError(t, err) {
						return
					}
					o.Spec.Priority++
					_, err = s.Taps().Replace(ctx, "t1", o.Spec, o.Revision)
					var wrong *RevisionError
					if errors.As(err, &wrong) {
						continue
					}
					assert.NoError(t, err)
					edits.Add(1)
					break
				}
			}
		})
		o, err := stores[0].Taps().Get(ctx, "t1")
		require.NoError(t, err)
		assert.EqualValues(t, 2*n, o.Status.Counters.MatchedPackets)
		assert.EqualValues(t, 100+2*n, o.Spec.Priority)
		assert.EqualValues(t, 2*n, edits.Load())
	})
}

func TestNumbersAndLabelsAreNeverGivenTwice(t *testing.T) {
	eachStore(t, func(t *testing.T, open func() *Store) {
		ctx, stores := testContext(t), []*Store{open(), open()}
		var mu sync.Mutex
		var nums []uint32
		labels := map[string]map[uint32]bool{}
		together(8, func(i int) {
			s := stores[i%2]
			for j := range 15 {
				o, _, err := s.Networks().Create(ctx, fmt.Sprintf("net-%d-%d", i, j), topology.Network{})
				if !assert.NoError(t, err) {
					return
				}
				got, err := s.EnsureLabels(ctx, []string{"shared", fmt.Sprintf("net/%d", j), fmt.Sprintf("own/%d/%d", i, j)})
				if !assert.NoError(t, err) {
					return
				}
				mu.Lock()
				nums = append(nums, o.Num)
				for k, n := range got {
					if labels[k] == nil {
						labels[k] = map[uint32]bool{}
					}
					labels[k][n] = true
				}
				mu.Unlock()
			}
		})
		slices.Sort(nums)
		assert.Len(t, slices.Compact(slices.Clone(nums)), 8*15)
		assert.NotZero(t, nums[0])
		owner := map[uint32]string{}
		for k, set := range labels {
			assert.Len(t, set, 1, "label of %s changed", k)
			for n := range set {
				assert.Empty(t, owner[n], "label %d of %s", n, k)
				assert.GreaterOrEqual(t, n, uint32(LabelMin))
				owner[n] = k
			}
		}
		assert.Len(t, owner, 1+15+8*15)
	})
}

func TestLabelsAreKeptAndUsedAgainOnlyAtTheEnd(t *testing.T) {
	eachStore(t, func(t *testing.T, open func() *Store) {
		ctx, s := testContext(t), open()
		keys := make([]string, 250) // several transactions
		for i := range keys {
			keys[i] = fmt.Sprint("k", i)
		}
		one, err := s.EnsureLabels(ctx, append(keys, keys[0]))
		require.NoError(t, err)
		two, err := s.EnsureLabels(ctx, keys)
		require.NoError(t, err)
		assert.Equal(t, one, two)
		require.NoError(t, s.DeleteLabels(ctx, append(keys[10:], "never seen")))
		three, err := s.EnsureLabels(ctx, keys[:20])
		require.NoError(t, err)
		for i, k := range keys[:20] {
			assert.Equal(t, i < 10, one[k] == three[k], k)
		}

		_, err = s.EtcdClient().Put(ctx, counterKey(labelCounter), fmt.Sprint(LabelMax))
		require.NoError(t, err)
		last, err := s.EnsureLabels(ctx, []string{"x", "y", "z"})
		require.NoError(t, err)
		assert.EqualValues(t, LabelMax, last["x"])
		used := map[uint32]bool{}
		for _, n := range three {
			used[n] = true
		}
		for k, n := range last {
			assert.False(t, used[n], "%s got %d, which is in use", k, n)
			used[n] = true
		}
		_, err = s.EnsureLabels(ctx, []string{""})
		require.Error(t, err)
	})
}
