package store

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// blockSize is how many numbers are reserved at once. A process that ends wastes what is left of
// its block: 2^32 numbers are enough for 4 million starts.
const blockSize = 1000

// numbers hands out object numbers from blocks that were reserved in etcd, so that most creations
// need no transaction of their own for it. No number is handed out twice, by whichever process.
type numbers struct {
	s      *Store
	mu     sync.Mutex // guards the map, not the blocks
	blocks map[string]*block
}

type block struct {
	mu        sync.Mutex // guards all below, and is held while a block is reserved
	next, end uint64
	// unused were handed out for objects that were then certainly not created.
	unused []uint32
}

func newNumbers(s *Store) *numbers { return &numbers{s: s, blocks: map[string]*block{}} }

func (n *numbers) of(collection string) *block {
	n.mu.Lock()
	defer n.mu.Unlock()
	b := n.blocks[collection]
	if b == nil {
		b = &block{}
		n.blocks[collection] = b
	}
	return b
}

// take gives a number that no object of the collection has or had.
func (n *numbers) take(ctx context.Context, collection string) (uint32, error) {
	b := n.of(collection)
	b.mu.Lock()
	defer b.mu.Unlock()
	if k := len(b.unused); k > 0 {
		num := b.unused[k-1]
		b.unused = b.unused[:k-1]
		return num, nil
	}
	if b.next == b.end {
		from, err := n.s.reserve(ctx, collection, 1, blockSize, math.MaxUint32)
		if err != nil {
			return 0, fmt.Errorf("reserve numbers: %w", err)
		}
		b.next, b.end = from, from+blockSize
	}
	num := uint32(b.next) // #nosec G115 -- a range of numbers ends below 2^32
	b.next++
	return num, nil
}

// giveBack returns a number that certainly is in no object, not even one whose fate is unknown.
func (n *numbers) giveBack(collection string, num uint32) {
	b := n.of(collection)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.unused = append(b.unused, num)
}

// reserve moves a counter by count and gives the first of the numbers passed. An attempt whose
// outcome is unknown is repeated: at worst it wastes numbers.
func (s *Store) reserve(ctx context.Context, name string, lowest, count, highest uint64) (uint64, error) {
	for {
		r, err := s.read(ctx, clientv3.OpGet(counterKey(name)))
		if err != nil {
			return 0, err
		}
		next, rev, err := counter(first(r, 0), lowest)
		if err != nil {
			return 0, err
		}
		if next+count-1 > highest {
			return 0, fmt.Errorf("the numbers of %s are used up", name)
		}
		w, err := s.commit(ctx,
			[]clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(counterKey(name)), "=", rev)},
			[]clientv3.Op{clientv3.OpPut(counterKey(name), strconv.FormatUint(next+count, 10))}, nil)
		if err != nil {
			return 0, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		if w.Succeeded {
			return next, nil
		}
	}
}
