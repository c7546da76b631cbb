package controller

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/flowtap/flowtap/flowtap/pipeline"
	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/flowset"
	"github.com/flowtap/flowtap/store"
	"github.com/flowtap/flowtap/topology"
)

// planner owns the world. One goroutine applies every change to it, keeps what each connected
// switch should hold, and starts a round when a switch differs. It waits for nothing: rounds,
// dumps and label writes run beside it and post what came of them.
type planner struct {
	c     *Controller
	log   *slog.Logger
	inbox chan func(*planner) // full: the poster waits

	// The fields below belong to the goroutine of run.
	ctx      context.Context
	work     sync.WaitGroup // what runs beside
	world    *pipeline.World
	switches map[openflow.DPID]*swtch // connected, registered or not
	started  time.Time
	adopted  uint32 // connections so far

	dirty    map[pipeline.Unit]bool // parts to recompute on every switch
	busy     bool                   // a round is under way
	revision int64                  // of the store, as far as the world has it
	version  int64                  // grows with every change of the world or of what switches there are
	done     int64                  // revision that all connected switches have carried out
	waiters  []waiter

	numbering   bool      // a label write is under way
	numberAgain time.Time // not before, since the last one failed

	arrived   map[string]int64                  // ports whose attachments changed, by the version to carry out
	networks  map[string]topology.NetworkStatus // as last written
	pools     map[string]topology.PoolStatus    // the same
	taps      map[string]*tapRecord
	restate   map[string]int64               // taps to look at, once this version is carried out
	drift     map[string]uint64              // repaired so far, by node
	left      map[openflow.DPID]*flowset.Set // what switches held when their connections ended
	nodes     map[string]topology.NodeStatus // as last written
	passing   map[string]bool                // redirects whose flow passes unmonitored
	held      held
	uses      *tunnelUses
	lingering bool // tunnels may be kept that nothing uses any more
}

// refusalPause is how long a switch that refused a change is left alone.
const refusalPause = 2 * time.Second

func newPlanner(c *Controller) *planner {
	return &planner{c: c, log: c.log, inbox: make(chan func(*planner), 4096), world: pipeline.NewWorld(),
		switches: map[openflow.DPID]*swtch{}, dirty: map[pipeline.Unit]bool{},
		arrived: map[string]int64{}, networks: map[string]topology.NetworkStatus{}, pools: map[string]topology.PoolStatus{}, taps: map[string]*tapRecord{}, restate: map[string]int64{},
		drift: map[string]uint64{}, left: map[openflow.DPID]*flowset.Set{}, nodes: map[string]topology.NodeStatus{}, passing: map[string]bool{}, held: newHeld(), uses: newTunnelUses()}
}

// beside runs f in a goroutine that run waits for.
func (p *planner) beside(f func()) { p.work.Go(f) }

// hangUp ends a connection. The planner does not wait for what is still to be written.
func (p *planner) hangUp(s *session) { p.beside(func() { _ = s.conn.Close() }) }

// post has f called by the planner.
func (p *planner) post(ctx context.Context, f func(*planner)) {
	select {
	case p.inbox <- f:
	case <-ctx.Done():
	}
}

func (p *planner) run(ctx context.Context) {
	p.ctx, p.started = ctx, time.Now()
	defer p.work.Wait()
	changes := p.c.store.Follow(ctx)
	audit := time.NewTicker(p.c.config.AuditInterval)
	defer audit.Stop()
	groups := time.NewTicker(min(groupInterval, p.c.config.AuditInterval))
	defer groups.Stop()
	regular := time.NewTicker(time.Second)
	defer regular.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case f := <-p.inbox:
			f(p)
		case b, ok := <-changes:
			if !ok {
				return
			}
			p.follow(b)
		case t := <-p.c.tunnels.changed:
			p.tunnelChanged(t)
		case <-audit.C:
			p.audit()
		case <-groups.C:
			p.lookAtGroups()
		case <-regular.C:
			p.regular()
		}
		p.step()
	}
}

// follow applies a change of the store to the world.
func (p *planner) follow(b store.Batch) {
	p.revision = b.Revision
	if b.Reset {
		p.held = newHeld()
		for _, e := range b.Events {
			if e.Collection == store.CollectionPlans {
				p.mark(p.apply(e))
			}
		}
		p.forgetMissing(b)
	}
	for _, e := range b.Events {
		p.mark(p.apply(e))
	}
}

