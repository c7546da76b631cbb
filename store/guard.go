package store

import (
	"context"
	"errors"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/flowtap/flowtap/access"
	"github.com/flowtap/flowtap/flowtap"
)

// WriteOption changes one write.
type WriteOption func(*writeOptions)

type writeOptions struct {
	check     func([]*Tap) error
	overlap   bool
	unchanged []unchanged
	users     func([]User) error
	record    *access.Record
}

func options(opts []WriteOption) (all writeOptions) {
	for _, o := range opts {
		o(&all)
	}
	return all
}

// WithSiblingCheck makes the write of a tap depend on f, which gets all other taps of the same src,
// sorted by id. The write happens only if f gave nil for the siblings that exist at that very moment;
// f is called again when they changed. An error of f comes back wrapped, and is also true of the
// siblings that exist when the write is refused. f must not modify what it gets, nor keep the slice
// for long; the siblings' status may be old. It has no meaning for other collections.
func WithSiblingCheck(f func(siblings []*Tap) error) WriteOption {
	return func(o *writeOptions) { o.check = f }
}

// WithoutOverlap makes the write of a tap fail with an *OverlapError where another tap of the same
// src exists, at that very moment, that it overlaps (flowtap.Overlap). Disabled ones count, so that
// enabling one cannot fail; so do those that a change under way takes away (Plan), until it has ended.
// It has no meaning for other collections.
func WithoutOverlap() WriteOption {
	return func(o *writeOptions) { o.overlap = true }
}

// CheckOverlap gives the error that a write of the tap WithoutOverlap would fail with now.
func (s *Store) CheckOverlap(ctx context.Context, id string, t flowtap.Tap) error {
	g := newGuard(s, t.Src, &t, writeOptions{overlap: true})
	if err := g.check(ctx, id); !errors.Is(err, errCheck) {
		return err
	}
	return g.refused
}

// guard is the check of one write against the siblings of its tap, across its attempts.
type guard struct {
	s   *Store
	src string // empty: not a tap, nothing to check
	tap *flowtap.Tap
	opt writeOptions
	rev int64 // of the guard key that goes with the siblings that were found to be all right
	// not is the guard revision that etcd proved to be old, or -1.
	not     int64
	refused error // why the siblings were not all right
}

// errCheck says that the check refused the write; guard.refused says why.
var errCheck = errors.New("refused by the sibling check")

// newGuard is the guard of a write; spec is what is written, of whatever collection.
func newGuard(s *Store, src string, spec any, opt writeOptions) guard {
	tap, _ := spec.(*flowtap.Tap)
	return guard{s: s, src: src, tap: tap, opt: opt, not: -1}
}

// checks reports whether there is anything to check.
func (g *guard) checks() bool {
	return g.src != "" && g.tap != nil && (g.opt.overlap || g.opt.check != nil)
}

// check looks at the siblings of the mirror. A refusal counts only when etcd confirms that the
// mirror was right.
func (g *guard) check(ctx context.Context, id string) error {
	if !g.checks() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	for {
		var set []*Tap
		var overlap *OverlapError
		rev, err := g.s.mirror.withSiblings(ctx, g.src, g.s.mirror.lastWrite.Load(), g.not, func(x *siblings) {
			if g.opt.check != nil {
				set = x.except(g.src, id)
			}
			if g.opt.overlap {
				if overlap = x.overlap(id, *g.tap); overlap == nil {
					overlap = g.s.mirror.lockedPlannedOverlap(*g.tap)
				}
			}
		})
		if err != nil {
			return err
		}
		g.rev, g.refused = rev, nil
		switch {
		case overlap != nil:
			g.refused = overlap
		case g.opt.check != nil:
			g.refused = g.opt.check(set)
		}
		if g.refused == nil {
			return nil
		}
		r, err := g.s.read(ctx, clientv3.OpGet(guardKey(g.src)))
		if err != nil {
			return err
		}
		var have int64
		if kv := first(r, 0); kv != nil {
			have = kv.ModRevision
		}
		if have == rev {
			return errCheck
		}
		g.not = rev
	}
}

// failed takes the revision that the guard key had when the transaction failed. If it is as it was, it was not the siblings that
// have changed.
func (g *guard) failed(rev int64) {
	if rev != g.rev {
		g.not = g.rev
	}
}

// written keeps the next check in this process from being made with a mirror that has not seen this
// write yet, which would cost a transaction for nothing.
func (g *guard) written(rev int64) {
	if g.src != "" {
		g.s.mirror.wrote(rev)
	}
}

// wrote remembers that this process changed a tap.
func (m *mirror) wrote(rev int64) {
	for {
		last := m.lastWrite.Load()
		if rev <= last || m.lastWrite.CompareAndSwap(last, rev) {
			return
		}
	}
}
