package store

import (
	"context"
	"errors"
	"slices"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/flowtap/flowtap/access"
)

// Create makes an object. An object with the same id and the same spec is given back with created
// false; with another spec it is an *ExistsError. Also *QuotaError, ErrChanged, *ReferenceError, *UniqueError, the error of
// the sibling check, ErrUnavailable, ErrOutcomeUnknown.
func (c *Collection[S, T]) Create(ctx context.Context, id string, spec S, opts ...WriteOption) (*Object[S, T], bool, error) {
	if err := checkID(id); err != nil {
		return nil, false, c.fail("create", id, err)
	}
	num, err := c.s.numbers.take(ctx, c.name)
	if err != nil {
		return nil, false, c.fail("create", id, err)
	}
	o, created, err := c.create(ctx, id, num, spec, options(opts))
	if !created && !errors.Is(err, ErrOutcomeUnknown) {
		c.s.numbers.giveBack(c.name, num)
	}
	if err != nil {
		return nil, false, c.fail("create", id, err)
	}
	return o, created, nil
}

func (c *Collection[S, T]) create(ctx context.Context, id string, num uint32, spec S, opt writeOptions) (*Object[S, T], bool, error) {
	l := c.links(id, &spec)
	g := newGuard(c.s, l.src, &spec, opt)
	q, done, err := c.s.quota(ctx, c.name, l.project)
	if err != nil {
		return nil, false, err
	}
	defer done()
	for {
		err := q.check(ctx)
		if err == nil {
			err = g.check(ctx, id)
		}
		var full *QuotaError
		if errors.Is(err, errCheck) || errors.As(err, &full) {
			// The same object again is not held against its siblings, nor counted twice.
			if o, same, known := c.again(ctx, id, spec); known {
				return o, false, same
			}
			if full == nil {
				err = g.refused
			}
		}
		if err != nil {
			return nil, false, err
		}
		now := time.Now().UTC().Truncate(time.Millisecond)
		m := Meta{ID: id, Num: num, CreatedAt: now, UpdatedAt: now}
		value, err := encodeObject(m, spec)
		if err != nil {
			return nil, false, err
		}
		w := newWrite(c.name, id)
		w.require(clientv3.Compare(clientv3.Version(w.key), "=", 0))
		w.tie(l, links{})
		w.guard(g, l.src)
		w.depend(opt.unchanged)
		w.cmps = append(w.cmps, q.cmps...)
		w.then = append(w.then, clientv3.OpPut(w.key, value))
		if err := w.audit(opt, access.Create, l.project, nil, spec); err != nil {
			return nil, false, err
		}
		r, err := c.s.commit(ctx, w.cmps, w.then, w.otherwise())
		if err != nil {
			return nil, false, err
		}
		if r.Succeeded {
			g.written(r.Header.Revision)
			m.Revision = r.Header.Revision
			return &Object[S, T]{Meta: m, Spec: spec}, true, nil
		}
		if first(r, 0) != nil {
			return c.existing(id, spec, r)
		}
		if err := w.why(r); err != nil {
			return nil, false, err
		}
		g.failed(w.siblings(r))
	}
}

// existing answers a Create of an object that is there.
func (c *Collection[S, T]) existing(id string, spec S, r *clientv3.TxnResponse) (*Object[S, T], bool, error) {
	o, _, err := c.decode(id, first(r, 0), first(r, 1))
	if err != nil {
		return nil, false, err
	}
	if !same(o.Spec, spec) {
		return nil, false, &ExistsError{c.name, id}
	}
	return o, false, nil
}

// again is existing for a Create that its sibling check refused.
func (c *Collection[S, T]) again(ctx context.Context, id string, spec S) (o *Object[S, T], err error, known bool) {
	r, err := c.s.read(ctx, clientv3.OpGet(objectKey(c.name, id)), clientv3.OpGet(statusKey(c.name, id)))
	if err != nil {
		return nil, err, true
	}
	if first(r, 0) == nil {
		return nil, nil, false
	}
	o, _, err = c.existing(id, spec, r)
	return o, err, true
}

// Replace changes what the user wants. ifRevision guards it: *RevisionError when the object has
// another; 0 replaces whatever is there. A spec equal to the stored one writes nothing. Also
// ErrNotFound, *ReferenceError, *UniqueError, the error of the sibling check or of WithUsers,
// ErrChanged, ErrUnavailable, ErrOutcomeUnknown.
func (c *Collection[S, T]) Replace(ctx context.Context, id string, spec S, ifRevision int64, opts ...WriteOption) (*Object[S, T], error) {
	if err := checkID(id); err != nil {
		return nil, c.fail("replace", id, err)
	}
	o, err := c.replace(ctx, id, spec, ifRevision, options(opts))
	if err != nil {
		return nil, c.fail("replace", id, err)
	}
	return o, nil
}

