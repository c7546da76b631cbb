package policy

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/flowtap/ftc"
	"github.com/flowtap/flowtap/flowtap/ftc/eval"
	"github.com/flowtap/flowtap/flowtap/ftc/lang"
	"github.com/flowtap/flowtap/flowtap/placement"
	"github.com/flowtap/flowtap/store"
)

// A Runner carries policies out for as long as its Run runs, which is one replica's time as the leader.
type Runner struct {
	store  *store.Store
	log    *slog.Logger
	limits eval.Limits
	inbox  chan func() // unbuffered: full while a change is made

	// The fields below belong to the goroutine of Run.
	world    *World
	policies map[string]*state
	due      map[string]bool // ids of policies, also of such as there are no more
	// echo is the revision of the last change: until the world has it nothing is decided. lost is when that is waited for no
	// longer: it may be of a history that is no more.
	echo int64
	lost <-chan time.Time
	// half says that a part of a change was made and is still to be undone: until then nothing is changed.
	half   bool
	tries  map[string]int   // in vain, one after the other, by policy
	again  <-chan time.Time // those are tried again; nil: at once
	placer *placer
}

// state is a policy and what was said of it last.
type state struct {
	*compiled
	revision int64
	status   flowtap.PolicyStatus
	// stuck says why something could not move, until that is said; stays, that something could not the last time.
	stuck lang.Diagnostics
	stays bool
}

// New makes a Runner.
func New(st *store.Store, log *slog.Logger) *Runner {
	return &Runner{store: st, log: log, limits: usualLimits, inbox: make(chan func()),
		world: newWorld(), policies: map[string]*state{}, due: map[string]bool{}, tries: map[string]int{}, placer: newPlacer()}
}

// Run follows the store until ctx ends.
func (r *Runner) Run(ctx context.Context) error {
	for err := r.undo(ctx); err != nil; err = r.undo(ctx) {
		if ctx.Err() != nil {
			return nil
		}
		r.log.Warn("cannot undo a change of taps that was interrupted; will try again", "error", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(retryMost):
		}
	}
	changes := r.store.Follow(ctx)
	look := time.NewTicker(placeEvery)
	defer look.Stop()
	for {
		inbox := r.inbox
		if r.behind() {
			inbox = nil // what it asks about is on its way
		}
		select {
		case <-ctx.Done():
			return nil
		case b, ok := <-changes:
			if !ok {
				return nil
			}
			r.follow(b)
		case f := <-inbox:
			f()
			continue
		case <-r.again:
			r.again = nil
		case <-r.lost:
			r.lost, r.echo = nil, 0
		case <-look.C:
			if r.behind() || len(r.placer.wants) == 0 {
				continue
			}
			r.place()
		}
		r.settle(ctx)
	}
}

// behind reports whether the world is not yet as it is known to be.
func (r *Runner) behind() bool { return r.world.Revision == 0 || r.world.Revision < r.echo }

// follow takes what has changed.
func (r *Runner) follow(b store.Batch) {
	if b.Reset {
		for id := range r.policies {
			r.due[id] = true // also those that are not among the events
		}
		r.world, r.policies, r.lost = newWorld(), map[string]*state{}, nil
		if b.Revision < r.echo {
			r.lost = time.After(retryMost)
		}
	}
	wanted := false // by somebody
	for _, e := range b.Events {
		was := r.world.apply(e)
		wanted = wanted || !e.StatusOnly
		if e.Collection == store.CollectionPolicies {
			r.policy(e)
			continue
		}
		if t, ok := was.(*store.Tap); ok && t.Spec.Policy != "" {
			r.due[t.Spec.Policy] = r.due[t.Spec.Policy] || !e.StatusOnly
		}
		if t, ok := e.Object.(*store.Tap); ok && t.Spec.Policy != "" {
			r.due[t.Spec.Policy] = r.due[t.Spec.Policy] || !e.StatusOnly
		}
		if e.Collection == store.CollectionPorts && !e.StatusOnly {
			for _, t := range r.world.bySrc[e.ID] { // which may be all that a policy has to do with it
				r.due[t.Spec.Policy] = r.due[t.Spec.Policy] || t.Spec.Policy != "" && !r.world.tappable(e.ID)
			}
		}
		if b.Reset {
			continue
		}
		for id, p := range r.policies {
			if p.changed(e, was) {
				r.due[id] = true
			}
		}
	}
	r.world.Revision = b.Revision
	// What was in the way of a policy may be gone.
	for id, p := range r.policies {
		if wanted && p.engine != nil && p.status.State != flowtap.PolicyActive {
			r.due[id] = true
		}
	}
	maps.DeleteFunc(r.due, func(_ string, due bool) bool { return !due })
}

