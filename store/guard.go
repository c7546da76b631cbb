package store

import (
	"context"
	"errors"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/flowtap/flowtap/flowtap"
)

// WriteOption changes one write.
type WriteOption func(*writeOptions)

type writeOptions struct {
	check func([]*Object[flowtap.Tap, flowtap.TapStatus]) error
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
func WithSiblingCheck(f func(siblings []*Object[flowtap.Tap, flowtap.TapStatus]) error) WriteOption {
	return func(o *writeOptions) { o.check = f }
}

// guard is the sibling check of one write, across its attempts. Without a check it does nothing.
type guard struct {
	s   *Store
	src string
	f   func([]*Object[flowtap.Tap, flowtap.TapStatus]) error
	rev int64 // of the guard key that goes with the siblings that f approved
	// not is the guard revision that etcd proved to be old, or -1.
	not     int64
	refused error // what f said
}

// errCheck says that the check refused the write; guard.refused says why.
var errCheck = errors.New("refused by the sibling check")

func newGuard(s *Store, src string, f func([]*Object[flowtap.Tap, flowtap.TapStatus]) error) guard {
	if src == "" {
		f = nil
	}
	return guard{s: s, src: src, f: f, not: -1}
}

// check calls f with the siblings of the mirror. A refusal counts only when etcd confirms that the
// mirror was right.
func (g *guard) check(ctx context.Context, id string) error {
	if g.f == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	for {
		set, rev, err := g.s.mirror.siblingsOf(ctx, g.src, id, g.s.mirror.lastWrite.Load(), g.not)
		if err != nil {
			return err
		}
		g.rev = rev
		if g.refused = g.f(set); g.refused == nil {
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

// failed says that the transaction failed and nothing else explains it: the siblings have changed.
func (g *guard) failed() { g.not = g.rev }

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
