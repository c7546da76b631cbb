package controller

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/store"
	"github.com/flowtap/flowtap/topology"
)

// observer turns what switches report into port status in the store: one goroutine, fed by
// sessions through its inbox and by the store. It decides nothing; topology does.
type observer struct {
	c     *Controller
	log   *slog.Logger
	inbox chan func() // full: sessions wait

	registered atomic.Pointer[map[openflow.DPID]bool] // datapath ids of nodes, for Unregistered

	// The fields below belong to the goroutine of run.
	ports    map[string]*store.Port      // latest known, own writes included
	byIface  map[string]map[string]bool  // port ids by interface
	byNum    map[uint32]string           // port ids by number
	nodes    map[string]openflow.DPID    // registered nodes: the bridge with the ports
	tunnels  map[string]openflow.DPID    // the other bridge of those that have two
	switches map[openflow.DPID]*observed // connected switches
	met      map[openflow.DPID]bool      // that were ever connected
	waiting  bool                        // for switches that may be on their way back to a controller that just started
	asked    map[*session]bool           // that are being asked whether they live
	work     sync.WaitGroup              // what runs beside

	mu        sync.Mutex      // guards unwritten
	unwritten map[string]bool // ports whose status the store did not take
}

// observed is what a connected switch has: its ports by interface name.
type observed struct {
	session *session
	ifaces  map[string]iface
}

type iface struct {
	no   openflow.PortNo
	down bool // switched off or without a link
}

func ifaceOf(p openflow.Port) iface {
	return iface{p.No, p.Config&openflow.PortConfigDown != 0 || p.State&openflow.PortStateLinkDown != 0}
}

func newObserver(c *Controller) *observer {
	return &observer{c: c, log: c.log, inbox: make(chan func(), 1024), ports: map[string]*store.Port{},
		byIface: map[string]map[string]bool{}, byNum: map[uint32]string{}, nodes: map[string]openflow.DPID{}, tunnels: map[string]openflow.DPID{},
		switches: map[openflow.DPID]*observed{}, met: map[openflow.DPID]bool{}, waiting: true,
		asked: map[*session]bool{}, unwritten: map[string]bool{}}
}

func (o *observer) run(ctx context.Context) {
	changes := o.c.store.Follow(ctx)
	again := time.NewTicker(rewriteEvery)
	defer again.Stop()
	defer o.work.Wait()
	grace := time.NewTimer(o.c.config.Grace)
	defer grace.Stop()
	for {
		select {
		case f := <-o.inbox:
			f()
		case b, ok := <-changes:
			if !ok {
				return
			}
			o.follow(ctx, b)
		case <-again.C:
			o.rewrite(ctx)
		case <-grace.C:
			o.waiting = false
			o.settle(ctx, maps.Keys(o.ports))
		}
	}
}

// rewriteEvery is the pause before a status is written again that the store did not take.
const rewriteEvery = time.Second

// rewrite writes what could not be written.
func (o *observer) rewrite(ctx context.Context) {
	o.mu.Lock()
	ids := slices.Collect(maps.Keys(o.unwritten))
	clear(o.unwritten)
	o.mu.Unlock()
	for _, id := range ids {
		if p := o.ports[id]; p != nil {
			o.write(ctx, id, p.Status)
		}
	}
}

func (o *observer) post(ctx context.Context, f func()) {
	select {
	case o.inbox <- f:
	case <-ctx.Done():
	}
}

func (o *observer) switchUp(ctx context.Context, s *session) {
	ifaces := map[string]iface{}
	for _, p := range s.conn.Ports() {
		ifaces[p.Name] = ifaceOf(p)
	}
	o.post(ctx, func() {
		o.switches[s.dpid] = &observed{s, ifaces}
		o.met[s.dpid] = true
		o.settle(ctx, maps.Keys(o.ports))
	})
}

func (o *observer) switchDown(ctx context.Context, s *session) {
	o.post(ctx, func() {
		if sw := o.switches[s.dpid]; sw != nil && sw.session == s {
			delete(o.switches, s.dpid)
			o.settle(ctx, maps.Keys(o.ports)) // ports that are elsewhere too move there
		}
	})
}

func (o *observer) portStatus(ctx context.Context, s *session, m *openflow.PortStatus) {
	o.post(ctx, func() {
		sw := o.switches[s.dpid]
		if sw == nil || sw.session != s {
			return
		}
		touched := map[string]bool{m.Port.Name: true}
		for name, i := range sw.ifaces { // a number that now has another name
			if i.no == m.Port.No {
				delete(sw.ifaces, name)
				touched[name] = true
			}
		}
		if m.Reason != openflow.PortDelete {
			sw.ifaces[m.Port.Name] = ifaceOf(m.Port)
		}
		o.c.planner.post(ctx, func(p *planner) { p.portChanged(s, m) })
		ids := map[string]bool{}
		for name := range touched {
			maps.Copy(ids, o.byIface[name])
		}
		o.settle(ctx, maps.Keys(ids))
	})
}

