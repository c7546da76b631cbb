package policy

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/flowtap/flowtap/access"
	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/flowtap/ftc"
	"github.com/flowtap/flowtap/flowtap/ftc/lang"
	"github.com/flowtap/flowtap/store"
	"github.com/flowtap/flowtap/topology"
)

// A decision is what is to become of a policy's taps.
type decision struct {
	change store.PolicyChange
	// faults, if there are errors among them, say why the policy cannot have what it wants.
	faults lang.Diagnostics
	wanted int
}

func (d *decision) empty() bool { return len(d.change.Put)+len(d.change.Delete) == 0 }

// decide compares what a policy wants with the taps that it has. With faults it keeps these, but for those of ports that are
// no more: what a port is that somebody makes in its place is not known.
func decide(w *World, c *compiled, revision int64, pl *placer) decision {
	d := compare(w, c, revision, pl)
	if !d.faults.Errors() {
		return d
	}
	clear(d.change.Put)
	d.change.Delete = nil
	for id, t := range w.byPolicy[c.id] {
		if !w.tappable(t.Spec.Src) {
			d.change.Delete = append(d.change.Delete, id)
		}
	}
	slices.Sort(d.change.Delete)
	return d
}

func compare(w *World, c *compiled, revision int64, pl *placer) decision {
	d := decision{change: store.PolicyChange{Policy: c.id, Revision: revision, Put: map[string]flowtap.Tap{}}}
	wanted, faults := c.wanted(w)
	if faults.Errors() {
		d.faults = faults
		return d
	}
	wanted, nobody := pl.contracts(c, wanted)
	for i, one := range nobody {
		if i == mostFaults {
			d.faults[i-1] = d.faults[i-1].WithHint("the same is true of %d more taps", len(nobody)-i)
			break
		}
		warning := c.taps.Because(one, "nobody watches port %s: there is no monitor that may and can", one.Tap.Src)
		warning.Severity = lang.Warning
		d.faults = append(d.faults, warning)
	}
	d.wanted = len(wanted)
	v := validator{world: w, policy: c, put: d.change.Put, why: map[string]ftc.Wanted{}}
	stays := make(map[string]bool, len(wanted))
	for _, one := range wanted {
		id := topology.Qualify(c.view.project, one.ID)
		tap, fault := v.inside(one)
		if fault != "" {
			v.fault(one, "%s", fault)
			continue
		}
		stays[id] = true
		have := w.Taps[id]
		switch {
		case have == nil || have.Spec.Policy == c.id && have.Spec != tap:
			d.change.Put[id], v.why[id] = tap, one
		case have.Spec.Policy != c.id:
			v.fault(one, "the id of this tap, %s, is another's", one.ID)
		case !w.tappable(tap.Src):
			v.fault(one, "%s", v.ends(tap))
		}
	}
	for id := range w.byPolicy[c.id] {
		if !stays[id] {
			d.change.Delete = append(d.change.Delete, id)
		}
	}
	slices.Sort(d.change.Delete)
	v.check(d.change.Delete)
	if v.quota(d.change.Delete); len(v.faults) == 0 {
		return d
	}
	d.faults = append(d.faults, v.faults...)
	if v.more > 0 {
		d.faults[len(d.faults)-1].Hint += " (and there are more such taps)"
	}
	return d
}

// validator says what of new taps cannot be. Those that there are were looked at before, and whoever changes
// what they depend on is refused.
type validator struct {
	world  *World
	policy *compiled
	put    map[string]flowtap.Tap
	why    map[string]ftc.Wanted
	faults lang.Diagnostics
	more   int
}

// mostFaults is how many taps are complained of one by one.
const mostFaults = 20

func (v *validator) fault(w ftc.Wanted, format string, args ...any) {
	if len(v.faults) == mostFaults {
		v.more++
		return
	}
	v.faults = append(v.faults, v.policy.taps.Because(w, format, args...))
}

// inside gives a wanted tap with inside ids.
func (v *validator) inside(one ftc.Wanted) (t flowtap.Tap, fault string) {
	project := v.policy.view.project
	t = one.Tap
	t.Policy = v.policy.id
	t.Src = topology.Absolute(project, t.Src)
	if t.Dst != "" {
		t.Dst = topology.Absolute(project, t.Dst)
	}
	if t.DstPool != "" {
		t.DstPool = topology.Absolute(project, t.DstPool)
	}
	if in := t.Match.InPort(); in != "" && project != topology.DefaultProject {
		if strings.ContainsAny(in, "/:") {
			return t, "match.in_port: there is no port " + in
		}
		t.Match = t.Match.WithInPort(topology.Absolute(project, in))
	}
	return t, ""
}

// check looks at all new taps together with those that stay.
func (v *validator) check(gone []string) {
	ids := slices.SortedFunc(maps.Keys(v.put), func(a, b string) int {
		return cmp.Or(cmp.Compare(v.put[a].Src, v.put[b].Src), cmp.Compare(a, b))
	})
	redirected := map[string]bool{} // monitors
	for _, id := range ids {
		t := v.put[id]
		if fault := v.ends(t); fault != "" {
			v.fault(v.why[id], "%s", fault)
		} else if t.Action == flowtap.Redirect {
			for _, m := range flowtap.Monitors(t, v.poolOf(t)) {
				redirected[m] = true
			}
		}
	}
	v.overlaps(ids, gone)
	if len(redirected) > 0 {
		v.redirects(redirected, gone)
	}
}

