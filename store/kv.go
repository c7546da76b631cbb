package store

import (
	"context"
	"errors"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// opTimeout bounds one request whose caller gave no earlier deadline.
const opTimeout = 15 * time.Second

// read runs Gets as one linearizable, consistent read.
func (s *Store) read(ctx context.Context, gets ...clientv3.Op) (*clientv3.TxnResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	for wait := 20 * time.Millisecond; ; wait *= 2 {
		if s.done.Err() != nil {
			return nil, ErrClosed
		}
		r, err := s.client.Txn(ctx).Then(gets...).Commit()
		if err == nil {
			s.trouble.since.Store(false)
			return r, nil
		}
		// A read may always be repeated.
		if !interrupted(err) || !pause(ctx, min(wait, time.Second)) {
			return nil, readError(err)
		}
	}
}

// interrupted says that the server or the way to it is away, or went away while it worked.
func interrupted(err error) bool {
	return errors.Is(err, rpctypes.ErrNoLeader) || errors.Is(err, rpctypes.ErrTooManyRequests) ||
		errors.Is(err, rpctypes.ErrTimeout) || errors.Is(err, rpctypes.ErrTimeoutDueToLeaderFail) ||
		errors.Is(err, rpctypes.ErrTimeoutDueToConnectionLost) || errors.Is(err, rpctypes.ErrStopped) ||
		isUnavailable(err)
}

// transact runs one transaction, whatever the store's layout. It repeats it only where the error proves that it was never
// proposed; see writeError for the errors.
func (s *Store) transact(ctx context.Context, cmps []clientv3.Cmp, then, otherwise []clientv3.Op) (*clientv3.TxnResponse, error) {
	fence, cmps, otherwise := fenced(ctx, cmps, otherwise)
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	for wait := 20 * time.Millisecond; ; wait *= 2 {
		if s.done.Err() != nil {
			return nil, ErrClosed
		}
		if err := ctx.Err(); err != nil {
			return nil, readError(err) // nothing was sent yet
		}
		ctx, sent := watchSending(ctx)
		if s.member != nil {
			sent.Store(true) // there is nothing between us and etcd
		}
		r, err := s.client.Txn(ctx).If(cmps...).Then(then...).Else(otherwise...).Commit()
		if err == nil {
			return r, fence.held(r)
		}
		err, again := writeError(err, sent.Load())
		if !again || wait > time.Second || !pause(ctx, wait) {
			return nil, err
		}
	}
}

// pause waits and reports whether there is still reason to go on.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// pageSize is the number of keys in one request of scan.
const pageSize = 5000

// scan reads every key under a prefix, as of revision rev or, if rev is 0, as of now. It gives the
// revision that it read.
func (s *Store) scan(ctx context.Context, prefix string, rev int64) ([]*mvccpb.KeyValue, int64, error) {
	var all []*mvccpb.KeyValue
	from, end := prefix, clientv3.GetPrefixRangeEnd(prefix)
	for {
		opts := []clientv3.OpOption{clientv3.WithRange(end), clientv3.WithLimit(pageSize)}
		if rev != 0 {
			opts = append(opts, clientv3.WithRev(rev))
		}
		r, err := s.read(ctx, clientv3.OpGet(from, opts...))
		if err != nil {
			return nil, 0, err
		}
		if rev == 0 {
			rev = r.Header.Revision
		}
		page := r.Responses[0].GetResponseRange()
		all = append(all, page.Kvs...)
		if !page.More || len(page.Kvs) == 0 {
			return all, rev, nil
		}
		from = string(page.Kvs[len(page.Kvs)-1].Key) + "\x00"
	}
}
