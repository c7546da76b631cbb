package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

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
// somebody else has one of the ids. It gives the revision at which the change is made. After ErrOutcomeUnknown, and after any error of a large change that comes with
// ErrUndo, UndoPlans must be called before the next.
func (s *Store) ChangeTaps(ctx context.Context, c PolicyChange) (revision int64, err error) {
	fail := func(err error) (int64, error) {
		return 0, fmt.Errorf("change the taps of policy %s: %w", c.Policy, err)
	}
	room, done, err := s.quota(ctx, CollectionTaps, topology.ProjectOf(c.Policy))
	if err != nil {
		return fail(err)
	}
	defer done()
	steps, more, err := s.steps(ctx, c)
	if err != nil {
		return fail(err)
	}
	chunks := chunked(steps, s.txnOps)
	for i, chunk := range chunks {
		n, rev, err := s.changeChunk(ctx, c, chunk, room, more, i, len(chunks))
		revision, more = rev, more-n
		if err != nil && len(chunks) > 1 && !errors.Is(err, ErrFenced) {
			if undo := s.undoPlan(ctx, c.Policy); undo != nil {
				err = fmt.Errorf("%w: %w: %w", ErrUndo, undo, err)
			}
		}
		if err != nil {
			return fail(err)
		}
	}
	return revision, nil
}

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
		if err := w.overlap(m.siblings.sets[src], changed); err != nil {
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
func (w *tapWrite) overlap(set []*Tap, changed map[string]*tapStep) error {
	var index flowtap.OverlapIndex
	for _, t := range set {
		if changed[t.ID] == nil {
			index.Put(t.ID, t.Spec)
		}
	}
	for _, step := range changed {
		if step.is == nil {
			continue
		}
		if with, d, witness, ok := index.Overlap(step.is.Spec, step.id); ok {
			return &OverlapError{With: with, Direction: d, Priority: step.is.Spec.Priority, Witness: witness}
		}
		index.Put(step.id, step.is.Spec)
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
