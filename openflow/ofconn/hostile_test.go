package ofconn

import (
	"context"
	"encoding/binary"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/openflow"
)

// dialFrom connects from one of loopback's many addresses.
func dialFrom(t *testing.T, ip, addr string) *peer {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
	nc, err := d.Dial("tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { nc.Close() })
	return &peer{t, nc}
}

// 200 connections of one address that say nothing, or one byte and then nothing, hold all places that it
// may have for as long as the test lasts. A switch of another address is served.
func TestSilentConnectionsKeepNobodyOut(t *testing.T) {
	started := make(chan *Conn, 10)
	addr, stop, served := startServe(t, Config{HandshakeTimeout: time.Hour}, nil,
		func(ctx context.Context, c *Conn) { started <- c; <-ctx.Done() })
	for i := range 200 {
		p := dialFrom(t, "127.0.0.7", addr)
		if i%2 == 0 {
			p.raw([]byte{openflow.Version})
		}
	}
	p := dialFrom(t, "127.0.0.8", addr)
	p.handshake()
	require.Equal(t, openflow.DPID(0xabc), got(t, started).Features().DPID)
	stop()
	require.NoError(t, got(t, served))
}

// Beyond the limit on connections nobody is served, and what was served stays.
func TestServeBoundsConnections(t *testing.T) {
	started := make(chan *Conn, 10)
	addr, stop, served := startServe(t, Config{MaxConns: 1}, nil, func(ctx context.Context, c *Conn) { started <- c; <-ctx.Done() })
	a := dial(t, addr)
	a.handshake()
	first := got(t, started)
	b := dial(t, addr)
	b.handshake()
	b.expectEnd()
	require.NoError(t, first.Err())
	stop()
	require.NoError(t, got(t, served))
}

// Who announces a long message and does not send it costs no more than one who is silent.
func TestBuffersGrowWithWhatCame(t *testing.T) {
	ours, theirs := sockets(t)
	var total counter
	f := newFrames(ours, openflow.MaxMessageLen, &total)
	header := make([]byte, openflow.HeaderLen)
	header[0] = openflow.Version
	binary.BigEndian.PutUint16(header[2:], 60_000)
	_, err := theirs.Write(header)
	require.NoError(t, err)
	_, err = f.next(time.Now().Add(20 * time.Millisecond))
	require.Error(t, err)
	require.Len(t, f.buf, firstBuffer)
	whole := later(func() error { _, err := theirs.Write(make([]byte, 60_000-openflow.HeaderLen)); return err })
	frame, err := f.next(time.Now().Add(patience))
	require.NoError(t, err)
	require.NoError(t, got(t, whole))
	require.Len(t, frame, 60_000)
}

// A switch that claims millions of ports is cut off during its handshake.
func TestHandshakeIsBounded(t *testing.T) {
	p, done := shake(t, Config{MaxHandshakeBytes: 1 << 16})
	p.send(1, &openflow.Hello{Versions: []uint8{4}})
	expect[*openflow.Hello](p)
	xid, _ := expect[*openflow.FeaturesRequest](p)
	p.send(xid, &openflow.FeaturesReply{DPID: 0xabc})
	expect[*openflow.SetConfig](p)
	xid, _ = expect[*openflow.MultipartRequest](p)
	p.send(xid, &openflow.MultipartReply{Body: openflow.Desc{}})
	xid, _ = expect[*openflow.MultipartRequest](p)
	part := make(openflow.PortDescReply, 500)
	for i := range part {
		part[i].No = openflow.PortNo(i + 1)
	}
	b := encode(t, xid, &openflow.MultipartReply{Body: part, More: true})
	for range 100 {
		if _, err := p.nc.Write(b); err != nil {
			break
		}
	}
	s := got(t, done)
	require.ErrorIs(t, s.err, ErrProtocol)
	require.ErrorContains(t, s.err, "65536 bytes in the handshake")
}

// A flood of packet-ins is dropped beyond the rate without a look inside. Answers that come in the midst of
// it are not, and neither is a port-status.
func TestAFloodIsDroppedAndAnswersAreNot(t *testing.T) {
	c, p := connect(t, Config{MessageRate: 10, EventQueue: 1 << 16})
	answer := later(func() error { return c.Barrier(context.Background()) })
	xid, _ := expect[*openflow.BarrierRequest](p)
	in := encode(t, 0, &openflow.PacketIn{BufferID: openflow.NoBuffer, Data: []byte{1}})
	var flood []byte
	for range 5000 {
		flood = append(flood, in...)
	}
	p.raw(flood)
	p.send(xid, &openflow.BarrierReply{})
	require.NoError(t, got(t, answer))
	eventually(t, "all were read", func() bool { return c.Stats().Flooded+uint64(len(c.Events())) == 5000 })
	require.Less(t, len(c.Events()), 1000, "100 at once, and 10 a second")
	p.send(0, &openflow.PortStatus{Reason: openflow.PortAdd, Port: openflow.Port{No: 77}})
	for {
		if m, ok := got(t, c.Events()).(*openflow.PortStatus); ok {
			require.Equal(t, openflow.PortNo(77), m.Port.No)
			return
		}
	}
}

// Time is passed in: what a switch saves up is bounded, and a clock that goes back costs nothing.
func TestRate(t *testing.T) {
	var r rate
	now := time.Unix(1e9, 0)
	taken := func() (n int) {
		for {
			ok, wait := r.take(now, 100)
			if !ok {
				require.Positive(t, wait)
				require.LessOrEqual(t, wait, 10*time.Millisecond)
				return n
			}
			n++
		}
	}
	require.Equal(t, 1000, taken())
	now = now.Add(time.Second)
	require.InDelta(t, 100, taken(), 1)
	now = now.Add(time.Hour)
	require.Equal(t, 1000, taken())
	now = now.Add(-time.Hour)
	require.Zero(t, taken())
}
