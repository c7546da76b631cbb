package controller

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/store"
	"github.com/flowtap/flowtap/topology"
)

// statusWriter writes what was observed into the store, the latest of each object only, several
// at once. What cannot be written is tried again until something newer takes its place.
type statusWriter struct {
	store  *store.Store
	log    *slog.Logger
	putTap func(context.Context, string, flowtap.TapStatus) error

	mu      sync.Mutex // guards the fields below
	taps    map[string]flowtap.TapStatus
	nodes   map[string]topology.NodeStatus
	nets    map[string]topology.NetworkStatus
	pools   map[string]topology.PoolStatus
	ports   map[string]topology.PortStatus // whose state is to be written, if they are still so
	busy    map[string]bool                // "collection/id" being written: one writer an object
	flying  int
	idle    *sync.Cond
	waiting chan struct{} // holds one signal at most: there is something to write
}

const statusWriters = 16

func newStatusWriter(s *store.Store, log *slog.Logger) *statusWriter {
	w := &statusWriter{store: s, log: log, taps: map[string]flowtap.TapStatus{}, nodes: map[string]topology.NodeStatus{},
		nets: map[string]topology.NetworkStatus{}, pools: map[string]topology.PoolStatus{}, ports: map[string]topology.PortStatus{}, busy: map[string]bool{}, waiting: make(chan struct{}, statusWriters)}
	w.idle = sync.NewCond(&w.mu)
	w.putTap = func(ctx context.Context, id string, st flowtap.TapStatus) error {
		return s.Taps().PutStatus(ctx, id, st)
	}
	return w
}

func (w *statusWriter) tap(id string, st flowtap.TapStatus)          { put(w, w.taps, id, st) }
func (w *statusWriter) node(id string, st topology.NodeStatus)       { put(w, w.nodes, id, st) }
func (w *statusWriter) network(id string, st topology.NetworkStatus) { put(w, w.nets, id, st) }
func (w *statusWriter) pool(id string, st topology.PoolStatus)       { put(w, w.pools, id, st) }

// port makes a port's state follow from its attachments, if it still has those.
func (w *statusWriter) port(id string, st topology.PortStatus) { put(w, w.ports, id, st) }

func (w *statusWriter) carried(ctx context.Context, id string, st topology.PortStatus) error {
	return w.store.Ports().UpdateStatus(ctx, id, func(now topology.PortStatus) (topology.PortStatus, bool) {
		state := topology.Carried(now)
		if !topology.SameAttachments(now, st) || now.State == state {
			return now, false
		}
		now.State = state
		return now, true
	})
}

// observed stores a node's status but for its load, which is measured by others.
func (w *statusWriter) observed(ctx context.Context, id string, st topology.NodeStatus) error {
	return w.store.Nodes().UpdateStatus(ctx, id, func(now topology.NodeStatus) (topology.NodeStatus, bool) {
		st.Load = now.Load
		return st, true
	})
}

func put[T any](w *statusWriter, m map[string]T, id string, st T) {
	w.mu.Lock()
	m[id] = st
	w.mu.Unlock()
	w.signal()
}

func (w *statusWriter) signal() {
	select {
	case w.waiting <- struct{}{}:
	default:
	}
}

// flush waits until everything given so far has been written, or ctx ends.
func (w *statusWriter) flush(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() {
		w.mu.Lock() // so that it does not fall between the condition and the wait
		defer w.mu.Unlock()
		w.idle.Broadcast()
	})
	defer stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.taps)+len(w.nodes)+len(w.nets)+len(w.pools)+len(w.ports)+w.flying > 0 && ctx.Err() == nil {
		w.idle.Wait()
	}
}

func (w *statusWriter) run(ctx context.Context) {
	var wg sync.WaitGroup
	for range statusWriters {
		wg.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case <-w.waiting:
				}
				for w.one(ctx) && ctx.Err() == nil {
					w.signal() // there may be more for the others
				}
			}
		})
	}
	wg.Wait()
	w.idle.Broadcast()
}

// one writes one status; false when there is none.
func (w *statusWriter) one(ctx context.Context) bool {
	return write(ctx, w, "ports", w.ports, w.carried) ||
		write(ctx, w, "taps", w.taps, w.putTap) ||
		write(ctx, w, "nodes", w.nodes, w.observed) ||
		write(ctx, w, "pools", w.pools, w.store.Pools().PutStatus) ||
		write(ctx, w, "networks", w.nets, w.store.Networks().PutStatus)
}

func write[T any](ctx context.Context, w *statusWriter, collection string, m map[string]T, put func(context.Context, string, T) error) bool {
	w.mu.Lock()
	var id string
	var st T
	for k, v := range m {
		if !w.busy[collection+"/"+k] {
			id, st = k, v
			break
		}
	}
	if id == "" {
		w.mu.Unlock()
		return false
	}
	key := collection + "/" + id
	delete(m, id)
	w.busy[key] = true
	w.flying++
	w.mu.Unlock()

	err := put(ctx, id, st)

	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.busy, key)
	w.flying--
	w.idle.Broadcast()
	if err == nil || errors.Is(err, store.ErrNotFound) {
		return true
	}
	if ctx.Err() == nil {
		w.log.Error("cannot store a status; will try again", "object", key, "error", err)
		if _, newer := m[id]; !newer {
			m[id] = st
		}
		time.AfterFunc(time.Second, w.signal)
	}
	return false
}