// learn takes addresses from a frame of a port that declares none. A frame of a port that is
// known to be elsewhere also says that it has arrived.
func (o *observer) learn(ctx context.Context, s *session, num uint32, frame []byte) {
	mac, ip := topology.SenderOf(frame)
	o.post(ctx, func() {
		p := o.ports[o.byNum[num]]
		if p == nil {
			return
		}
		o.update(ctx, p, func(st topology.PortStatus) topology.PortStatus {
			if !o.taken(p, func(o *store.Port) bool { return o.Spec.MAC == mac || slices.Contains(o.Status.LearnedMACs, mac) }) {
				st, _ = topology.LearnMAC(p.Spec, st, mac)
			}
			if p.Spec.Kind == topology.KindMonitor || mac != p.Spec.MAC && !slices.Contains(st.LearnedMACs, mac) {
				return st // somebody else's, and so is what it says; or all that is asked of a monitor
			}
			if !o.taken(p, func(o *store.Port) bool {
				return slices.Contains(o.Spec.IPs, ip) || slices.Contains(o.Status.LearnedIPs, ip)
			}) {
				st, _ = topology.LearnIP(p.Spec, st, ip)
			}
			return st
		})
	})
	o.arrive(ctx, s, num)
}

// taken reports whether another port of the network has an address, by declaration or because it
// was the first to use it.
func (o *observer) taken(p *store.Port, has func(*store.Port) bool) bool {
	for _, other := range o.ports {
		if other.ID != p.ID && other.Spec.Network == p.Spec.Network && has(other) {
			return true
		}
	}
	return false
}

// arrive moves a port to the node where it sends from.
func (o *observer) arrive(ctx context.Context, s *session, num uint32) {
	o.post(ctx, func() {
		p, node := o.ports[o.byNum[num]], o.nodeOf(s.dpid)
		if p == nil || node == "" || p.Status.Node == node {
			return
		}
		for _, a := range p.Status.Attachments {
			if a.Node == node {
				o.update(ctx, p, func(st topology.PortStatus) topology.PortStatus { return topology.Arrive(st, node) })
			}
		}
	})
}

func (o *observer) nodeOf(d openflow.DPID) string {
	for id, dpid := range o.nodes {
		if dpid == d || o.tunnels[id] == d && d != 0 {
			return id
		}
	}
	return ""
}

// follow keeps the observer's picture of ports and nodes up to date. A status in a batch may be
// older than what was written since, so the newer one stays.
func (o *observer) follow(ctx context.Context, b store.Batch) {
	if b.Reset {
		o.ports, o.byIface, o.byNum, o.nodes = map[string]*store.Port{}, map[string]map[string]bool{}, map[uint32]string{}, map[string]openflow.DPID{}
		clear(o.tunnels)
	}
	touched := map[string]bool{}
	for _, e := range b.Events {
		switch e.Collection {
		case store.CollectionNodes:
			if n, ok := e.Object.(*store.Node); !ok {
				delete(o.nodes, e.ID)
				delete(o.tunnels, e.ID)
			} else if o.nodes[e.ID] == n.Spec.DatapathID && o.tunnels[e.ID] == n.Spec.TunnelDatapathID {
				continue
			} else {
				o.nodes[e.ID], o.tunnels[e.ID] = n.Spec.DatapathID, n.Spec.TunnelDatapathID
			}
			for id := range o.ports {
				touched[id] = true
			}
		case store.CollectionPorts:
			if mine := o.ports[e.ID]; e.StatusOnly && mine != nil {
				// Our own writes, but for the state, which the planner writes.
				if p, ok := e.Object.(*store.Port); ok && topology.SameAttachments(p.Status, mine.Status) {
					mine.Status.State = p.Status.State
				}
				continue
			}
			old := o.ports[e.ID]
			if old != nil {
				delete(o.byIface[old.Spec.Interface], e.ID)
				delete(o.byNum, old.Num)
				delete(o.ports, e.ID)
			}
			p, ok := e.Object.(*store.Port)
			if !ok {
				continue
			}
			mine := *p
			if old != nil && old.Num == p.Num {
				mine.Status = old.Status
			}
			o.ports[e.ID], o.byNum[p.Num] = &mine, e.ID
			if o.byIface[p.Spec.Interface] == nil {
				o.byIface[p.Spec.Interface] = map[string]bool{}
			}
			o.byIface[p.Spec.Interface][e.ID] = true
			touched[e.ID] = true
		}
	}
	registered := map[openflow.DPID]bool{}
	for id, dpid := range o.nodes {
		registered[dpid], registered[o.tunnels[id]] = true, true
	}
	o.registered.Store(&registered)
	o.settle(ctx, maps.Keys(touched))
}

