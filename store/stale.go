package store

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// staleAfter is how long a read that may be stale waits for etcd.
	staleAfter = time.Second
	// staleAgain is how long it waits while etcd has not answered anybody since the last stale one.
	staleAgain = 100 * time.Millisecond
)

// Staleness says how old what was read with a context of AllowStale may be. Its methods may be called
// concurrently.
type Staleness struct {
	mu       sync.Mutex // guards all below
	stale    bool
	heard    time.Time
	revision int64
}

type staleKey struct{}

// AllowStale gives a context with which Get, List and Each answer from the copy in memory where etcd does
// not answer in about a second, and what tells of it. Once one read was stale the others are too, so
// that what is read with one context is of one age. Writes are as they always are.
func AllowStale(ctx context.Context) (context.Context, *Staleness) {
	st := &Staleness{}
	return context.WithValue(ctx, staleKey{}, st), st
}

// Stale reports whether anything read was stale; then age is how long ago the copy was complete for
// certain, and revision that of the store at that time.
func (st *Staleness) Stale() (age time.Duration, revision int64, stale bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	return time.Since(st.heard), st.revision, st.stale
}

// trouble remembers that etcd did not answer.
type trouble struct{ since atomic.Bool }

// staleRead reads from etcd or, where ctx allows it and etcd does not answer, from the mirror.
func staleRead[V any](ctx context.Context, s *Store, read func(context.Context) (V, error), copied func() (V, error)) (V, error) {
	st, ok := ctx.Value(staleKey{}).(*Staleness)
	if !ok {
		return read(ctx)
	}
	if _, _, stale := st.Stale(); !stale {
		wait := staleAfter
		if s.trouble.since.Load() {
			wait = staleAgain
		}
		short, cancel := context.WithTimeout(ctx, wait)
		v, err := read(short)
		cancel()
		if err == nil || !errors.Is(err, ErrUnavailable) || ctx.Err() != nil {
			return v, err
		}
		rev, heard, listed := s.mirror.age()
		if !listed {
			return v, err
		}
		s.trouble.since.Store(true)
		st.mu.Lock()
		st.stale, st.heard, st.revision = true, heard, rev
		st.mu.Unlock()
	}
	return copied()
}

// age gives the copy's revision, and when it was known to be complete; false before the first list.
func (m *mirror) age() (rev int64, heard time.Time, listed bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rev, m.heard, m.rev != 0
}

// copied gives one object as the mirror has it.
func (c *Collection[S, T]) copied(id string) (*Object[S, T], error) {
	m := c.s.mirror
	m.mu.Lock()
	defer m.mu.Unlock()
	if o := c.table.objects[id]; o != nil {
		return o, nil
	}
	return nil, ErrNotFound
}
