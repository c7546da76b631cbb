package controller

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/flowtap/flowtap/fairlisten"
	"github.com/flowtap/flowtap/openflow"
	lines "github.com/flowtap/flowtap/seldom"
	"github.com/flowtap/flowtap/store"
	"github.com/flowtap/flowtap/tlsfiles"
)

// maxStrangers bounds the connected switches that no node names.
const maxStrangers = 256

// A gate decides which connections may be the switches that they say they are: by the certificates
// that nodes pin, and by a bound on switches that nobody knows.
type gate struct {
	c     *Controller
	log   *slog.Logger
	lines lines.Gate
	pins  atomic.Pointer[pins] // nil until the nodes were read
	read  chan struct{}        // closed then
}

func newGate(c *Controller) *gate { return &gate{c: c, log: c.log, read: make(chan struct{})} }

// run keeps up with the nodes, and ends connections that their pins no longer allow.
func (g *gate) run(ctx context.Context) {
	nodes := map[string]*store.Node{}
	for b := range g.c.store.Follow(ctx) {
		changed := b.Reset
		if b.Reset {
			clear(nodes)
		}
		for _, e := range b.Events {
			switch n, ok := e.Object.(*store.Node); {
			case e.Collection != store.CollectionNodes || e.StatusOnly && !b.Reset:
				continue
			case ok:
				nodes[e.ID] = n
			default:
				delete(nodes, e.ID)
			}
			changed = true
		}
		if !changed {
			continue
		}
		first := g.pins.Swap(newPins(nodes)) == nil
		if first {
			close(g.read)
		}
		for _, s := range g.c.sessions.list() {
			g.still(s)
		}
	}
}

// Reasons of refusals, as the metric has them.
const (
	refusedCertificate = "certificate"
	refusedStranger    = "stranger"
	refusedClaimed     = "claimed"
)

// admit says whether a connection may be the switch that it says it is. It waits until the nodes are known.
func (g *gate) admit(alive context.Context, s *session) bool {
	select {
	case <-g.read:
	case <-alive.Done():
		return false
	}
	p := g.pins.Load()
	if err := p.allow(s.dpid, s.conn.TLS()); err != nil {
		g.refuse(s, refusedCertificate, err)
		return false
	}
	if p.nodes[s.dpid] != nil {
		return true
	}
	var strangers []*session
	for _, other := range g.c.sessions.list() {
		if p.nodes[other.dpid] == nil && other.dpid != s.dpid {
			strangers = append(strangers, other)
		}
	}
	if len(strangers) < g.c.config.MaxStrangers {
		return true
	}
	slices.SortFunc(strangers, func(a, b *session) int { return a.since.Compare(b.since) })
	sources := make([]string, len(strangers))
	for i, other := range strangers {
		sources[i] = fairlisten.Source(other.conn.RemoteAddr())
	}
	evicted := fairest(sources, fairlisten.Source(s.conn.RemoteAddr()))
	if evicted < 0 {
		g.refuse(s, refusedStranger, fmt.Errorf("%d switches that no node names are connected, which is the limit", len(strangers)))
		return false
	}
	g.refuse(strangers[evicted], refusedStranger, errors.New("its address has the most switches that no node names, and another's has come"))
	return true
}

// fairest gives the place of the first connection of the source that has most, if that is more than the
// newcomer's would then have; -1 if not.
func fairest(sources []string, newcomer string) int {
	count := map[string]int{}
	for _, s := range sources {
		count[s]++
	}
	most := -1
	for i, s := range sources {
		if most < 0 || count[s] > count[sources[most]] {
			most = i
		}
	}
	if most < 0 || count[newcomer]+1 >= count[sources[most]] {
		return -1
	}
	return most
}

// still ends a connection that its node's pin does not allow any more.
func (g *gate) still(s *session) bool {
	err := g.pins.Load().allow(s.dpid, s.conn.TLS())
	if err != nil {
		g.refuse(s, refusedCertificate, err)
	}
	return err == nil
}

// refuse ends a connection, counts it and, unless there are too many, says why.
func (g *gate) refuse(s *session, reason string, err error) {
	g.c.metrics.refused.WithLabelValues(reason).Inc()
	if skipped, ok := g.lines.Pass(time.Now()); ok {
		g.log.Warn("a switch is refused", "dpid", s.dpid, "from", s.conn.RemoteAddr(), "reason", err, "not_logged_before", skipped)
	}
	go func() { _ = s.conn.Close() }() // waits for what is queued; nobody here does
}

// pins are the nodes by datapath id, and the names that are some node's certificate's.
type pins struct {
	nodes map[openflow.DPID]*store.Node
	names map[string]bool
}

func newPins(nodes map[string]*store.Node) *pins {
	p := &pins{map[openflow.DPID]*store.Node{}, map[string]bool{}}
	for _, n := range nodes {
		p.nodes[n.Spec.DatapathID] = n
		if n.Spec.TunnelDatapathID != 0 {
			p.nodes[n.Spec.TunnelDatapathID] = n
		}
		if n.Spec.Certificate != "" {
			p.names[n.Spec.Certificate] = true
		}
	}
	return p
}

// allow says what forbids a connection to be a switch: that it does not bear the name that the switch's
// node has pinned, or that it bears one that is another node's.
func (p *pins) allow(dpid openflow.DPID, state *tls.ConnectionState) error {
	var names []string
	if state != nil && len(state.VerifiedChains) > 0 {
		names = tlsfiles.Names(state.VerifiedChains[0][0])
	}
	if n := p.nodes[dpid]; n != nil && n.Spec.Certificate != "" {
		switch {
		case state == nil:
			return fmt.Errorf("node %s wants a certificate that bears the name %s, and the connection is not by TLS", n.ID, n.Spec.Certificate)
		case !slices.Contains(names, n.Spec.Certificate):
			return fmt.Errorf("node %s wants a certificate that bears the name %s, and this one bears %q", n.ID, n.Spec.Certificate, names)
		}
		return nil
	}
	for _, name := range names {
		if p.names[name] {
			return fmt.Errorf("its certificate, %s, is that of another node", name)
		}
	}
	return nil
}
