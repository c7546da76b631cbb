package northbound

import (
	"context"
	"slices"

	"github.com/flowtap/flowtap/store"
	"github.com/flowtap/flowtap/topology"
)

func (s *Server) pools() *resource[topology.Pool, topology.PoolStatus] {
	st := s.deps.Store
	return &resource[topology.Pool, topology.PoolStatus]{
		server: s, name: store.CollectionPools, singular: "pool", objects: st.Pools(),
		used: true, claims: true,
		complete: func(sc *scope, _ string, p, old *topology.Pool) error {
			var was topology.Shared
			if old != nil {
				was = old.SharedWith
			}
			if err := sc.sharing(&p.SharedWith, was); err != nil {
				return err
			}
			return p.Validate()
		},
		owned: true, names: poolNames, status: poolStatus, offer: offerPool,
		shared:   func(p *topology.Pool) topology.Shared { return p.SharedWith },
		observed: func(o *store.Pool) topology.PoolStatus { return o.Status },
		check: func(ctx context.Context, id string, p topology.Pool, old *topology.Pool) ([]store.WriteOption, error) {
			for i, m := range p.Members {
				port, err := getPort(ctx, st, topology.MemberField(i), m.Port)
				if err != nil {
					return nil, err
				}
				if port.Spec.Kind != topology.KindMonitor {
					return nil, invalid(topology.MemberField(i), `port %q is a %s, not a monitor: a pool is of ports of kind "monitor"`, m.Port, port.Spec.Kind)
				}
			}
			if err := s.sharedExist(ctx, p.SharedWith); err != nil {
				return nil, err
			}
			if old == nil && p.Mode == topology.PoolSpread {
				return nil, nil // nobody uses it
			}
			var opts []store.WriteOption
			if old != nil {
				opts = unshared(store.CollectionPools, id, p.SharedWith, old.SharedWith)
			}
			return opts, s.checkRedirects(ctx, id, p)
		},
		rehearse: func(ctx context.Context, c Change) error {
			if c.Op != OpDelete {
				return nil
			}
			var users []string
			err := st.Taps().Each(ctx, func(t *store.Tap) bool {
				if t.Spec.DstPool == c.ID {
					users = append(users, t.ID)
				}
				return true
			})
			if err != nil {
				return err
			}
			slices.Sort(users)
			return inUse(c.Collection, c.ID, users)
		},
	}
}

// getPool reads the pool that a tap names.
func getPool(ctx context.Context, st *store.Store, id string) (*store.Pool, error) {
	p, err := st.Pools().Get(ctx, id)
	return p, orReference(err, "dst_pool", store.CollectionPools, id)
}
