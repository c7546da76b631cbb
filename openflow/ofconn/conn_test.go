package ofconn

import (
	"bytes"
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/openflow"
)

func TestMessagesInPiecesAndTogether(t *testing.T) {
	c, p := connect(t, Config{})
	var all []byte
	for i := range 50 {
		all = append(all, encode(t, 0, &openflow.PacketIn{Cookie: uint64(i), Data: bytes.Repeat([]byte{1}, 40*i)})...)
	}
	for _, piece := range [][]byte{all[:1], all[1:7], all[7:9], all[9:20000], all[20000 : len(all)-1], all[len(all)-1:]} {
		p.raw(piece)
	}
	for i := range 50 {
		in := got(t, c.Events()).(*openflow.PacketIn)
		require.Equal(t, uint64(i), in.Cookie)
		require.Len(t, in.Data, 40*i)
	}
}

func TestFramesOneByteAtATime(t *testing.T) {
	want := [][]byte{
		encode(t, 1, &openflow.EchoRequest{Data: bytes.Repeat([]byte{7}, 60000)}),
		encode(t, 2, &openflow.BarrierRequest{}),
		encode(t, 3, &openflow.EchoRequest{Data: bytes.Repeat([]byte{8}, 9000)}),
	}
	ours, theirs := sockets(t)
	go func() {
		for _, b := range bytes.Join(want, nil) {
			theirs.Write([]byte{b})
		}
		theirs.Close()
	}()
	var total counter
	f := newFrames(ours, openflow.MaxMessageLen, &total)
	for _, w := range want {
		b, err := f.next(time.Now().Add(patience))
		require.NoError(t, err)
		require.Equal(t, w, b)
	}
	_, err := f.next(time.Now().Add(patience))
	require.Equal(t, io.EOF, err)
}

func TestEchoIsAnswered(t *testing.T) {
	_, p := connect(t, Config{})
	p.send(99, &openflow.EchoRequest{Data: []byte("abc")})
	xid, reply := expect[*openflow.EchoReply](p)
	require.Equal(t, uint32(99), xid)
	require.Equal(t, []byte("abc"), reply.Data)
}

func TestIdleSwitchIsAskedAndSilentSwitchIsDead(t *testing.T) {
	c, p := connect(t, Config{EchoInterval: 50 * time.Millisecond, EchoTimeout: 100 * time.Millisecond})
	for range 3 { // an answer keeps it alive
		xid, _ := expect[*openflow.EchoRequest](p)
		p.send(xid, &openflow.EchoReply{})
	}
	require.NoError(t, c.Err())
	expect[*openflow.EchoRequest](p)
	err := ended(t, c)
	require.ErrorIs(t, err, ErrDead)
	require.ErrorContains(t, err, "silent for 150ms")
	p.expectEnd()
}

func TestTrickledBytesAreNoSignOfLife(t *testing.T) {
	c, p := connect(t, Config{EchoInterval: 50 * time.Millisecond, EchoTimeout: 50 * time.Millisecond})
	go func() {
		for _, b := range encode(t, 1, &openflow.EchoRequest{Data: make([]byte, 10000)}) {
			if _, err := p.nc.Write([]byte{b}); err != nil {
				return
			}
			select {
			case <-time.After(5 * time.Millisecond):
			case <-c.Done():
				return
			}
		}
	}()
	require.ErrorIs(t, ended(t, c), ErrDead)
}

func TestKeepalive(t *testing.T) {
	k := keepalive{interval: 5 * time.Second, timeout: 2 * time.Second}
	now := time.Now()
	k.heard(now)
	require.Equal(t, now.Add(5*time.Second), k.deadline())
	ask, dead := k.expired(now.Add(5 * time.Second))
	require.True(t, ask && !dead)
	ask, dead = k.expired(now.Add(20 * time.Second))
	require.False(t, ask || dead, "this process slept: the answer may have come meanwhile")
	_, dead = k.expired(now.Add(22 * time.Second))
	require.True(t, dead)
}

func TestSwitchThatNeverReadsLosesItsConnectionOnly(t *testing.T) {
	config := Config{WriteTimeout: 200 * time.Millisecond, WriteQueue: 4}
	stuck, _ := connect(t, config)
	healthy, p := connect(t, config)
	big := &openflow.PacketOut{Data: make([]byte, 60000)}
	var err error
	for err == nil {
		err = stuck.Send(testContext(t), big)
	}
	require.ErrorIs(t, ended(t, stuck), ErrDead)
	require.ErrorContains(t, stuck.Err(), "accepts no bytes")
	require.NoError(t, stuck.Close())
	done := later(func() error { return healthy.Barrier(testContext(t)) })
	xid, _ := expect[*openflow.BarrierRequest](p)
	p.send(xid, &openflow.BarrierReply{})
	require.NoError(t, got(t, done))
}

func TestSendGivesUpWithItsContextWhenTheQueueIsFull(t *testing.T) {
	c, _ := connect(t, Config{WriteQueue: 1, WriteTimeout: time.Minute})
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	var err error
	for err == nil {
		err = c.Send(ctx, &openflow.PacketOut{Data: make([]byte, 60000)})
	}
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "queue full")
	require.NoError(t, c.Err(), "the connection does not pay")
	c.fail(ErrClosed) // else the writer waits for its minute
}

