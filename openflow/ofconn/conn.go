package ofconn

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"math"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/flowtap/flowtap/openflow"
)

// Conn is one live connection. Make it with Handshake or Serve and end it with Close.
type Conn struct {
	nc  net.Conn
	c   Config
	log atomic.Pointer[slog.Logger] // changes once, when the datapath id is known

	// Set by Handshake before anyone else sees the Conn, and constant from then on.
	features *openflow.FeaturesReply
	desc     openflow.Desc
	ports    []openflow.Port
	tls      *tls.ConnectionState // nil without TLS

	shaken atomic.Bool // the handshake is done

	unaskedRate rate
	x           xids
	count       counters

	// queue holds encoded messages for the writer. Senders wait when it is full. Never closed.
	queue chan outgoing
	// urgent holds answers of the reader's own (echo, errors), which overtake the queue. When it
	// is full they are dropped: then nothing is being written anyway. Never closed.
	urgent chan outgoing
	// hello gets the outcome of version negotiation once, from the reader.
	hello chan error
	// events is closed by the reader, as the last thing it does; see Events.
	events chan openflow.Message
	more   overflow

	// closing is closed (by shut) when no more is to be written than is queued; done (by fail)
	// when the socket is closed. Both reasons are set before.
	shutOnce, failOnce sync.Once
	closing, done      chan struct{}
	shutReason, reason error

	bundles atomic.Uint32 // last bundle id; the first is random: another's may be open on the same connection

	relay atomic.Pointer[relay] // nil: none

	// refused holds the errors that answered messages of Send since the last Barrier.
	refused refusals
	// discards are bundles that could not be discarded when given up; the next Commit does it.
	discards discards

	reader, writer sync.WaitGroup
}

func newConn(nc net.Conn, c Config) *Conn {
	conn := &Conn{
		nc: nc, c: c,
		queue:   make(chan outgoing, c.WriteQueue),
		urgent:  make(chan outgoing, 16),
		hello:   make(chan error, 1),
		events:  make(chan openflow.Message, c.EventQueue),
		closing: make(chan struct{}),
		done:    make(chan struct{}),
	}
	conn.x.least, conn.x.most = 1, relayed-1
	if c.Relayed {
		conn.x.least, conn.x.most = relayed, math.MaxUint32
	}
	conn.bundles.Store(rand.Uint32()) // #nosec G404 -- a first number, no secret
	conn.log.Store(c.Logger.With("switch", addrString(nc)))
	return conn
}

func (c *Conn) logger() *slog.Logger { return c.log.Load() }

// addrString survives net.Conn implementations without addresses.
func addrString(nc net.Conn) string {
	if a := nc.RemoteAddr(); a != nil {
		return a.String()
	}
	return "unknown"
}

func (c *Conn) start() {
	c.reader.Add(1)
	c.writer.Add(1)
	go c.read()
	go c.write()
}

// Features is what the switch said about itself; do not change it.
func (c *Conn) Features() *openflow.FeaturesReply { return c.features }

// Desc is the switch's description of itself; fields are empty when the switch refuses to tell.
func (c *Conn) Desc() openflow.Desc { return c.desc }

// Ports are the ports that the switch had during the handshake, as a copy. Later changes come as
// *openflow.PortStatus in Events; a change that happened while the ports were being read may come
// there as well, so apply them to this list in order.
func (c *Conn) Ports() []openflow.Port { return slices.Clone(c.ports) }

// TLS is what was agreed in the handshake of TLS, with the switch's certificate where it was asked for
// one; nil on a plain connection. Do not change it.
func (c *Conn) TLS() *tls.ConnectionState { return c.tls }

// RemoteAddr is the switch's end of the connection.
func (c *Conn) RemoteAddr() net.Addr { return c.nc.RemoteAddr() }

// Done is closed when the connection has ended; Err then says why.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Err is nil while the connection lives and the reason for its end afterwards. It wraps
// ErrClosed, ErrDead, ErrVersion or ErrProtocol where one of them fits, or a socket's error.
func (c *Conn) Err() error {
	select {
	case <-c.done:
		return c.reason
	default:
		return nil
	}
}

// Close ends the connection: what Send and Request have queued is written (for as long as the
// switch takes bytes, see Config.WriteTimeout), the socket is closed, and both goroutines have
// ended when it returns. It returns nil, also on a connection that has ended before.
func (c *Conn) Close() error {
	c.shut(ErrClosed)
	c.writer.Wait()
	c.reader.Wait()
	return nil
}

// Abort ends the connection at once, for the given reason, and waits for nothing.
func (c *Conn) Abort(reason error) { c.fail(reason) }

// shut ends the connection for the given reason after everything queued was written.
func (c *Conn) shut(reason error) {
	c.shutOnce.Do(func() {
		c.shutReason = reason
		close(c.closing)
	})
}

// fail ends the connection at once. The first reason stays.
func (c *Conn) fail(reason error) {
	c.failOnce.Do(func() {
		c.reason = reason
		close(c.done)
		nc := c.nc
		if t, ok := nc.(*tls.Conn); ok && !errors.Is(reason, ErrClosed) {
			nc = t.NetConn() // its Close would say goodbye, and wait for somebody who may not listen
		}
		_ = nc.Close() // nothing to be done about it
	})
}
