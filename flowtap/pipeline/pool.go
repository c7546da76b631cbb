package pipeline

import (
	"maps"
	"slices"
	"strings"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/topology"
)

// A Pool is several monitors that contracts may lead to. What it means for one frame is a list of
// monitors: all members of a copy pool, one of a spread pool, which the frame's hash chooses. Seen-by and
// flooding know monitors (and copy pools, which stand for their members), so that a monitor that
// contracts lead to in several ways has a frame once.
type Pool struct {
	ID string
	topology.Pool
}

// poolPrefix begins the destination that is a pool: ids of pools and of ports may be the same.
const poolPrefix = "pool/"

// PoolLabel is the label key of a pool: the number by which spread chooses, copies are grouped, and
// seen-by tells that all members have a frame.
func PoolLabel(pool string) string { return poolPrefix + pool }

// leadsTo is a contract's destination: a monitor's port, or a pool.
func (t *Tap) leadsTo() string {
	if t.DstPool != "" {
		return PoolLabel(t.DstPool)
	}
	return t.Dst
}

// labelOf gives the number of a destination.
func (w *World) labelOf(destination string) uint32 {
	if strings.HasPrefix(destination, poolPrefix) {
		return w.labels[destination]
	}
	return w.labels[MonitorLabel(destination)]
}

// poolOf gives the pool that a contract leads to, nil where that is a monitor.
func (w *World) poolOf(t *Tap) *Pool {
	if t.DstPool == "" {
		return nil
	}
	return w.pools[t.DstPool]
}

// spreadOf gives the spread pool that a contract leads to, nil for none.
func (w *World) spreadOf(t *Tap) *Pool {
	if p := w.poolOf(t); p != nil && p.Mode == topology.PoolSpread {
		return p
	}
	return nil
}

// monitorsOf gives the monitors that frames of a contract may be sent to.
func (w *World) monitorsOf(t *Tap) []string {
	if t.DstPool == "" {
		return []string{t.Dst}
	}
	return w.pools[t.DstPool].monitors()
}

func (p *Pool) monitors() (ids []string) {
	if p != nil {
		for _, m := range p.Members {
			ids = append(ids, m.Port)
		}
	}
	return ids
}

// leads reports whether frames of a contract may be sent to a monitor.
func (w *World) leads(t *Tap, monitor string) bool {
	if t.DstPool == "" {
		return t.Dst == monitor
	}
	return w.poolsOf[monitor][t.DstPool] != nil
}

// redirects reports whether a contract is a redirect that can mean something: nothing is redirected to a
// copy pool, each member of which would give the frame back.
func (w *World) redirects(t *Tap) bool {
	return t.Action == flowtap.Redirect && (t.DstPool == "" || w.spreadOf(t) != nil)
}

// tapsTo gives the contracts that lead to a monitor, by itself or in a pool.
func (w *World) tapsTo(monitor string) map[string]*Tap {
	if len(w.poolsOf[monitor]) == 0 {
		return w.tapsByDst[monitor]
	}
	all := map[string]*Tap{}
	for id, t := range w.tapsByDst[monitor] {
		all[id] = t
	}
	for pool := range w.poolsOf[monitor] {
		for id, t := range w.tapsByDst[PoolLabel(pool)] {
			all[id] = t
		}
	}
	return all
}

// copyPoolsOf gives the copy pools that a monitor is in and that have numbers, sorted.
func (w *World) copyPoolsOf(monitor string) (ps []*Pool) {
	for _, id := range sortedKeys(w.poolsOf[monitor]) {
		if p := w.pools[id]; p.Mode == topology.PoolCopy && w.labels[PoolLabel(id)] != 0 {
			ps = append(ps, p)
		}
	}
	return ps
}

// Pools gives all pool ids, sorted.
func (w *World) Pools() []string { return sortedKeys(w.pools) }

// Pool looks a pool up, nil where there is none.
func (w *World) Pool(id string) *Pool { return w.pools[id] }

// TapsToPool gives the ids of the taps that lead to a pool, sorted.
func (w *World) TapsToPool(pool string) []string { return sortedKeys(w.tapsByDst[PoolLabel(pool)]) }

