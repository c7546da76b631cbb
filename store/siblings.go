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
	// listing puts off building sets to listed, which sorts each once.
	listing bool
}

func (x *siblings) clear() {
	x.sets, x.guards, x.listing = map[string][]*Tap{}, map[string]int64{}, true
}

func (x *siblings) listed(taps *table[flowtap.Tap, flowtap.TapStatus]) {
	for _, t := range taps.objects {
		x.sets[t.Spec.Src] = append(x.sets[t.Spec.Src], t)
	}
	for _, set := range x.sets {
		slices.SortFunc(set, func(a, b *Tap) int { return cmp.Compare(a.ID, b.ID) })
	}
	x.listing = false
}

// changed moves one tap in the sets. It is not called for status changes, so the status of a
// sibling is as old as its last edit.
func (x *siblings) changed(was, is *Tap) {
	if x.listing {
		return
	}
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

// siblingsOf gives the taps of src except one, and the revision of the guard that goes with them.
// It waits until the copy has every change up to revision since, and until the guard's revision is
// another than not (-1 is none): the caller has seen that etcd has another.
func (m *mirror) siblingsOf(ctx context.Context, src, except string, since, not int64) ([]*Tap, int64, error) {
	for {
		m.mu.Lock()
		set, guard := m.siblings.sets[src], m.siblings.guards[src]
		if m.rev != 0 && m.rev >= since && guard != not {
			m.mu.Unlock()
			if i, ok := findTap(set, except); ok {
				set = slices.Concat(set[:i], set[i+1:])
			}
			return slices.Clip(set), guard, nil
		}
		moved := m.lockedWait()
		m.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
			return nil, 0, readError(ctx.Err())
		case <-m.s.done.Done():
			return nil, 0, ErrClosed
		}
	}
}
