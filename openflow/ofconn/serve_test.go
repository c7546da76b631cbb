package ofconn

import (
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/openflow"
)

// flaky fails its first accepts.
type flaky struct {
	net.Listener
	mu   sync.Mutex
	errs []error
}

func (l *flaky) Accept() (net.Conn, error) {
	l.mu.Lock()
	if len(l.errs) > 0 {
		defer l.mu.Unlock()
		err := l.errs[0]
		l.errs = l.errs[1:]
		return nil, err
	}
	l.mu.Unlock()
	return l.Listener.Accept()
}

func startServe(t *testing.T, config Config, errs []error, handler func(context.Context, *Conn)) (addr string, stop func(), served <-chan error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	done := later(func() error { return Serve(ctx, &flaky{Listener: ln, errs: errs}, config, handler) })
	return ln.Addr().String(), cancel, done
}

func dial(t *testing.T, addr string) *peer {
	nc, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { nc.Close() })
	return &peer{t, nc}
}

func TestServe(t *testing.T) {
	started, release := make(chan *Conn, 10), make(chan bool)
	addr, stop, served := startServe(t, Config{}, []error{syscall.EMFILE, syscall.ECONNABORTED}, func(ctx context.Context, c *Conn) {
		started <- c
		<-ctx.Done()
		<-release
	})
	a, b := dial(t, addr), dial(t, addr)
	b.handshake()
	got(t, started)
	a.handshake()
	got(t, started)
	b.nc.Close() // ends b's handler's context only
	release <- true
	stop()
	select {
	case <-served:
		t.Fatal("Serve did not wait for its handler")
	case <-time.After(50 * time.Millisecond):
	}
	release <- true
	require.NoError(t, got(t, served))
	a.expectEnd()
	_, err := net.Dial("tcp", addr)
	require.Error(t, err)
}

func TestServeSurvivesAPanic(t *testing.T) {
	addr, stop, served := startServe(t, Config{}, nil, func(_ context.Context, c *Conn) { panic("in the handler") })
	for range 2 {
		p := dial(t, addr)
		p.handshake()
		p.expectEnd()
	}
	stop()
	require.NoError(t, got(t, served))
}

func TestServeBoundsHandshakes(t *testing.T) {
	started := make(chan *Conn, 10)
	addr, stop, served := startServe(t, Config{MaxHandshakes: 2, HandshakeTimeout: 500 * time.Millisecond}, nil,
		func(ctx context.Context, c *Conn) { started <- c; <-ctx.Done() })
	dial(t, addr) // two that never say hello
	dial(t, addr)
	third := dial(t, addr)
	third.handshake() // waits until they are given up
	require.Equal(t, openflow.DPID(0xabc), got(t, started).Features().DPID)
	stop()
	require.NoError(t, got(t, served))
}

func TestServeReportsABrokenListener(t *testing.T) {
	broken := errors.New("broken")
	_, _, served := startServe(t, Config{}, []error{broken}, nil)
	require.ErrorIs(t, got(t, served), broken)
	_, _, served = startServe(t, Config{WriteQueue: -1}, nil, nil)
	require.ErrorContains(t, got(t, served), "WriteQueue")
}