func (c *Collection[S, T]) replace(ctx context.Context, id string, spec S, ifRevision int64, opt writeOptions) (*Object[S, T], error) {
	l := c.links(id, &spec)
	g := newGuard(c.s, l.src, &spec, opt)
	for {
		was, _, err := c.get(ctx, id)
		if err != nil {
			return nil, err
		}
		if ifRevision != 0 && was.Revision != ifRevision {
			return nil, &RevisionError{Want: ifRevision, Have: was.Revision}
		}
		if same(was.Spec, spec) {
			return was, nil
		}
		if err := g.check(ctx, id); err != nil {
			if errors.Is(err, errCheck) {
				err = g.refused
			}
			return nil, err
		}
		users, err := c.s.users(ctx, opt, c.name, id)
		if err != nil {
			return nil, err
		}
		is := &Object[S, T]{Meta: was.Meta, Spec: spec, Status: was.Status}
		is.UpdatedAt = time.Now().UTC().Truncate(time.Millisecond)
		value, err := encodeObject(is.Meta, spec)
		if err != nil {
			return nil, err
		}
		before := c.links(id, &was.Spec)
		w := newWrite(c.name, id)
		w.require(clientv3.Compare(clientv3.ModRevision(w.key), "=", was.Revision))
		w.tie(l, before)
		w.guard(g, l.src, before.src)
		w.depend(opt.unchanged)
		w.cmps = append(w.cmps, users...)
		w.then = append(w.then, clientv3.OpPut(w.key, value))
		if err := w.audit(opt, access.Replace, l.project, was.Spec, spec); err != nil {
			return nil, err
		}
		r, err := c.s.commit(ctx, w.cmps, within(w.then), w.otherwise())
		if err != nil {
			return nil, err
		}
		if r.Succeeded {
			g.written(r.Header.Revision)
			is.Revision = r.Header.Revision
			return is, nil
		}
		// If it was the object that changed, look again and judge that.
		if kv := first(r, 0); kv != nil && kv.ModRevision == was.Revision {
			if err := w.why(r); err != nil {
				return nil, err
			}
			g.failed(w.siblings(r))
		}
	}
}

// Delete removes an object with its status. ifRevision is as for Replace. ErrNotFound,
// *RevisionError, *InUseError, ErrUnavailable, ErrOutcomeUnknown.
func (c *Collection[S, T]) Delete(ctx context.Context, id string, ifRevision int64, opts ...WriteOption) error {
	if err := checkID(id); err != nil {
		return c.fail("delete", id, err)
	}
	if err := c.delete(ctx, id, ifRevision, options(opts)); err != nil {
		return c.fail("delete", id, err)
	}
	return nil
}

func (c *Collection[S, T]) delete(ctx context.Context, id string, ifRevision int64, opt writeOptions) error {
	for {
		was, _, err := c.get(ctx, id)
		if err != nil {
			return err
		}
		if ifRevision != 0 && was.Revision != ifRevision {
			return &RevisionError{Want: ifRevision, Have: was.Revision}
		}
		l := c.links(id, &was.Spec)
		users := refsOf(c.name, id)
		w := newWrite(c.name, id)
		w.require(clientv3.Compare(clientv3.ModRevision(w.key), "=", was.Revision))
		// A compare over a range holds for each key in it: only no key at all was created at 0.
		w.require(clientv3.Compare(clientv3.CreateRevision(users), "=", 0).WithPrefix())
		w.tie(links{}, l)
		w.guard(guard{s: c.s}, l.src)
		w.then = append(w.then, clientv3.OpDelete(w.key), clientv3.OpDelete(statusKey(c.name, id)))
		for _, key := range l.dies {
			w.then = append(w.then, clientv3.OpDelete(key))
		}
		if err := w.audit(opt, access.Delete, l.project, was.Spec, nil); err != nil {
			return err
		}
		const most = 100
		r, err := c.s.commit(ctx, w.cmps, w.then, []clientv3.Op{
			clientv3.OpGet(w.key, clientv3.WithKeysOnly()),
			clientv3.OpGet(users, clientv3.WithPrefix(), clientv3.WithKeysOnly(), clientv3.WithLimit(most)),
		})
		if err != nil {
			return err
		}
		if r.Succeeded {
			if l.src != "" {
				c.s.mirror.wrote(r.Header.Revision)
			}
			return nil
		}
		if kv := first(r, 0); kv == nil || kv.ModRevision != was.Revision {
			continue // it changed: look again
		}
		inUse := &InUseError{Collection: c.name, ID: id}
		for _, kv := range r.Responses[1].GetResponseRange().Kvs {
			_, user, _ := splitKey(string(kv.Key), users)
			inUse.Users = append(inUse.Users, user)
		}
		slices.Sort(inUse.Users)
		inUse.Users = slices.Compact(inUse.Users)
		return inUse
	}
}
