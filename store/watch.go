package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// checkEvery is how often the mirror asks whether etcd is still the one that it mirrors.
const checkEvery = 5 * time.Second

// errOtherHistory says that etcd's past is not the one that the mirror has seen: it was restored
// from a backup or replaced. A watch would wait, silent, for revisions that mean something else.
var errOtherHistory = errors.New("etcd was restored or replaced")

// run lists, then watches, and lists again when the watch cannot be continued without a gap.
func (m *mirror) run(ctx context.Context) {
	for wait := 50 * time.Millisecond; ctx.Err() == nil; {
		cluster, err := m.list(ctx)
		if err == nil {
			wait = 50 * time.Millisecond
			err = m.follow(ctx, cluster)
		}
		if ctx.Err() != nil {
			return
		}
		m.log.Warn("the watch on etcd must start over", "error", err)
		pause(ctx, wait)
		wait = min(2*wait, 2*time.Second)
	}
}

// follow keeps a watch going as long as it can be continued where the one before ended.
func (m *mirror) follow(ctx context.Context, cluster uint64) error {
	for {
		err := m.watch(ctx, cluster)
		if ctx.Err() != nil || errors.Is(err, errOtherHistory) || errors.Is(err, errCompacted) {
			return err
		}
		m.log.Info("the watch on etcd was interrupted", "error", err)
		for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
			if !pause(ctx, wait) {
				return ctx.Err()
			}
			err := m.sameHistory(ctx, cluster)
			if errors.Is(err, errOtherHistory) {
				return err
			}
			if err == nil {
				break
			}
		}
	}
}

var errCompacted = errors.New("what we have not seen yet was compacted away")

// watch applies changes until the watch ends.
func (m *mirror) watch(ctx context.Context, cluster uint64) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var checker sync.WaitGroup
	defer checker.Wait()
	defer cancel(nil)
	checker.Go(func() {
		for pause(ctx, checkEvery) {
			if err := m.sameHistory(ctx, cluster); errors.Is(err, errOtherHistory) {
				cancel(err)
			}
		}
	})
	m.mu.Lock()
	from := m.rev + 1
	m.mu.Unlock()
	// A member that lost its leader would be silent; with this it ends the watch instead.
	changes := m.s.client.Watch(clientv3.WithRequireLeader(ctx), prefix, clientv3.WithPrefix(), clientv3.WithRev(from))
	for r := range changes {
		if r.CompactRevision != 0 {
			return fmt.Errorf("%w (up to revision %d)", errCompacted, r.CompactRevision)
		}
		if err := r.Err(); err != nil {
			return oneLine(err)
		}
		if n := len(r.Events); n > 0 {
			m.apply(r.Events, r.Events[n-1].Kv.ModRevision)
		}
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return errors.New("the watch ended")
}

// sameHistory asks etcd whether the mirror's revision is part of its past.
func (m *mirror) sameHistory(ctx context.Context, cluster uint64) error {
	m.mu.Lock()
	seen := m.rev
	m.mu.Unlock()
	r, err := m.s.read(ctx, clientv3.OpGet(schemaKey, clientv3.WithKeysOnly()))
	if err != nil {
		return err
	}
	if r.Header.ClusterId != cluster || r.Header.Revision < seen {
		return fmt.Errorf("%w: cluster %x revision %d, was %x %d", errOtherHistory,
			r.Header.ClusterId, r.Header.Revision, cluster, seen)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if r.Header.Revision <= m.rev {
		m.heard = time.Now()
	}
	return nil
}
