package store

import (
	"context"
	"sync/atomic"

	"google.golang.org/grpc/stats"
)

// sending tells, for one request, whether any of it has left for the server. The error alone does
// not: a request that waited for a connection until its deadline fails like one that was not answered.
type sending struct{}

type sentKey struct{}

// watchSending gives a context for one request, and what becomes true when it is sent.
func watchSending(ctx context.Context) (context.Context, *atomic.Bool) {
	sent := new(atomic.Bool)
	return context.WithValue(ctx, sentKey{}, sent), sent
}

// HandleRPC implements stats.Handler.
func (sending) HandleRPC(ctx context.Context, s stats.RPCStats) {
	if _, ok := s.(*stats.OutHeader); ok {
		if sent, ok := ctx.Value(sentKey{}).(*atomic.Bool); ok {
			sent.Store(true)
		}
	}
}

// TagRPC implements stats.Handler.
func (sending) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

// TagConn implements stats.Handler.
func (sending) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn implements stats.Handler.
func (sending) HandleConn(context.Context, stats.ConnStats) {}
