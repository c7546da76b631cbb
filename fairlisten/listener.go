package fairlisten

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Limits of a listener. A zero field means its default.
type Limits struct {
	// New bounds the connections that were accepted and are not settled. Default 128.
	New int
	// NewPerSource bounds those of one address; more of it wait. Default half of New.
	NewPerSource int
	// Waiting bounds those that wait. Beyond it the latest of the address that has most is closed.
	// Default 1024.
	Waiting int
	// Settled bounds those that are settled; Settle refuses more, unless it can close the oldest of an
	// address that has more of them than the newcomer's. Default 4096.
	Settled int
	// Hold is how long a connection may be new while others wait for its place. Default 1 s.
	Hold time.Duration
}

func (l Limits) withDefaults() Limits {
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	def(&l.New, 128)
	def(&l.NewPerSource, max(1, l.New/2))
	def(&l.Waiting, 1024)
	def(&l.Settled, 4096)
	if l.Hold == 0 {
		l.Hold = time.Second
	}
	return l
}

// ErrEvicted is what reading gives on a connection that had to make room for others.
var ErrEvicted = errors.New("connection closed to make room for those of others")

// Counts is what a listener did, since it was made, and has.
type Counts struct {
	Waiting, New, Settled   int
	Accepted, Evicted, Full uint64 // Full: closed while they waited, or refused by Settle
}

// A Listener is fair about the connections of another listener. Close it when done.
type Listener struct {
	inner  net.Listener
	limits Limits

	mu      sync.Mutex // guards what follows
	cond    sync.Cond  // there is something to accept, or err
	waiting pool
	fresh   pool // new
	settled pool
	err     error // of the inner listener
	counts  Counts
	timer   *time.Timer // looks again when the oldest new connection has been that for too long
	closed  bool
	run     sync.WaitGroup
}

// New takes inner over: it accepts from it until it fails or Close is called.
func New(inner net.Listener, limits Limits) *Listener {
	l := &Listener{inner: inner, limits: limits.withDefaults()}
	l.cond.L = &l.mu
	l.run.Go(l.collect)
	return l
}

// collect takes connections from the kernel as they come.
func (l *Listener) collect() {
	for {
		nc, err := l.inner.Accept()
		l.mu.Lock()
		if err != nil {
			l.err = err
			l.cond.Broadcast()
			for l.err != nil && !l.closed { // its user decides whether to go on
				l.cond.Wait()
			}
			closed := l.closed
			l.mu.Unlock()
			if closed {
				return
			}
			continue
		}
		if l.closed {
			l.mu.Unlock()
			_ = nc.Close()
			return
		}
		c := &Conn{Conn: nc, l: l, source: Source(nc.RemoteAddr())}
		l.waiting.add(c)
		var full *Conn
		if len(l.waiting.all) > l.limits.Waiting {
			full = l.waiting.newestOf(l.waiting.heaviest())
			l.waiting.remove(full)
			l.counts.Full++
		}
		l.cond.Broadcast()
		l.mu.Unlock()
		if full != nil {
			_ = full.Conn.Close()
		}
	}
}

// Accept implements net.Listener. After an error of the listener below, which may be a passing one, the
// next call tries again.
func (l *Listener) Accept() (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		if l.closed {
			return nil, net.ErrClosed
		}
		if c := l.lockedNext(); c != nil {
			l.waiting.remove(c)
			c.since = time.Now()
			c.state = &l.fresh
			l.fresh.add(c)
			l.counts.Accepted++
			return c, nil
		}
		if err := l.err; err != nil {
			l.err = nil
			l.cond.Broadcast()
			return nil, err
		}
		l.cond.Wait()
	}
}

// lockedNext gives the connection that is to be accepted next, having made room for it; nil when there
// is none.
func (l *Listener) lockedNext() *Conn {
	c := l.waiting.lightest(&l.fresh, l.limits.NewPerSource)
	if c == nil || len(l.fresh.all) < l.limits.New {
		return c
	}
	heaviest := l.fresh.heaviest()
	victim := l.fresh.oldestOf(heaviest)
	if l.fresh.count[heaviest] <= l.fresh.count[c.source]+1 {
		victim = l.fresh.oldest()
		if held := time.Since(victim.since); held < l.limits.Hold {
			l.lockedWake(l.limits.Hold - held)
			return nil
		}
	}
	victim.lockedEvict()
	return c
}

// lockedWake has Accept look again after a while.
func (l *Listener) lockedWake(after time.Duration) {
	if l.timer != nil {
		l.timer.Stop()
	}
	l.timer = time.AfterFunc(after, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.cond.Broadcast()
	})
}

// Close implements net.Listener. Connections that were accepted live on; those that wait are closed.
func (l *Listener) Close() error {
	err := l.inner.Close()
	l.mu.Lock()
	first := !l.closed
	l.closed = true
	if l.timer != nil {
		l.timer.Stop()
	}
	left := l.waiting.all
	l.waiting = pool{}
	l.cond.Broadcast()
	l.mu.Unlock()
	if !first {
		return nil
	}
	for _, c := range left {
		_ = c.Conn.Close()
	}
	l.run.Wait()
	return err
}

// Addr implements net.Listener.
func (l *Listener) Addr() net.Addr { return l.inner.Addr() }

// Counts gives them as they are now.
func (l *Listener) Counts() Counts {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.counts
	c.Waiting, c.New, c.Settled = len(l.waiting.all), len(l.fresh.all), len(l.settled.all)
	return c
}

// Source is what fairness counts by: an IPv4 address, or the first 64 bits of an IPv6 address; what
// has neither is one source.
func Source(a net.Addr) string {
	if a == nil {
		return ""
	}
	at, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return ""
	}
	ip := at.Addr().Unmap().WithZone("")
	if ip.Is6() {
		p, _ := ip.Prefix(64) // fails for lengths that are none
		return p.String()
	}
	return ip.String()
}
