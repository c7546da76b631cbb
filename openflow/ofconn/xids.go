package ofconn

import (
	"math"
	"sync"

	"github.com/flowtap/flowtap/openflow"
)

// A sink takes the answers to the messages of one run of xids. take runs in the reader, must not
// wait, and reports whether this was the last answer. index counts from the run's first xid.
// When the answer could not be decoded m is nil and err says why. left says that nobody waits:
// only the return value matters.
type sink interface {
	take(index int, a answer, left bool) (last bool)
}

// answer is one message from the switch, or why there is none.
type answer struct {
	m    openflow.Message
	size int // bytes on the wire
	err  error
}

func (a answer) got() (openflow.Message, error) {
	if a.err != nil {
		return nil, a.err
	}
	return a.m, nil
}

// run is a sequence of consecutive xids whose answers go to one sink; left when nobody waits any
// more, but the switch may still answer.
type run struct {
	first uint32
	n     int
	sink  sink
	left  bool
}

// maxLeft bounds the abandoned runs that are remembered; the oldest is forgotten first.
const maxLeft = 1024

// xids gives out transaction ids and knows who waits for which. An id is never 0 and never given
// out again while an answer to it is awaited or may still come.
type xids struct {
	least, most uint32 // of the ids given out; both 0: all but 0

	mu   sync.Mutex // guards what follows
	next uint32     // where to look for free ids
	one  map[uint32]*run
	many []*run // the few runs of more than one xid
	gone []*run // left runs, oldest first
}

// take reserves n consecutive xids without anyone waiting, for messages that have no answer.
func (x *xids) take(n int) uint32 {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.lockedTake(n)
}

// add reserves n consecutive xids whose answers go to s, until drop, leave or its last answer.
func (x *xids) add(n int, s sink) *run {
	x.mu.Lock()
	defer x.mu.Unlock()
	r := &run{first: x.lockedTake(n), n: n, sink: s}
	if n == 1 {
		if x.one == nil {
			x.one = map[uint32]*run{}
		}
		x.one[r.first] = r
	} else {
		x.many = append(x.many, r)
	}
	return r
}

func (x *xids) lockedTake(n int) uint32 {
	first := x.next
	least, most := max(x.least, 1), x.most
	if most == 0 {
		most = math.MaxUint32
	}
	for {
		if first < least || uint64(first)+uint64(n)-1 > uint64(most) {
			first = least
		}
		after, free := x.lockedFree(first, n)
		if free {
			x.next = first + uint32(n)
			return first
		}
		first = after
	}
}

// lockedFree reports whether n xids from first are free, or else where to try next.
func (x *xids) lockedFree(first uint32, n int) (after uint32, free bool) {
	end := uint64(first) + uint64(n)
	for _, r := range x.many {
		if rEnd := uint64(r.first) + uint64(r.n); uint64(r.first) < end && uint64(first) < rEnd {
			return uint32(rEnd), false // 0 when past the last xid
		}
	}
	if n == 1 {
		_, used := x.one[first]
		return first + 1, !used
	}
	for id := range x.one {
		if uint64(first) <= uint64(id) && uint64(id) < end {
			return id + 1, false
		}
	}
	return 0, true
}

// find gives the run that id belongs to, its place there, and whether the run was left; nil when
// nobody ever waited for it.
func (x *xids) find(id uint32) (r *run, index int, left bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if r := x.one[id]; r != nil {
		return r, 0, r.left
	}
	for _, r := range x.many {
		if id >= r.first && uint64(id) < uint64(r.first)+uint64(r.n) {
			return r, int(id - r.first), r.left
		}
	}
	return nil, 0, false
}

// drop forgets a run that got its last answer. It may be called again.
func (x *xids) drop(r *run) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.lockedDrop(r)
	if r.left {
		for i, g := range x.gone {
			if g == r {
				x.gone = append(x.gone[:i], x.gone[i+1:]...)
				break
			}
		}
	}
}

func (x *xids) lockedDrop(r *run) {
	if r.n == 1 {
		if x.one[r.first] == r {
			delete(x.one, r.first)
		}
		return
	}
	for i, m := range x.many {
		if m == r {
			x.many = append(x.many[:i], x.many[i+1:]...)
			return
		}
	}
}

// leave says that nobody waits for r any more; its ids stay reserved until its last answer.
func (x *xids) leave(r *run) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if known := r.n == 1 && x.one[r.first] == r || r.n > 1 && x.lockedHas(r); !known || r.left {
		return
	}
	r.left = true
	x.gone = append(x.gone, r)
	if len(x.gone) > maxLeft {
		x.lockedDrop(x.gone[0])
		x.gone = append(x.gone[:0], x.gone[1:]...)
	}
}

func (x *xids) lockedHas(r *run) bool {
	for _, m := range x.many {
		if m == r {
			return true
		}
	}
	return false
}