// policy takes a policy that is new, another or gone.
func (r *Runner) policy(e store.Event) {
	p, ok := e.Object.(*store.Policy)
	if !ok {
		delete(r.policies, e.ID)
		r.due[e.ID] = true
		return
	}
	have := r.policies[e.ID]
	if have != nil && have.revision == p.Revision {
		return // our own status
	}
	r.policies[e.ID] = &state{compiled: newCompiled(e.ID, p.Spec, r.limits), revision: p.Revision, status: p.Status}
	r.due[e.ID] = true
}

// Pauses between attempts that failed.
const (
	retryLeast = 20 * time.Millisecond
	retryMost  = 2 * time.Second
)

// settle decides for what is due, until something was changed whose echo has to come first.
func (r *Runner) settle(ctx context.Context) {
	if r.half && r.again == nil {
		if err := r.undo(ctx); err != nil {
			r.later(ctx, "", err)
			return
		}
		delete(r.tries, "")
	}
	if r.half || r.behind() {
		return
	}
	r.collect()
	for _, id := range r.ready() {
		delete(r.due, id)
		if err := r.carryOut(ctx, id); err != nil {
			r.due[id] = true
			r.later(ctx, id, err)
			return
		}
		delete(r.tries, id)
		if r.behind() || ctx.Err() != nil {
			return
		}
	}
}

// ready gives the policies that are due, those that were tried in vain behind all others, and not before it is time.
func (r *Runner) ready() (ids []string) {
	for id := range r.due {
		if r.again == nil || r.tries[id] == 0 {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b string) int { return cmp.Or(cmp.Compare(r.tries[a], r.tries[b]), cmp.Compare(a, b)) })
	return ids
}

// later has what was tried in vain tried again.
func (r *Runner) later(ctx context.Context, policy string, err error) {
	if ctx.Err() != nil {
		return
	}
	r.again = time.After(min(retryLeast<<min(r.tries[policy], 10), retryMost))
	if r.tries[policy]++; r.tries[policy] > 3 {
		r.log.Warn("a policy cannot be carried out now; will try again", "policy", policy, "error", err)
	}
}

// carryOut makes the taps of one policy what it wants, and says what came of it. An error is of the store, and worth another
// try.
func (r *Runner) carryOut(ctx context.Context, id string) error {
	p := r.policies[id]
	if p == nil {
		return r.withdraw(ctx, id)
	}
	d := decide(r.world, p.compiled, p.revision, r.placer)
	if !d.empty() {
		began := time.Now()
		err := r.change(ctx, d.change)
		if fault := p.refusal(err, r.tries[id]); fault != nil && !r.half {
			d.faults = append(d.faults, *fault)
		} else if err != nil {
			return err
		} else {
			r.log.Info("a policy changed its taps", "policy", id, "put", len(d.change.Put), "deleted", len(d.change.Delete), "taps", d.wanted, "took", time.Since(began))
		}
	}
	switch failed := d.faults.Errors(); {
	case failed && r.placer.recover(r.world, id, time.Now()): // what it has goes on where it is
		if p.stuck = d.faults; r.behind() {
			r.due[id] = true
			return nil
		}
		return r.carryOut(ctx, id)
	case failed:
		p.stuck = nil
	}
	d.faults, p.stays, p.stuck = append(d.faults, warnings(p.stuck)...), len(p.stuck) > 0, nil
	return r.say(ctx, p, d)
}

// warnings gives what is no error any more.
func warnings(faults lang.Diagnostics) (out lang.Diagnostics) {
	for _, f := range faults {
		f.Severity = lang.Warning
		out = append(out, f)
	}
	return out
}

