// Package gate decides which connections may be the switches that they say they are: by the certificates
// that nodes pin, by who was there first, and by a bound on switches that nobody knows.
//
// It stands in every replica, where switches connect. Someone who has stolen one node's key can be
// that node and no other; someone who has none can be a switch that no node pins, for as long as that is
// not connected.
package gate

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/flowtap/flowtap/fairlisten"
	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/ofconn"
	"github.com/flowtap/flowtap/seldom"
	"github.com/flowtap/flowtap/store"
	"github.com/flowtap/flowtap/tlsfiles"
)

// A Gate knows the nodes while Run runs, and the connections that it let in. Its methods may be called
// from any goroutine.
type Gate struct {
	log     *slog.Logger
	most    int
	lines   seldom.Gate
	refused *prometheus.CounterVec
	pins    atomic.Pointer[pins] // nil until the nodes were read
	read    chan struct{}        // closed then

	mu   sync.Mutex // guards what follows
	held map[openflow.DPID]*holder
	dropped
}

// A holder is a connection that is a switch's.
type holder struct {
	conn  *ofconn.Conn
	since time.Time
	claims
}

// MaxStrangers bounds the connected switches that no node names.
const MaxStrangers = 256

// New makes a gate that lets in maxStrangers switches that no node names.
func New(log *slog.Logger, registry prometheus.Registerer, maxStrangers int) *Gate {
	g := &Gate{log: log, most: maxStrangers, read: make(chan struct{}), held: map[openflow.DPID]*holder{},
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "flowtap_switches_refused_total",
			Help: "Connections that may not be the switch that they say they are, by reason."}, []string{"reason"})}
	for _, reason := range []string{forCertificate, forStranger, forClaim} {
		g.refused.WithLabelValues(reason)
	}
	registry.MustRegister(g.refused)
	g.export(registry)
	return g
}

// Run keeps up with the nodes, as Follow of the store gives them, and ends connections that their pins no
// longer allow. It returns when the channel is closed.
func (g *Gate) Run(changes <-chan store.Batch) {
	nodes := map[string]*store.Node{}
	for b := range changes {
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
		p := newPins(nodes)
		if g.pins.Swap(p) == nil {
			close(g.read)
		}
		for d, h := range g.all() {
			if err := p.allow(d, h.conn.TLS()); err != nil {
				g.refuse(h.conn, forCertificate, err)
			}
		}
	}
}

// all gives the connections that were let in.
func (g *Gate) all() map[openflow.DPID]*holder {
	g.mu.Lock()
	defer g.mu.Unlock()
	return maps.Clone(g.held)
}

// Reasons of refusals, as the metric has them.
const (
	forCertificate = "certificate"
	forStranger    = "stranger"
	forClaim       = "claimed"
)

// Enter says whether a connection may be the switch that it says it is; whoever was let in must leave.
// It waits until the nodes are known, and, where another connection is that switch, until that has shown
// whether it lives; not longer than ctx, which is the connection's.
func (g *Gate) Enter(ctx context.Context, conn *ofconn.Conn) (leave func(), ok bool) {
	select {
	case <-g.read:
	case <-ctx.Done():
		return nil, false
	}
	d, h := conn.Features().DPID, &holder{conn: conn, since: time.Now()}
	p := g.pins.Load()
	if err := p.allow(d, conn.TLS()); err != nil {
		g.refuse(conn, forCertificate, err)
		return nil, false
	}
	if err := g.room(p, d, conn); err != nil {
		g.refuse(conn, forStranger, err)
		return nil, false
	}
	if err := g.claim(ctx, d, h); err != nil {
		g.refuse(conn, forClaim, err)
		return nil, false
	}
	g.mu.Lock()
	g.add(conn)
	g.mu.Unlock()
	leave = func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.remove(conn)
		if g.held[d] == h {
			delete(g.held, d)
		}
	}
	if err := g.pins.Load().allow(d, conn.TLS()); err != nil { // they changed before the connection was to be found
		leave()
		g.refuse(conn, forCertificate, err)
		return nil, false
	}
	return leave, true
}

// claim makes h the switch, unless another is and lives.
func (g *Gate) claim(ctx context.Context, d openflow.DPID, h *holder) error {
	for range 2 {
		g.mu.Lock()
		old := g.held[d]
		if old == nil {
			g.held[d] = h
			g.mu.Unlock()
			return nil
		}
		g.mu.Unlock()
		if err := old.lives(ctx); err != nil {
			return err
		}
		_ = old.conn.Close()
		g.mu.Lock()
		if g.held[d] == old {
			delete(g.held, d)
		}
		g.mu.Unlock()
	}
	return errors.New("others claim the same datapath id")
}

// room says whether there is room for a switch: always for one that a node names, and for a stranger as
// long as they are few, or another address has more of them.
func (g *Gate) room(p *pins, d openflow.DPID, conn *ofconn.Conn) error {
	if p.nodes[d] != nil {
		return nil
	}
	var strangers []*holder
	for other, h := range g.all() {
		if p.nodes[other] == nil && other != d {
			strangers = append(strangers, h)
		}
	}
	if len(strangers) < g.most {
		return nil
	}
	slices.SortFunc(strangers, func(a, b *holder) int { return a.since.Compare(b.since) })
	sources := make([]string, len(strangers))
	for i, h := range strangers {
		sources[i] = fairlisten.Source(h.conn.RemoteAddr())
	}
	i := fairest(sources, fairlisten.Source(conn.RemoteAddr()))
	if i < 0 {
		return fmt.Errorf("%d switches that no node names are connected, which is the limit", len(strangers))
	}
	g.refuse(strangers[i].conn, forStranger, errors.New("its address has the most switches that no node names, and another's has come"))
	return nil
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

// refuse ends a connection, counts it and, unless there are too many, says why.
func (g *Gate) refuse(conn *ofconn.Conn, reason string, err error) {
	g.refused.WithLabelValues(reason).Inc()
	if skipped, ok := g.lines.Pass(time.Now()); ok {
		g.log.Warn("a switch is refused", "dpid", conn.Features().DPID, "from", conn.RemoteAddr(), "reason", err, "not_logged_before", skipped)
	}
	conn.Abort(fmt.Errorf("refused: %w", err))
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