// ends says what is wrong with the ports and pools that a tap names.
func (v *validator) ends(t flowtap.Tap) string {
	project := v.policy.view.project
	name := func(id string) string { return topology.Relative(project, id) }
	src := v.world.Ports[t.Src]
	switch {
	case src == nil:
		return "there is no port " + name(t.Src)
	case src.Spec.Kind == topology.KindMonitor:
		return "port " + name(t.Src) + " is a monitor, which cannot be tapped"
	}
	foreign := v.foreign(t)
	if t.DstPool != "" {
		p := v.world.Pools[t.DstPool]
		switch {
		case p == nil || foreign && !p.Spec.SharedWith.With(project):
			return "there is no pool " + name(t.DstPool)
		case t.Action == flowtap.Redirect && p.Spec.Mode == topology.PoolCopy:
			return "pool " + name(t.DstPool) + " is of mode copy: each member would give a redirected frame back"
		}
	} else {
		p := v.world.Ports[t.Dst]
		switch {
		case p == nil || foreign && !p.Spec.SharedWith.With(project):
			return "there is no port " + name(t.Dst)
		case p.Spec.Kind != topology.KindMonitor:
			return "port " + name(t.Dst) + " is a " + string(p.Spec.Kind) + ", not a monitor"
		}
	}
	if t.Action == flowtap.Redirect && foreign {
		for _, m := range flowtap.Monitors(t, v.poolOf(t)) {
			if p := v.world.Ports[m]; p == nil || p.Spec.Tag != topology.TagVLAN {
				return v.policy.view.refused(t)
			}
		}
	}
	return ""
}

// foreign reports whether a tap leads to what is another project's.
func (v *validator) foreign(t flowtap.Tap) bool {
	return topology.ProjectOf(cmp.Or(t.Dst, t.DstPool)) != v.policy.view.project
}

// refused says that another project's monitor cannot be had by a redirecting tap, and nothing of why.
func (v view) refused(t flowtap.Tap) string {
	return topology.Relative(v.project, cmp.Or(t.Dst, t.DstPool)) +
		" takes no redirected frames of other projects: it needs tag vlan, a way back of its own, and no copies; ask whose it is"
}

func (v *validator) poolOf(t flowtap.Tap) map[string]topology.Pool {
	if p := v.world.Pools[t.DstPool]; t.DstPool != "" && p != nil {
		return map[string]topology.Pool{t.DstPool: p.Spec}
	}
	return nil
}

// overlaps finds new taps that cannot stand with those that others have on the same port; among a policy's own there are
// none, else there would be nothing to decide.
func (v *validator) overlaps(ids, gone []string) {
	leaves := make(map[string]bool, len(gone))
	for _, id := range gone {
		leaves[id] = true
	}
	var index flowtap.OverlapIndex
	src := ""
	for _, id := range ids {
		t := v.put[id]
		if t.Src != src {
			index, src = flowtap.OverlapIndex{}, t.Src
			for other, o := range v.world.bySrc[src] {
				if _, changes := v.put[other]; !changes && !leaves[other] {
					index.Put(other, o.Spec)
				}
			}
		}
		with, direction, witness, ok := index.Overlap(t, id)
		if !ok {
			continue
		}
		name := func(id string) string { return topology.Relative(v.policy.view.project, id) }
		whose := "made by hand"
		if p := v.world.Taps[with].Spec.Policy; p != "" {
			whose = "of policy " + name(p)
		}
		of := "outgoing"
		if direction == flowtap.In {
			of = "incoming"
		}
		v.fault(v.why[id], "this tap of port %s overlaps tap %s, which is %s: both have %s a frame with %s, at priority %d; give one of them another priority",
			name(t.Src), name(with), whose, of, witness, t.Priority)
	}
}

// quota says whether the project has room for what is new.
func (v *validator) quota(gone []string) {
	project := v.policy.view.project
	var quotas access.Quotas
	if p := v.world.Projects[project]; p != nil {
		quotas = p.Spec.Quotas
	}
	limit, have, more := quotas.Limit(project, store.CollectionTaps), v.world.owned[project], -len(gone)
	for id := range v.put {
		if v.world.Taps[id] == nil {
			more++
		}
	}
	if limit > 0 && more > 0 && have+more > limit {
		v.faults = append(v.faults, *overQuota(&store.QuotaError{Project: project, Limit: limit, Have: have, More: more}))
	}
}

func overQuota(e *store.QuotaError) *lang.Diagnostic {
	return wrong("the quota of project %s is %d taps: it has %d, and this policy would need %d more", e.Project, e.Limit, e.Have, e.More)
}

// redirects holds all redirecting taps against flowtap.Redirects.
func (v *validator) redirects(concerned map[string]bool, gone []string) {
	r := flowtap.Redirects{Taps: map[string]flowtap.Tap{}, Pools: map[string]topology.Pool{}, Ports: map[string]topology.Port{}}
	for id, t := range v.world.Taps {
		if t.Spec.Action == flowtap.Redirect {
			r.Taps[id] = t.Spec
		}
	}
	for _, id := range gone {
		delete(r.Taps, id)
	}
	for id, t := range v.put {
		if delete(r.Taps, id); t.Action == flowtap.Redirect {
			r.Taps[id] = t
		}
	}
	for id, p := range v.world.Pools {
		r.Pools[id] = p.Spec
	}
	for id, p := range v.world.Ports {
		r.Ports[id] = p.Spec
	}
	b := r.Broken(concerned)
	if b == nil {
		return
	}
	for _, id := range b.Taps {
		one, ours := v.why[id]
		if !ours {
			continue
		}
		reason := v.policy.view.names(b.Reason)
		for _, other := range b.Taps {
			if topology.ProjectOf(other) != v.policy.view.project {
				reason = "its monitor has what is of others already: a monitor without tag vlan serves one network"
			}
		}
		if t := v.put[id]; v.foreign(t) { // which pools and return ports there are is not for this project to know
			reason = v.policy.view.refused(t)
		}
		v.fault(one, "%s", reason)
		return
	}
}
