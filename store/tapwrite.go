package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/topology"
)

// tapWrite is one transaction on many taps.
type tapWrite struct {
	s     *Store
	cmps  []clientv3.Cmp
	then  []clientv3.Op
	seen  map[string]bool // keys that are compared, or put as guards
	now   time.Time
	fresh []uint32 // numbers that are nobody's if nothing is written
}

func newTapWrite(s *Store) *tapWrite {
	return &tapWrite{s: s, seen: map[string]bool{}, now: time.Now().UTC().Truncate(time.Millisecond)}
}

func (w *tapWrite) require(c clientv3.Cmp) { w.cmps = append(w.cmps, c) }

// look fills in what there is of each tap, and says whether the taps may be as the steps say.
func (w *tapWrite) look(m *mirror, steps []tapStep, policy string) error {
	bySrc := map[string]map[string]*tapStep{}
	for i := range steps {
		step := &steps[i]
		if step.was = m.taps.objects[step.id]; step.was != nil && step.was.Spec.Policy != policy {
			return &ExistsError{CollectionTaps, step.id}
		}
		if step.is != nil {
			if err := w.ends(m, step.is.Spec); err != nil {
				return err
			}
			if step.was != nil && step.was.Spec.Src != step.src {
				return fmt.Errorf("tap %s cannot get another src", step.id)
			}
		}
		if bySrc[step.src] == nil {
			bySrc[step.src] = map[string]*tapStep{}
		}
		bySrc[step.src][step.id] = step
	}
	for src, changed := range bySrc {
		if src == "" {
			continue
		}
		w.require(clientv3.Compare(clientv3.ModRevision(guardKey(src)), "=", m.siblings.guards[src]))
		guard := clientv3.OpPut(guardKey(src), "")
		if m.ports.objects[src] == nil { // it has taken its guard with it
			guard = clientv3.OpDelete(guardKey(src))
		}
		w.then = append(w.then, guard)
		if err := w.overlap(&m.siblings, src, changed); err != nil {
			return err
		}
	}
	return nil
}

// ends looks for a tap's src and destination.
func (w *tapWrite) ends(m *mirror, t flowtap.Tap) error {
	if m.ports.objects[t.Src] == nil {
		return &ReferenceError{"src", CollectionPorts, t.Src}
	}
	w.exists(CollectionPorts, t.Src)
	field, collection, id := "dst", CollectionPorts, t.Dst
	if t.DstPool != "" {
		field, collection, id = "dst_pool", CollectionPools, t.DstPool
	}
	var rev int64
	var shared topology.Shared
	if collection == CollectionPools {
		if p := m.pools.objects[id]; p != nil {
			rev, shared = p.Revision, p.Spec.SharedWith
		}
	} else if p := m.ports.objects[id]; p != nil {
		rev, shared = p.Revision, p.Spec.SharedWith
	}
	project := topology.ProjectOf(t.Src)
	foreign := topology.ProjectOf(id) != project
	if rev == 0 || foreign && !shared.With(project) {
		return &ReferenceError{field, collection, id}
	}
	if key := objectKey(collection, id); foreign && !w.seen[key] {
		w.seen[key] = true
		w.require(clientv3.Compare(clientv3.ModRevision(key), "=", rev))
	} else {
		w.exists(collection, id)
	}
	return nil
}

func (w *tapWrite) exists(collection, id string) {
	if key := objectKey(collection, id); !w.seen[key] {
		w.seen[key] = true
		w.require(clientv3.Compare(clientv3.Version(key), ">", 0))
	}
}

// overlap says whether the taps of a src can stand together once some of them are changed.
func (w *tapWrite) overlap(x *siblings, src string, changed map[string]*tapStep) error {
	index := &flowtap.OverlapIndex{}
	if len(x.sets[src]) >= largeSet { // there is one, which is as it was in the end
		index = x.index(src)
		for id, step := range changed {
			if step.was != nil {
				index.Remove(id, step.was.Spec)
				defer index.Put(id, step.was.Spec)
			}
		}
	} else {
		for _, t := range x.sets[src] {
			if changed[t.ID] == nil {
				index.Put(t.ID, t.Spec)
			}
		}
	}
	for id, step := range changed {
		if step.is == nil {
			continue
		}
		if with, d, witness, ok := index.Overlap(step.is.Spec, id); ok {
			return &OverlapError{With: with, Direction: d, Priority: step.is.Spec.Priority, Witness: witness}
		}
		index.Put(id, step.is.Spec)
		defer index.Remove(id, step.is.Spec)
	}
	return nil
}

// step adds a tap's part to the transaction, and gives by how many taps there are more then.
func (w *tapWrite) step(ctx context.Context, step tapStep) (grown int, err error) {
	key := objectKey(CollectionTaps, step.id)
	one := newWrite(CollectionTaps, step.id)
	var is, was links
	if step.was == nil {
		w.require(clientv3.Compare(clientv3.Version(key), "=", 0))
	} else {
		w.require(clientv3.Compare(clientv3.ModRevision(key), "=", step.was.Revision))
		was = tapLinks(step.id, &step.was.Spec)
	}
	if step.is == nil {
		if step.was == nil {
			return 0, nil // it is gone
		}
		one.tie(is, was)
		w.then = append(append(w.then, one.then...), clientv3.OpDelete(key), clientv3.OpDelete(statusKey(CollectionTaps, step.id)))
		return -1, nil
	}
	is = tapLinks(step.id, &step.is.Spec)
	one.tie(is, was)
	for _, r := range one.refs {
		w.exists(r.collection, r.id)
	}
	m := step.is.Meta
	switch {
	case m.Num != 0: // as it was before the change that is undone
	case step.was != nil:
		m = step.was.Meta
		m.UpdatedAt = w.now
	default:
		if m.Num, err = w.s.numbers.take(ctx, CollectionTaps); err != nil {
			return 0, err
		}
		w.fresh = append(w.fresh, m.Num)
		m.CreatedAt, m.UpdatedAt = w.now, w.now
	}
	value, err := encodeObject(m, step.is.Spec)
	if err != nil {
		return 0, err
	}
	w.then = append(append(w.then, one.then...), clientv3.OpPut(key, value))
	if step.was == nil {
		grown = 1
	}
	return grown, nil
}

func (w *tapWrite) commit(ctx context.Context) (revision int64, err error) {
	r, err := w.s.commit(ctx, w.cmps, w.then, nil)
	if err == nil && r.Succeeded {
		w.s.mirror.wrote(r.Header.Revision)
		return r.Header.Revision, nil
	}
	if !errors.Is(err, ErrOutcomeUnknown) {
		for _, n := range w.fresh {
			w.s.numbers.giveBack(CollectionTaps, n)
		}
	}
	if err == nil {
		err = ErrChanged
	}
	return 0, err
}
