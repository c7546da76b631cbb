package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// schema is the value of the schema key: the layout of all other keys and values. From is there while
// a program brings the store to Version: what is stored is then in part of the versions From to Version.
type schema struct {
	Version int `json:"version"`
	From    int `json:"from,omitempty"`
}

func (v schema) String() string {
	b, _ := json.Marshal(v) // two numbers
	return string(b)
}

// ErrNewerStore says that a newer FlowTap uses the store, whose layout this program does not know.
var ErrNewerStore = errors.New("written by a newer FlowTap")

// layout is what a Store knows of its schema.
type layout struct {
	migrations []migration
	// holds is the schema key's value that every write requires; empty before it was looked at. So a
	// program under which a newer one upgrades the store writes nothing any more.
	holds atomic.Value
	// outdated is closed when a newer program uses the store; err is set before.
	once     sync.Once
	outdated chan struct{}
	err      error
}

func newLayout(m []migration) *layout {
	l := &layout{migrations: m, outdated: make(chan struct{})}
	l.holds.Store("")
	return l
}

// version is the one that this program reads and writes.
func (l *layout) version() int { return 1 + len(l.migrations) }

// check reads a schema key's value; ErrNewerStore where it is of a newer program.
func (l *layout) check(value []byte) (have schema, err error) {
	if err := json.Unmarshal(value, &have); err != nil || have.Version < 1 || have.From < 0 || have.From >= have.Version {
		return have, fmt.Errorf("what is stored at %s is not a FlowTap schema: %q", schemaKey, value)
	}
	if have.Version > l.version() {
		err := fmt.Errorf("%w (schema %d, this program knows %d): use the newer program", ErrNewerStore, have.Version, l.version())
		l.once.Do(func() {
			l.err = err
			close(l.outdated)
		})
		return have, err
	}
	return have, nil
}

// Outdated waits until a newer FlowTap upgrades the store under this program, and says so; nothing was
// written since then. nil: ctx has ended.
func (s *Store) Outdated(ctx context.Context) error {
	select {
	case <-s.layout.outdated:
		return fmt.Errorf("%s: %w", s.where, s.layout.err)
	case <-ctx.Done():
		return nil
	}
}

// checkSchema marks an empty store as ours, migrates an older one and refuses one that a newer FlowTap
// wrote. A store with objects and without a mark is of version 1.
func (s *Store) checkSchema(ctx context.Context) error {
	for {
		r, err := s.read(ctx, clientv3.OpGet(schemaKey),
			clientv3.OpGet(objectsPrefix, clientv3.WithPrefix(), clientv3.WithLimit(1), clientv3.WithKeysOnly()))
		if err != nil {
			return err
		}
		mark := first(r, 0)
		if mark == nil {
			is := schema{Version: s.layout.version()}
			if first(r, 1) != nil {
				is.Version = 1
			}
			if _, err := s.mark(ctx, clientv3.Compare(clientv3.Version(schemaKey), "=", 0), is); err != nil {
				return err
			}
			continue
		}
		have, err := s.layout.check(mark.Value)
		if err != nil {
			return err
		}
		unchanged := clientv3.Compare(clientv3.Value(schemaKey), "=", string(mark.Value))
		current := s.layout.version()
		switch {
		case have.Version < current:
			is := schema{Version: current, From: have.Version}
			if have.From != 0 { // somebody else's migration was interrupted
				is.From = have.From
			}
			if _, err := s.mark(ctx, unchanged, is); err != nil {
				return err
			}
		case have.From != 0:
			s.layout.holds.Store(string(mark.Value))
			err := s.migrate(ctx, have.From)
			if errors.Is(err, errMigrated) {
				continue
			}
			if err != nil {
				return fmt.Errorf("migrate from schema %d to %d: %w", have.From, current, err)
			}
			done, err := s.mark(ctx, unchanged, schema{Version: current})
			if err != nil {
				return err
			}
			if done {
				s.log.Info("the store was migrated", "from", have.From, "schema", current)
			}
		default:
			s.layout.holds.Store(string(mark.Value))
			return nil
		}
	}
}

// mark writes the schema key if a condition holds. Somebody else may have been faster: look again then.
func (s *Store) mark(ctx context.Context, cmp clientv3.Cmp, is schema) (bool, error) {
	r, err := s.transact(ctx, []clientv3.Cmp{cmp}, []clientv3.Op{clientv3.OpPut(schemaKey, is.String())}, nil)
	return err == nil && r.Succeeded, err
}

// commit runs one transaction, if the store's layout still is the one that this program knows.
func (s *Store) commit(ctx context.Context, cmps []clientv3.Cmp, then, otherwise []clientv3.Op) (*clientv3.TxnResponse, error) {
	for {
		holds := s.layout.holds.Load().(string)
		r, err := s.transact(ctx,
			append(cmps[:len(cmps):len(cmps)], clientv3.Compare(clientv3.Value(schemaKey), "=", holds)), then,
			append(otherwise[:len(otherwise):len(otherwise)], clientv3.OpGet(schemaKey)))
		if err != nil || r.Succeeded {
			return r, err
		}
		if kv := first(r, len(otherwise)); kv != nil && string(kv.Value) == holds {
			return r, nil // it was a condition of the caller's
		}
		if err := s.checkSchema(ctx); err != nil { // restored, replaced or migrated
			if errors.Is(err, ErrNewerStore) {
				err = fmt.Errorf("%w: %w", ErrUnavailable, err)
			}
			return nil, err
		}
	}
}
