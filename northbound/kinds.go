package northbound

import (
	"context"
	"errors"
	"strings"

	"github.com/flowtap/flowtap/store"
)

// singular is "tap" for "taps".
func singular(collection string) string { return strings.TrimSuffix(collection, "s") }

// laterCollections are the collections of API.md that do not exist yet.
var laterCollections = []string{"pools", "policies"}

// getPort reads the port that a field names.
func getPort(ctx context.Context, st *store.Store, field, id string) (*store.Port, error) {
	p, err := st.Ports().Get(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, &store.ReferenceError{Field: field, Collection: store.CollectionPorts, ID: id}
	}
	return p, err
}

// tapsOf gives the ids of the taps that name a port.
func tapsOf(ctx context.Context, st *store.Store, port string) ([]string, error) {
	taps, _, err := st.Taps().List(ctx)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, t := range taps {
		if t.Spec.Src == port || t.Spec.Dst == port {
			ids = append(ids, t.ID)
		}
	}
	return ids, nil
}

// taken looks for an object other than id with one of the same unique values. unique gives a
// spec's values as "field value", with whatever scope they are unique in.
func taken[S, T any](ctx context.Context, c *store.Collection[S, T], id string, spec S, unique func(string, *S) []claim) error {
	objs, _, err := c.List(ctx)
	if err != nil {
		return err
	}
	mine := map[claim]bool{}
	for _, u := range unique(id, &spec) {
		mine[u] = true
	}
	for _, o := range objs {
		if o.ID == id {
			continue
		}
		for _, u := range unique(o.ID, &o.Spec) {
			if mine[u] {
				return &store.UniqueError{Field: u.field, Value: u.value, Owner: o.ID}
			}
		}
	}
	return nil
}

// claim is a value that one object in a scope may have in a field.
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
