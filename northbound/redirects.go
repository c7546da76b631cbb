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
		monitors = monitorsOf(t, map[string]topology.Pool{t.DstPool: p.Spec})
	}
	src, err := getPort(ctx, st, "src", t.Src)
	if err != nil {
		return false, err
	}
	copied := false
	if err := st.Pools().Each(ctx, func(o *store.Pool) bool {
		copied = slices.ContainsFunc(monitors, func(m string) bool { return copies(o.Spec, m) })
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

// redirects is what the rules between redirecting taps, their monitors and pools look at.
type redirects struct {
	taps  map[string]flowtap.Tap // those of action redirect
	pools map[string]topology.Pool
	ports map[string]topology.Port
}

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
		monitors, field = monitorsOf(t, map[string]topology.Pool{t.DstPool: p.Spec}), "dst_pool"
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
// as spec says:
//
//   - A monitor without tag vlan has redirected frames of one network, else nobody knows the network
//     of a frame that it gives back.
//   - A port that is another monitor's return port has redirected frames of its own only where it has
//     a return port itself, else nobody knows which of the two monitors gave a frame back.
//   - Nothing is redirected to a pool of mode copy, each member of which would give the frame back, nor
//     to one of its members, which would give back the copies that it gets with the others.
//
// A tap that breaks a rule is a 422 on its destination, a port or a pool that would make an existing
// tap break it a 409 with that tap. Like the kind of a port, this is looked at before the write and
// not in its transaction: of two writes at the same moment neither sees the other.
func (s *Server) checkRedirects(ctx context.Context, id string, spec any) error {
	r := redirects{map[string]flowtap.Tap{}, map[string]topology.Pool{}, map[string]topology.Port{}}
	st := s.deps.Store
	err := errors.Join(
		st.Taps().Each(ctx, func(o *store.Tap) bool {
			if o.Spec.Action == flowtap.Redirect {
				r.taps[o.ID] = o.Spec
			}
			return true
		}),
		st.Pools().Each(ctx, func(o *store.Pool) bool { r.pools[o.ID] = o.Spec; return true }),
		st.Ports().Each(ctx, func(o *store.Port) bool { r.ports[o.ID] = o.Spec; return true }))
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
		r.taps[id] = is
		field = "dst"
		if is.DstPool != "" {
			field = "dst_pool"
		}
		for _, m := range monitorsOf(is, r.pools) {
			concerned[m] = true
		}
	case topology.Pool:
		r.pools[id] = is
		if is.Mode == topology.PoolCopy {
			for _, t := range r.sorted() {
				if r.taps[t].DstPool == id {
					b := broken{[]string{t}, "tap " + t + " redirects to this pool: each member of mode copy would give the frame back"}
					return b.problem("mode", spec)
				}
			}
		}
		field = "members"
		for _, m := range is.Members {
			concerned[m.Port] = true
		}
	case topology.Port:
		was := r.ports[id]
		r.ports[id] = is
		concerned[id], concerned[is.ReturnPort] = true, true
		switch {
		case is.Kind != topology.KindMonitor:
			field = "network"
			for _, t := range r.taps {
				if t.Src == id {
					for _, m := range monitorsOf(t, r.pools) {
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
	for _, rule := range []func(map[string]bool) *broken{r.oneReturn, r.oneNetwork, r.noCopies} {
		if b := rule(concerned); b != nil {
			return b.problem(field, spec)
		}
	}
	return nil
}

// broken is a rule that the taps do not keep.
type broken struct {
	taps   []string // that break it together
	reason string
}

func (b *broken) problem(field string, spec any) error {
	if t, ok := spec.(flowtap.Tap); ok && foreign(t) {
		return cannotRedirect(field)
	} else if ok {
		return invalid(field, "%s", b.reason)
	}
	p := problem(http.StatusConflict, field, "%s", b.reason)
	p.Users = b.taps
	return p
}

// sorted gives the redirecting taps by id, so that of several problems it is always the same that is
// named.
func (r redirects) sorted() []string { return slices.Sorted(maps.Keys(r.taps)) }

func (r redirects) oneReturn(concerned map[string]bool) *broken {
	of := map[string]string{} // return port to the monitor that has it
	for id, p := range r.ports {
		if p.ReturnPort != "" {
			of[p.ReturnPort] = id
		}
	}
	for _, id := range r.sorted() {
		for _, m := range monitorsOf(r.taps[id], r.pools) {
			if other := of[m]; concerned[m] && other != "" && r.ports[m].ReturnPort == "" {
				return &broken{[]string{id}, "port " + m + " is the return port of " + other + " and has none itself: what comes back by it could be of either; tap " + id + " cannot redirect to it"}
			}
		}
	}
	return nil
}

func (r redirects) noCopies(concerned map[string]bool) *broken {
	for _, id := range r.sorted() {
		for _, m := range monitorsOf(r.taps[id], r.pools) {
			if !concerned[m] {
				continue
			}
			for _, pool := range slices.Sorted(maps.Keys(r.pools)) {
				if copies(r.pools[pool], m) {
					return &broken{[]string{id}, "monitor " + m + " is in pool " + pool + " of mode copy, and would give back what is copied to it; tap " + id + " cannot redirect to it"}
				}
			}
		}
	}
	return nil
}

// copies reports whether a pool is one that copies to a monitor.
func copies(p topology.Pool, monitor string) bool {
	return p.Mode == topology.PoolCopy && slices.ContainsFunc(p.Members, func(m topology.PoolMember) bool { return m.Port == monitor })
}

func (r redirects) oneNetwork(concerned map[string]bool) *broken {
	type first struct{ tap, network string }
	seen := map[string]first{} // by monitor
	for _, id := range r.sorted() {
		t := r.taps[id]
		network := r.ports[t.Src].Network
		for _, m := range monitorsOf(t, r.pools) {
			if !concerned[m] || r.ports[m].Tag == topology.TagVLAN {
				continue
			}
			before, ok := seen[m]
			switch {
			case !ok:
				seen[m] = first{id, network}
			case before.network != network:
				return &broken{[]string{before.tap, id}, "monitor " + m + " has no tag vlan, so it can only have redirected frames of one network: tap " +
					before.tap + " is of network " + before.network + ", tap " + id + " of " + network}
			}
		}
	}
	return nil
}
