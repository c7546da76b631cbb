package northbound

import (
	"context"
	"sync"
	"time"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/store"
	"github.com/flowtap/flowtap/topology"
)

// reasonNew is the reason of a tap that the controller has not looked at.
const reasonNew = "applying: the controller has not seen the tap yet"

func (s *Server) taps() *resource[flowtap.Tap, flowtap.TapStatus] {
	st := s.deps.Store
	return &resource[flowtap.Tap, flowtap.TapStatus]{
		server: s, name: store.CollectionTaps, singular: "tap", objects: st.Taps(),
		claims:   true,
		governed: true,
		complete: func(_ *scope, _ string, t, old *flowtap.Tap) error {
			if old != nil {
				if err := byPolicy(*old); err != nil {
					return err
				}
			}
			if t.Policy != "" {
				return invalid("policy", "cannot be set: it says which policy the tap follows from")
			}
			return t.Validate()
		},
		mayDelete: func(_ context.Context, t *store.Tap) error { return byPolicy(t.Spec) },
		owned:     true, names: tapNames, status: tapStatus,
		observed: func(o *store.Tap) flowtap.TapStatus {
			out := o.Status
			if out.State == "" {
				out.State, out.Reason = flowtap.TapPending, reasonNew
			}
			return out
		},
		done: func(o *store.Tap) bool {
			if o.Status.Revision != revisionText(o.Revision) {
				return false
			}
			switch o.Status.State {
			case flowtap.TapActive, flowtap.TapDegraded, flowtap.TapDisabled:
				return true
			}
			return s.deps.Final(o.Status.Reason)
		},
		check: func(ctx context.Context, id string, t flowtap.Tap, _ *flowtap.Tap) ([]store.WriteOption, error) {
			if err := checkEnds(ctx, st, t); err != nil {
				return nil, err
			}
			if t.Action == flowtap.Redirect {
				if err := s.checkShared(ctx, t); err != nil {
					return nil, err
				}
				if err := s.checkRedirect(ctx, id, t); err != nil {
					return nil, err
				}
			}
			return []store.WriteOption{store.WithoutOverlap()}, nil
		},
		refresh: s.readCounters,
		rehearse: func(ctx context.Context, c Change) error {
			if c.Op == OpDelete {
				return nil
			}
			return st.CheckOverlap(ctx, c.ID, c.Spec.(flowtap.Tap))
		},
	}
}

// checkEnds says whether the ends of a tap are there and of the right kind.
func checkEnds(ctx context.Context, st *store.Store, t flowtap.Tap) error {
	var dstErr error
	var second sync.WaitGroup // both reads cost one round trip
	second.Go(func() { dstErr = checkDst(ctx, st, t) })
	src, err := getPort(ctx, st, "src", t.Src)
	second.Wait()
	if err != nil {
		return err
	}
	if src.Spec.Kind == topology.KindMonitor {
		return invalid("src", "port %q is a monitor, which cannot be tapped", t.Src)
	}
	return dstErr
}

func checkDst(ctx context.Context, st *store.Store, t flowtap.Tap) error {
	if t.DstPool != "" {
		p, err := getPool(ctx, st, t.DstPool)
		if err == nil && t.Action == flowtap.Redirect && p.Spec.Mode == topology.PoolCopy {
			err = invalid("dst_pool", "pool %q is of mode copy: each member would give the frame back; redirect to a monitor or to a pool of mode spread", t.DstPool)
		}
		return err
	}
	dst, err := getPort(ctx, st, "dst", t.Dst)
	if err == nil && dst.Spec.Kind != topology.KindMonitor {
		err = invalid("dst", `port %q is a %s, not a monitor: copies go only to ports of kind "monitor"`, t.Dst, dst.Spec.Kind)
	}
	return err
}

// spell describes the frame that two taps have in common. One that must go to some port goes to that
// port's address, where one is known.
func (s *Server) spell(ctx context.Context, w flowtap.Witness) string {
	if w.To() == "" {
		return w.String()
	}
	ctx, cancel := context.WithTimeout(ctx, s.deps.StoreTimeout)
	defer cancel()
	p, err := s.deps.Store.Ports().Get(ctx, w.To())
	switch {
	case err != nil: // there is no such port yet, or nobody can say
		return w.String()
	case p.Spec.MAC.IsZero() && len(p.Status.LearnedMACs) > 0:
		return w.Towards(p.Status.LearnedMACs[0])
	}
	return w.Towards(p.Spec.MAC)
}

// readCounters answers ?fresh=true.
func (s *Server) readCounters(ctx context.Context, id string) error {
	if s.deps.ReadCounters == nil {
		return unavailable("the controller, which reads counters, is not running; without fresh=true the last ones are there")
	}
	ctx, cancel := context.WithTimeout(ctx, freshTimeout)
	defer cancel()
	if err := s.deps.ReadCounters(ctx, id); err != nil {
		return unavailable("the counters could not be read now (%v); without fresh=true the last ones are there", err)
	}
	return nil
}

// freshTimeout bounds how long switches may take to tell their counters.
const freshTimeout = 5 * time.Second
