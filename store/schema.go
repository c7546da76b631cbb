package store

import (
	"context"
	"encoding/json"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// schemaVersion is the layout of the keys and values that this program reads and writes.
const schemaVersion = 1

type schema struct {
	Version int `json:"version"`
}

// checkSchema marks an empty store as ours and refuses one that a newer FlowTap wrote.
func (s *Store) checkSchema(ctx context.Context) error {
	r, err := s.read(ctx, clientv3.OpGet(schemaKey))
	if err != nil {
		return err
	}
	kvs := r.Responses[0].GetResponseRange().Kvs
	if len(kvs) == 0 {
		value, _ := json.Marshal(schema{schemaVersion})
		r, err = s.commit(ctx,
			[]clientv3.Cmp{clientv3.Compare(clientv3.Version(schemaKey), "=", 0)},
			[]clientv3.Op{clientv3.OpPut(schemaKey, string(value))},
			[]clientv3.Op{clientv3.OpGet(schemaKey)})
		if err != nil || r.Succeeded {
			return err
		}
		kvs = r.Responses[0].GetResponseRange().Kvs
	}
	if len(kvs) == 0 {
		return fmt.Errorf("%w: the schema was removed while we looked", ErrUnavailable)
	}
	var have schema
	if err := json.Unmarshal(kvs[0].Value, &have); err != nil || have.Version < 1 {
		return fmt.Errorf("what is stored at %s is not a FlowTap schema: %q", schemaKey, kvs[0].Value)
	}
	if have.Version > schemaVersion {
		return fmt.Errorf("written by a newer FlowTap (schema %d, this program knows %d): use the newer program",
			have.Version, schemaVersion)
	}
	return nil
}