// PutPool adds or replaces a pool.
func (w *World) PutPool(p Pool) []Unit {
	if old := w.pools[p.ID]; old != nil && old.Mode == p.Mode && sameMembers(old, &p) {
		w.pools[p.ID] = &p
		for _, m := range p.Members {
			w.poolsOf[m.Port][p.ID] = &p
		}
		return []Unit{{UnitPool, p.ID}}
	}
	return w.changePool(p.ID, &p)
}

// DeletePool removes a pool.
func (w *World) DeletePool(id string) []Unit {
	if w.pools[id] == nil {
		return nil
	}
	us := w.changePool(id, nil)
	maps.DeleteFunc(w.missing, func(key string, _ bool) bool { return monitorOf(key) == PoolLabel(id) })
	return us
}

func sameMembers(a, b *Pool) bool {
	in := map[string]bool{}
	for _, m := range a.Members {
		in[m.Port] = true
	}
	for _, m := range b.Members {
		if !in[m.Port] {
			return false
		}
	}
	return len(a.Members) == len(b.Members)
}

// changePool puts a pool in the place of another; either may be nil.
func (w *World) changePool(id string, p *Pool) []Unit {
	us := w.unitsOfPool(id)
	taps := w.tapsByDst[PoolLabel(id)]
	targets := map[string]bool{}
	var ports []*Port
	for _, t := range taps {
		if src := w.ports[t.Src]; src != nil && !targets[src.ID] {
			targets[src.ID] = true
			ports = append(ports, src)
		}
	}
	for src := range targets {
		w.unindex(src)
	}
	if old := w.pools[id]; old != nil {
		for _, m := range old.Members {
			removeFrom(w.poolsOf, m.Port, id)
		}
	}
	delete(w.pools, id)
	if p != nil {
		w.pools[id] = p
		w.need(PoolLabel(id))
		for _, m := range p.Members {
			addTo(w.poolsOf, m.Port, id, p)
		}
	}
	for _, src := range ports {
		w.index(src)
	}
	for _, t := range taps {
		w.needSeen(t)
	}
	return append(us, w.unitsOfPool(id)...)
}

// unitsOfPool gives what a pool's members have to do with: the networks of all contracts that lead to
// it, or to one of its members, and the members.
func (w *World) unitsOfPool(id string) []Unit {
	us := []Unit{{UnitPool, id}}
	networks := map[string]bool{}
	for n := range w.tapped[PoolLabel(id)] {
		networks[n] = true
	}
	for _, m := range w.pools[id].monitors() {
		us = append(append(us, Unit{UnitMonitor, m}), w.unitsOfTransit(m)...)
		for n := range w.tapped[m] {
			networks[n] = true
		}
	}
	for n := range networks {
		us = append(us, w.unitsOfNetwork(n)...)
	}
	for id, t := range w.tapsByDst[PoolLabel(id)] {
		us = append(us, Unit{UnitTap, id}, Unit{UnitPort, t.Src}, Unit{UnitTarget, t.Src}, Unit{UnitReturn, t.Src})
	}
	return us
}

// serving gives the members of a pool that can have frames: those that are on a switch, for a spread pool
// with a link, and for which all labels have numbers under which their frames travel. It is the same for all nodes, so that all
// choose the same one.
func (w *World) serving(p *Pool) (ms []topology.PoolMember) {
	var reached []topology.PoolMember
	for _, m := range p.Members {
		port := w.ports[m.Port]
		if port == nil || port.Status.Node == "" || w.labels[MonitorLabel(m.Port)] == 0 {
			continue
		}
		ready := p.Mode == topology.PoolCopy || !port.Status.LinkDown()
		for n := range w.tapped[PoolLabel(p.ID)] {
			ready = ready && w.numbered(n, m.Port) && (w.seen[n][m.Port] == 0 || w.labels[SeenLabel(n, m.Port)] != 0) &&
				(len(w.diverted[n][m.Port]) == 0 || w.labels[ViaLabel(n, m.Port)] != 0)
			for at := range w.forms[m.Port] {
				d := destination(m.Port, at.form)
				ready = ready && (at.network != n || w.labels[MonitorLabel(d)] != 0 && (w.seen[n][d] == 0 || w.labels[SeenLabel(n, d)] != 0))
			}
		}
		if !ready {
			continue
		}
		if ms = append(ms, m); p.Mode == topology.PoolSpread && w.reached(p, port) {
			reached = append(reached, m)
		}
	}
	if len(reached) > 0 {
		return reached
	}
	return ms
}

