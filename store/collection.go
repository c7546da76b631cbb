package store

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// fail wraps an error once with the operation and the object.
func (c *Collection[S, T]) fail(op, id string, err error) error {
	return fmt.Errorf("%s %s %s: %w", op, singular(c.name), id, err)
}

// Get reads one object as it is now (linearizable). ErrNotFound, ErrUnavailable.
func (c *Collection[S, T]) Get(ctx context.Context, id string) (*Object[S, T], error) {
	if err := checkID(id); err != nil {
		return nil, c.fail("get", id, err)
	}
	o, err := staleRead(ctx, c.s, func(ctx context.Context) (*Object[S, T], error) {
		o, _, err := c.get(ctx, id)
		return o, err
	}, func() (*Object[S, T], error) { return c.copied(id) })
	if err != nil {
		return nil, c.fail("get", id, err)
	}
	return o, nil
}

// get also gives the revision of the status key, 0 if there is none.
func (c *Collection[S, T]) get(ctx context.Context, id string) (*Object[S, T], int64, error) {
	r, err := c.s.read(ctx, clientv3.OpGet(objectKey(c.name, id)), clientv3.OpGet(statusKey(c.name, id)))
	if err != nil {
		return nil, 0, err
	}
	return c.decode(id, first(r, 0), first(r, 1))
}

// first is the key that the i-th operation of a transaction read, nil if it found none.
func first(r *clientv3.TxnResponse, i int) *mvccpb.KeyValue {
	if kvs := r.Responses[i].GetResponseRange().Kvs; len(kvs) > 0 {
		return kvs[0]
	}
	return nil
}

func (c *Collection[S, T]) decode(id string, object, status *mvccpb.KeyValue) (*Object[S, T], int64, error) {
	if object == nil {
		return nil, 0, ErrNotFound
	}
	o, err := decodeObject[S, T](id, object)
	if err != nil || status == nil {
		return o, 0, err
	}
	o.Status, err = decodeStatus[T](status)
	return o, status.ModRevision, err
}

// List reads all objects as of one revision, which it gives, sorted by id. It is linearizable: it has
// every write that was acknowledged before List was called, by whichever process.
func (c *Collection[S, T]) List(ctx context.Context) ([]*Object[S, T], int64, error) {
	l, err := staleRead(ctx, c.s, c.list, func() (listed[S, T], error) {
		all, rev, ok := c.mirrored()
		if !ok {
			return listed[S, T]{}, fmt.Errorf("list %s: %w: some could not be read", c.name, ErrUnavailable)
		}
		return listed[S, T]{all, rev}, nil
	})
	return l.all, l.rev, err
}

// listed is a list as of a revision.
type listed[S, T any] struct {
	all []*Object[S, T]
	rev int64
}

func (c *Collection[S, T]) list(ctx context.Context) (none listed[S, T], err error) {
	r, err := c.s.read(ctx, clientv3.OpGet(schemaKey, clientv3.WithKeysOnly()))
	if err != nil {
		return none, fmt.Errorf("list %s: %w", c.name, err)
	}
	// The mirror, once it has what etcd has now, saves reading and decoding everything.
	if c.s.mirror.catchUp(ctx, r.Header) {
		if all, rev, ok := c.mirrored(); ok {
			return listed[S, T]{all, rev}, nil
		}
	}
	all, rev, err := c.stored(ctx)
	if err != nil {
		return none, fmt.Errorf("list %s: %w", c.name, err)
	}
	return listed[S, T]{all, rev}, nil
}

// Each calls f for every object until f gives false, in no order, with objects that are as new as
// List's. f is called under a lock that every change waits for: it must be quick and not use the
// store.
func (c *Collection[S, T]) Each(ctx context.Context, f func(*Object[S, T]) bool) error {
	current, err := staleRead(ctx, c.s, func(ctx context.Context) (bool, error) {
		r, err := c.s.read(ctx, clientv3.OpGet(schemaKey, clientv3.WithKeysOnly()))
		return err == nil && c.s.mirror.catchUp(ctx, r.Header), err
	}, func() (bool, error) { return true, nil })
	if err != nil {
		return fmt.Errorf("list %s: %w", c.name, err)
	}
	if m := c.s.mirror; current {
		m.mu.Lock()
		defer m.mu.Unlock()
		if len(c.table.unreadable) == 0 {
			for _, o := range c.table.objects {
				if !f(o) {
					break
				}
			}
			return nil
		}
	}
	all, _, err := c.stored(ctx)
	if err != nil {
		return fmt.Errorf("list %s: %w", c.name, err)
	}
	for _, o := range all {
		if !f(o) {
			break
		}
	}
	return nil
}

// mirrored is the list as the mirror has it. It has none if it left out what it could not read, for
// stored to say what that is.
func (c *Collection[S, T]) mirrored() ([]*Object[S, T], int64, bool) {
	m := c.s.mirror
	m.mu.Lock()
	all, rev, ok := slices.Collect(maps.Values(c.table.objects)), m.rev, len(c.table.unreadable) == 0
	m.mu.Unlock()
	slices.SortFunc(all, func(a, b *Object[S, T]) int { return cmp.Compare(a.ID, b.ID) })
	return all, rev, ok
}

// stored is the list as etcd has it.
func (c *Collection[S, T]) stored(ctx context.Context) ([]*Object[S, T], int64, error) {
	objects, rev, err := c.s.scan(ctx, objectsPrefix+c.name+"/", 0)
	if err != nil {
		return nil, 0, err
	}
	kvs, _, err := c.s.scan(ctx, statusPrefix+c.name+"/", rev)
	if err != nil {
		return nil, 0, err
	}
	statuses := make(map[string]*mvccpb.KeyValue, len(kvs))
	for _, kv := range kvs {
		_, id, _ := splitKey(string(kv.Key), statusPrefix)
		statuses[id] = kv
	}
	all := make([]*Object[S, T], 0, len(objects))
	for _, kv := range objects {
		_, id, _ := splitKey(string(kv.Key), objectsPrefix)
		o, _, err := c.decode(id, kv, statuses[id])
		if err != nil {
			return nil, 0, err
		}
		all = append(all, o)
	}
	return all, rev, nil
}
