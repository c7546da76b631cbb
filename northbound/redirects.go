package northbound

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/store"
	"github.com/flowtap/flowtap/topology"
)

// checkRedirect is checkRedirects for a tap, which it asks only where the tap may break a rule: where it
// seems so by any one of the taps that lead to the same monitors, all of which keep the rules.
func (s *Server) checkRedirect(ctx context.Context, id string, t flowtap.Tap) error {
	plain, err := s.plainRedirect(ctx, t)
	if err != nil || plain {
		return err
	}
	return s.checkRedirects(ctx, id, t)
}

// plainRedirect reports that a tap certainly keeps the rules.
func (s *Server) plainRedirect(ctx context.Context, t flowtap.Tap) (bool, error) {
	st := s.deps.Store
	monitors := []string{t.Dst}
	if t.DstPool != "" {
		p, err := getPool(ctx, st, t.DstPool)
		if err != nil {
			return false, err
		}
		monitors = flowtap.Monitors(t, map[string]topology.Pool{t.DstPool: p.Spec})
	}
	src, err := getPort(ctx, st, "src", t.Src)
	if err != nil {
		return false, err
	}
	copied := false
	if err := st.Pools().Each(ctx, func(o *store.Pool) bool {
		copied = slices.ContainsFunc(monitors, func(m string) bool { return flowtap.CopiesTo(o.Spec, m) })
		return !copied
	}); err != nil || copied {
		return false, err
	}
	for _, m := range monitors {
		p, err := getPort(ctx, st, "dst", m)
		if err != nil {
			return false, err
		}
		other, err := st.ReturnsFor(ctx, m)
		if err != nil || other != "" && p.Spec.ReturnPort == "" {
			return false, err
		}
		if p.Spec.Tag == topology.TagVLAN {
			continue
		}
		srcs, known, err := st.RedirectedFrom(ctx, m)
		if err != nil || !known {
			return false, err
		}
		for _, id := range srcs {
			other, err := st.Ports().Get(ctx, id)
			if err != nil || other.Spec.Network != src.Spec.Network {
				return false, nil // checkRedirects says, also of the store's errors
			}
		}
	}
	return true, nil
}

// redirects are those that there are, as one write would leave them.
type redirects struct{ flowtap.Redirects }

// foreign reports whether a tap leads to another project's monitors.
func foreign(t flowtap.Tap) bool {
	return topology.ProjectOf(t.Src) != topology.ProjectOf(cmp.Or(t.Dst, t.DstPool))
}

// cannotRedirect says nothing of what else a shared monitor has.
func cannotRedirect(field string) error {
	return invalid(field, "takes no redirected frames of other projects: it needs tag vlan, a way back of its own, and no copies; ask whose it is")
}

// checkShared refuses to redirect to another project's monitor without tag vlan, which could serve one network alone:
// whether somebody else has it is not for this project to find out.
func (s *Server) checkShared(ctx context.Context, t flowtap.Tap) error {
	if !foreign(t) {
		return nil
	}
	monitors, field := []string{t.Dst}, "dst"
	if t.DstPool != "" {
		p, err := getPool(ctx, s.deps.Store, t.DstPool)
		if err != nil {
			return err
		}
		monitors, field = flowtap.Monitors(t, map[string]topology.Pool{t.DstPool: p.Spec}), "dst_pool"
	}
	for _, m := range monitors {
		if p, err := getPort(ctx, s.deps.Store, field, m); err != nil {
			return err
		} else if p.Spec.Tag != topology.TagVLAN {
			return cannotRedirect(field)
		}
	}
	return nil
}

// checkRedirects says whether what comes back from monitors can still be told apart when an object is
// as spec says: flowtap.Redirects has the rules, and nothing is redirected to a pool of mode copy, each member of which
// would give the frame back.
//
// A tap that breaks a rule is a 422 on its destination, a port or a pool that would make an existing
// tap break it a 409 with that tap. Like the kind of a port, this is looked at before the write and
// not in its transaction: of two writes at the same moment neither sees the other.
func (s *Server) checkRedirects(ctx context.Context, id string, spec any) error {
	r := redirects{flowtap.Redirects{Taps: map[string]flowtap.Tap{}, Pools: map[string]topology.Pool{}, Ports: map[string]topology.Port{}}}
	st := s.deps.Store
	err := errors.Join(
		st.Taps().Each(ctx, func(o *store.Tap) bool {
			if o.Spec.Action == flowtap.Redirect {
				r.Taps[o.ID] = o.Spec
			}
			return true
		}),
		st.Pools().Each(ctx, func(o *store.Pool) bool { r.Pools[o.ID] = o.Spec; return true }),
		st.Ports().Each(ctx, func(o *store.Port) bool { r.Ports[o.ID] = o.Spec; return true }))
	if err != nil {
		return err
	}
	return r.check(id, spec)
}

func (r redirects) check(id string, spec any) error {
	concerned := map[string]bool{} // monitors
	field := ""
	switch is := spec.(type) {
	case flowtap.Tap:
		r.Taps[id] = is
		field = "dst"
		if is.DstPool != "" {
			field = "dst_pool"
		}
		for _, m := range flowtap.Monitors(is, r.Pools) {
			concerned[m] = true
		}
	case topology.Pool:
		r.Pools[id] = is
		if is.Mode == topology.PoolCopy {
			for _, t := range slices.Sorted(maps.Keys(r.Taps)) {
				if r.Taps[t].DstPool == id {
					return brokenProblem(&flowtap.BrokenRule{Taps: []string{t}, Reason: "tap " + t + " redirects to this pool: each member of mode copy would give the frame back"}, "mode", spec)
				}
			}
		}
		field = "members"
		for _, m := range is.Members {
			concerned[m.Port] = true
		}
	case topology.Port:
		was := r.Ports[id]
		r.Ports[id] = is
		concerned[id], concerned[is.ReturnPort] = true, true
		switch {
		case is.Kind != topology.KindMonitor:
			field = "network"
			for _, t := range r.Taps {
				if t.Src == id {
					for _, m := range flowtap.Monitors(t, r.Pools) {
						concerned[m] = true
					}
				}
			}
		case was.ReturnPort != is.ReturnPort:
			field = "return_port"
		default:
			field = "tag"
		}
	}
	if b := r.Broken(concerned); b != nil {
		return brokenProblem(b, field, spec)
	}
	return nil
}

func brokenProblem(b *flowtap.BrokenRule, field string, spec any) error {
	if t, ok := spec.(flowtap.Tap); ok && foreign(t) {
		return cannotRedirect(field)
	} else if ok {
		return invalid(field, "%s", b.Reason)
	}
	p := problem(http.StatusConflict, field, "%s", b.Reason)
	p.Users = b.Taps
	return p
}
