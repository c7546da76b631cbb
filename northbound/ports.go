package northbound

import (
	"context"
	"errors"

	"github.com/flowtap/flowtap/store"
	"github.com/flowtap/flowtap/topology"
)

func (s *Server) ports() *resource[topology.Port, topology.PortStatus] {
	st := s.deps.Store
	res := &resource[topology.Port, topology.PortStatus]{
		server: s, name: store.CollectionPorts, singular: "port", objects: st.Ports(),
		used: true, claims: true,
		complete: func(id string, p *topology.Port) error {
			*p = p.WithDefaults(id)
			return p.Validate()
		},
		observed: func(o *store.Port) topology.PortStatus {
			out := o.Status
			if out.State == "" {
				out.State = topology.PortPending
			}
			return out
		},
		check: func(ctx context.Context, id string, p topology.Port, old *topology.Port) ([]store.WriteOption, error) {
			if err := checkReturnPort(ctx, st, p); err != nil {
				return nil, err
			}
			if old != nil && (old.Kind == topology.KindMonitor) != (p.Kind == topology.KindMonitor) {
				users, err := usersOf(ctx, st, id)
				if err != nil {
					return nil, err
				}
				if len(users) > 0 {
					prob := inUseProblem(&store.InUseError{Collection: store.CollectionPorts, ID: id, Users: users})
					prob.Field, prob.Detail = "kind", "cannot change while others name the port: "+prob.Detail
					return nil, prob
				}
			}
			if old == nil || old.Network != p.Network || old.ReturnPort != p.ReturnPort || old.Tag != p.Tag {
				return nil, s.checkRedirects(ctx, id, p)
			}
			return nil, nil
		},
	}
	res.rehearse = func(ctx context.Context, c Change) error {
		if c.Op == OpDelete {
			users, err := usersOf(ctx, st, c.ID)
			if err != nil {
				return err
			}
			return inUse(c.Collection, c.ID, users)
		}
		p := c.Spec.(topology.Port)
		if p.Network != "" {
			_, err := st.Networks().Get(ctx, p.Network)
			if errors.Is(err, store.ErrNotFound) {
				return &store.ReferenceError{Field: "network", Collection: store.CollectionNetworks, ID: p.Network}
			}
			if err != nil {
				return err
			}
		}
		return taken(ctx, res.objects, c.ID, p, portClaims)
	}
	return res
}

func portClaims(_ string, p *topology.Port) []claim {
	out := []claim{{"interface", "interface", p.Interface}}
	if p.ReturnPort != "" {
		out = append(out, claim{"return_port", "return_port", p.ReturnPort})
	}
	if p.Network == "" {
		return out
	}
	if !p.MAC.IsZero() {
		out = append(out, claim{"mac", "mac " + p.Network, p.MAC.String()})
	}
	for _, a := range p.IPs {
		out = append(out, claim{"ips", "ips " + p.Network, a.Unmap().String()})
	}
	return out
}

// checkReturnPort says whether a monitor's return port is a monitor's port.
func checkReturnPort(ctx context.Context, st *store.Store, p topology.Port) error {
	if p.ReturnPort == "" {
		return nil
	}
	r, err := getPort(ctx, st, "return_port", p.ReturnPort)
	if err == nil && r.Spec.Kind != topology.KindMonitor {
		err = invalid("return_port", `port %q is a %s: a monitor gives frames back by a port of kind "monitor"`, p.ReturnPort, r.Spec.Kind)
	}
	return err
}
