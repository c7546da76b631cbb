package northbound

import (
	"context"
	"errors"
	"strings"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/store"
	"github.com/flowtap/flowtap/topology"
)

// reference is a place in a spec where another object is named.
type reference struct {
	field, collection string
	// offered says that the object may be another project's, if it is shared with this one.
	offered bool
}

func portNames(p *topology.Port, f func(reference, *string) error) error {
	if err := f(reference{"network", store.CollectionNetworks, false}, &p.Network); err != nil {
		return err
	}
	return f(reference{"return_port", store.CollectionPorts, false}, &p.ReturnPort)
}

// poolNames also gives the pool members of its own.
func poolNames(p *topology.Pool, f func(reference, *string) error) error {
	members := make([]topology.PoolMember, len(p.Members))
	copy(members, p.Members)
	p.Members = members
	for i := range members {
		if err := f(reference{topology.MemberField(i), store.CollectionPorts, false}, &members[i].Port); err != nil {
			return err
		}
	}
	return nil
}

func tapNames(t *flowtap.Tap, f func(reference, *string) error) error {
	for _, x := range []struct {
		reference
		id *string
	}{
		{reference{"src", store.CollectionPorts, false}, &t.Src},
		{reference{"dst", store.CollectionPorts, true}, &t.Dst},
		{reference{"dst_pool", store.CollectionPools, true}, &t.DstPool},
		{reference{"policy", store.CollectionPolicies, false}, &t.Policy}, // which nobody can write
	} {
		if err := f(x.reference, x.id); err != nil {
			return err
		}
	}
	was := t.Match.InPort()
	is := was
	if was == "" {
		return nil
	}
	if err := f(reference{"match.in_port", store.CollectionPorts, false}, &is); err != nil {
		return err
	}
	if is != was {
		t.Match = t.Match.WithInPort(is)
	}
	return nil
}

// resolve turns the names that a user wrote into inside ids. Another project's objects can be named only
// where they are offered, and an object that is not offered is not there.
func (s *Server) resolve(ctx context.Context, sc *scope, each func(func(reference, *string) error) error) (opts []store.WriteOption, err error) {
	err = each(func(ref reference, id *string) error {
		if *id == "" {
			return nil
		}
		written, inside := *id, topology.Absolute(sc.project, *id)
		if strings.Contains(written, ":") {
			return &topology.FieldError{Field: ref.field, Detail: "is not the id of an object"}
		}
		*id = inside
		if topology.ProjectOf(inside) == sc.project {
			return nil
		}
		missing := &store.ReferenceError{Field: ref.field, Collection: ref.collection, ID: written}
		if !ref.offered {
			return missing
		}
		rev, shared, err := s.offered(ctx, ref.collection, inside)
		switch {
		case err != nil:
			return err
		case !shared.With(sc.project):
			return missing
		}
		opts = append(opts, store.Unchanged(ref.collection, inside, rev))
		return nil
	})
	return opts, err
}

// offered gives with whom a port or a pool is shared, and its revision.
func (s *Server) offered(ctx context.Context, collection, id string) (rev int64, with topology.Shared, err error) {
	if collection == store.CollectionPools {
		p, err := s.deps.Store.Pools().Get(ctx, id)
		if err != nil {
			return 0, nil, missingIsNone(err)
		}
		return p.Revision, p.Spec.SharedWith, nil
	}
	p, err := s.deps.Store.Ports().Get(ctx, id)
	if err != nil {
		return 0, nil, missingIsNone(err)
	}
	return p.Revision, p.Spec.SharedWith, nil
}

func missingIsNone(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

// unshared makes a change of with whom an object is shared wait until nobody of the others uses it.
func unshared(collection, id string, is, was topology.Shared) []store.WriteOption {
	for _, p := range was {
		if !is.With(p) {
			return []store.WriteOption{store.WithUsers(func(users []store.User) error {
				var left []string
				for _, u := range users {
					if p := topology.ProjectOf(u.ID); p != topology.ProjectOf(id) && !is.With(p) {
						left = append(left, u.ID)
					}
				}
				if len(left) == 0 {
					return nil
				}
				prob := inUseProblem(&store.InUseError{Collection: collection, ID: id, Users: left})
				prob.Field = "shared_with"
				return prob
			})}
		}
	}
	return nil
}
