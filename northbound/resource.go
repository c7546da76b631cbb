package northbound

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/gorilla/mux"

	"github.com/flowtap/flowtap/store"
	"github.com/flowtap/flowtap/topology"
)

// resource is one collection: what all collections do in the same way, and in its functions what
// differs. S is what the user wants, T what the controller observed.
type resource[S, T any] struct {
	server *Server
	// name and singular are "taps" and "tap".
	name, singular string
	// used says that other objects can refer to these, claims that these have unique values.
	used, claims bool
	objects      *store.Collection[S, T]
	// complete fills in the defaults of a decoded spec and says what cannot be.
	complete func(id string, s *S) error
	// check looks at the objects that the spec refers to and gives what the store must hold to
	// while it writes. old is nil for a new object. Nil: nothing.
	check func(ctx context.Context, id string, s S, old *S) ([]store.WriteOption, error)
	// rehearse gives the error of a change that is not made, as far as the store itself would
	// find it: references, unique values, users. The object and its revision have been looked at.
	rehearse func(ctx context.Context, c Change) error
	// observed is the status to show: what the controller wrote or, before that, the default.
	observed func(*store.Object[S, T]) T
	// done reports whether the status says all that there is to say about the object's revision,
	// so that ?wait is over. Nil: when the controller has settled.
	done func(*store.Object[S, T]) bool
	// refresh has the switches asked for what is newer than the status, for ?fresh=true. Nil: there is
	// no such parameter.
	refresh func(ctx context.Context, id string) error
	// special answers a list that is not of the store; nil or not ok: none.
	special func(filters) (items []json.RawMessage, ok bool)
}

// create answers POST.
func (res *resource[S, T]) create(w http.ResponseWriter, r *http.Request) error {
	dry, wait, err := writeParams(r)
	if err != nil {
		return err
	}
	body, err := readBody(w, r)
	if err != nil {
		return err
	}
	id, spec, err := res.decode(body, "")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), res.server.deps.StoreTimeout)
	defer cancel()
	opts, err := res.options(ctx, id, spec, nil)
	if err != nil {
		return err
	}
	if dry {
		return res.plan(ctx, w, Change{Op: OpCreate, Collection: res.name, ID: id, Spec: spec}, 0)
	}
	obj, created, err := res.objects.Create(ctx, id, spec, opts...)
	if err != nil {
		return err
	}
	status := http.StatusOK
	if created {
		status = http.StatusCreated
	}
	w.Header().Set("Location", "/v1/"+res.name+"/"+id)
	return res.write(w, status, res.await(r.Context(), obj, wait))
}

// read answers GET of one.
func (res *resource[S, T]) read(w http.ResponseWriter, r *http.Request) error {
	q, err := parseQuery(r, readParams(res.refresh != nil)...)
	if err != nil {
		return err
	}
	fresh, err := q.bool("fresh")
	if err != nil {
		return err
	}
	id := mux.Vars(r)["id"]
	ctx, cancel := context.WithTimeout(r.Context(), res.server.deps.StoreTimeout)
	defer cancel()
	obj, err := res.objects.Get(ctx, id)
	if err == nil && fresh {
		if err := res.refresh(ctx, id); err != nil {
			return err
		}
		obj, err = res.objects.Get(ctx, id)
	}
	if err != nil {
		return res.named(err, id)
	}
	return res.write(w, http.StatusOK, obj)
}

// replace answers PUT.
func (res *resource[S, T]) replace(w http.ResponseWriter, r *http.Request) error {
	id := mux.Vars(r)["id"]
	dry, wait, err := writeParams(r)
	if err != nil {
		return err
	}
	rev, err := ifMatch(r)
	if err != nil {
		return err
	}
	body, err := readBody(w, r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), res.server.deps.StoreTimeout)
	defer cancel()
	old, err := res.objects.Get(ctx, id)
	if err != nil {
		return res.named(err, id)
	}
	_, spec, err := res.decode(body, id)
	if err != nil {
		return err
	}
	opts, err := res.options(ctx, id, spec, &old.Spec)
	if err != nil {
		return err
	}
	if dry {
		return res.plan(ctx, w, Change{Op: OpReplace, Collection: res.name, ID: id, Spec: spec}, rev)
	}
	obj, err := res.objects.Replace(ctx, id, spec, rev, opts...)
	if err != nil {
		return res.named(err, id)
	}
	return res.write(w, http.StatusOK, res.await(r.Context(), obj, wait))
}

// remove answers DELETE.
func (res *resource[S, T]) remove(w http.ResponseWriter, r *http.Request) error {
	id := mux.Vars(r)["id"]
	dry, wait, err := writeParams(r)
	if err != nil {
		return err
	}
	rev, err := ifMatch(r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), res.server.deps.StoreTimeout)
	defer cancel()
	if dry {
		return res.plan(ctx, w, Change{Op: OpDelete, Collection: res.name, ID: id}, rev)
	}
	old, err := res.objects.Get(ctx, id)
	if err != nil {
		return res.named(err, id)
	}
	if err := res.objects.Delete(ctx, id, rev); err != nil {
		return res.named(err, id)
	}
	res.awaitGone(r.Context(), old, wait)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (res *resource[S, T]) options(ctx context.Context, id string, s S, old *S) ([]store.WriteOption, error) {
	if res.check == nil {
		return nil, nil
	}
	return res.check(ctx, id, s, old)
}

func writeParams(r *http.Request) (dry bool, wait time.Duration, err error) {
	q, err := parseQuery(r, "dry_run", "wait")
	if err != nil {
		return false, 0, err
	}
	if dry, err = q.bool("dry_run"); err != nil {
		return false, 0, err
	}
	wait, err = q.wait()
	return dry, wait, err
}

// named says in a 404 which object there is not.
func (res *resource[S, T]) named(err error, id string) error {
	// What cannot be an id is nobody's id.
	if errors.Is(err, store.ErrNotFound) || topology.ValidID(id) != nil {
		return problem(http.StatusNotFound, "", "there is no %s %q", res.singular, clip(id))
	}
	return err
}
