package load

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/flowtap/flowtap/flowtap/placement"
	"github.com/flowtap/flowtap/store"
	"github.com/flowtap/flowtap/topology"
)

const (
	// Tau is the time constant of smoothing.
	Tau = 5 * time.Second
	// Every is the least time between two statuses of one object that differ in load alone.
	Every = 3 * time.Second
	// idle is bytes a second below which what a port carries is no news.
	idle = 1000
)

// ErrUnknown says that there is no such node or port.
var ErrUnknown = errors.New("there is no such object")

// A Count is what an interface has counted, as its switch says: Received is what the switch received by it.
type Count struct {
	Received, Sent uint64
}

// Board has the latest figures. Its methods may be called from any goroutine.
type Board struct {
	store *store.Store
	log   *slog.Logger
	clock func() time.Time

	mu    sync.Mutex // guards the fields below
	nodes map[string]*node
	ports map[string]*port
	names map[string]string // ports by interface
}

type node struct {
	tunnel      string // the interface
	cpu, memory placement.Figure
	link        float64
	counter     counter
	due         due
}

type port struct {
	name    string // its interface
	node    string // where it is, and is counted
	monitor bool
	counter counter
	said    topology.Heartbeat
	cpu     placement.Figure
	heard   counter // of bytes that the monitor says it received
	learned placement.Learned
	due     due
}

// due is when an object's status was written, and whether there is news.
type due struct {
	news    bool
	written time.Time
}

// A counter makes rates of totals.
type counter struct {
	at             time.Time
	last           Count
	received, sent placement.Figure
}

// New makes a board; Run keeps it.
func New(s *store.Store, log *slog.Logger) *Board {
	return &Board{store: s, log: log, clock: time.Now, nodes: map[string]*node{}, ports: map[string]*port{}, names: map[string]string{}}
}

// add takes a total and reports whether the rates are worth telling. The first one, and one of a counter that began anew, says
// nothing yet.
func (c *counter) add(now Count, at time.Time) bool {
	last, since := c.last, c.at
	if !at.After(since) {
		return false
	}
	c.last, c.at = now, at
	if since.IsZero() || now.Received < last.Received || now.Sent < last.Sent {
		return false
	}
	dt := at.Sub(since).Seconds()
	c.received = c.received.Add(float64(now.Received-last.Received)/dt, at, Tau)
	c.sent = c.sent.Add(float64(now.Sent-last.Sent)/dt, at, Tau)
	return true
}

// Node takes what a node's agent reports.
func (b *Board) Node(_ context.Context, id string, r topology.NodeReport) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, now := b.nodes[id], b.clock()
	if n == nil {
		return ErrUnknown
	}
	n.cpu, n.memory, n.link = n.cpu.Add(r.CPU, now, Tau), n.memory.Add(r.Memory, now, Tau), r.Link
	n.due.news = true
	return nil
}

// Heartbeat takes what a monitor says of itself.
func (b *Board) Heartbeat(_ context.Context, id string, h topology.Heartbeat) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	p, now := b.ports[id], b.clock()
	if p == nil || !p.monitor {
		return ErrUnknown
	}
	if h.ReceivedBytes < p.heard.last.Received { // another program, of which the figures say nothing
		p.heard, p.cpu = counter{}, placement.Figure{}
	}
	first := !p.heard.received.Known()
	if p.heard.add(Count{Received: h.ReceivedBytes}, now) && first {
		p.cpu = placement.Figure{} // from here on it is of the same time
	}
	p.cpu, p.said = p.cpu.Add(h.CPU, now, Tau), h
	if p.heard.received.Known() {
		p.learned = p.learned.Add(p.cpu.Value, p.heard.received.Value)
	}
	p.due.news = true
	return nil
}

// Counted takes what a node's switch says that its interfaces counted, by their names. Of a port that is on another node its
// counters say nothing.
func (b *Board) Counted(id string, at time.Time, counts map[string]Count) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.nodes[id]
	if n == nil {
		return
	}
	for name, c := range counts {
		if name == n.tunnel {
			n.due.news = n.counter.add(c, at) || n.due.news
		} else if p := b.ports[b.names[name]]; p != nil && p.node == id {
			was := p.counter
			if p.counter.add(c, at) && (differs(was.received, p.counter.received) || differs(was.sent, p.counter.sent)) {
				p.due.news = true
			}
		}
	}
}

// differs reports whether a rate is worth telling after another.
func differs(was, now placement.Figure) bool {
	far := now.Value - was.Value
	return max(far, -far) > 1 && max(was.Value, now.Value) > idle
}

// into writes what there is to say of a node. What was said before, to another board, stays until there is something newer.
func (n *node) into(was *topology.NodeLoad) *topology.NodeLoad {
	l := topology.NodeLoad{}
	if was != nil {
		l = *was
	}
	if n.cpu.Known() {
		l.At, l.CPU, l.Memory, l.Link = n.cpu.At.UTC(), round(n.cpu.Value), round(n.memory.Value), n.link
	}
	if c := n.counter; c.sent.Known() {
		l.LinkAt, l.Sent, l.Received = c.sent.At.UTC(), math.Round(c.sent.Value), math.Round(c.received.Value)
	}
	return &l
}

// into writes what there is to say of a port: what it sends is what its switch receives.
func (p *port) into(st *topology.PortStatus) {
	if c := p.counter; c.sent.Known() {
		st.Load = &topology.PortLoad{At: c.sent.At.UTC(), Sent: math.Round(c.received.Value), Received: math.Round(c.sent.Value)}
	}
	if p.heard.received.Known() || p.cpu.Known() && st.Monitor == nil {
		st.Monitor = &topology.MonitorLoad{At: p.cpu.At.UTC(), CPU: round(p.cpu.Value), Memory: p.said.Memory, Share: p.said.Share, Capacity: p.said.Capacity,
			Received: math.Round(p.heard.received.Value), Idle: round(p.learned.Idle), Bears: math.Round(p.learned.Bears),
			ReceivedTotal: p.said.ReceivedFrames, DroppedTotal: p.said.DroppedFrames}
	}
}

// round keeps four digits behind the point.
func round(v float64) float64 { return math.Round(v*1e4) / 1e4 }
