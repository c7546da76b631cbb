package store

import (
	"context"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// PutStatus replaces what was observed of an object. It writes nothing if that is what is stored
// already. ErrNotFound if there is no such object (any more). Writing a status is idempotent, so
// after ErrOutcomeUnknown the caller may repeat it.
func (c *Collection[S, T]) PutStatus(ctx context.Context, id string, status T) error {
	return c.status("put status of", ctx, id, false, func(T) (T, bool) { return status, true })
}

// UpdateStatus changes what was observed of an object: f gets what is stored (the zero value if
// there is nothing) and gives what it should be, or false to leave it. f may be called several
// times, when others write at the same time.
func (c *Collection[S, T]) UpdateStatus(ctx context.Context, id string, f func(T) (T, bool)) error {
	return c.status("update status of", ctx, id, true, f)
}

func (c *Collection[S, T]) status(op string, ctx context.Context, id string, swap bool, f func(T) (T, bool)) error {
	if err := checkID(id); err != nil {
		return c.fail(op, id, err)
	}
	for {
		o, rev, err := c.get(ctx, id)
		if err != nil {
			return c.fail(op, id, err)
		}
		status, ok := f(o.Status)
		if !ok || rev != 0 && same(status, o.Status) {
			return nil
		}
		value, err := encodeStatus(status)
		if err != nil {
			return c.fail(op, id, err)
		}
		cmps := []clientv3.Cmp{clientv3.Compare(clientv3.Version(objectKey(c.name, id)), ">", 0)}
		if swap {
			cmps = append(cmps, clientv3.Compare(clientv3.ModRevision(statusKey(c.name, id)), "=", rev))
		}
		r, err := c.s.commit(ctx, cmps, []clientv3.Op{clientv3.OpPut(statusKey(c.name, id), value)}, nil)
		if err != nil {
			return c.fail(op, id, err)
		}
		if r.Succeeded {
			return nil
		}
	}
}
