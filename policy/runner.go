package policy

import (
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
	// echo is the revision of the last change: until the world has it nothing is decided.
	echo     int64
	attempts int // in vain, one after the other
	again    <-chan time.Time
	placer   *placer
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
		world: newWorld(), policies: map[string]*state{}, due: map[string]bool{}, placer: newPlacer()}
}

// Run follows the store until ctx ends.
func (r *Runner) Run(ctx context.Context) error {
	for err := r.store.UndoPlans(ctx); err != nil; err = r.store.UndoPlans(ctx) {
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
		if r.world.Revision == 0 || r.world.Revision < r.echo {
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
		case <-look.C:
			if r.world.Revision == 0 || r.world.Revision < r.echo || len(r.placer.wants) == 0 {
				continue
			}
			r.place()
		}
		r.settle(ctx)
	}
}

// follow takes what has changed.
func (r *Runner) follow(b store.Batch) {
	if b.Reset {
		r.world, r.echo = newWorld(), 0
		for _, p := range r.policies {
			p.forget()
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
	if b.Reset {
		for id := range r.policies {
			if r.world.Policies[id] == nil {
				delete(r.policies, id)
			}
			r.due[id] = true
		}
	}
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
	if r.world.Revision >= r.echo && r.again == nil {
		r.collect()
	}
	for _, id := range slices.Sorted(maps.Keys(r.due)) {
		if r.world.Revision < r.echo || r.again != nil || ctx.Err() != nil {
			return
		}
		delete(r.due, id)
		if err := r.carryOut(ctx, id); err != nil {
			if ctx.Err() != nil {
				return
			}
			r.due[id] = true
			pause := min(retryLeast<<min(r.attempts, 10), retryMost)
			r.attempts++
			if r.attempts > 3 {
				r.log.Warn("a policy cannot be carried out now; will try again", "policy", id, "error", err)
			}
			r.again = time.After(pause)
			return
		}
		r.attempts = 0
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
	if !d.faults.Errors() && !d.empty() {
		began := time.Now()
		rev, err := r.store.ChangeTaps(ctx, d.change)
		if fault := p.refusal(err, r.attempts); fault != nil {
			d.faults = append(d.faults, *fault)
		} else if err != nil {
			return r.undo(ctx, err)
		} else {
			r.echo = rev
			r.log.Info("a policy changed its taps", "policy", id, "put", len(d.change.Put), "deleted", len(d.change.Delete), "taps", d.wanted, "took", time.Since(began))
		}
	}
	if d.faults.Errors() && r.placer.recover(r.world, id, time.Now()) { // what it has goes on where it is
		p.stuck = d.faults
		return r.carryOut(ctx, id)
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

// collect tells the placer what policies want that are due, and has what is due because of that looked at, too.
func (r *Runner) collect() {
	changed := false
	for id := range r.due {
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
	rev, err := r.store.ChangeTaps(ctx, store.PolicyChange{Policy: id, Delete: taps})
	if err != nil {
		return r.undo(ctx, err)
	}
	r.echo = rev
	r.log.Info("a policy is gone, and its taps with it", "policy", id, "deleted", len(taps))
	return nil
}

// undo leaves no half of a change behind.
func (r *Runner) undo(ctx context.Context, err error) error {
	return errors.Join(err, r.store.UndoPlans(ctx))
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

// A Rehearsal is what a policy would do if it was written.
type Rehearsal struct {
	Diagnostics []flowtap.Diagnostic
	// Put has taps as they would be, by inside ids; of these, Was has those that are there now, as they are. Delete has
	// those that would go.
	Put, Was, Delete map[string]flowtap.Tap
}

// Rehearse says what would become of the taps of a policy if it was p; nil: if it was deleted.
func (r *Runner) Rehearse(ctx context.Context, id string, p *flowtap.Policy) (Rehearsal, error) {
	done := make(chan Rehearsal, 1)
	select {
	case r.inbox <- func() { done <- r.rehearse(id, p) }:
	case <-ctx.Done():
		return Rehearsal{}, ctx.Err()
	}
	select {
	case out := <-done:
		return out, nil
	case <-ctx.Done():
		return Rehearsal{}, ctx.Err()
	}
}

func (r *Runner) rehearse(id string, p *flowtap.Policy) Rehearsal {
	out := Rehearsal{Put: map[string]flowtap.Tap{}, Was: map[string]flowtap.Tap{}, Delete: map[string]flowtap.Tap{}}
	if p == nil {
		for id, t := range r.world.byPolicy[id] {
			out.Delete[id] = t.Spec
		}
		return out
	}
	c := newCompiled(id, *p, r.limits)
	d := decide(r.world, c, 0, r.suppose(c))
	ds := d.faults
	if c.program != nil {
		ds = append(slices.Clone(c.text), ds...)
	}
	out.Diagnostics = ftc.Report(ds)
	if d.faults.Errors() {
		return out
	}
	for id, t := range d.change.Put {
		out.Put[id] = t
		if have := r.world.Taps[id]; have != nil {
			out.Was[id] = have.Spec
		}
	}
	for _, id := range d.change.Delete {
		out.Delete[id] = r.world.Taps[id].Spec
	}
	return out
}

// suppose gives where everything would be if a policy was there.
func (r *Runner) suppose(c *compiled) *placer {
	p := *r.placer
	p.wants = maps.Clone(p.wants)
	if wanted, faults := c.wanted(r.world); !faults.Errors() && p.put(r.world, c, wanted, time.Now()) {
		if _, err := p.place(r.world, time.Now()); err != nil {
			return r.placer
		}
	}
	return &p
}