// settle brings the attachments of ports in line with what connected switches have. What a
// switch that is not connected had stays: its dataplane goes on.
func (o *observer) settle(ctx context.Context, ids func(func(string) bool)) {
	var wg sync.WaitGroup
	slots := make(chan struct{}, 32) // writes under way at once
	for id := range ids {
		p := o.ports[id]
		if p == nil {
			continue
		}
		next := o.attached(p, p.Status)
		if n := len(next.Attachments); n > 1 && n > len(p.Status.Attachments) {
			o.ask(ctx, next.Attachments)
		}
		if samePortStatus(next, p.Status) {
			continue
		}
		p.Status = next
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			o.write(ctx, p.ID, next)
		})
	}
	wg.Wait()
}

func (o *observer) attached(p *store.Port, st topology.PortStatus) topology.PortStatus {
	alive := func(node string) bool {
		dpid := o.nodes[node]
		return o.switches[dpid] != nil || o.waiting && !o.met[dpid]
	}
	for _, a := range st.Attachments {
		if _, registered := o.nodes[a.Node]; !registered {
			st = topology.Attach(st, a.Node, 0, alive)
		}
	}
	for _, node := range slices.Sorted(maps.Keys(o.nodes)) {
		if sw := o.switches[o.nodes[node]]; sw != nil {
			is := sw.ifaces[p.Spec.Interface]
			st = topology.Link(topology.Attach(st, node, is.no, alive), node, is.down, alive)
		}
	}
	return pendingIfMoved(p.Status, st)
}

// answerIn is how long a switch may take to say that it lives, when a port of its appears elsewhere.
const answerIn = 2 * time.Second

// ask asks the switches of a port that is at several places whether they live. One that is gone
// without a word would be active for that port until its keepalive fails, and meanwhile hold up
// every change, on either of its bridges.
func (o *observer) ask(ctx context.Context, places []topology.Attachment) {
	var of []*observed
	for _, a := range places {
		of = append(of, o.switches[o.nodes[a.Node]], o.switches[o.tunnels[a.Node]])
	}
	for _, sw := range of {
		if sw == nil || o.asked[sw.session] {
			continue
		}
		s := sw.session
		o.asked[s] = true
		o.work.Go(func() {
			c, cancel := context.WithTimeout(ctx, answerIn)
			err := s.conn.Barrier(c)
			cancel()
			if err != nil && ctx.Err() == nil {
				o.log.Warn("a switch does not answer while a port of its has appeared elsewhere; hanging up", "dpid", s.dpid, "error", err)
				_ = s.conn.Close()
			}
			o.post(ctx, func() { delete(o.asked, s) })
		})
	}
}

// pendingIfMoved makes a port pending until the switches act on where it is now. That it has no
// link there needs no switch to act.
func pendingIfMoved(was, st topology.PortStatus) topology.PortStatus {
	switch {
	case st.LinkDown():
		st.State = topology.PortDown
	case st.State == "" || len(st.Attachments) > 0 && !topology.SameAttachments(was, st):
		st.State = topology.PortPending
	}
	return st
}

func (o *observer) update(ctx context.Context, p *store.Port, f func(topology.PortStatus) topology.PortStatus) {
	next := pendingIfMoved(p.Status, f(p.Status))
	if !samePortStatus(next, p.Status) {
		p.Status = next
		o.write(ctx, p.ID, next)
	}
}

// write stores a status; a port deleted meanwhile needs none. What the store does not take is
// tried again.
func (o *observer) write(ctx context.Context, id string, st topology.PortStatus) {
	err := o.c.store.Ports().UpdateStatus(ctx, id, func(now topology.PortStatus) (topology.PortStatus, bool) {
		st.Load, st.Monitor = now.Load, now.Monitor // measured by others
		return st, true
	})
	if err != nil && !errors.Is(err, store.ErrNotFound) && ctx.Err() == nil {
		o.log.Error("cannot store the status of a port; will try again", "port", id, "error", err)
		o.mu.Lock()
		o.unwritten[id] = true
		o.mu.Unlock()
	}
}
