package store

import (
	"cmp"
	"context"
	"slices"

	"github.com/flowtap/flowtap/flowtap"
)

// siblings indexes taps by their src, with the revision of each src's guard key. Every write that
// changes the taps of a port puts that port's guard in the same transaction; so a set whose guard
// etcd finds unchanged is the set as it is now.
type siblings struct {
	sets   map[string][]*Tap // by src, sorted by id; a slice is never modified once it is here
	guards map[string]int64  // 0: etcd has none
	// indexes are the sets of the srcs that were asked for overlaps, and are kept like the sets.
	indexes map[string]*flowtap.OverlapIndex
	// listing puts off building sets to listed, which sorts each once.
	listing bool
}

// largeSet is how many taps of one port are worth an index before anybody asks: it takes 2 µs each.
const largeSet = 1000

func (x *siblings) clear() {
	x.sets, x.guards, x.indexes = map[string][]*Tap{}, map[string]int64{}, map[string]*flowtap.OverlapIndex{}
	x.listing = true
}

func (x *siblings) listed(taps *table[flowtap.Tap, flowtap.TapStatus]) {
	for _, t := range taps.objects {
		x.sets[t.Spec.Src] = append(x.sets[t.Spec.Src], t)
	}
	for src, set := range x.sets {
		slices.SortFunc(set, func(a, b *Tap) int { return cmp.Compare(a.ID, b.ID) })
		if len(set) >= largeSet {
			x.index(src)
		}
	}
	x.listing = false
}

// changed moves one tap in the sets. It is not called for status changes, so the status of a
// sibling is as old as its last edit.
func (x *siblings) changed(was, is *Tap) {
	if x.listing {
		return
	}
	x.reindex(was, is)
	if was != nil && (is == nil || was.Spec.Src != is.Spec.Src) {
		set := x.sets[was.Spec.Src]
		if i, ok := findTap(set, was.ID); ok {
			x.put(was.Spec.Src, slices.Concat(set[:i], set[i+1:]))
		}
	}
	if is == nil {
		return
	}
	set := x.sets[is.Spec.Src]
	i, ok := findTap(set, is.ID)
	rest := set[i:]
	if ok {
		rest = set[i+1:]
	}
	x.put(is.Spec.Src, slices.Concat(set[:i], []*Tap{is}, rest))
}

func (x *siblings) put(src string, set []*Tap) {
	if len(set) == 0 {
		delete(x.sets, src)
		delete(x.indexes, src)
		return
	}
	x.sets[src] = set
}

func (x *siblings) guard(src string, rev int64, gone bool) {
	if gone {
		delete(x.guards, src)
		return
	}
	x.guards[src] = rev
}

func findTap(set []*Tap, id string) (int, bool) {
	return slices.BinarySearchFunc(set, id, func(t *Tap, id string) int { return cmp.Compare(t.ID, id) })
}

// except gives the taps of src but one.
func (x *siblings) except(src, id string) []*Tap {
	set := x.sets[src]
	if i, ok := findTap(set, id); ok {
		set = slices.Concat(set[:i], set[i+1:])
	}
	return slices.Clip(set)
}

// overlap finds a sibling that a tap of this id cannot stand with.
func (x *siblings) overlap(id string, t flowtap.Tap) *OverlapError {
	index := x.index(t.Src)
	if index == nil {
		return nil
	}
	with, d, w, ok := index.Overlap(t, id)
	if !ok {
		return nil
	}
	return &OverlapError{With: with, Direction: d, Priority: t.Priority, Witness: w}
}

// index gives the index of a src's taps, nil where it has none.
func (x *siblings) index(src string) *flowtap.OverlapIndex {
	index, set := x.indexes[src], x.sets[src]
	if index != nil || len(set) == 0 {
		return index
	}
	index = &flowtap.OverlapIndex{}
	for _, o := range set {
		index.Put(o.ID, o.Spec)
	}
	x.indexes[src] = index
	return index
}

// reindex keeps the indexes that there are.
func (x *siblings) reindex(was, is *Tap) {
	if was != nil {
		if index := x.indexes[was.Spec.Src]; index != nil {
			index.Remove(was.ID, was.Spec)
		}
	}
	if is != nil {
		if index := x.indexes[is.Spec.Src]; index != nil {
			index.Put(is.ID, is.Spec)
		}
	}
}

// withSiblings calls f, which may read the taps of src, and gives the revision of the guard that goes
// with them. It waits until the copy has every change up to revision since, and until the guard's
// revision is another than not (-1 is none): the caller has seen that etcd has another. f is called
// under the mirror's mutex.
func (m *mirror) withSiblings(ctx context.Context, src string, since, not int64, f func(*siblings)) (int64, error) {
	for {
		m.mu.Lock()
		guard := m.siblings.guards[src]
		if m.rev != 0 && m.rev >= since && guard != not {
			f(&m.siblings)
			m.mu.Unlock()
			return guard, nil
		}
		moved := m.lockedWait()
		m.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
			return 0, readError(ctx.Err())
		case <-m.s.done.Done():
			return 0, ErrClosed
		}
	}
}
