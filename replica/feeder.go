package replica

import (
	"context"
	"net"
	"sync"
)

// A feeder is the listener of a term.
type feeder struct {
	conns chan net.Conn // unbuffered, never closed
	once  sync.Once
	done  chan struct{} // closed by Close
}

func newFeeder() *feeder { return &feeder{conns: make(chan net.Conn), done: make(chan struct{})} }

// offer hands a connection to Accept and returns when it has been closed.
func (f *feeder) offer(ctx context.Context, nc net.Conn, from string) error {
	x := &fed{Conn: nc, from: from, closed: make(chan struct{})}
	defer x.Close()
	select {
	case f.conns <- x:
	case <-f.done:
		return net.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-x.closed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Accept implements net.Listener.
func (f *feeder) Accept() (net.Conn, error) {
	select {
	case nc := <-f.conns:
		return nc, nil
	case <-f.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (f *feeder) Close() error {
	f.once.Do(func() { close(f.done) })
	return nil
}

// Addr implements net.Listener.
func (f *feeder) Addr() net.Addr { return textAddr("relays") }

// textAddr is an address that is known as a text.
type textAddr string

func (a textAddr) Network() string { return "tcp" }
func (a textAddr) String() string  { return string(a) }

// fed is a connection to a switch, which says where the switch is and when it is closed.
type fed struct {
	net.Conn
	from   string
	once   sync.Once
	closed chan struct{}
}

func (x *fed) RemoteAddr() net.Addr { return textAddr(x.from) }

func (x *fed) Close() error {
	x.once.Do(func() { close(x.closed) })
	return x.Conn.Close()
}