// PoolStatus says how a pool's slices are spread over the members that serve.
func PoolStatus(w *World, id string) (st topology.PoolStatus) {
	p := w.pools[id]
	if p == nil || p.Mode != topology.PoolSpread {
		return st
	}
	for _, m := range Slices(w.serving(p)) {
		if m != "" {
			if st.Slices == nil {
				st.Slices = map[string]int{}
			}
			st.Slices[m]++
		}
	}
	return st
}

// pool is a pool's group or slices, on nodes where contracts may lead to it.
func (b *builder) pool(p *Pool) {
	label := b.w.labels[PoolLabel(p.ID)]
	if label == 0 || !b.w.copiesFrom(b.n.ID, PoolLabel(p.ID)) {
		return
	}
	if p.Mode == topology.PoolSpread {
		b.slices(p, label)
		return
	}
	var buckets []openflow.Bucket
	for _, m := range b.w.serving(p) {
		if b.w.tags(m.Port) {
			continue // the tag is the network's (copies)
		}
		port := b.w.ports[m.Port]
		buckets = append(buckets, b.towards(port, b.w.attachment(port, b.n.ID), b.w.labels[MonitorLabel(m.Port)])...)
	}
	b.group(copyGroup(label), buckets...)
}

// A seenShare is what is left to be copied of a frame that somebody has had.
type seenShare struct {
	label uint32
	kind  Kind
	rest  []string // monitors
}

// seen says, of a contract that copies to a monitor or a copy pool, what frames may be marked with that
// its monitors have had, whole or in the same form, and who has not.
func (b *builder) seen(t *Tap) (ss []seenShare) {
	had := map[uint32][]string{} // monitors, by label
	for _, m := range b.w.monitorsOf(t) {
		for _, f := range []form{{}, t.form()} {
			had[b.w.labels[MonitorLabel(destination(m, f))]] = []string{m}
			for _, c := range b.w.copyPoolsOf(m) {
				had[b.w.labelOf(destination(PoolLabel(c.ID), f))] = c.monitors()
			}
		}
	}
	for label, who := range had {
		if label == 0 {
			continue
		}
		s := seenShare{label: label, kind: KindTapSeen}
		for _, m := range b.copiesTo(t) {
			if !slices.Contains(who, m) {
				s.kind, s.rest = KindTap, append(s.rest, m)
			}
		}
		ss = append(ss, s)
	}
	return ss
}

// copies gives the actions by which a contract copies to its monitor, or to all members of its copy pool:
// by the pool's group, and to members that want a tag, or copies of another form, one by one.
func (b *builder) copies(t *Tap) []openflow.Action {
	network := b.w.networkOf(t)
	if t.DstPool == "" {
		return b.copyFor(t, t.Dst)
	}
	if t.optioned() {
		return b.copiesOf(t, b.copiesTo(t))
	}
	actions := []openflow.Action{openflow.ApplyGroup{ID: copyGroup(b.w.labelOf(t.leadsTo()))}}
	for _, m := range b.w.monitorsOf(t) {
		if b.w.tags(m) && b.w.numbered(network, m) {
			actions = append(actions, b.copyTo(network, m)...)
		}
	}
	return actions
}

// copiesOf gives the actions by which a contract copies what is not flooded to some of its monitors.
func (b *builder) copiesOf(t *Tap, monitors []string) (actions []openflow.Action) {
	switch {
	case len(monitors) == 0:
		return nil
	case t.limited() && t.DstPool != "":
		return b.withinRate(t, b.w.labels[PoolLabel(t.DstPool)]) // which knows what the frame is marked with
	}
	for _, m := range monitors {
		actions = append(actions, b.copyFor(t, m)...)
	}
	return actions
}

// copyTo gives the actions by which a frame of a network is copied to a monitor.
func (b *builder) copyTo(network, monitor string) []openflow.Action {
	return b.tagged(network, monitor, true, openflow.ApplyGroup{ID: copyGroup(b.w.labels[MonitorLabel(monitor)])})
}
