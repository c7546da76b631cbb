package northbound

import (
	"context"
	"sync"

	"github.com/flowtap/flowtap/store"
)

// maxQueued bounds a subscriber's queue; a subscriber that falls behind further is told to look at
// the whole collection again, so a slow reader costs bounded memory.
const maxQueued = 4096

// hub keeps the newest version of every object, as the store's one Follow reports them, and tells
// subscribers. Objects in it are shared and must not be changed.
type hub struct {
	mu       sync.Mutex                // guards everything below
	isSynced bool                      // the first batch was applied
	revision int64                     // everything up to it is in objects
	objects  map[string]map[string]any // collection, id: *store.Object
	subs     map[*subscription]struct{}
}

func newHub() *hub {
	return &hub{objects: map[string]map[string]any{}, subs: map[*subscription]struct{}{}}
}

// subscription is one reader of one collection, or of one object when id is not empty. The hub's
// mutex guards queue and lagged.
type subscription struct {
	hub        *hub
	collection string
	id         string
	queue      []change
	lagged     bool
	wake       chan struct{} // holds one token when there is something to take; never closed
}

// change is one object's new version; nil object is gone.
type change struct {
	id     string
	object any
}

// run applies batches until ctx ends.
func (h *hub) run(ctx context.Context, st *store.Store) {
	for b := range st.Follow(ctx) {
		h.apply(b)
	}
}

func (h *hub) apply(b store.Batch) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if b.Reset {
		h.objects = map[string]map[string]any{}
	}
	for _, e := range b.Events {
		name := e.Collection
		objs := h.objects[name]
		if objs == nil {
			objs = map[string]any{}
			h.objects[name] = objs
		}
		if e.Object == nil {
			delete(objs, e.ID)
		} else {
			objs[e.ID] = e.Object
		}
		if !b.Reset {
			h.lockedTell(name, change{e.ID, e.Object})
		}
	}
	h.revision = max(h.revision, b.Revision)
	if b.Reset {
		for s := range h.subs {
			s.lagged, s.queue = true, nil
			s.lockedWake()
		}
	}
	h.isSynced = true
}

func (h *hub) lockedTell(collection string, c change) {
	for s := range h.subs {
		if s.collection != collection || (s.id != "" && s.id != c.id) {
			continue
		}
		if len(s.queue) >= maxQueued {
			s.lagged, s.queue = true, nil
		}
		if !s.lagged {
			s.queue = append(s.queue, c)
		}
		s.lockedWake()
	}
}

func (s *subscription) lockedWake() {
	select {
	case s.wake <- struct{}{}:
	default: // a token is there already
	}
}

// subscribe starts lagged: the first take is the whole collection. Close it when done.
func (h *hub) subscribe(collection, id string) *subscription {
	s := &subscription{hub: h, collection: collection, id: id, lagged: true, wake: make(chan struct{}, 1)}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.subs[s] = struct{}{}
	return s
}

func (s *subscription) close() {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	delete(s.hub.subs, s)
}

// take gives what changed since the last take and the revision up to which that is everything.
// When whole is true, changes are all objects that there are, in no order, instead.
func (s *subscription) take() (changes []change, whole bool, revision int64) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	if !s.lagged {
		changes, s.queue = s.queue, nil
		return changes, false, s.hub.revision
	}
	s.lagged, s.queue = false, nil
	for id, o := range s.hub.objects[s.collection] {
		if s.id == "" || s.id == id {
			changes = append(changes, change{id, o})
		}
	}
	return changes, true, s.hub.revision
}

// known is the revision up to which everything is here.
func (h *hub) known() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.revision
}

// until returns an object's newest version as soon as done says so, which is asked at every new
// version (nil: there is none) and told up to which revision that is known; or when ctx ends.
func (h *hub) until(ctx context.Context, collection, id string, done func(object any, revision int64) bool) any {
	sub := h.subscribe(collection, id)
	defer sub.close()
	for {
		h.mu.Lock()
		object, revision := h.objects[collection][id], h.revision
		h.mu.Unlock()
		if done(object, revision) {
			return object
		}
		select {
		case <-ctx.Done():
			return object
		case <-sub.wake:
			sub.take()
		}
	}
}
