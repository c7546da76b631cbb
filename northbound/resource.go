package northbound

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/gorilla/mux"

	"github.com/flowtap/flowtap/access"
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
	// owned says that the objects are of projects.
	owned bool
	// inProject gives the project where the id does not say it. Ids are then those of all projects.
	inProject func(*store.Object[S, T]) string
	// names gives f every place in a spec that names another object, which f may change. Nil: there is none.
	names func(s *S, f func(reference, *string) error) error
	// status takes from an object what is not for everybody. Nil: nothing is.
	status func(project string, provider bool, o *store.Object[S, T])
	// shared gives with whom an object is shared, and offer makes of it what those see. Nil: it cannot be.
	shared func(*S) topology.Shared
	offer  func(*store.Object[S, T])
	// prepare is called before the collection is looked at, and mayDelete before an object is deleted. Nil: no need.
	prepare   func(context.Context) error
	mayDelete func(context.Context, *store.Object[S, T]) error
	// governed says that some objects are not the user's to change or delete.
	governed bool
	// indirect says that an object is carried out by others that follow from it: ?wait is for those too. gone holds until
	// there are none of an object that was deleted.
	indirect bool
	gone     func(ctx context.Context, id string)
	// foresee adds to the answer of a dry run, and gives the changes that are for switches. Nil: the change itself is.
	foresee func(context.Context, *scope, Change, *dryRunAnswer) ([]Change, error)
	// unplanned says that changes never are for switches.
	unplanned bool
	// complete fills in the defaults of a decoded spec and says what cannot be. old is nil for a new object.
	complete func(sc *scope, id string, s, old *S) error
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
	sc := scopeOf(r.Context())
	own, written, err := res.decode(sc, body, "", nil)
	if err != nil {
		return err
	}
	id := own
	if res.owned {
		id = topology.Qualify(sc.project, own)
	}
	ctx, cancel := context.WithTimeout(r.Context(), res.server.deps.StoreTimeout)
	defer cancel()
	if err := res.ready(ctx); err != nil {
		return err
	}
	var obj *store.Object[S, T]
	created, planned := false, false
	err = res.settle(ctx, sc, id, written, nil, func(spec S, opts []store.WriteOption) error {
		if planned = dry; dry {
			return res.plan(ctx, w, Change{Op: OpCreate, Collection: res.name, ID: id, Spec: spec}, 0)
		}
		obj, created, err = res.objects.Create(ctx, id, spec, opts...)
		return err
	})
	if err != nil || planned {
		return err
	}
	status := http.StatusOK
	if created {
		status = http.StatusCreated
		res.server.changed(sc, access.Create, res.name, id, obj.Revision)
	}
	location := "/v1/" + res.name + "/" + own
	if res.owned {
		location = withProject(location, sc.project)
	}
	w.Header().Set("Location", location)
	return res.write(sc, w, status, res.await(r.Context(), obj, wait))
}

// settle turns a spec as it was written into one with inside ids, looks at what it refers to, and calls f with
// what must still hold when it is written; again if that has changed meanwhile.
func (res *resource[S, T]) settle(ctx context.Context, sc *scope, id string, written S, old *S, f func(S, []store.WriteOption) error) error {
	for try := 1; ; try++ {
		spec, opts := written, []store.WriteOption{sc.record()}
		if res.names != nil {
			more, err := res.server.resolve(ctx, sc, func(name func(reference, *string) error) error { return res.names(&spec, name) })
			if err != nil {
				return err
			}
			opts = append(opts, more...)
		}
		more, err := res.options(ctx, id, spec, old)
		if err != nil {
			return err
		}
		if err = f(spec, append(opts, more...)); try == 10 || !errors.Is(err, store.ErrChanged) {
			return err
		}
	}
}

func (res *resource[S, T]) ready(ctx context.Context) error {
	if res.prepare == nil {
		return nil
	}
	return res.prepare(ctx)
}

// get reads what a path names. The errors are those of an object that is not there, too where it is another
// project's.
func (res *resource[S, T]) get(ctx context.Context, sc *scope, own string) (*store.Object[S, T], error) {
	id, err := res.key(sc, own)
	if err != nil {
		return nil, err
	}
	if err := res.ready(ctx); err != nil {
		return nil, err
	}
	obj, err := res.objects.Get(ctx, id)
	switch {
	case err != nil:
		return nil, res.named(err, own)
	case res.owned && sc.project != "" && res.projectOf(obj) != sc.project:
		return nil, res.missing(own)
	}
	return obj, nil
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
	id, sc := mux.Vars(r)["id"], scopeOf(r.Context())
	ctx, cancel := context.WithTimeout(r.Context(), res.server.deps.StoreTimeout)
	defer cancel()
	if sc.hidden && res.offer != nil && topology.ValidID(id) == nil {
		return res.readOffer(ctx, w, sc, id)
	}
	obj, err := res.get(ctx, sc, id)
	if err == nil && fresh {
		if err := res.refresh(ctx, obj.ID); err != nil {
			if !sc.principal.Provider {
				return unavailable("the counters could not be read now; without fresh=true the last ones are there")
			}
			return err
		}
		obj, err = res.get(ctx, sc, id)
	}
	if err != nil {
		return err
	}
	return res.write(sc, w, http.StatusOK, obj)
}

// readOffer answers for an object of a project where the principal has no role.
func (res *resource[S, T]) readOffer(ctx context.Context, w http.ResponseWriter, sc *scope, id string) error {
	obj, err := res.objects.Get(ctx, topology.Qualify(sc.project, id))
	if err != nil {
		return res.named(err, id)
	}
	v := res.offeredTo(sc, obj, rolesIn(sc.principal)...)
	if v == nil {
		return res.missing(id)
	}
	return res.writeView(w, http.StatusOK, res.projectOf(obj), v)
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
	sc := scopeOf(r.Context())
	old, err := res.get(ctx, sc, id)
	if err != nil {
		return err
	}
	_, written, err := res.decode(sc, body, id, &old.Spec)
	if err != nil {
		return err
	}
	obj, planned := old, false
	err = res.settle(ctx, sc, old.ID, written, &old.Spec, func(spec S, opts []store.WriteOption) error {
		if planned = dry; dry {
			return res.plan(ctx, w, Change{Op: OpReplace, Collection: res.name, ID: old.ID, Spec: spec}, rev)
		}
		obj, err = res.objects.Replace(ctx, old.ID, spec, rev, opts...)
		return err
	})
	if err != nil {
		return res.named(err, id)
	}
	if planned {
		return nil
	}
	if obj.Revision != old.Revision {
		res.server.changed(sc, access.Replace, res.name, obj.ID, obj.Revision)
	}
	return res.write(sc, w, http.StatusOK, res.await(r.Context(), obj, wait))
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
	sc := scopeOf(r.Context())
	old, err := res.get(ctx, sc, id)
	if err != nil {
		return err
	}
	if res.mayDelete != nil {
		if err := res.mayDelete(ctx, old); err != nil {
			return err
		}
	}
	if dry {
		return res.plan(ctx, w, Change{Op: OpDelete, Collection: res.name, ID: old.ID}, rev)
	}
	if err := res.objects.Delete(ctx, old.ID, rev, sc.record()); err != nil {
		return res.named(err, id)
	}
	res.server.changed(sc, access.Delete, res.name, old.ID, old.Revision)
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
		return res.missing(id)
	}
	return err
}

// missing is the answer for what is not there, and for what is not the principal's.
func (res *resource[S, T]) missing(id string) error {
	return problem(http.StatusNotFound, "", "there is no %s %q", res.singular, clip(id))
}
