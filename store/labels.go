package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Labels are tunnel keys of 24 bits, of which the highest says that a frame was flooded. The lowest
// labels are kept for fixed meanings.
const (
	LabelMin = 16
	LabelMax = 1<<23 - 1
)

// labelsAtOnce keeps a transaction below the 128 operations that etcd allows by default.
const labelsAtOnce = 100

// labelCounter is the counter that every allocation moves, which also keeps allocations apart.
const labelCounter = "labels"

// EnsureLabels gives the label of every key and allocates those that have none. A key keeps its
// label until DeleteLabels; no two keys ever have one label at a time, whichever process asked.
// Numbers of deleted labels are used again only when all others are gone.
//
// After an error some of the keys may have got their label: calling again is always safe.
func (s *Store) EnsureLabels(ctx context.Context, keys []string) (map[string]uint32, error) {
	keys = slices.Compact(slices.Sorted(slices.Values(keys)))
	all := make(map[string]uint32, len(keys))
	for chunk := range slices.Chunk(keys, labelsAtOnce) {
		if err := s.ensureLabels(ctx, chunk, all); err != nil {
			return nil, fmt.Errorf("allocate labels: %w", err)
		}
	}
	return all, nil
}

func (s *Store) ensureLabels(ctx context.Context, keys []string, all map[string]uint32) error {
	gets := []clientv3.Op{clientv3.OpGet(counterKey(labelCounter))}
	for _, k := range keys {
		if k == "" {
			return errors.New("a label's key is empty")
		}
		gets = append(gets, clientv3.OpGet(labelKey(k)))
	}
	for {
		r, err := s.read(ctx, gets...)
		if err != nil {
			return err
		}
		var missing []string
		for i, k := range keys {
			kv := first(r, i+1)
			if kv == nil {
				missing = append(missing, k)
				continue
			}
			n, err := strconv.ParseUint(string(kv.Value), 10, 24)
			if err != nil {
				return fmt.Errorf("stored label of %s: %w", k, err)
			}
			all[k] = uint32(n)
		}
		if len(missing) == 0 {
			return nil
		}
		next, rev, err := counter(first(r, 0), LabelMin)
		if err != nil {
			return err
		}
		fresh, next, err := s.freeLabels(ctx, next, len(missing))
		if err != nil {
			return err
		}
		cmps := []clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(counterKey(labelCounter)), "=", rev)}
		puts := []clientv3.Op{clientv3.OpPut(counterKey(labelCounter), strconv.FormatUint(next, 10))}
		for i, k := range missing {
			cmps = append(cmps, clientv3.Compare(clientv3.Version(labelKey(k)), "=", 0))
			puts = append(puts, clientv3.OpPut(labelKey(k), strconv.FormatUint(uint64(fresh[i]), 10)))
		}
		w, err := s.commit(ctx, cmps, puts, nil)
		if err != nil {
			return err
		}
		if !w.Succeeded {
			continue // somebody else allocated: look again
		}
		for i, k := range missing {
			all[k] = fresh[i]
		}
		return nil
	}
}

// freeLabels gives n numbers that no key has, and the counter after them. The caller's compare of
// the counter makes sure that nobody allocates in between.
func (s *Store) freeLabels(ctx context.Context, next uint64, n int) ([]uint32, uint64, error) {
	fresh := make([]uint32, 0, n)
	for ; len(fresh) < n && next <= LabelMax; next++ {
		fresh = append(fresh, uint32(next))
	}
	if len(fresh) == n {
		return fresh, next, nil
	}
	kvs, _, err := s.scan(ctx, labelsPrefix, 0)
	if err != nil {
		return nil, 0, err
	}
	used := make(map[uint32]bool, len(kvs)+len(fresh))
	for _, kv := range kvs {
		v, err := strconv.ParseUint(string(kv.Value), 10, 24)
		if err != nil {
			return nil, 0, fmt.Errorf("stored label of %s: %w", strings.TrimPrefix(string(kv.Key), labelsPrefix), err)
		}
		used[uint32(v)] = true
	}
	for _, v := range fresh {
		used[v] = true
	}
	for v := uint32(LabelMin); v <= LabelMax && len(fresh) < n; v++ {
		if !used[v] {
			fresh = append(fresh, v)
		}
	}
	if len(fresh) < n {
		return nil, 0, errors.New("all tunnel labels are in use")
	}
	return fresh, next, nil
}

// DeleteLabels forgets labels that nothing uses any more. Keys without a label are no error. It is
// safe to repeat.
func (s *Store) DeleteLabels(ctx context.Context, keys []string) error {
	keys = slices.Compact(slices.Sorted(slices.Values(keys)))
	for chunk := range slices.Chunk(keys, labelsAtOnce) {
		var ops []clientv3.Op
		for _, k := range chunk {
			ops = append(ops, clientv3.OpDelete(labelKey(k)))
		}
		if _, err := s.commit(ctx, nil, ops, nil); err != nil {
			return fmt.Errorf("delete labels: %w", err)
		}
	}
	return nil
}

// counter reads a counter key, nil being one that nobody moved yet.
func counter(kv *mvccpb.KeyValue, lowest uint64) (next uint64, rev int64, err error) {
	if kv == nil {
		return lowest, 0, nil
	}
	if next, err = strconv.ParseUint(string(kv.Value), 10, 64); err != nil || next < lowest {
		return 0, 0, fmt.Errorf("stored counter %s is %q", kv.Key, kv.Value)
	}
	return next, kv.ModRevision, nil
}