func (p *planner) apply(e store.Event) []pipeline.Unit {
	w := p.world
	switch e.Collection {
	case store.CollectionNodes:
		n, ok := e.Object.(*store.Node)
		if !ok {
			p.unregister(e.ID)
			return w.DeleteNode(e.ID)
		}
		units := w.PutNode(p.nodeOf(n))
		p.register(e.ID, n)
		return units
	case store.CollectionNetworks:
		if e.Object == nil {
			delete(p.networks, e.ID)
			return w.DeleteNetwork(e.ID)
		}
		if e.StatusOnly {
			return nil
		}
		return w.PutNetwork(pipeline.Network{ID: e.ID})
	case store.CollectionPorts:
		port, ok := e.Object.(*store.Port)
		if !ok {
			p.moved(w.Port(e.ID), nil)
			return w.DeletePort(e.ID)
		}
		if port.Status.State == topology.PortPending && len(port.Status.Attachments) > 0 {
			p.version++
			p.arrived[e.ID] = p.version
		} else {
			delete(p.arrived, e.ID)
		}
		if old := w.Port(e.ID); old != nil && e.StatusOnly && sameButState(old.Status, port.Status) &&
			(old.Status.State == topology.PortDown) == (port.Status.State == topology.PortDown) {
			old.Status.State = port.Status.State
			return nil
		}
		now := pipeline.Port{ID: e.ID, Num: port.Num, Port: port.Spec, Status: port.Status}
		p.moved(w.Port(e.ID), &now)
		return w.PutPort(now)
	case store.CollectionPools:
		pool, ok := e.Object.(*store.Pool)
		if !ok {
			delete(p.pools, e.ID)
			p.poolMoved(e.ID)
			return w.DeletePool(e.ID)
		}
		if e.StatusOnly && w.Pool(e.ID) != nil {
			return nil
		}
		units := w.PutPool(pipeline.Pool{ID: e.ID, Pool: pool.Spec})
		p.poolMoved(e.ID)
		return units
	case store.CollectionTaps:
		t, ok := e.Object.(*store.Tap)
		if ok && e.StatusOnly && p.taps[e.ID] != nil {
			return nil // our own write
		}
		return p.storedTap(e.ID, t)
	case store.CollectionPlans:
		plan, _ := e.Object.(store.Plan)
		return p.planned(e.ID, plan)
	case store.CollectionLabels:
		n, ok := e.Object.(uint32)
		if !ok {
			return w.DeleteLabel(e.ID)
		}
		return w.PutLabel(e.ID, n)
	}
	return nil
}

// forgetMissing deletes from the world what a complete list does not have.
func (p *planner) forgetMissing(b store.Batch) {
	there := map[string]bool{}
	for _, e := range b.Events {
		there[e.Collection+"/"+e.ID] = true
	}
	gone := func(collection string, ids []string) {
		for _, id := range ids {
			if !there[collection+"/"+id] {
				p.mark(p.apply(store.Event{Collection: collection, ID: id}))
			}
		}
	}
	gone(store.CollectionTaps, p.world.Taps())
	gone(store.CollectionPools, p.world.Pools())
	gone(store.CollectionPorts, p.world.Ports())
	gone(store.CollectionNetworks, p.world.Networks())
	gone(store.CollectionNodes, p.world.Nodes())
}

func (p *planner) mark(units []pipeline.Unit) {
	p.version++
	for _, u := range units {
		p.dirty[u] = true
	}
}

// recompute brings units' shares of a switch's desired state up to date.
func (p *planner) recompute(sw *swtch, units []pipeline.Unit) {
	keys, groups, meters := sw.shares.Update(p.world, sw.node, units)
	for _, k := range keys {
		sw.keys[k] = true
	}
	for _, id := range groups {
		sw.groups[id] = true
	}
	for _, id := range meters {
		sw.meters[id] = true
	}
}

// recomputeDirty brings every switch's desired state up to date.
func (p *planner) recomputeDirty() {
	if len(p.dirty) == 0 {
		return
	}
	units := slices.Collect(maps.Keys(p.dirty))
	everything := p.dirty[pipeline.Unit{Kind: pipeline.UnitEverything}]
	for _, sw := range p.switches {
		if sw.node == "" {
			continue
		}
		p.recompute(sw, units)
	}
	if everything {
		units = p.world.Units()
	}
	p.restateNetworks(units)
	p.dirty = map[pipeline.Unit]bool{}
	if everything {
		p.uses.all(p.world)
	}
	for _, u := range units {
		if u.Kind == pipeline.UnitTap {
			p.uses.tap(p.world, u.ID)
		}
	}
	p.keepTunnels(false)
}

