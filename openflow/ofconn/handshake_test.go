package ofconn

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/openflow"
)

func TestHandshakeLearnsTheSwitch(t *testing.T) {
	c, _ := connect(t, Config{})
	require.Equal(t, openflow.DPID(0xabc), c.Features().DPID)
	require.Equal(t, "3.1.0", c.Desc().Software)
	require.Equal(t, []openflow.Port(testPorts), c.Ports())
	require.NoError(t, c.Err())
	require.NoError(t, c.Close())
	require.ErrorIs(t, c.Err(), ErrClosed)
	select {
	case _, open := <-c.Events():
		require.False(t, open)
	default:
		t.Fatal("the reader still runs after Close")
	}
}

func TestHandshakeOverSynchronousPipe(t *testing.T) {
	ours, theirs := net.Pipe()
	done := later(func() shaken {
		c, err := Handshake(context.Background(), ours, Config{})
		return shaken{c, err}
	})
	p := &peer{t, theirs}
	p.handshake() // writes its hello before it reads ours
	s := got(t, done)
	require.NoError(t, s.err)
	require.NoError(t, s.c.Close())
}

func TestHelloVariants(t *testing.T) {
	for _, tc := range []struct {
		name  string
		hello []byte
		ok    bool
	}{
		{"bitmap with 1.3", []byte{4, 0, 0, 16, 0, 0, 0, 1, 0, 1, 0, 8, 0, 0, 0, 0x10}, true},
		{"header 1.5, bitmap with 1.3", []byte{6, 0, 0, 16, 0, 0, 0, 1, 0, 1, 0, 8, 0, 0, 0, 0x50}, true},
		{"header 1.3, no bitmap", []byte{4, 0, 0, 8, 0, 0, 0, 1}, true},
		{"header 1.5, no bitmap", []byte{6, 0, 0, 8, 0, 0, 0, 1}, true},
		{"unknown element", []byte{4, 0, 0, 16, 0, 0, 0, 1, 0, 9, 0, 8, 1, 2, 3, 4}, true},
		{"header 1.0", []byte{1, 0, 0, 8, 0, 0, 0, 1}, false},
		{"header 1.3, bitmap without 1.3", []byte{4, 0, 0, 16, 0, 0, 0, 1, 0, 1, 0, 8, 0, 0, 0, 0x42}, false},
		{"header 1.5, bitmap of 1.5 alone", []byte{6, 0, 0, 16, 0, 0, 0, 1, 0, 1, 0, 8, 0, 0, 0, 0x40}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, done := shake(t, Config{})
			p.raw(tc.hello)
			_, hello := expect[*openflow.Hello](p)
			require.Equal(t, []uint8{4}, hello.Versions)
			if tc.ok {
				expect[*openflow.FeaturesRequest](p)
				p.nc.Close()
				require.ErrorContains(t, got(t, done).err, "closed the connection")
				return
			}
			_, refusal := expect[*openflow.Error](p)
			require.Equal(t, errHelloFailed, refusal.ErrType)
			require.Equal(t, incompatible, refusal.Code)
			p.expectEnd()
			err := got(t, done).err
			require.ErrorIs(t, err, ErrVersion)
			require.ErrorContains(t, err, "OpenFlow 1.3")
		})
	}
}

func TestHandshakeFails(t *testing.T) {
	for _, tc := range []struct {
		name string
		do   func(p *peer)
		want string
	}{
		{"peer refuses our hello", func(p *peer) {
			p.send(1, &openflow.Error{ErrType: errHelloFailed, Data: []byte("only 1.0")})
		}, "only 1.0"},
		{"peer speaks before hello", func(p *peer) { p.send(1, &openflow.EchoRequest{}) }, "before hello"},
		{"peer is no switch", func(p *peer) { p.raw([]byte("GET / HTTP/1.1\r\n\r\n")) }, "malformed"},
		{"peer closes", func(p *peer) { p.nc.Close() }, "closed the connection"},
		{"peer says nothing", func(*peer) {}, "not done in 300ms"},
		{"peer goes silent after hello", func(p *peer) { p.send(1, &openflow.Hello{Versions: []uint8{4}}) }, "not done in 300ms"},
		{"features refused", func(p *peer) {
			p.send(1, &openflow.Hello{Versions: []uint8{4}})
			expect[*openflow.Hello](p)
			xid, _ := expect[*openflow.FeaturesRequest](p)
			p.send(xid, &openflow.Error{ErrType: errBadRequest, Code: badType})
		}, "features request: switch says: bad request bad type"},
		{"features answered by a barrier", func(p *peer) {
			p.send(1, &openflow.Hello{Versions: []uint8{4}})
			expect[*openflow.Hello](p)
			xid, _ := expect[*openflow.FeaturesRequest](p)
			p.send(xid, &openflow.BarrierReply{})
		}, "answered by barrier reply"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, done := shake(t, Config{HandshakeTimeout: 300 * time.Millisecond})
			tc.do(p)
			s := got(t, done)
			require.ErrorContains(t, s.err, tc.want)
			require.Nil(t, s.c)
			p.expectEnd()
		})
	}
}

func TestHandshakeEndsWithItsContext(t *testing.T) {
	ours, _ := sockets(t)
	ctx, cancel := context.WithCancel(context.Background())
	done := later(func() error { _, err := Handshake(ctx, ours, Config{}); return err })
	cancel()
	require.ErrorIs(t, got(t, done), context.Canceled)
}

func TestConfigIsValidated(t *testing.T) {
	ours, _ := sockets(t)
	_, err := Handshake(context.Background(), ours, Config{EchoTimeout: -1})
	require.ErrorContains(t, err, "EchoTimeout")
	_, err = ours.Write([]byte{1})
	require.ErrorIs(t, err, net.ErrClosed)
	_, err = Config{MaxMessage: 1 << 16}.withDefaults()
	require.ErrorContains(t, err, "MaxMessage")
}
