package northbound

import (
	"context"
	"sync"

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
		complete: func(_ string, t *flowtap.Tap) error { return t.Validate() },
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
			return []store.WriteOption{store.WithoutOverlap()}, nil
		},
		rehearse: func(ctx context.Context, c Change) error {
			if c.Op == OpDelete {
				return nil
			}
			return st.CheckOverlap(ctx, c.ID, c.Spec.(flowtap.Tap))
		},
	}
}

// checkEnds says whether the ports of a tap are of the right kind.
func checkEnds(ctx context.Context, st *store.Store, t flowtap.Tap) error {
	var dst *store.Port
	var dstErr error
	var second sync.WaitGroup // both reads cost one round trip
	second.Go(func() { dst, dstErr = getPort(ctx, st, "dst", t.Dst) })
	src, err := getPort(ctx, st, "src", t.Src)
	second.Wait()
	if err != nil {
		return err
	}
	if src.Spec.Kind == topology.KindMonitor {
		return invalid("src", "port %q is a monitor, which cannot be tapped", t.Src)
	}
	if dstErr != nil {
		return dstErr
	}
	if dst.Spec.Kind != topology.KindMonitor {
		return invalid("dst", `port %q is a %s, not a monitor: copies go only to ports of kind "monitor"`, t.Dst, dst.Spec.Kind)
	}
	return nil
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
