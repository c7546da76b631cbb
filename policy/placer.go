package policy

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/flowtap/ftc"
	"github.com/flowtap/flowtap/flowtap/placement"
	"github.com/flowtap/flowtap/topology"
)

// placeEvery is the time between two looks at loads; fast enough for a hotspot, slow enough for counters that are read
// every few seconds.
const placeEvery = 2 * time.Second

// A placer decides where taps go that name no monitor: those of all policies together, since they share monitors. It belongs to
// the Runner.
type placer struct {
	config placement.Config
	wants  map[string][]placement.Want // by policy, those with which nothing was wrong
	placed placement.Placed
	loads  placement.Loads
	meters map[string]meter // by inside id of the tap
	// others is what monitors and links carried besides what is placed, bytes a second, and moved when flows moved to or from them last.
	others map[placement.Resource]float64
	moved  map[placement.Resource]time.Time
}

func newPlacer() *placer {
	return &placer{wants: map[string][]placement.Want{}, meters: map[string]meter{}}
}

// wantsOf gives what of a policy's contracts is to be placed. Ids are inside ids, sources as the policy calls them.
func wantsOf(c *compiled, wanted []ftc.Wanted) (out []placement.Want) {
	project := c.view.project
	for _, one := range wanted {
		if one.Strategy == "" {
			continue
		}
		want := one.Want(func(ref string) string { return topology.Absolute(project, ref) })
		want.ID = topology.Qualify(project, one.ID)
		out = append(out, want)
	}
	return out
}

// mayLead reports whether a project's taps may lead to a monitor.
func mayLead(w *World, project, id string) bool {
	p := w.Ports[id]
	return p != nil && p.Spec.Kind == topology.KindMonitor && (topology.ProjectOf(id) == project || p.Spec.SharedWith.With(project))
}

// put takes what a policy wants, or that it wants nothing, and reports whether that is something else than before. What was
// placed of it before this replica led is read from its taps.
func (p *placer) put(w *World, c *compiled, wanted []ftc.Wanted, now time.Time) bool {
	wants := wantsOf(c, wanted)
	before, known := p.wants[c.id]
	if slices.EqualFunc(before, wants, sameWant) {
		return false
	}
	if p.wants[c.id] = wants; len(wants) == 0 {
		delete(p.wants, c.id)
	}
	if !known {
		p.recover(w, c.id, now)
	}
	return true
}

func sameWant(a, b placement.Want) bool {
	return a.ID == b.ID && a.Tap == b.Tap && a.Strategy == b.Strategy && slices.Equal(a.Monitors, b.Monitors) &&
		(a.Monitors == nil) == (b.Monitors == nil)
}

// recover takes for where the wants of a policy are what its taps say, and reports whether something else was decided of one that
// has taps. Of others what was decided holds until they are placed anew.
func (p *placer) recover(w *World, policy string, now time.Time) (undone bool) {
	project := topology.ProjectOf(policy)
	var stored []flowtap.Tap
	for _, t := range w.byPolicy[policy] {
		stored = append(stored, outside(project, t.Spec))
	}
	flows := map[string][]placement.Held{}
	for id, held := range p.placed.State.Flows {
		flows[id] = held
	}
	contracts := maps.Clone(p.placed.Contracts)
	found := placement.Recover(p.wants[policy], stored, now)
	for _, one := range p.wants[policy] {
		delete(flows, one.ID)
		monitors := found.Monitors(one.ID)
		if taps, err := placement.Contracts(one.Tap, monitors); err == nil { // none of what is nowhere
			flows[one.ID] = found.Flows[one.ID]
			if was := contracts[one.ID]; was != nil && !slices.Equal(was, taps) {
				contracts[one.ID], undone = taps, true
			}
		}
	}
	p.placed.State.Flows, p.placed.Contracts = flows, contracts
	return undone
}

// outside gives a stored tap as its policy would write it but for the monitor, which keeps its inside id.
func outside(project string, t flowtap.Tap) flowtap.Tap {
	t.Policy = ""
	_, t.Src = topology.SplitID(t.Src)
	if in := t.Match.InPort(); in != "" && project != topology.DefaultProject {
		_, own := topology.SplitID(in)
		t.Match = t.Match.WithInPort(own)
	}
	return t
}

