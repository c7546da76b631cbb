package fairlisten

import (
	"errors"
	"net"
	"time"
)

// A Conn is a connection that counts against its listener's limits until it is closed.
type Conn struct {
	net.Conn
	l      *Listener
	source string

	// The listener's mutex guards what follows.
	state   *pool // nil once it is in none
	since   time.Time
	evicted bool
}

// Settle says that the other side of nc, which may be wrapped, has shown that it means well. It
// reports whether there is room for it: the owner closes it otherwise. A connection of another
// listener, or one that is settled, is told so again without harm.
func Settle(nc net.Conn) bool {
	for {
		switch c := nc.(type) {
		case *Conn:
			return c.settle()
		case interface{ NetConn() net.Conn }:
			nc = c.NetConn()
		default:
			return true
		}
	}
}

func (c *Conn) settle() bool {
	l := c.l
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.state != &l.fresh {
		return c.state == &l.settled
	}
	if len(l.settled.all) >= l.limits.Settled {
		heaviest := l.settled.heaviest()
		if l.settled.count[heaviest] <= l.settled.count[c.source]+1 {
			l.counts.Full++
			return false
		}
		l.settled.oldestOf(heaviest).lockedEvict()
	}
	l.fresh.remove(c)
	l.settled.add(c)
	c.state = &l.settled
	l.cond.Broadcast()
	return true
}

// lockedEvict makes room of an accepted connection. Its owner notices when it reads.
func (c *Conn) lockedEvict() {
	c.state.remove(c)
	c.state, c.evicted = nil, true
	c.l.counts.Evicted++
	_ = c.Conn.Close()
}

// Read implements net.Conn.
func (c *Conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil && errors.Is(err, net.ErrClosed) {
		c.l.mu.Lock()
		evicted := c.evicted
		c.l.mu.Unlock()
		if evicted {
			err = ErrEvicted
		}
	}
	return n, err
}

// CloseWrite ends what we send, where the connection below can do that (TCP).
func (c *Conn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return errors.ErrUnsupported
}

// Close implements net.Conn, and makes room.
func (c *Conn) Close() error {
	c.l.mu.Lock()
	if c.state != nil {
		c.state.remove(c)
		c.state = nil
		c.l.cond.Broadcast()
	}
	c.l.mu.Unlock()
	return c.Conn.Close()
}
