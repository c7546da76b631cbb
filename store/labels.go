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

// Labels are tunnel keys of 24 bits, of which the highest says that a frame was flooded and the next
// one that a monitor gave it back. The lowest labels are kept for fixed meanings.
const (
	LabelMin = 16
	LabelMax = 1<<22 - 1
)

// VLANs are the 802.1Q tags by which monitors are told the network of a frame. They are numbered
// like labels, by keys that VLANKey makes, but from numbers of their own: 1 is what many switches call
// untagged, 0 and 4095 are reserved (IEEE 802.1Q-2018 table 9-2).
const (
	VLANMin = 2
	VLANMax = 4094
)

const vlanPrefix = "vlan/"

// VLANKey is the label key of a network's VLAN. The number is free again when the network is deleted.
func VLANKey(network string) string { return vlanPrefix + network }

// numberRange is where the numbers of some keys come from. Its counter is moved by every allocation,
// which also keeps allocations apart.
type numberRange struct {
	counter     string
	least, most uint64
}

var (
	labelRange = numberRange{labelCounter, LabelMin, LabelMax}
	vlanRange  = numberRange{"vlans", VLANMin, VLANMax}
)

func rangeOf(key string) numberRange {
	if strings.HasPrefix(key, vlanPrefix) {
		return vlanRange
	}
	return labelRange
}

// ErrNumbersUsedUp says that all labels, or all VLANs, are in use.
var ErrNumbersUsedUp = errors.New("all numbers are in use")

// labelsAtOnce keeps a transaction below the 128 operations that etcd allows by default.
const labelsAtOnce = 100

const labelCounter = "labels"

// EnsureLabels gives the label, or for keys of VLANKey the VLAN, of every key and allocates those that
// have none. A key keeps its number until DeleteLabels; no two labels, and no two VLANs, ever have one
// number at a time, whichever process asked. Numbers of deleted ones are used again only when all
// others are gone.
//
// With ErrNumbersUsedUp comes what has a number, and what still got one. After any error some of the
// keys may have got theirs: calling again is always safe.
func (s *Store) EnsureLabels(ctx context.Context, keys []string) (map[string]uint32, error) {
	byRange := map[numberRange][]string{}
	for _, k := range slices.Compact(slices.Sorted(slices.Values(keys))) {
		byRange[rangeOf(k)] = append(byRange[rangeOf(k)], k)
	}
	all := make(map[string]uint32, len(keys))
	var usedUp error
	for _, r := range []numberRange{labelRange, vlanRange} {
		for chunk := range slices.Chunk(byRange[r], labelsAtOnce) {
			err := s.ensureLabels(ctx, r, chunk, all)
			switch {
			case errors.Is(err, ErrNumbersUsedUp):
				usedUp = fmt.Errorf("allocate %s: %w", r.counter, err)
			case err != nil:
				return nil, fmt.Errorf("allocate %s: %w", r.counter, err)
			}
		}
	}
	return all, usedUp
}

func (s *Store) ensureLabels(ctx context.Context, from numberRange, keys []string, all map[string]uint32) error {
	gets := []clientv3.Op{clientv3.OpGet(counterKey(from.counter))}
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
		next, rev, err := counter(first(r, 0), from.least)
		if err != nil {
			return err
		}
		fresh, next, err := s.freeLabels(ctx, from, next, len(missing))
		if err != nil {
			return err
		}
		var usedUp error
		if len(fresh) < len(missing) {
			missing, usedUp = missing[:len(fresh)], ErrNumbersUsedUp
		}
		cmps := []clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(counterKey(from.counter)), "=", rev)}
		puts := []clientv3.Op{clientv3.OpPut(counterKey(from.counter), strconv.FormatUint(next, 10))}
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
		return usedUp
	}
}

// freeLabels gives n numbers that no key has, fewer where all others are in use, and the counter after
// them. The caller's compare of the counter makes sure that nobody allocates in between.
func (s *Store) freeLabels(ctx context.Context, from numberRange, next uint64, n int) ([]uint32, uint64, error) {
	fresh := make([]uint32, 0, n)
	for ; len(fresh) < n && next <= from.most; next++ {
		fresh = append(fresh, uint32(next)) // #nosec G115 -- labels have 24 bits
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
		if rangeOf(strings.TrimPrefix(string(kv.Key), labelsPrefix)) != from {
			continue
		}
		v, err := strconv.ParseUint(string(kv.Value), 10, 24)
		if err != nil {
			return nil, 0, fmt.Errorf("stored label of %s: %w", strings.TrimPrefix(string(kv.Key), labelsPrefix), err)
		}
		used[uint32(v)] = true
	}
	for _, v := range fresh {
		used[v] = true
	}
	for v := uint32(from.least); v <= uint32(from.most) && len(fresh) < n; v++ { // #nosec G115 -- labels have 24 bits
		if !used[v] {
			fresh = append(fresh, v)
		}
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
