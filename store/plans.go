package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/flowtap/flowtap/flowtap"
)

// A change of many taps is made in several transactions. Each but the last leaves what it changed as it was before: the
// last takes all that away. So for as long as a policy has such keys its taps are those that they say, and no others; who
// acts on taps goes by them, and sees the change at once when they are gone.

// A Plan is part of a change that is under way: what its taps were before. Nil is that there was none.
type Plan map[string]*Tap

// CollectionPlans is what Follow calls the parts of changes that are under way. Objects are Plans.
const CollectionPlans = "plans"

const plansPrefix = prefix + "plans/"

func planPrefix(policy string) string     { return plansPrefix + policy + "/" }
func planKey(policy string, i int) string { return fmt.Sprintf("%s%08d", planPrefix(policy), i) }

// storedPlan is the value of a plan key.
type storedPlan struct {
	V    int          `json:"v"`
	Taps []storedStep `json:"taps"`
}

type storedStep struct {
	ID     string                     `json:"id"`
	Was    *storedObject[flowtap.Tap] `json:"was,omitempty"`
	Status flowtap.TapStatus          `json:"status"`
}

func encodePlan(steps []tapStep) (string, error) {
	p := storedPlan{V: valueVersion}
	for _, s := range steps {
		one := storedStep{ID: s.id}
		if s.was != nil {
			one.Was = &storedObject[flowtap.Tap]{valueVersion, s.was.Num, s.was.CreatedAt, s.was.UpdatedAt, s.was.Spec}
			one.Status = s.was.Status
		}
		p.Taps = append(p.Taps, one)
	}
	b, err := json.Marshal(p)
	return string(b), err
}

func decodePlan(kv *mvccpb.KeyValue) (Plan, error) {
	var v storedPlan
	if err := json.Unmarshal(kv.Value, &v); err != nil {
		return nil, fmt.Errorf("stored value of %s: %w", kv.Key, err)
	}
	if v.V != valueVersion {
		return nil, fmt.Errorf("stored value of %s has version %d, this program knows %d", kv.Key, v.V, valueVersion)
	}
	p := Plan{}
	for _, s := range v.Taps {
		p[s.ID] = nil
		if s.Was != nil {
			p[s.ID] = &Tap{Meta: Meta{ID: s.ID, CreatedAt: s.Was.CreatedAt, UpdatedAt: s.Was.UpdatedAt, Num: s.Was.Num},
				Spec: s.Was.Spec, Status: s.Status}
		}
	}
	return p, nil
}

// lockedPlannedOverlap finds a tap that a change under way has taken away, or made another, and that t cannot stand with: who acts
// on taps still has it, and it is there again if the change is undone.
func (m *mirror) lockedPlannedOverlap(t flowtap.Tap) *OverlapError {
	for _, p := range m.plans {
		for id, was := range p {
			if was == nil {
				continue
			}
			if d, witness, ok := flowtap.Overlap(t, was.Spec); ok {
				return &OverlapError{With: id, Direction: d, Priority: t.Priority, Witness: witness}
			}
		}
	}
	return nil
}

// UndoPlans undoes what there is of changes of taps that nobody makes any more: those of a process that ended meanwhile. It
// gives the revision at which all are undone; 0: there was none.
func (s *Store) UndoPlans(ctx context.Context) (revision int64, err error) {
	kvs, _, err := s.scan(ctx, plansPrefix, 0)
	if err != nil {
		return 0, err
	}
	var policies []string
	for _, kv := range kvs {
		policy, _, _ := strings.Cut(strings.TrimPrefix(string(kv.Key), plansPrefix), "/")
		policies = append(policies, policy)
	}
	for _, policy := range slices.Compact(policies) {
		rev, err := s.undoPlan(ctx, policy)
		if revision = max(revision, rev); err != nil {
			return revision, fmt.Errorf("undo the change of the taps of policy %s: %w", policy, err)
		}
	}
	return revision, nil
}

