package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/topology"
)

// A PolicyChange is what is to become of the taps of a policy.
type PolicyChange struct {
	Policy string
	// Revision is the policy's, at which the change is true; 0: there is no such policy.
	Revision int64
	// Put has new taps and new versions of those that there are, all with this Policy; Delete has ids.
	Put    map[string]flowtap.Tap
	Delete []string
}

// Operations that one transaction may have: etcd allows 128 by default, and the embedded one more. Some are
// kept for what a transaction has besides taps.
const (
	fewOps  = 110
	manyOps = 1000
)

// ChangeTaps makes all of a change or none of it. A change that is too large for one transaction is made in several,
// which Follow shows to belong together (Plan), and is undone where one of them cannot be.
//
// Each tap that is put has, at that very moment, a src and a destination, which is its project's or shared with it; no
// tap overlaps another; the project has room for all. Else it is an *OverlapError, a *ReferenceError or a
// *QuotaError. ErrChanged: something is not as it was when the change was prepared, so look again. *ExistsError: a tap of
// somebody else has one of the ids. It gives the revision at which the change is made or, with an error, undone; 0: nothing
// was done. After ErrOutcomeUnknown, and after any error of a large change that comes with ErrUndo, UndoPlans must be
// called before the next.
func (s *Store) ChangeTaps(ctx context.Context, c PolicyChange) (revision int64, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("change the taps of policy %s: %w", c.Policy, err)
		}
	}()
	room, done, err := s.quota(ctx, CollectionTaps, topology.ProjectOf(c.Policy))
	if err != nil {
		return 0, err
	}
	defer done()
	steps, more, err := s.steps(ctx, c)
	if err != nil {
		return 0, err
	}
	chunks := chunked(steps, s.txnOps)
	for i, chunk := range chunks {
		var n int
		for try := 1; ; try++ {
			n, revision, err = s.changeChunk(ctx, c, chunk, room, more, i, len(chunks))
			if try == chunkTries || !errors.Is(err, ErrChanged) {
				break
			}
		}
		more -= n
		if err != nil && len(chunks) > 1 && !errors.Is(err, ErrFenced) {
			undone, failed := s.undoPlan(ctx, c.Policy)
			if revision = undone; failed != nil {
				err = fmt.Errorf("%w: %w: %w", ErrUndo, failed, err)
			}
		}
		if err != nil {
			return revision, err
		}
	}
	return revision, nil
}

// chunkTries is how often one transaction is tried, and all that it depends on looked at again, where others write at the same
// time: who makes a tap of the same project is no reason to begin anew.
const chunkTries = 5

// ErrUndo says that a change of taps was made in part, and could not be undone yet.
var ErrUndo = errors.New("part of a change was made, and could not be undone yet")

// tapStep is one tap's part of a change. is nil takes it away.
type tapStep struct {
	id  string
	src string
	is  *Tap
	was *Tap // as the mirror has it
}

// tapOps bounds the operations of one step: the object, its status, the references to its destination and project, the
// guard.
const tapOps = 5

// steps gives the steps of a change, and how many taps more there will be.
func (s *Store) steps(ctx context.Context, c PolicyChange) (all []tapStep, more int, err error) {
	err = s.looking(ctx, func(m *mirror) error {
		for id, t := range c.Put {
			all = append(all, tapStep{id: id, src: t.Src, is: &Tap{Meta: Meta{ID: id}, Spec: t}})
			if m.taps.objects[id] == nil {
				more++
			}
		}
		for _, id := range c.Delete {
			if was := m.taps.objects[id]; was != nil {
				all = append(all, tapStep{id: id, src: was.Spec.Src})
				more--
			}
		}
		return nil
	})
	return all, more, err
}

// chunked puts steps into as few transactions as they need, those of one src together where they fit, and there
// deletions before what takes their place.
func chunked(all []tapStep, ops int) [][]tapStep {
	slices.SortFunc(all, func(a, b tapStep) int {
		return cmp.Or(cmp.Compare(a.src, b.src), compareBool(a.is != nil, b.is != nil), cmp.Compare(a.id, b.id))
	})
	most := max(1, ops/tapOps)
	var chunks [][]tapStep
	for len(all) > 0 {
		n := min(most, len(all))
		// A src that is begun is finished, where that leaves anything of the transaction.
		for k := n; k > 0 && n < len(all); k-- {
			if all[k-1].src != all[n].src {
				n = k
				break
			}
		}
		chunks = append(chunks, all[:n:n])
		all = all[n:]
	}
	return chunks
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// looking calls f, under its mutex, with a mirror that has every change of taps by this process. What f finds wrong counts
// where the mirror has everything else, too, that etcd has; if not, the error is ErrChanged.
func (s *Store) looking(ctx context.Context, f func(*mirror) error) error {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	r, err := s.read(ctx, clientv3.OpGet(schemaKey, clientv3.WithKeysOnly()))
	if err != nil {
		return err
	}
	current := s.mirror.catchUp(ctx, r.Header)
	var failed error
	_, err = s.mirror.withSiblings(ctx, "", s.mirror.lastWrite.Load(), -1, func(*siblings) { failed = f(s.mirror) })
	if failed != nil && !current {
		return ErrChanged
	}
	return errors.Join(err, failed)
}

// changeChunk makes the i-th of so many transactions and gives by how many taps there are more then.
func (s *Store) changeChunk(ctx context.Context, c PolicyChange, steps []tapStep, room *quota, more, i, of int) (grown int, revision int64, err error) {
	w := newTapWrite(s)
	w.require(clientv3.Compare(clientv3.ModRevision(objectKey(CollectionPolicies, c.Policy)), "=", c.Revision))
	if err := s.looking(ctx, func(m *mirror) error { return w.look(m, steps, c.Policy) }); err != nil {
		return 0, 0, err
	}
	if room.want = more; more > 0 {
		if err := room.check(ctx); err != nil {
			return 0, 0, err
		}
		w.cmps = append(w.cmps, room.cmps...)
	}
	switch {
	case i == 0: // there is no plan under way
		w.require(clientv3.Compare(clientv3.CreateRevision(planPrefix(c.Policy)), "=", 0).WithPrefix())
	default:
		w.require(clientv3.Compare(clientv3.Version(planKey(c.Policy, i-1)), ">", 0))
	}
	switch {
	case i < of-1:
		undo, err := encodePlan(steps)
		if err != nil {
			return 0, 0, err
		}
		w.then = append(w.then, clientv3.OpPut(planKey(c.Policy, i), undo))
	case of > 1:
		w.then = append(w.then, clientv3.OpDelete(planPrefix(c.Policy), clientv3.WithPrefix()))
	}
	for _, step := range steps {
		n, err := w.step(ctx, step)
		if err != nil {
			return 0, 0, err
		}
		grown += n
	}
	revision, err = w.commit(ctx)
	return grown, revision, err
}
