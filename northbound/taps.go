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
			return []store.WriteOption{store.WithSiblingCheck(func(siblings []*store.Tap) error {
				return overlaps(id, t, siblings)
			})}, nil
		},
		rehearse: func(ctx context.Context, c Change) error {
			if c.Op == OpDelete {
				return nil
			}
			t := c.Spec.(flowtap.Tap)
			all, _, err := st.Taps().List(ctx)
			if err != nil {
				return err
			}
			var siblings []*store.Tap
			for _, o := range all {
				if o.Spec.Src == t.Src {
					siblings = append(siblings, o)
				}
			}
			return overlaps(c.ID, t, siblings)
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

// overlaps refuses a tap that has frames in common with another one of the same port, direction and
// priority: which of the two has them would be chance. Disabled taps count, so that enabling one
// cannot fail.
func overlaps(id string, t flowtap.Tap, siblings []*store.Tap) error {
	for _, o := range siblings {
		if o.ID == id {
			continue
		}
		dir, witness, ok := flowtap.Overlap(t, o.Spec)
		if !ok {
			continue
		}
		p := conflict(o.ID, "overlaps tap %q: both have the frame %s, direction %s, at priority %d; narrow one match or give one another priority",
			o.ID, witness, dir, t.Priority)
		p.Witness = string(witness)
		return p
	}
	return nil
}
