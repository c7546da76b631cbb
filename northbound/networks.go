package northbound

import (
	"context"

	"github.com/flowtap/flowtap/store"
	"github.com/flowtap/flowtap/topology"
)

func (s *Server) networks() *resource[topology.Network, topology.NetworkStatus] {
	return &resource[topology.Network, topology.NetworkStatus]{
		server: s, name: store.CollectionNetworks, singular: "network", objects: s.deps.Store.Networks(),
		used:     true,
		complete: func(_ *scope, _ string, n, _ *topology.Network) error { return n.Validate() },
		owned:    true, status: networkStatus,
		observed: func(o *store.Network) topology.NetworkStatus { return o.Status },
		rehearse: func(ctx context.Context, c Change) error {
			if c.Op != OpDelete {
				return nil
			}
			ports, _, err := s.deps.Store.Ports().List(ctx)
			if err != nil {
				return err
			}
			var users []string
			for _, p := range ports {
				if p.Spec.Network == c.ID {
					users = append(users, p.ID)
				}
			}
			return inUse(c.Collection, c.ID, users)
		},
	}
}
