package northbound

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/store"
	"github.com/flowtap/flowtap/topology"
)

// dryRunAnswer is the answer to ?dry_run=true. Object is what would be stored (revision and times
// are those of now); it is left out for a delete.
type dryRunAnswer struct {
	DryRun   bool            `json:"dry_run"`
	Op       Op              `json:"op"`
	Object   json.RawMessage `json:"object,omitempty"`
	Switches []SwitchChange  `json:"switches"`
	// Of policies only.
	Taps        *foreseenTaps        `json:"taps,omitempty"`
	Diagnostics []flowtap.Diagnostic `json:"diagnostics,omitempty"`
}

// plan answers a dry run whose spec is valid by itself. rev is If-Match, zero for none. When the
// same object is there already, nothing would change.
func (res *resource[S, T]) plan(ctx context.Context, w http.ResponseWriter, c Change, rev int64) error {
	sc := scopeOf(ctx)
	obj, same, err := res.preview(ctx, c, rev)
	if err != nil {
		_, own := topology.SplitID(c.ID)
		return res.named(err, own)
	}
	answer := dryRunAnswer{DryRun: true, Op: c.Op, Switches: []SwitchChange{}}
	if obj != nil {
		if answer.Object, err = res.render(res.projectOf(obj), res.view(sc, obj)); err != nil {
			return err
		}
	}
	changes := []Change{c}
	if res.foresee != nil {
		if changes, err = res.foresee(ctx, sc, c, &answer); err != nil {
			return err
		}
		same = len(changes) == 0
	}
	if same || res.unplanned || !sc.principal.Provider { // switches are the provider's
		return writeJSON(w, http.StatusOK, answer)
	}
	if res.server.deps.Planner == nil {
		return unavailable("the controller, which plans changes, is not running; the change itself is valid")
	}
	switches, err := res.server.deps.Planner.DryRun(ctx, changes)
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return unavailable("planning the change took too long; the change itself is valid")
	case err != nil:
		return err
	}
	for _, sw := range switches {
		for _, list := range []*[]string{&sw.FlowsAdded, &sw.FlowsChanged, &sw.FlowsRemoved, &sw.GroupsAdded, &sw.GroupsChanged, &sw.GroupsRemoved,
			&sw.MetersAdded, &sw.MetersChanged, &sw.MetersRemoved} {
			if *list == nil {
				*list = []string{}
			}
		}
		answer.Switches = append(answer.Switches, sw)
	}
	return writeJSON(w, http.StatusOK, answer)
}

// preview finds the errors that the store would find, and gives the object that a change would
// leave, or nil for a delete. same says that it is what there is.
func (res *resource[S, T]) preview(ctx context.Context, c Change, rev int64) (obj *store.Object[S, T], same bool, err error) {
	old, err := res.objects.Get(ctx, c.ID)
	switch {
	case errors.Is(err, store.ErrNotFound) && c.Op == OpCreate:
		old = nil
	case err != nil:
		return nil, false, err
	}
	if c.Op != OpDelete {
		now := time.Now()
		obj = &store.Object[S, T]{Meta: store.Meta{ID: c.ID, CreatedAt: now, UpdatedAt: now}, Spec: c.Spec.(S)}
	}
	if old != nil && obj != nil {
		same = bytes.Equal(mustJSON(old.Spec), mustJSON(obj.Spec))
		obj.Revision, obj.CreatedAt, obj.Status = old.Revision, old.CreatedAt, old.Status
	}
	switch {
	case c.Op == OpCreate && same:
		return old, true, nil
	case c.Op == OpCreate && old != nil:
		return nil, false, &store.ExistsError{Collection: c.Collection, ID: c.ID}
	case rev != 0 && rev != old.Revision:
		return nil, false, &store.RevisionError{Want: rev, Have: old.Revision}
	}
	if old == nil && res.owned {
		if err := res.server.roomFor(ctx, res.name, topology.ProjectOf(c.ID)); err != nil {
			return nil, false, err
		}
	}
	return obj, same, res.rehearse(ctx, c)
}
