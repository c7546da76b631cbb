package northbound

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/flowtap/flowtap/store"
)

// The types of the events of a watch.
const (
	watchAdded    = "ADDED"    // the object is new, or was there when the watch began
	watchModified = "MODIFIED" // its fields or its status changed
	watchDeleted  = "DELETED"  // it is gone or no longer passes the filter; this is how it last was
	watchSynced   = "SYNCED"   // everything that was there when the watch began has been sent
)

// watchEvent is the data of one event. SYNCED has no object.
type watchEvent struct {
	Type   string          `json:"type"`
	Object json.RawMessage `json:"object,omitempty"`
}

// writeTimeout bounds how long a watcher may take to accept one batch of events.
const writeTimeout = 10 * time.Second

// watch streams a collection as server-sent events (WHATWG HTML §9.2) until the client leaves or
// the server stops. A reader that is too slow for every single change gets the newest versions.
func (res *resource[S, T]) watch(w http.ResponseWriter, r *http.Request, sc *scope, f filters) error {
	s := res.server
	source := sourceOf(r)
	if err := s.takeWatcher(source); err != nil {
		return err
	}
	defer s.releaseWatcher(source)
	if err := res.catchUp(r.Context()); err != nil {
		return err
	}
	sub := s.hub.subscribe(res.name, "")
	defer sub.close()
	logins := s.hub.subscribe(store.CollectionTokens, "")
	defer logins.close()
	if rec, ok := w.(*recorder); ok {
		rec.stream = true
	}
	out := &stream{w: w, rc: http.NewResponseController(w)}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // a proxy must not hold events back
	w.WriteHeader(http.StatusOK)

	view := newView(res, sc, f)
	heartbeat := time.NewTicker(s.deps.Heartbeat)
	defer heartbeat.Stop()
	for first := true; ; first = false {
		// What is in the cache is newer than any revocation that has been acknowledged, or is not sent.
		if logins.take(); !s.stillAllowed(sc) {
			return nil
		}
		changes, whole, rev := sub.take()
		events, err := view.events(changes, whole)
		if err != nil {
			s.deps.Logger.Error("watch ended", "collection", res.name, "err", err)
			return nil // the header is sent
		}
		if first {
			events = append(events, watchEvent{Type: watchSynced})
		}
		if !out.send(events, rev) {
			return nil // the client left
		}
		for waiting := true; waiting; {
			select {
			case <-sub.wake:
				waiting = false
			case <-logins.wake:
				waiting = false
			case <-heartbeat.C:
				if !s.stillAllowed(sc) { // it may have expired
					return nil
				}
				if !out.comment("alive") {
					return nil
				}
			case <-s.stopping:
				return nil
			case <-r.Context().Done():
				return nil
			}
		}
	}
}

// catchUp returns when the cache has everything that the store has now, so that a watch shows what
// its client has just written.
func (res *resource[S, T]) catchUp(ctx context.Context) error {
	ctx, cancel := res.server.waitContext(ctx, res.server.deps.StoreTimeout)
	defer cancel()
	objs, rev, err := res.objects.List(ctx)
	if err != nil {
		return err
	}
	sub := res.server.hub.subscribe(res.name, "")
	defer sub.close()
	for {
		sub.take() // only the cache counts
		if res.hasAll(objs, rev) {
			return nil
		}
		select {
		case <-ctx.Done():
			return unavailable("the server has not read the store yet")
		case <-sub.wake:
		}
	}
}

// hasAll reports whether the cache is not behind a list of the store as of rev.
func (res *resource[S, T]) hasAll(objs []*store.Object[S, T], rev int64) bool {
	h := res.server.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.isSynced || h.revision >= rev {
		return h.isSynced
	}
	listed := make(map[string]bool, len(objs))
	for _, o := range objs {
		listed[o.ID] = true
		now, ok := h.objects[res.name][o.ID].(*store.Object[S, T])
		if !ok || now.Revision < o.Revision {
			return false
		}
	}
	for id, o := range h.objects[res.name] {
		if !listed[id] && o.(*store.Object[S, T]).Revision <= rev {
			return false // deleted, and the cache does not know
		}
	}
	return true
}

