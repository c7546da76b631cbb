package store

import (
	"slices"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// write is one transaction on one object: the conditions, what to do if they hold, and what to read
// if they do not, so that the answer itself says which one failed.
type write struct {
	collection, id, key string
	cmps                []clientv3.Cmp
	then                []clientv3.Op
	refs                []ref    // must exist
	uniques             []unique // must be free
	unchanged           []unchanged
	src                 string // whose siblings were checked; empty: nobody's
}

func newWrite(collection, id string) *write {
	return &write{collection: collection, id: id, key: objectKey(collection, id)}
}

func (w *write) require(c clientv3.Cmp) { w.cmps = append(w.cmps, c) }

// tie turns the ties that the object had into those that it will have. Ties that stay are proven
// already by the keys that they left: a referred object cannot be deleted, a value not be taken.
func (w *write) tie(is, was links) {
	isRefs, wasRefs := refKeys(is, w), refKeys(was, w)
	for i, r := range is.refs {
		if slices.Contains(wasRefs, isRefs[i]) {
			continue
		}
		w.refs = append(w.refs, r)
		w.require(clientv3.Compare(clientv3.Version(objectKey(r.collection, r.id)), ">", 0))
		if !slices.Contains(isRefs[:i], isRefs[i]) { // etcd puts no key twice in a transaction
			w.then = append(w.then, clientv3.OpPut(isRefs[i], ""))
		}
	}
	for i, k := range wasRefs {
		if !slices.Contains(isRefs, k) && !slices.Contains(wasRefs[:i], k) {
			w.then = append(w.then, clientv3.OpDelete(k))
		}
	}
	isUniques, wasUniques := uniqueKeys(is), uniqueKeys(was)
	for i, u := range is.uniques {
		if slices.Contains(wasUniques, isUniques[i]) {
			continue
		}
		w.uniques = append(w.uniques, u)
		w.require(clientv3.Compare(clientv3.Version(isUniques[i]), "=", 0))
		w.then = append(w.then, clientv3.OpPut(isUniques[i], w.id))
	}
	for _, k := range wasUniques {
		if !slices.Contains(isUniques, k) {
			w.then = append(w.then, clientv3.OpDelete(k))
		}
	}
}

func refKeys(l links, w *write) (keys []string) {
	for _, r := range l.refs {
		keys = append(keys, refKey(r, w.collection, w.id))
	}
	return keys
}

func uniqueKeys(l links) (keys []string) {
	for _, u := range l.uniques {
		keys = append(keys, uniqueKey(u))
	}
	return keys
}

// guard requires that the siblings are those that were checked, and tells all other writers that
// the taps of each src change.
func (w *write) guard(g guard, srcs ...string) {
	if g.checks() {
		w.src = g.src
		w.require(clientv3.Compare(clientv3.ModRevision(guardKey(g.src)), "=", g.rev))
	}
	for i, src := range srcs {
		if src != "" && !slices.Contains(srcs[:i], src) {
			w.then = append(w.then, clientv3.OpPut(guardKey(src), ""))
		}
	}
}

// otherwise is what the transaction reads if a condition does not hold: the object, its status, each
// reference, each unique value, what is to be unchanged, the guard of the siblings.
func (w *write) otherwise() []clientv3.Op {
	ops := []clientv3.Op{clientv3.OpGet(w.key), clientv3.OpGet(statusKey(w.collection, w.id))}
	for _, r := range w.refs {
		ops = append(ops, clientv3.OpGet(objectKey(r.collection, r.id), clientv3.WithKeysOnly()))
	}
	for _, u := range w.uniques {
		ops = append(ops, clientv3.OpGet(uniqueKey(u)))
	}
	for _, u := range w.unchanged {
		ops = append(ops, clientv3.OpGet(u.key, clientv3.WithKeysOnly()))
	}
	if w.src != "" {
		ops = append(ops, clientv3.OpGet(guardKey(w.src), clientv3.WithKeysOnly()))
	}
	return ops
}

// siblings gives the revision of the guard as a transaction that failed read it; 0: there was none, or nobody asked.
func (w *write) siblings(r *clientv3.TxnResponse) int64 {
	if w.src == "" {
		return 0
	}
	if kv := first(r, 2+len(w.refs)+len(w.uniques)+len(w.unchanged)); kv != nil {
		return kv.ModRevision
	}
	return 0
}

// nestedOps is how many operations a transaction within another has: an etcd as it comes takes 128 in one, and in each
// within it as many as the one around it has conditions, reads or operations fewer than that. A pool has 64 members.
const nestedOps = 50

// within puts operations that are too many for one transaction into transactions within it. All are made or none.
func within(ops []clientv3.Op) []clientv3.Op {
	if len(ops) <= fewOps {
		return ops
	}
	var out []clientv3.Op
	for some := range slices.Chunk(ops, nestedOps) {
		out = append(out, clientv3.OpTxn(nil, some, nil))
	}
	return out
}

// depend requires that objects are as they were.
func (w *write) depend(all []unchanged) {
	w.unchanged = all
	for _, u := range all {
		w.require(clientv3.Compare(clientv3.ModRevision(u.key), "=", u.rev))
	}
}

// why says which tie made the transaction fail; nil if it was none of them.
func (w *write) why(r *clientv3.TxnResponse) error {
	for i, ref := range w.refs {
		if first(r, 2+i) == nil {
			return &ReferenceError{ref.field, ref.collection, ref.id}
		}
	}
	for i, u := range w.uniques {
		if kv := first(r, 2+len(w.refs)+i); kv != nil {
			return &UniqueError{u.field, u.shown, string(kv.Value)}
		}
	}
	for i, u := range w.unchanged {
		if kv := first(r, 2+len(w.refs)+len(w.uniques)+i); kv == nil || kv.ModRevision != u.rev {
			return ErrChanged
		}
	}
	return nil
}