// place decides anew and gives the policies of which contracts are others now.
func (p *placer) place(w *World, now time.Time) (changed map[string]bool, err error) {
	before := p.placed
	wants := p.all(w)
	p.loads = p.measure(w, wants, now)
	if p.placed, err = placement.Place(wants, p.loads, before, now, p.config); err != nil {
		p.placed = before
		return nil, err
	}
	p.noteMoves(w, now)
	changed = map[string]bool{}
	for policy, wants := range p.wants {
		for _, one := range wants {
			if !slices.Equal(before.Contracts[one.ID], p.placed.Contracts[one.ID]) {
				changed[policy] = true
			}
		}
	}
	return changed, nil
}

// all gives all wants, with where their targets are and the monitors that they may have now.
func (p *placer) all(w *World) (wants []placement.Want) {
	for policy, some := range p.wants {
		project := topology.ProjectOf(policy)
		may := candidates(w, project)
		for _, one := range some {
			if port := w.Ports[topology.Qualify(project, one.Tap.Src)]; port != nil {
				one.Node = port.Status.Node
			}
			if one.Monitors != nil || project != topology.DefaultProject {
				one.Monitors = may(one)
			}
			one.Whole = crowded(w, policy, one)
			wants = append(wants, one)
		}
	}
	return wants
}

// candidates gives those of the monitors that a project's wants name, or of the provider's, that may be had. Most wants have the same ones.
func candidates(w *World, project string) func(placement.Want) []string {
	known := map[string][]string{}
	return func(one placement.Want) []string {
		key := string(one.Tap.Action) + " of the provider's"
		if one.Monitors != nil {
			key = string(one.Tap.Action) + ":" + strings.Join(one.Monitors, ",")
		}
		out, ok := known[key]
		if ok {
			return out
		}
		out = []string{}
		consider := func(id string) {
			foreign := one.Tap.Action == flowtap.Redirect && topology.ProjectOf(id) != project
			if mayLead(w, project, id) && (!foreign || w.Ports[id].Spec.Tag == topology.TagVLAN) {
				out = append(out, id)
			}
		}
		for _, id := range one.Monitors {
			consider(id)
		}
		if one.Monitors == nil {
			for id := range w.Ports {
				if topology.ProjectOf(id) == topology.DefaultProject {
					consider(id)
				}
			}
			slices.Sort(out)
		}
		known[key] = out
		return out
	}
}

// crowded reports whether contracts of others have frames of a want at the priorities above it, where its exceptions would be.
func crowded(w *World, policy string, one placement.Want) bool {
	project, tap := topology.ProjectOf(policy), one.Tap
	tap.Src = topology.Qualify(project, tap.Src)
	if in := tap.Match.InPort(); in != "" {
		tap.Match = tap.Match.WithInPort(topology.Qualify(project, in))
	}
	for _, other := range w.bySrc[tap.Src] {
		above := other.Spec.Priority - one.Tap.Priority
		if other.Spec.Policy == policy || above < 1 || above >= placement.Levels {
			continue
		}
		tap.Priority = other.Spec.Priority
		if _, _, overlap := flowtap.Overlap(tap, other.Spec); overlap {
			return true
		}
	}
	return false
}

// contracts gives a policy's contracts with the placed ones in place of what they follow from. Those that nobody can watch are
// left out and named.
func (p *placer) contracts(c *compiled, wanted []ftc.Wanted) (out []ftc.Wanted, nobody []ftc.Wanted) {
	out = make([]ftc.Wanted, 0, len(wanted))
	for _, one := range wanted {
		if one.Strategy == "" {
			out = append(out, one)
			continue
		}
		taps := p.placed.Contracts[topology.Qualify(c.view.project, one.ID)]
		if len(taps) == 0 {
			nobody = append(nobody, one)
		}
		for _, t := range taps {
			part := one
			part.Tap, part.ID = t, ftc.TapID(c.own, t)
			part.Tap.Dst = topology.Relative(c.view.project, t.Dst)
			out = append(out, part)
		}
	}
	return out, nobody
}
