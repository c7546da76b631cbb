package fairlisten

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// fake is a listener whose connections come from whatever address a test says.
type fake struct {
	in     chan any // net.Conn or error
	closed chan struct{}
	once   sync.Once
}

func (f *fake) Accept() (net.Conn, error) {
	select {
	case x := <-f.in:
		if err, ok := x.(error); ok {
			return nil, err
		}
		return x.(net.Conn), nil
	case <-f.closed:
		return nil, net.ErrClosed
	}
}
func (f *fake) Close() error   { f.once.Do(func() { close(f.closed) }); return nil }
func (f *fake) Addr() net.Addr { return nil }

type from struct {
	net.Conn
	addr net.Addr
}

func (c from) RemoteAddr() net.Addr { return c.addr }

// world is a listener that accepts all the time, in a bubble with its own clock.
type world struct {
	t        *testing.T
	fake     *fake
	l        *Listener
	mu       sync.Mutex
	accepted []*Conn
}

func bubble(t *testing.T, limits Limits, test func(*world)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, fake: &fake{in: make(chan any), closed: make(chan struct{})}}
		w.l = New(w.fake, limits)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				c, err := w.l.Accept()
				if errors.Is(err, net.ErrClosed) {
					return
				}
				if err != nil {
					continue
				}
				w.mu.Lock()
				w.accepted = append(w.accepted, c.(*Conn))
				w.mu.Unlock()
			}
		}()
		test(w)
		require.NoError(t, w.l.Close())
		<-done
		for _, c := range w.accepted {
			_ = c.Close()
		}
	})
}

// dial makes a connection and gives its other end.
func (w *world) dial(ip string) net.Conn {
	ours, theirs := net.Pipe()
	w.fake.in <- from{ours, net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(ip), 1))}
	synctest.Wait()
	return theirs
}

// has counts what was accepted of an address and lives.
func (w *world) has(ip string) (n int) {
	synctest.Wait()
	w.l.mu.Lock()
	defer w.l.mu.Unlock()
	return w.l.fresh.count[ip] + w.l.settled.count[ip]
}

func (w *world) last() *Conn {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.accepted[len(w.accepted)-1]
}

// However many connections of one address are open and silent, another address's is accepted at once.
func TestOneAddressDoesNotKeepOthersOut(t *testing.T) {
	bubble(t, Limits{New: 8}, func(w *world) {
		for range 200 {
			w.dial("10.0.0.1")
		}
		require.Equal(t, 4, w.has("10.0.0.1"), "half of what there is")
		w.dial("10.0.0.2")
		require.Equal(t, 1, w.has("10.0.0.2"))
		require.Equal(t, 196, w.l.Counts().Waiting)
	})
}

// Two addresses hold all places; a third makes the older of the heavier go, and only that.
func TestTheHeaviestMakesRoom(t *testing.T) {
	bubble(t, Limits{New: 8}, func(w *world) {
		for range 4 {
			w.dial("10.0.0.1")
			w.dial("10.0.0.2")
		}
		first := w.accepted[0]
		w.dial("10.0.0.3")
		require.Equal(t, []int{3, 4, 1}, []int{w.has("10.0.0.1"), w.has("10.0.0.2"), w.has("10.0.0.3")})
		_, err := first.Read(make([]byte, 1))
		require.Error(t, err)
		require.Equal(t, uint64(1), w.l.Counts().Evicted)
		w.dial("10.0.0.1") // which has had enough
		require.Equal(t, 3, w.has("10.0.0.1"))
	})
}

// When everybody has one, who came first has a second to show that it means well.
func TestWhoHoldsOnForTooLongMakesRoom(t *testing.T) {
	bubble(t, Limits{New: 2}, func(w *world) {
		w.dial("10.0.0.1")
		w.dial("10.0.0.2")
		w.dial("10.0.0.3")
		require.Zero(t, w.has("10.0.0.3"))
		time.Sleep(999 * time.Millisecond)
		require.Zero(t, w.has("10.0.0.3"))
		time.Sleep(time.Millisecond)
		require.Equal(t, []int{0, 1, 1}, []int{w.has("10.0.0.1"), w.has("10.0.0.2"), w.has("10.0.0.3")})
	})
}

// What is settled keeps its place, leaves room for new ones, and gives it back when it is closed.
func TestSettledConnectionsAreLeftAlone(t *testing.T) {
	bubble(t, Limits{New: 2, NewPerSource: 2, Settled: 3}, func(w *world) {
		for range 3 {
			w.dial("10.0.0.1")
			require.True(t, Settle(w.last()))
			require.True(t, Settle(w.last()), "again")
		}
		for range 20 {
			w.dial("10.0.0.9")
		}
		require.Equal(t, 3, w.has("10.0.0.1"))
		require.Equal(t, 2, w.has("10.0.0.9"))
		require.True(t, Settle(w.last()), "of two addresses, the one with more makes room")
		require.Equal(t, []int{2, 3}, []int{w.has("10.0.0.1"), w.has("10.0.0.9")})
		require.False(t, Settle(w.last()), "not where that would only turn things round")
		require.Equal(t, uint64(1), w.l.Counts().Full)
		_ = w.accepted[1].Close()
		require.True(t, Settle(w.last()))
		require.NoError(t, w.accepted[1].l.inner.Close(), "a second close of a connection or listener does no harm")
	})
}

func TestTheLatestOfTheHeaviestDoesNotWait(t *testing.T) {
	bubble(t, Limits{New: 1, Waiting: 4, Hold: time.Hour}, func(w *world) {
		w.dial("10.0.0.1")
		var waiting []net.Conn
		for range 5 {
			waiting = append(waiting, w.dial("10.0.0.1"))
		}
		_, err := waiting[4].Read(make([]byte, 1))
		require.Error(t, err)
		w.dial("10.0.0.2") // takes another's place among those that wait
		_, err = waiting[3].Read(make([]byte, 1))
		require.Error(t, err)
		require.Equal(t, 4, w.l.Counts().Waiting)
	})
}

// Errors of the listener below reach whoever accepts, one each time.
func TestErrorsPass(t *testing.T) {
	inner := &fake{in: make(chan any, 3), closed: make(chan struct{})}
	l := New(inner, Limits{})
	inner.in <- syscall.EMFILE
	inner.in <- syscall.ECONNABORTED
	_, err := l.Accept()
	require.ErrorIs(t, err, syscall.EMFILE)
	_, err = l.Accept()
	require.ErrorIs(t, err, syscall.ECONNABORTED)
	a, b := net.Pipe()
	defer b.Close()
	inner.in <- a
	c, err := l.Accept()
	require.NoError(t, err)
	require.NoError(t, c.Close())
	require.NoError(t, l.Close())
	_, err = l.Accept()
	require.ErrorIs(t, err, net.ErrClosed)
}

func TestSource(t *testing.T) {
	for addr, want := range map[string]string{
		"10.0.0.1:5": "10.0.0.1", "[::ffff:10.0.0.1]:5": "10.0.0.1", "[2001:db8:1:2:3::4]:5": "2001:db8:1:2::/64", "[fe80::1%eth0]:5": "fe80::/64",
	} {
		at, err := netip.ParseAddrPort(addr)
		require.NoError(t, err)
		require.Equal(t, want, Source(net.TCPAddrFromAddrPort(at)))
	}
	require.Empty(t, Source(nil))
	require.Empty(t, Source(&net.UnixAddr{Name: "/x"}))
}
