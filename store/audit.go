package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/flowtap/flowtap/access"
	"github.com/flowtap/flowtap/topology"
)

// Recorded puts a record of the change into the audit log, in the transaction of the change: there is no change
// without its record, and no record of what did not happen. Who, with what, from where and the request are the caller's to
// say; the rest is filled in.
func Recorded(r access.Record) WriteOption {
	return func(o *writeOptions) { o.record = &r }
}

// audit adds the record of a change to its transaction; nil is what is not there.
func (w *write) audit(o writeOptions, verb access.Verb, project string, before, after any) error {
	if o.record == nil {
		return nil
	}
	r := *o.record
	r.Time = time.Now().UTC().Truncate(time.Microsecond)
	r.Verb, r.Collection, r.Project = verb, w.collection, project
	if _, r.Object = topology.SplitID(w.id); w.collection == CollectionNodes {
		r.Project = ""
	}
	var err error
	if r.Before, err = publicJSON(before); err != nil {
		return err
	}
	if r.After, err = publicJSON(after); err != nil {
		return err
	}
	value, err := json.Marshal(storedRecord{valueVersion, r})
	if err != nil {
		return err
	}
	w.then = append(w.then, clientv3.OpPut(auditKey(r.Time)+"-"+r.Request, string(value)))
	return nil
}

// publicJSON leaves out what nobody may read.
func publicJSON(v any) (json.RawMessage, error) {
	if p, ok := v.(interface{ Public() any }); ok {
		v = p.Public()
	}
	return json.Marshal(v)
}

type storedRecord struct {
	V      int           `json:"v"`
	Record access.Record `json:"record"`
}

// auditKey begins the keys of the records of a moment; they sort by time.
func auditKey(t time.Time) string { return fmt.Sprintf("%s%016x", auditPrefix, t.UnixMicro()) }

// auditPage is how many records one read of the log takes.
const auditPage = 1000

// Audit reads the records that a filter selects, in the order of their times, or with newest in the reverse
// order, from behind the record after, which is empty for the first page; at most limit. next is what to go on
// with, empty where there is no more.
func (s *Store) Audit(ctx context.Context, f access.Filter, after string, newest bool, limit int) (found []access.Record, next string, err error) {
	from, end := auditPrefix, clientv3.GetPrefixRangeEnd(auditPrefix)
	if !f.Since.IsZero() {
		from = auditKey(f.Since)
	}
	if !f.Until.IsZero() {
		end = auditKey(f.Until)
	}
	if key := auditPrefix + after; after != "" && newest {
		end = min(end, key)
	} else if after != "" {
		from = max(from, key+"\x00")
	}
	order := clientv3.SortAscend
	if newest {
		order = clientv3.SortDescend
	}
	for from < end {
		r, err := s.read(ctx, clientv3.OpGet(from, clientv3.WithRange(end), clientv3.WithLimit(auditPage), clientv3.WithSort(clientv3.SortByKey, order)))
		if err != nil {
			return nil, "", fmt.Errorf("read the audit log: %w", err)
		}
		kvs := r.Responses[0].GetResponseRange().Kvs
		for _, kv := range kvs {
			rec, err := decodeRecord(kv)
			if err != nil {
				return nil, "", err
			}
			if !f.Match(rec) {
				continue
			}
			if len(found) == limit {
				return found, found[limit-1].ID, nil
			}
			found = append(found, rec)
		}
		if len(kvs) < auditPage {
			break
		}
		if last := string(kvs[len(kvs)-1].Key); newest {
			end = last
		} else {
			from = last + "\x00"
		}
	}
	return found, "", nil
}

func decodeRecord(kv *mvccpb.KeyValue) (access.Record, error) {
	var v storedRecord
	if err := json.Unmarshal(kv.Value, &v); err != nil {
		return v.Record, fmt.Errorf("stored value of %s: %w", kv.Key, err)
	}
	if v.V != valueVersion {
		return v.Record, fmt.Errorf("stored value of %s has version %d, this program knows %d", kv.Key, v.V, valueVersion)
	}
	v.Record.ID, v.Record.Revision = strings.TrimPrefix(string(kv.Key), auditPrefix), kv.CreateRevision
	return v.Record, nil
}

// sweepAtOnce is how many records one transaction takes away.
const sweepAtOnce = 1000

// SweepAudit takes records away that are from before a time, and the oldest of those above a number. Any number of
// processes may do so at the same time.
func (s *Store) SweepAudit(ctx context.Context, before time.Time, most int) (removed int, err error) {
	for {
		n, err := s.sweepAudit(ctx, before, most)
		if removed += n; err != nil {
			return removed, fmt.Errorf("sweep the audit log: %w", err)
		}
		if n == 0 {
			return removed, nil
		}
	}
}

func (s *Store) sweepAudit(ctx context.Context, before time.Time, most int) (int, error) {
	r, err := s.read(ctx,
		clientv3.OpGet(auditPrefix, clientv3.WithPrefix(), clientv3.WithCountOnly()),
		clientv3.OpGet(auditPrefix, clientv3.WithPrefix(), clientv3.WithKeysOnly(), clientv3.WithLimit(sweepAtOnce)))
	if err != nil {
		return 0, err
	}
	excess := int(r.Responses[0].GetResponseRange().Count) - most
	kvs := r.Responses[1].GetResponseRange().Kvs
	n := 0
	for n < len(kvs) && (n < excess || string(kvs[n].Key) < auditKey(before)) {
		n++
	}
	if n == 0 {
		return 0, nil
	}
	last := string(kvs[n-1].Key) + "\x00"
	if _, err := s.commit(ctx, nil, []clientv3.Op{clientv3.OpDelete(auditPrefix, clientv3.WithRange(last))}, nil); err != nil {
		return 0, err
	}
	return n, nil
}

// IsAuditID checks what a client gives back as the place in the log where a page ended.
func IsAuditID(id string) bool {
	at, _, ok := strings.Cut(id, "-")
	_, err := strconv.ParseUint(at, 16, 64)
	return ok && len(at) == 16 && err == nil && len(id) < 128 && !strings.ContainsAny(id, "/\x00")
}