// undoPlan undoes the parts of a change, the last one first.
func (s *Store) undoPlan(ctx context.Context, policy string) (revision int64, err error) {
	kvs, _, err := s.scan(ctx, planPrefix(policy), 0)
	if err != nil {
		return 0, err
	}
	for _, kv := range kvs { // what is undone is what there is now
		s.mirror.wrote(kv.ModRevision)
	}
	for _, kv := range slices.Backward(kvs) {
		plan, err := decodePlan(kv)
		if err != nil {
			return revision, err
		}
		for again := true; again; {
			var rev int64
			rev, again, err = s.undoPart(ctx, policy, string(kv.Key), kv.ModRevision, plan)
			if revision = max(revision, rev); err != nil {
				return revision, err
			}
			if again && !pause(ctx, undoAgain) {
				return revision, readError(ctx.Err())
			}
		}
	}
	return revision, nil
}

// undoPart makes the taps of one part what they were, in the transaction that takes the part away. again: they have
// changed meanwhile.
func (s *Store) undoPart(ctx context.Context, policy, key string, rev int64, plan Plan) (done int64, again bool, err error) {
	w := newTapWrite(s)
	w.require(clientv3.Compare(clientv3.ModRevision(key), "=", rev))
	w.then = append(w.then, clientv3.OpDelete(key))
	var steps []tapStep
	for id, t := range plan {
		step := tapStep{id: id, is: t}
		if t != nil {
			step.src = t.Spec.Src
		}
		steps = append(steps, step)
	}
	if err := s.looking(ctx, func(m *mirror) error {
		steps = w.possible(m, steps, policy)
		return w.look(m, steps, policy)
	}); err != nil {
		return 0, false, err
	}
	for _, step := range steps {
		if _, err := w.step(ctx, step); err != nil {
			return 0, false, err
		}
		if step.is == nil || step.was != nil {
			continue
		}
		status, err := encodeStatus(step.is.Status)
		if err != nil {
			return 0, false, err
		}
		w.then = append(w.then, clientv3.OpPut(statusKey(CollectionTaps, step.id), status))
	}
	r, err := s.commit(ctx, w.cmps, w.then, []clientv3.Op{clientv3.OpGet(key)})
	switch {
	case err != nil:
		return 0, false, err
	case r.Succeeded:
		s.mirror.wrote(r.Header.Revision)
		return r.Header.Revision, false, nil
	case first(r, 0) == nil:
		return 0, false, nil // somebody else has undone it
	}
	return 0, true, nil
}

// undoAgain is how long the mirror is given to see what has changed meanwhile.
const undoAgain = 20 * time.Millisecond

// possible takes away what cannot be again: taps whose ends are gone, or in whose place somebody made another.
func (w *tapWrite) possible(m *mirror, steps []tapStep, policy string) []tapStep {
	undone := map[string]bool{}
	for _, step := range steps {
		undone[step.id] = true
	}
	var out []tapStep
	for _, step := range steps {
		if was := m.taps.objects[step.id]; was != nil && was.Spec.Policy != policy {
			continue // somebody has made one of this name
		} else if was != nil {
			step.src = was.Spec.Src
		}
		if step.is != nil {
			if why := w.impossible(m, step, undone); why != "" {
				w.s.log.Warn("a tap cannot be restored", "tap", step.id, "reason", why)
				step.is = nil
			}
		}
		out = append(out, step)
	}
	return out
}

func (w *tapWrite) impossible(m *mirror, step tapStep, undone map[string]bool) string {
	if err := newTapWrite(w.s).ends(m, step.is.Spec); err != nil {
		return err.Error()
	}
	var index flowtap.OverlapIndex
	for _, t := range m.siblings.sets[step.src] {
		if !undone[t.ID] {
			index.Put(t.ID, t.Spec)
		}
	}
	if with, _, _, ok := index.Overlap(step.is.Spec, step.id); ok {
		return "tap " + with + " has its place"
	}
	return ""
}
