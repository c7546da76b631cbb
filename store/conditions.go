package store

import (
	"context"
	"errors"
	"slices"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// ErrChanged says that an object that a write looked at before (Unchanged) is another by now: look again.
var ErrChanged = errors.New("what the write depends on has changed")

// Unchanged makes a write fail with ErrChanged unless another object is still at a revision.
func Unchanged(collection, id string, revision int64) WriteOption {
	return func(o *writeOptions) {
		o.unchanged = append(o.unchanged, unchanged{objectKey(collection, id), revision})
	}
}

type unchanged struct {
	key string
	rev int64
}

// User is an object that refers to another.
type User struct{ Collection, ID string }

// WithUsers makes Replace depend on f, which gets all who refer to the object, in the order of collections and ids. The write
// happens only if f gave nil for those who refer to it at that very moment. An error of f comes back wrapped.
func WithUsers(f func([]User) error) WriteOption {
	return func(o *writeOptions) { o.users = f }
}

// users calls an option's f and gives the condition under which it holds.
func (s *Store) users(ctx context.Context, o writeOptions, collection, id string) ([]clientv3.Cmp, error) {
	if o.users == nil {
		return nil, nil
	}
	prefix := refsOf(collection, id)
	kvs, rev, err := s.scan(ctx, prefix, 0)
	if err != nil {
		return nil, err
	}
	users := make([]User, 0, len(kvs))
	for _, kv := range kvs {
		collection, id, _ := splitKey(string(kv.Key), prefix)
		users = append(users, User{collection, id})
	}
	if err := o.users(users); err != nil {
		return nil, err
	}
	// Nobody has begun to refer to it since. Who no longer does makes no difference.
	return []clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(prefix), "<", rev+1).WithPrefix()}, nil
}

// Users gives the ids of who refers to an object, at most 100, sorted.
func (s *Store) Users(ctx context.Context, collection, id string) ([]string, error) {
	prefix := refsOf(collection, id)
	r, err := s.read(ctx, clientv3.OpGet(prefix, clientv3.WithPrefix(), clientv3.WithKeysOnly(), clientv3.WithLimit(100)))
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, kv := range r.Responses[0].GetResponseRange().Kvs {
		_, user, _ := splitKey(string(kv.Key), prefix)
		ids = append(ids, user)
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}
