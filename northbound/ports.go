package northbound

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/flowtap/flowtap/store"
	"github.com/flowtap/flowtap/topology"
)

func (s *Server) ports() *resource[topology.Port, topology.PortStatus] {
	st := s.deps.Store
	res := &resource[topology.Port, topology.PortStatus]{
		server: s, name: store.CollectionPorts, singular: "port", objects: st.Ports(),
		used: true, claims: true,
		complete: completePort,
		owned:    true, names: portNames, status: portStatus, offer: offerPort,
		shared: func(p *topology.Port) topology.Shared { return p.SharedWith },
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
			if err := s.sharedExist(ctx, p.SharedWith); err != nil {
				return nil, err
			}
			var opts []store.WriteOption
			if old != nil {
				opts = unshared(store.CollectionPorts, id, p.SharedWith, old.SharedWith)
			}
			if old != nil && (old.Kind == topology.KindMonitor) != (p.Kind == topology.KindMonitor) {
				users, err := usersOf(ctx, st, id, false)
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
				return opts, s.checkRedirects(ctx, id, p)
			}
			return opts, nil
		},
	}
	res.rehearse = func(ctx context.Context, c Change) error {
		if c.Op == OpDelete {
			users, err := usersOf(ctx, st, c.ID, true)
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

// completePort fills in a port's defaults. In a project other than default the switch port that it is belongs to
// the provider to say, so that nobody claims another's VM; and in any project with whom it is shared.
func completePort(sc *scope, id string, p, old *topology.Port) error {
	var was topology.Port
	if old != nil {
		was = *old
	}
	if err := sc.sharing(&p.SharedWith, was.SharedWith); err != nil {
		return err
	}
	derived := interfaceOf(sc.project, id)
	switch provider := sc.principal.Provider; {
	case sc.project == topology.DefaultProject:
		if !provider && derivedInterface.MatchString(p.Interface) && p.Interface != was.Interface {
			return invalid("interface", "%q is kept for the ports of projects", p.Interface)
		}
	case provider && p.Interface == "", p.Interface == "" && old == nil:
		p.Interface = derived
	case provider:
	case p.Interface == "":
		p.Interface = was.Interface
	case old == nil && p.Interface != derived, old != nil && p.Interface != was.Interface:
		return invalid("interface", "is the provider's to say: leave it out")
	}
	*p = p.WithDefaults(id)
	return p.Validate()
}

// interfaceOf is the switch port of a project's port where nobody says another: the hypervisor reads it.
func interfaceOf(project, id string) string {
	h := sha256.Sum256([]byte(project + "/" + id))
	return "ft" + strings.ToLower(base32.StdEncoding.EncodeToString(h[:])[:13])
}

var derivedInterface = regexp.MustCompile(`^ft[a-z2-7]{13}$`)

// sharing leaves with whom an object is shared to the provider. Others may leave it out, or send what they read.
func (sc *scope) sharing(is *topology.Shared, was topology.Shared) error {
	switch {
	case sc.principal.Provider:
	case *is == nil:
		*is = was
	case !slices.Equal(*is, was):
		return invalid("shared_with", "is the provider's to say: leave it out")
	}
	if len(*is) == 0 {
		*is = nil
	}
	return nil
}

// sharedExist says whether the projects that something is shared with are there.
func (s *Server) sharedExist(ctx context.Context, with topology.Shared) error {
	for _, p := range with {
		if p == topology.Everyone || p == topology.DefaultProject {
			continue
		}
		if _, err := s.deps.Store.Projects().Get(ctx, p); err != nil {
			return orReference(err, "shared_with", store.CollectionProjects, p)
		}
	}
	return nil
}
