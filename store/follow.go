package store

import (
	"cmp"
	"context"
	"slices"
)

// Batch is a change of the store from one revision to another.
type Batch struct {
	// Revision is the store's after the batch.
	Revision int64
	// Reset says that Events is everything that exists: what the reader has besides is gone.
	Reset  bool
	Events []Event
}

// Event is one changed object.
type Event struct {
	Collection, ID string
	// StatusOnly says that what the user wants is as it was.
	StatusOnly bool
	// Object is a *Project, *Token, *Node, *Network, *Port, *Pool, *Policy or *Tap with its latest status, the uint32 of
	// CollectionLabels, or the Plan of CollectionPlans. nil: deleted.
	Object any
}

// followBuffer is how many events wait for a slow reader. One that falls further behind gets a
// Reset batch in their place.
const followBuffer = 1 << 16

// Follow gives everything as a Reset batch and then every change, in the order of revisions; what
// piled up while the reader was busy comes as one batch. When changes may have been missed (etcd
// compacted them, was restored from a backup, or the reader was too slow) there is a Reset batch
// again. While etcd cannot be reached nothing comes.
//
// The channel is unbuffered and is closed when ctx or the store ends. A slow reader holds up nobody.
func (s *Store) Follow(ctx context.Context) <-chan Batch {
	out := make(chan Batch)
	f := &follower{wake: make(chan struct{}, 1), reset: true}
	ok := s.start(func(done context.Context) {
		defer close(out)
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(done, cancel)()
		s.mirror.serve(ctx, f, out)
	})
	if !ok {
		close(out)
	}
	return out
}

// follower is what the mirror keeps for one reader. The mirror's mutex guards it.
type follower struct {
	pending []Event
	rev     int64
	reset   bool          // pending counts for nothing: send everything
	wake    chan struct{} // holds one; full means that the reader will look anyway
}

func (f *follower) lockedAdd(events []Event, rev int64) {
	f.rev = rev
	if f.reset || len(events) == 0 {
		return
	}
	if len(f.pending)+len(events) > followBuffer {
		f.lockedReset()
		return
	}
	f.pending = append(f.pending, events...)
	f.lockedWake()
}

func (f *follower) lockedReset() {
	f.pending, f.reset = nil, true
	f.lockedWake()
}

func (f *follower) lockedWake() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// serve hands batches to one reader until ctx ends.
func (m *mirror) serve(ctx context.Context, f *follower, out chan<- Batch) {
	m.mu.Lock()
	m.followers[f] = struct{}{}
	f.lockedWake()
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		delete(m.followers, f)
		m.mu.Unlock()
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.wake:
		}
		b, ok := m.take(f)
		if !ok {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case out <- b:
		}
	}
}

// take gives what waits for a follower, if anything does.
func (m *mirror) take(f *follower) (Batch, bool) {
	m.mu.Lock()
	if m.rev == 0 || !f.reset && len(f.pending) == 0 {
		m.mu.Unlock()
		return Batch{}, false
	}
	b := Batch{Revision: f.rev, Events: f.pending}
	if f.reset {
		b = Batch{Revision: m.rev, Reset: true, Events: m.lockedEverything()}
	}
	f.pending, f.reset = nil, false
	m.mu.Unlock()
	if b.Reset {
		slices.SortFunc(b.Events, func(x, y Event) int {
			return cmp.Or(cmp.Compare(rank[x.Collection], rank[y.Collection]), cmp.Compare(x.ID, y.ID))
		})
	}
	return b, true
}

var rank = map[string]int{
	CollectionProjects: -2, CollectionTokens: -1,
	CollectionNodes: 0, CollectionNetworks: 1, CollectionPorts: 2, CollectionPools: 3, CollectionPolicies: 4, CollectionPlans: 5, CollectionTaps: 6, CollectionLabels: 7,
}

func (m *mirror) lockedEverything() []Event {
	all := []Event{}
	for name, t := range m.tables {
		t.each(func(id string, o any) { all = append(all, Event{Collection: name, ID: id, Object: o}) })
	}
	for key, p := range m.plans {
		all = append(all, Event{Collection: CollectionPlans, ID: key, Object: p})
	}
	for key, n := range m.labels {
		all = append(all, Event{Collection: CollectionLabels, ID: key, Object: n})
	}
	return all
}
