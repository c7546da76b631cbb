package northbound

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/flowtap/flowtap/store"
	"github.com/flowtap/flowtap/topology"
)

// singular is "tap" for "taps".
func singular(collection string) string {
	if collection == store.CollectionPolicies {
		return "policy"
	}
	return strings.TrimSuffix(collection, "s")
}

// getPort reads the port that a field names.
func getPort(ctx context.Context, st *store.Store, field, id string) (*store.Port, error) {
	p, err := st.Ports().Get(ctx, id)
	return p, orReference(err, field, store.CollectionPorts, id)
}

// orReference says which field names the object that is not there.
func orReference(err error, field, collection, id string) error {
	if errors.Is(err, store.ErrNotFound) {
		return &store.ReferenceError{Field: field, Collection: collection, ID: id}
	}
	return err
}

// usersOf gives the ids of the taps, pools and monitors that name a port, sorted; with holding, of those alone without which
// it cannot be deleted: a policy's taps of the port go with it.
func usersOf(ctx context.Context, st *store.Store, port string, holding bool) ([]string, error) {
	var ids []string
	err := errors.Join(
		st.Taps().Each(ctx, func(t *store.Tap) bool {
			if t.Spec.Src == port && !(holding && t.Spec.Policy != "") || t.Spec.Dst == port {
				ids = append(ids, t.ID)
			}
			return true
		}),
		st.Pools().Each(ctx, func(p *store.Pool) bool {
			if slices.ContainsFunc(p.Spec.Members, func(m topology.PoolMember) bool { return m.Port == port }) {
				ids = append(ids, p.ID)
			}
			return true
		}),
		st.Ports().Each(ctx, func(p *store.Port) bool {
			if p.Spec.ReturnPort == port {
				ids = append(ids, p.ID)
			}
			return true
		}))
	slices.Sort(ids)
	return slices.Compact(ids), err
}

// taken looks for an object other than id with one of the same unique values. unique gives a
// spec's values as "field value", with whatever scope they are unique in.
func taken[S, T any](ctx context.Context, c *store.Collection[S, T], id string, spec S, unique func(string, *S) []claim) error {
	objs, _, err := c.List(ctx)
	if err != nil {
		return err
	}
	type held struct{ scope, value string }
	mine := map[held]claim{}
	for _, u := range unique(id, &spec) {
		mine[held{u.scope, u.value}] = u
	}
	for _, o := range objs {
		if o.ID == id {
			continue
		}
		for _, u := range unique(o.ID, &o.Spec) {
			if m, ok := mine[held{u.scope, u.value}]; ok {
				return &store.UniqueError{Field: m.field, Value: m.value, Owner: o.ID}
			}
		}
	}
	return nil
}

// claim is a value of a field that one object in a scope may have, whichever its field.
type claim struct{ field, scope, value string }

func inUse(collection, id string, users []string) error {
	if len(users) == 0 {
		return nil
	}
	return &store.InUseError{Collection: collection, ID: id, Users: users}
}

// clip cuts a client's text to a length that a problem can quote.
func clip(s string) string {
	if r := []rune(s); len(r) > 80 {
		return string(r[:80]) + "..."
	}
	return s
}