// restateNetworks writes the status of networks and pools that may have changed.
func (p *planner) restateNetworks(units []pipeline.Unit) {
	for _, u := range units {
		if u.Kind == pipeline.UnitPool && p.world.Pool(u.ID) != nil {
			st := pipeline.PoolStatus(p.world, u.ID)
			if was, ok := p.pools[u.ID]; !ok || !maps.Equal(was.Slices, st.Slices) {
				p.pools[u.ID] = st
				p.c.statuses.pool(u.ID, st)
			}
		}
		if u.Kind != pipeline.UnitNetwork || !p.world.HasNetwork(u.ID) {
			continue
		}
		st := topology.NetworkStatus{Label: p.world.Label(pipeline.NetworkLabel(u.ID)), Members: p.world.Members(u.ID)}
		if p.networks[u.ID] != st {
			p.networks[u.ID] = st
			p.c.statuses.network(u.ID, st)
		}
	}
}

// keepTunnels says which tunnels are in use; with alone, that others are not.
func (p *planner) keepTunnels(alone bool) {
	p.lingering = !alone
	ends := map[string]endpoint{}
	for _, sw := range p.switches {
		if n := p.world.Node(sw.node); n != nil && !sw.ports {
			ends[sw.node] = endpoint{sw.session, n}
		}
	}
	p.c.tunnels.use(p.uses.tunnels(), ends, alone)
}

// step starts what is due: numbers for labels, then a round. At rest, it lets those go who wait
// for the world's revision to be carried out.
func (p *planner) step() {
	if p.busy || p.numbering || p.investigate() {
		return
	}
	missing := p.world.MissingLabels()
	if len(missing) > 0 && time.Now().After(p.numberAgain) {
		p.number(missing)
		return
	}
	p.recomputeDirty()
	if p.startRound() || len(missing) > 0 {
		return
	}
	if p.settled() {
		p.restateDue(p.version)
		p.letGo(p.revision)
		if p.lingering {
			p.keepTunnels(true)
		}
	}
}

// number gets numbers for label keys.
func (p *planner) number(keys []string) {
	p.numbering = true
	p.beside(func() {
		numbers, err := p.c.store.EnsureLabels(p.ctx, keys)
		p.post(p.ctx, func(p *planner) {
			p.numbering = false
			if err != nil {
				// The regular look tries again; meanwhile switches are kept at what has numbers.
				p.log.Error("cannot allocate tunnel labels; will try again", "error", err)
				p.numberAgain = time.Now().Add(time.Second)
				return
			}
			for k, n := range numbers {
				p.mark(p.world.PutLabel(k, n))
			}
		})
	})
}

// up reports whether a node's switches are connected and have carried out what was asked of them.
func (p *planner) up(node string) bool {
	n := p.world.Node(node)
	if n == nil {
		return false
	}
	for _, dpid := range bridges(n) {
		if sw := p.bridge(node, dpid); sw == nil || sw.have == nil || !sw.refused.IsZero() {
			return false
		}
	}
	return true
}

// regular does what has no event: retries after refusals, states that time alone changes.
func (p *planner) regular() {
	p.pollPorts()
	for _, sw := range p.switches {
		if !sw.refused.IsZero() && time.Since(sw.refused) > refusalPause {
			sw.refused, sw.have = time.Time{}, nil
			p.read(sw)
		}
	}
	if p.c.tunnels.untold.Swap(false) {
		for t := range p.uses.tunnels() {
			if p.warm(t) || p.c.tunnels.stopped(t) {
				p.mark(p.world.PutTunnel(t, !p.warm(t)))
			}
		}
		p.restateTaps(p.world.Taps())
	}
	p.waiters = slices.DeleteFunc(p.waiters, func(w waiter) bool { return w.ctx.Err() != nil })
}

func (p *planner) sinceStart() time.Duration { return time.Since(p.started) }

// tunnelChanged takes note that a tunnel answers, or answers no more.
func (p *planner) tunnelChanged(t pipeline.Tunnel) {
	p.mark(p.world.PutTunnel(t, p.c.tunnels.stopped(t)))
	p.restateTaps(p.uses.by(t))
}

// unreachable takes note that a node is away: monitors there serve nobody.
func (p *planner) unreachable(node string) {
	for t := range p.uses.tunnels() {
		if t.To == node {
			p.mark(p.world.PutTunnel(t, true))
		}
	}
}
