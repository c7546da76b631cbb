package northbound

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/flowtap/ftc"
	"github.com/flowtap/flowtap/store"
	"github.com/flowtap/flowtap/topology"
)

// A Rehearsal is what would become of a policy's taps, by inside ids. Of those to Put, Was has the ones that there are.
type Rehearsal struct {
	Diagnostics      []flowtap.Diagnostic
	Put, Was, Delete map[string]flowtap.Tap
}

func (s *Server) policies() *resource[flowtap.Policy, flowtap.PolicyStatus] {
	st := s.deps.Store
	return &resource[flowtap.Policy, flowtap.PolicyStatus]{
		server: s, name: store.CollectionPolicies, singular: "policy", objects: st.Policies(),
		owned: true,
		complete: func(sc *scope, id string, p, _ *flowtap.Policy) error {
			p.Provider = sc.principal.Provider
			return checkSource(id, p.Source)
		},
		observed: func(o *store.Policy) flowtap.PolicyStatus {
			out := o.Status
			out.State = cmp.Or(out.State, flowtap.PolicyPending)
			return out
		},
		done:     func(o *store.Policy) bool { return o.Status.Revision == revisionText(o.Revision) },
		indirect: true,
		gone:     s.withdrawn,
		rehearse: func(context.Context, Change) error { return nil },
		foresee:  s.foreseePolicy,
	}
}

// maxSource bounds a policy's text as JSON, in bytes: a change of it is one transaction with the text before and after in the audit
// log, and etcd takes 1.5 MiB.
const maxSource = 480 << 10

// checkSource says what is wrong with a policy's text.
func checkSource(id, source string) error {
	if source == "" {
		return invalid("source", "is required: the policy's text")
	}
	if n := len(mustJSON(source)); n > maxSource {
		return invalid("source", "has %d bytes as JSON, and may have %d: make several policies of it", n, maxSource)
	}
	_, ds := ftc.Load(ftc.Source(id, source), ftc.Options{})
	if !ds.Errors() {
		return nil
	}
	report := ftc.Report(ds)
	first := slices.IndexFunc(report, func(d flowtap.Diagnostic) bool { return d.Severity == "error" })
	p := invalid("source", "%s", report[max(first, 0)].Text)
	p.Diagnostics = report
	return p
}

// withdrawn holds until a policy has no taps, or ctx ends.
func (s *Server) withdrawn(ctx context.Context, id string) {
	sub := s.hub.subscribe(store.CollectionTaps, "")
	defer sub.close()
	left := map[string]bool{}
	for {
		changes, whole, _ := sub.take()
		if whole {
			clear(left)
		}
		for _, c := range changes {
			if t, ok := c.object.(*store.Tap); ok && t.Spec.Policy == id {
				left[c.id] = true
			} else {
				delete(left, c.id)
			}
		}
		if len(left) == 0 {
			return
		}
		select {
		case <-sub.wake:
		case <-ctx.Done():
			return
		}
	}
}

// mostForeseen is how many taps a dry run shows, and has the controller look at, one by one.
const mostForeseen = 1000

// foreseenTaps are the taps that a policy would make, change and delete: how many, and the first of them.
type foreseenTaps struct {
	Created int           `json:"created"`
	Changed int           `json:"changed"`
	Deleted int           `json:"deleted"`
	Items   []foreseenTap `json:"items"`
}

type foreseenTap struct {
	Op  Op           `json:"op"`
	ID  string       `json:"id"`
	Tap *flowtap.Tap `json:"tap,omitempty"` // as it would be
	Was *flowtap.Tap `json:"was,omitempty"` // as it is
}

// foreseePolicy says what would become of the policy's taps, and gives these as the changes that switches will see.
func (s *Server) foreseePolicy(ctx context.Context, sc *scope, c Change, answer *dryRunAnswer) ([]Change, error) {
	if s.deps.Rehearse == nil {
		return nil, unavailable("nobody compiles policies now; the policy's text is right")
	}
	var p *flowtap.Policy
	if spec, ok := c.Spec.(flowtap.Policy); ok {
		p = &spec
	}
	r, err := s.deps.Rehearse(ctx, c.ID, p)
	if err != nil {
		return nil, unavailable("the policy cannot be compiled now (%v); its text is right", err)
	}
	project := topology.ProjectOf(c.ID)
	answer.Diagnostics = r.Diagnostics
	answer.Taps = &foreseenTaps{Created: len(r.Put) - len(r.Was), Changed: len(r.Was), Deleted: len(r.Delete), Items: []foreseenTap{}}
	var changes []Change
	add := func(op Op, id string, is, was *flowtap.Tap) {
		if len(changes) == mostForeseen {
			return
		}
		change := Change{Op: op, Collection: store.CollectionTaps, ID: id}
		if is != nil {
			change.Spec = *is
		}
		changes = append(changes, change)
		_, own := topology.SplitID(id)
		answer.Taps.Items = append(answer.Taps.Items, foreseenTap{op, own, relativeTap(project, is), relativeTap(project, was)})
	}
	for _, id := range slices.Sorted(maps.Keys(r.Put)) {
		is := r.Put[id]
		if was, there := r.Was[id]; there {
			add(OpReplace, id, &is, &was)
		} else {
			add(OpCreate, id, &is, nil)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(r.Delete)) {
		was := r.Delete[id]
		add(OpDelete, id, nil, &was)
	}
	return changes, nil
}

// relativeTap is a tap as its project writes it.
func relativeTap(project string, t *flowtap.Tap) *flowtap.Tap {
	if t == nil {
		return nil
	}
	v := *t
	_ = tapNames(&v, func(_ reference, id *string) error { // which fails only where this does
		if *id != "" {
			*id = topology.Relative(project, *id)
		}
		return nil
	})
	return &v
}

// byPolicy refuses to change what follows from a policy.
func byPolicy(t flowtap.Tap) error {
	if t.Policy == "" {
		return nil
	}
	_, own := topology.SplitID(t.Policy)
	return conflict(own, "the tap follows from policy %q, which would make it so again: change the policy", own)
}