func TestSendKeepsOrderAndRefusesWhatCannotBeSaid(t *testing.T) {
	c, p := connect(t, Config{})
	require.NoError(t, c.Send(testContext(t)))
	require.NoError(t, c.Send(testContext(t), messages(0, 3000)...))
	var last uint32
	for i := range 3000 {
		xid, m := expect[*openflow.FlowMod](p)
		require.Equal(t, uint64(i), m.Flow.Cookie)
		require.Greater(t, xid, last)
		last = xid
	}
	err := c.Send(testContext(t), flowMod(1), &openflow.PacketOut{Data: make([]byte, 70000)})
	require.ErrorContains(t, err, "message 1 (packet-out)")
}

func TestCloseFlushes(t *testing.T) {
	c, p := connect(t, Config{})
	for range 100 { // more than the sockets hold, so that some wait in the queue
		require.NoError(t, c.Send(testContext(t), &openflow.PacketOut{Data: make([]byte, 60000)}))
	}
	done := later(c.Close)
	for range 100 {
		expect[*openflow.PacketOut](p)
	}
	p.expectEnd()
	require.NoError(t, got(t, done))
	require.ErrorIs(t, c.Send(testContext(t), flowMod(1)), ErrClosed)
	require.ErrorIs(t, c.Barrier(testContext(t)), ErrClosed)
	require.NoError(t, c.Close())
}

func TestSwitchClosesItsEnd(t *testing.T) {
	c, p := connect(t, Config{})
	done := later(func() error { return c.Barrier(testContext(t)) })
	expect[*openflow.BarrierRequest](p)
	p.nc.Close()
	require.ErrorContains(t, got(t, done), "switch closed the connection")
	require.Error(t, ended(t, c))
}

func TestBrokenFramingEndsTheConnection(t *testing.T) {
	for _, tc := range []struct {
		name, want string
		bytes      []byte
	}{
		{"length 7", "length 7", []byte{4, 2, 0, 7, 0, 0, 0, 1}},
		{"version 1", "version 0x01", []byte{1, 2, 0, 8, 0, 0, 0, 1}},
		{"hello of another version", "after the hello", []byte{6, 0, 0, 8, 0, 0, 0, 1}},
		{"longer than MaxMessage", "2001 bytes, the most is 2000", []byte{4, 2, 7, 0xd1, 0, 0, 0, 1}},
		{"port-status without a port", "port-status", []byte{4, 12, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, p := connect(t, Config{MaxMessage: 2000})
			p.raw(tc.bytes)
			err := ended(t, c)
			require.ErrorIs(t, err, ErrProtocol)
			require.ErrorContains(t, err, tc.want)
			p.expectEnd()
		})
	}
}

func TestUndecodableBodyIsRefusedAndTheConnectionGoesOn(t *testing.T) {
	c, p := connect(t, Config{})
	bad := []byte{4, 10, 0, 12, 0, 0, 0, 5, 1, 2, 3, 4} // a packet-in of 4 bytes
	p.raw(bad)
	xid, refusal := expect[*openflow.Error](p)
	require.Equal(t, uint32(5), xid)
	require.Equal(t, &openflow.Error{ErrType: 1, Code: 6, Data: bad}, refusal)
	p.raw([]byte{4, 77, 0, 8, 0, 0, 0, 6}) // no such type
	_, refusal = expect[*openflow.Error](p)
	require.Equal(t, uint16(1), refusal.Code)
	p.raw([]byte{4, 1, 0, 9, 0, 0, 9, 9, 0}) // an undecodable error gets no error back

	done := later(func() error { return c.Barrier(testContext(t)) })
	xid, _ = expect[*openflow.BarrierRequest](p)
	p.raw([]byte{4, 21, 0, 9, byte(xid >> 24), byte(xid >> 16), byte(xid >> 8), byte(xid), 0})
	require.ErrorIs(t, got(t, done), openflow.ErrMalformed, "who waits for it is told")
	require.Equal(t, uint64(3), c.Stats().Malformed)
	require.Equal(t, uint64(1), c.Stats().Unexpected)
	require.NoError(t, c.Err())
}

// panicky is a connection whose nth read panics, as a fault in a decoder would.
type panicky struct {
	net.Conn
	boom chan struct{}
}

func (p panicky) Read(b []byte) (int, error) {
	n, err := p.Conn.Read(b)
	select {
	case <-p.boom:
		panic("kaboom")
	default:
		return n, err
	}
}

func TestPanicEndsOneConnection(t *testing.T) {
	ours, theirs := sockets(t)
	boom := make(chan struct{})
	done := later(func() *Conn { return must(Handshake(context.Background(), panicky{ours, boom}, Config{})) })
	p := &peer{t, theirs}
	p.handshake()
	c := got(t, done)
	close(boom)
	p.raw([]byte{0})
	err := ended(t, c)
	require.ErrorContains(t, err, "kaboom")
	require.ErrorContains(t, err, "conn_test.go", "has the stack")
	require.NoError(t, c.Close())
}
