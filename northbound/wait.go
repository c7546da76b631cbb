package northbound

import (
	"context"
	"strings"
	"time"

	"github.com/flowtap/flowtap/store"
)

// await holds until the object's revision is carried out, at most wait, and gives the object with
// the newest status. It has no errors: the object is written, and its status tells.
func (res *resource[S, T]) await(ctx context.Context, obj *store.Object[S, T], wait time.Duration) *store.Object[S, T] {
	if wait == 0 {
		return obj
	}
	limited, cancel := res.server.waitContext(ctx, wait)
	defer cancel()
	var newest *store.Object[S, T]
	if res.done == nil {
		res.server.settled(limited, obj.Revision)
		read, cancel := context.WithTimeout(ctx, res.server.deps.StoreTimeout)
		defer cancel()
		newest, _ = res.objects.Get(read, obj.ID) // without it obj will do
	} else {
		var known int64
		newest, _ = res.server.hub.until(limited, res.name, obj.ID, func(o any, rev int64) bool {
			known = rev
			now, ok := o.(*store.Object[S, T])
			if !ok {
				return rev >= obj.Revision // deleted meanwhile
			}
			return now.Revision > obj.Revision || now.Revision == obj.Revision && res.done(now)
		}).(*store.Object[S, T])
		if res.indirect && limited.Err() == nil { // what follows from it was made before its status
			res.server.settled(limited, known)
		}
	}
	if newest == nil || newest.Revision != obj.Revision {
		return obj // deleted or replaced meanwhile
	}
	return newest
}

// awaitGone holds until the controller has carried out the removal of an object, at most wait.
func (res *resource[S, T]) awaitGone(ctx context.Context, was *store.Object[S, T], wait time.Duration) {
	if wait == 0 {
		return
	}
	ctx, cancel := res.server.waitContext(ctx, wait)
	defer cancel()
	var gone int64
	res.server.hub.until(ctx, res.name, was.ID, func(o any, rev int64) bool {
		gone = rev
		now, ok := o.(*store.Object[S, T])
		if ok {
			return now.Revision > was.Revision // made again meanwhile
		}
		return rev >= was.Revision
	})
	if ctx.Err() == nil && res.gone != nil {
		res.gone(ctx, was.ID)
		gone = res.server.hub.known()
	}
	if ctx.Err() == nil {
		res.server.settled(ctx, gone)
	}
}

// settled holds until the controller has carried out a revision or ctx ends.
func (s *Server) settled(ctx context.Context, revision int64) {
	if s.deps.Settled == nil || s.deps.Settled(ctx, revision) != nil {
		<-ctx.Done()
	}
}

// waitContext ends after wait, with the request, or when the server stops.
func (s *Server) waitContext(ctx context.Context, wait time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	go func() { // ends with ctx, which the caller cancels
		select {
		case <-s.stopping:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// finalReason is the default of Deps.Final.
func finalReason(reason string) bool {
	return reason != "" && !strings.HasPrefix(reason, "applying")
}