// watchers counts open watches, by whom sourceOf gives.
type watchers struct {
	mu  sync.Mutex // guards all
	all int
	by  map[string]int
}

// takeWatcher counts one more watch, unless there are too many.
func (s *Server) takeWatcher(source string) error {
	n := &s.watchers
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.all >= s.deps.MaxWatchers:
		return unavailable("%d watches are open, which is the limit: close one or try again later", n.all)
	case n.by[source] >= s.deps.MaxWatchersPerSource:
		return unavailable("%d watches of yours are open, which is the limit: close one or try again later", n.by[source])
	}
	if n.by == nil {
		n.by = map[string]int{}
	}
	n.all++
	n.by[source]++
	s.metrics.watchers.Inc()
	return nil
}

func (s *Server) releaseWatcher(source string) {
	n := &s.watchers
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all--
	if n.by[source]--; n.by[source] == 0 {
		delete(n.by, source)
	}
	s.metrics.watchers.Dec()
}

// watchView is what one watcher has been sent; it turns versions into events.
type watchView[S, T any] struct {
	res     *resource[S, T]
	scope   *scope
	filters filters
	sent    map[string]*store.Object[S, T]
}

func newView[S, T any](res *resource[S, T], sc *scope, f filters) *watchView[S, T] {
	return &watchView[S, T]{res: res, scope: sc, filters: f, sent: map[string]*store.Object[S, T]{}}
}

func (v *watchView[S, T]) events(changes []change, whole bool) ([]watchEvent, error) {
	if whole {
		there := make(map[string]bool, len(changes))
		for _, c := range changes {
			there[c.id] = true
		}
		for id := range v.sent {
			if !there[id] {
				changes = append(changes, change{id: id})
			}
		}
		slices.SortFunc(changes, func(a, b change) int { return strings.Compare(a.id, b.id) })
	}
	var out []watchEvent
	for _, c := range changes {
		old, was := v.sent[c.id]
		now, is := c.object.(*store.Object[S, T])
		is = is && v.passes(now)
		typ, show := "", now
		switch {
		case is && !was:
			typ = watchAdded
		case is && old != now:
			typ = watchModified
		case was && !is:
			typ, show = watchDeleted, old
		default:
			continue
		}
		if is {
			v.sent[c.id] = now
		} else {
			delete(v.sent, c.id)
		}
		b, err := v.res.render(v.res.projectOf(show), v.res.view(v.scope, show))
		if err != nil {
			return nil, err
		}
		out = append(out, watchEvent{typ, b})
	}
	return out, nil
}

// passes reports whether the watcher may see an object, and wants to.
func (v *watchView[S, T]) passes(o *store.Object[S, T]) bool {
	shown := v.res.listed(v.scope, o, false)
	return shown != nil && v.res.matches(v.filters, shown)
}

// stream writes server-sent events.
type stream struct {
	w  http.ResponseWriter
	rc *http.ResponseController
}

// send writes events, with the store's revision as their id; false: the client is gone.
func (s *stream) send(events []watchEvent, revision int64) bool {
	var b bytes.Buffer
	for _, e := range events {
		fmt.Fprintf(&b, "event: %s\nid: %d\ndata: %s\n\n", e.Type, revision, mustJSON(e))
	}
	return s.write(b.Bytes())
}

// comment writes a line that readers ignore and that shows a dead connection.
func (s *stream) comment(text string) bool { return s.write([]byte(": " + text + "\n\n")) }

func (s *stream) write(b []byte) bool {
	// The error says that there is no connection to set a deadline on, as in a test.
	_ = s.rc.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := s.w.Write(b); err != nil { // #nosec G705 -- JSON in an event stream, which no browser takes for a page
		return false
	}
	return s.rc.Flush() == nil
}
