package store

import (
	"context"
	"errors"
	"fmt"
	"slices"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// A migration brings a store from one version to the next, key by key. It may be interrupted and run
// again, and several processes may run it at once: rewrite must leave alone what it has rewritten.
type migration struct {
	what string // for the log
	// prefix is of the keys that change.
	prefix string
	// rewrite gives the new value of a key, and whether it differs.
	rewrite func(key string, value []byte) ([]byte, bool, error)
}

// migrations lead from version 1 to the present one: the first from 1 to 2, and so on.
var migrations []migration

// migrateAtOnce keeps a transaction below the 128 operations that etcd allows by default.
const migrateAtOnce = 100

// errMigrated says that another process has migrated the store meanwhile.
var errMigrated = errors.New("migrated by another process")

// migrate runs the migrations from a version on. The schema key says that it is under way.
func (s *Store) migrate(ctx context.Context, from int) error {
	for i, m := range s.layout.migrations[from-1:] {
		s.log.Info("migrating the store", "from", from+i, "to", from+i+1, "what", m.what)
		n, err := s.rewriteAll(ctx, m)
		if err != nil {
			return err
		}
		s.log.Info("migrated", "to", from+i+1, "rewritten", n)
	}
	return nil
}

// rewriteAll rewrites what a migration changes, and says how many keys that were.
func (s *Store) rewriteAll(ctx context.Context, m migration) (n int, err error) {
	holds := clientv3.Compare(clientv3.Value(schemaKey), "=", s.layout.holds.Load().(string))
	for again := true; again; {
		again = false
		kvs, _, err := s.scan(ctx, m.prefix, 0)
		if err != nil {
			return n, err
		}
		for chunk := range slices.Chunk(kvs, migrateAtOnce) {
			cmps, puts := []clientv3.Cmp{holds}, []clientv3.Op{}
			for _, kv := range chunk {
				value, changed, err := m.rewrite(string(kv.Key), kv.Value)
				if err != nil {
					return n, fmt.Errorf("%s: %w", kv.Key, err)
				}
				if changed {
					cmps = append(cmps, clientv3.Compare(clientv3.ModRevision(string(kv.Key)), "=", kv.ModRevision))
					puts = append(puts, clientv3.OpPut(string(kv.Key), string(value)))
				}
			}
			if len(puts) == 0 {
				continue
			}
			r, err := s.transact(ctx, cmps, puts, []clientv3.Op{clientv3.OpGet(schemaKey)})
			switch {
			case err != nil:
				return n, err
			case r.Succeeded:
				n += len(puts)
				s.log.Debug("migrating", "rewritten", n)
			case first(r, 0) == nil || string(first(r, 0).Value) != s.layout.holds.Load().(string):
				return n, errMigrated
			default:
				again = true // another process has rewritten some of these
			}
		}
	}
	return n, nil
}