// change makes a change, or leaves no half of it behind.
func (r *Runner) change(ctx context.Context, c store.PolicyChange) error {
	rev, err := r.store.ChangeTaps(ctx, c)
	r.echo = max(r.echo, rev)
	if err != nil {
		err = errors.Join(err, r.undo(ctx))
	}
	return err
}

// undo takes back what was made of a change that was not made whole.
func (r *Runner) undo(ctx context.Context) error {
	rev, err := r.store.UndoPlans(ctx)
	r.echo, r.half = max(r.echo, rev), err != nil
	return err
}

// collect tells the placer what policies want that are due, and has what is due because of that looked at, too.
func (r *Runner) collect() {
	changed := false
	for _, id := range r.ready() {
		p := r.policies[id]
		if p == nil {
			_, had := r.placer.wants[id]
			delete(r.placer.wants, id)
			changed = changed || had
			continue
		}
		if wanted, faults := p.wanted(r.world); !faults.Errors() { // else what it has goes on
			changed = r.placer.put(r.world, p.compiled, wanted, time.Now()) || changed
		}
	}
	if changed {
		r.place()
	}
}

// place has monitors chosen anew.
func (r *Runner) place() {
	changed, err := r.placer.place(r.world, time.Now())
	if err != nil {
		r.log.Error("cannot place taps", "error", err)
		return
	}
	for id := range changed {
		r.due[id] = true
	}
	for id, p := range r.policies {
		if p.stays { // if it is so still
			r.due[id] = true
		}
	}
	for _, m := range r.placer.placed.Moves {
		if m.Cause != placement.New {
			r.log.Info("a part of a flow moves to another monitor", "move", m.String())
		}
	}
}

// withdraw takes away the taps of a policy that is no more.
func (r *Runner) withdraw(ctx context.Context, id string) error {
	taps := slices.Sorted(maps.Keys(r.world.byPolicy[id]))
	if len(taps) == 0 {
		return nil
	}
	if err := r.change(ctx, store.PolicyChange{Policy: id, Delete: taps}); err != nil {
		return err
	}
	r.log.Info("a policy is gone, and its taps with it", "policy", id, "deleted", len(taps))
	return nil
}

// say writes a policy's status.
func (r *Runner) say(ctx context.Context, p *state, d decision) error {
	st := flowtap.PolicyStatus{State: flowtap.PolicyActive, Taps: d.wanted, Revision: revisionText(p.revision), Running: revisionText(p.revision)}
	ds := d.faults
	if p.program != nil {
		ds = append(slices.Clone(p.text), ds...) // warnings
	}
	st.Diagnostics = ftc.Report(ds)
	if d.faults.Errors() {
		st.State, st.Running, st.Taps = flowtap.PolicyInvalid, p.status.Running, len(r.world.byPolicy[p.id])
		for _, one := range st.Diagnostics {
			if one.Severity == "error" {
				st.Reason = one.Message
				break
			}
		}
	}
	if st.Equal(p.status) {
		return nil
	}
	err := r.store.Policies().PutStatus(ctx, p.id, st)
	if errors.Is(err, store.ErrNotFound) {
		return nil // it was deleted, and we will hear of it
	}
	if err == nil {
		if st.State != p.status.State {
			r.log.Info("policy", "policy", p.id, "state", st.State, "reason", st.Reason, "taps", st.Taps)
		}
		p.status = st
	}
	return err
}

func revisionText(rev int64) string { return strconv.FormatInt(rev, 10) }

// refusal gives what the store's error says about the policy. What it says of other objects the world will
// show, soon.
func (c *compiled) refusal(err error, attempts int) *lang.Diagnostic {
	var quota *store.QuotaError
	var overlap *store.OverlapError
	var reference *store.ReferenceError
	switch {
	case errors.As(err, &quota):
		return overQuota(quota)
	case attempts < 5:
	case errors.As(err, &overlap), errors.As(err, &reference):
		return wrong("%s", c.view.names(err.Error()))
	}
	return nil
}

func wrong(format string, args ...any) *lang.Diagnostic {
	d := lang.Errorf(lang.Span{}, format, args...)
	return &d
}
