package store

import (
	"context"
	"errors"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// ErrFenced says that nothing was written, because what the writer's Fence names is not so any more.
var ErrFenced = errors.New("another replica leads now")

// A Fence is a key that must still be the one that was created at a revision, for anything to be written.
type Fence struct {
	Key      string
	Revision int64
	// Lost is called when a write was refused. It may be called several times, and must not wait.
	Lost func()
}

type fenceKey struct{}

// Fenced gives a context in which every write compares the fence, and fails with ErrFenced.
func Fenced(ctx context.Context, f Fence) context.Context {
	return context.WithValue(ctx, fenceKey{}, &f)
}

// fenced adds a context's fence to a transaction. It reads the key last if that fails.
func fenced(ctx context.Context, cmps []clientv3.Cmp, otherwise []clientv3.Op) (*Fence, []clientv3.Cmp, []clientv3.Op) {
	f, _ := ctx.Value(fenceKey{}).(*Fence)
	if f == nil {
		return nil, cmps, otherwise
	}
	return f, append(cmps[:len(cmps):len(cmps)], clientv3.Compare(clientv3.CreateRevision(f.Key), "=", f.Revision)),
		append(otherwise[:len(otherwise):len(otherwise)], clientv3.OpGet(f.Key, clientv3.WithKeysOnly()))
}

// held says whether a transaction failed for another reason than the fence.
func (f *Fence) held(r *clientv3.TxnResponse) error {
	if f == nil || r.Succeeded {
		return nil
	}
	if kv := first(r, len(r.Responses)-1); kv != nil && kv.CreateRevision == f.Revision {
		return nil
	}
	f.Lost()
	return fmt.Errorf("%w: %s is not of revision %d", ErrFenced, f.Key, f.Revision)
}
