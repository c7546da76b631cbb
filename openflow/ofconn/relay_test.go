package ofconn

import (
	"context"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/openflow"
)

// relayTo starts a relay on c and gives its far end and, when it ends, why.
func relayTo(t testing.TB, c *Conn) (far net.Conn, ended <-chan error) {
	near, far := net.Pipe()
	t.Cleanup(func() { far.Close() })
	return far, later(func() error { return c.Relay(testContext(t), near) })
}

// begin answers the barrier with which a relay begins.
func (p *peer) begin() {
	p.t.Helper()
	xid, _ := expect[*openflow.BarrierRequest](p)
	require.Zero(p.t, xid&relayed, "our own")
	p.send(xid, &openflow.BarrierReply{})
}

// lead makes a Conn over a relay of c.
func lead(t testing.TB, c *Conn, p *peer) (*Conn, <-chan error) {
	t.Helper()
	far, ended := relayTo(t, c)
	p.begin()
	shaking := later(func() shaken {
		l, err := Handshake(testContext(t), far, Config{Relayed: true})
		return shaken{l, err}
	})
	xid, _ := expect[*openflow.FeaturesRequest](p)
	require.NotZero(t, xid&relayed)
	p.send(xid, &openflow.FeaturesReply{DPID: 0xabc, NTables: 254})
	expect[*openflow.SetConfig](p)
	xid, _ = expect[*openflow.MultipartRequest](p)
	p.send(xid, &openflow.MultipartReply{Body: openflow.Desc{Software: "3.1.0"}})
	xid, _ = expect[*openflow.MultipartRequest](p)
	p.send(xid, &openflow.MultipartReply{Body: testPorts})
	s := got(t, shaking)
	require.NoError(t, s.err)
	t.Cleanup(func() { s.c.Close() })
	return s.c, ended
}

// TestRelayedConn shares a connection: each end gets its own answers, and the far end what comes unasked.
func TestRelayedConn(t *testing.T) {
	c, p := connect(t, Config{})
	far, ended := lead(t, c, p)
	require.Len(t, far.Ports(), 2)

	ctx := testContext(t)
	ours := later(func() error { return c.Barrier(ctx) })
	ourXID, _ := expect[*openflow.BarrierRequest](p)
	theirs := later(func() error { return far.Commit(ctx, []openflow.Message{flowMod(1)}) })
	openXID, open := expect[*openflow.BundleControl](p)
	addXID, _ := expect[*openflow.BundleAdd](p)
	closeXID, closing := expect[*openflow.BundleControl](p)
	p.send(openXID, &openflow.BundleControl{BundleID: open.BundleID, Ctrl: openflow.BundleOpenReply})
	p.send(addXID, &openflow.Error{ErrType: 5, Code: 1})
	p.send(closeXID, &openflow.BundleControl{BundleID: closing.BundleID, Ctrl: openflow.BundleCloseReply})
	discardXID, discard := expect[*openflow.BundleControl](p)
	require.Equal(t, openflow.BundleDiscardRequest, discard.Ctrl)
	p.send(discardXID, &openflow.BundleControl{BundleID: discard.BundleID, Ctrl: openflow.BundleDiscardReply})
	var refused *CommitError
	require.ErrorAs(t, got(t, theirs), &refused)
	require.Equal(t, 0, refused.Index)
	p.send(ourXID, &openflow.BarrierReply{})
	require.NoError(t, got(t, ours))

	p.send(0, &openflow.EchoRequest{Data: []byte("alive?")})
	expect[*openflow.EchoReply](p)
	p.send(0, &openflow.PacketIn{BufferID: openflow.NoBuffer, Cookie: 1, Data: []byte("one")})
	p.send(0, &openflow.PortStatus{Reason: openflow.PortAdd, Port: openflow.Port{No: 7}})
	require.Equal(t, uint64(1), got(t, far.Events()).(*openflow.PacketIn).Cookie)
	require.Equal(t, openflow.PortNo(7), got(t, far.Events()).(*openflow.PortStatus).Port.No)

	require.NoError(t, far.Close())
	require.ErrorIs(t, got(t, ended), ErrRelay)
	p.send(relayed|5, &openflow.BarrierReply{}) // nobody's any more
	p.send(0, &openflow.PacketIn{BufferID: openflow.NoBuffer, Cookie: 2, Data: []byte("two")})
	require.Equal(t, uint64(2), got(t, c.Events()).(*openflow.PacketIn).Cookie)
	require.EqualValues(t, 1, c.Stats().LateReplies)
}

// TestRelayBeginsAfterTheLast keeps the answers to one relay's requests from the next one's.
func TestRelayBeginsAfterTheLast(t *testing.T) {
	c, p := connect(t, Config{})
	first, ended := lead(t, c, p)
	ctx, cancel := context.WithCancel(testContext(t))
	unanswered := later(func() error { return first.Barrier(ctx) })
	xid, _ := expect[*openflow.BarrierRequest](p)
	cancel()
	require.Error(t, got(t, unanswered))
	require.NoError(t, first.Close())
	require.ErrorIs(t, got(t, ended), ErrRelay)

	far, _ := relayTo(t, c)
	fence, _ := expect[*openflow.BarrierRequest](p)
	p.send(xid, &openflow.BarrierReply{}) // the answer to the first relay's
	p.send(fence, &openflow.BarrierReply{})
	second := &peer{t, far}
	expect[*openflow.Hello](second)
	second.send(xid, &openflow.BarrierRequest{}) // by chance the same id
	again, _ := expect[*openflow.BarrierRequest](p)
	require.Equal(t, xid, again)
	p.send(xid, &openflow.Error{ErrType: 1, Code: 1})
	expect[*openflow.Error](second)
}

// TestRelayNeverHoldsUpTheSwitch cuts a far end that reads nothing.
func TestRelayNeverHoldsUpTheSwitch(t *testing.T) {
	c, p := connect(t, Config{MaxReply: 1 << 11})
	_, ended := relayTo(t, c)
	p.begin()
	for c.relay.Load() == nil { // an error before that is our own
		require.NoError(t, c.Err())
	}
	for range 40 {
		p.send(relayed|1, &openflow.Error{ErrType: 1, Code: 1, Data: make([]byte, 64)})
	}
	alive := later(func() error { return c.Barrier(testContext(t)) })
	xid, _ := expect[*openflow.BarrierRequest](p)
	p.send(xid, &openflow.BarrierReply{})
	require.NoError(t, got(t, alive), "the connection is as before")
	require.Error(t, got(t, ended))
}

// TestRelayKeepsToItsTransactionIDs cuts a far end that uses the other half.
func TestRelayKeepsToItsTransactionIDs(t *testing.T) {
	c, p := connect(t, Config{})
	far, ended := relayTo(t, c)
	p.begin()
	r := &peer{t, far}
	expect[*openflow.Hello](r)
	r.send(relayed-1, &openflow.BarrierRequest{})
	require.ErrorIs(t, got(t, ended), ErrRelay)
	require.NoError(t, c.Err())
}

// TestRelayEndsWithTheConnection and with its context.
func TestRelayEndsWithTheConnection(t *testing.T) {
	c, p := connect(t, Config{})
	ctx, cancel := context.WithCancel(testContext(t))
	near, far := net.Pipe()
	defer far.Close()
	ended := later(func() error { return c.Relay(ctx, near) })
	p.begin()
	expect[*openflow.Hello](&peer{t, far})
	cancel()
	require.ErrorIs(t, got(t, ended), context.Canceled)
	_, again := relayTo(t, c)
	p.begin()
	p.nc.Close()
	require.Error(t, got(t, again))
	require.Error(t, c.Err())
}
