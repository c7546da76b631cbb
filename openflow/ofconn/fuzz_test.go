package ofconn

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/flowtap/flowtap/openflow"
)

// FuzzLiveConnection feeds bytes to a connection whose handshake is done and on which a request, a
// dump and a bundle wait. Whatever comes, it ends or goes on, and Close returns.
func FuzzLiveConnection(f *testing.F) {
	for _, m := range []openflow.Message{
		&openflow.EchoRequest{Data: []byte("x")}, &openflow.PacketIn{Data: make([]byte, 60)},
		portStatus(1, "p"), badMatch, &openflow.BarrierReply{},
		&openflow.MultipartReply{More: true, Body: openflow.FlowStatsReply{{}}},
		&openflow.MultipartReply{Body: testPorts}, &openflow.BundleControl{Ctrl: openflow.BundleCloseReply},
		&openflow.BundleControl{Ctrl: openflow.BundleCommitReply}, &openflow.FeaturesReply{DPID: 1},
	} {
		for xid := range uint32(14) { // those that the handshake and the requests below use
			f.Add(encode(f, xid, m))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		ours, theirs := net.Pipe()
		done := make(chan *Conn, 1)
		go func() {
			c, _ := Handshake(context.Background(), ours, Config{EventQueue: 2, RequestTimeout: time.Second})
			done <- c
		}()
		p := &peer{t, theirs}
		p.handshake()
		c := <-done
		if c == nil {
			t.Fatal("no handshake")
		}
		ctx, cancel := context.WithCancel(context.Background())
		waiters := make(chan error, 3)
		go func() { waiters <- c.Barrier(ctx) }()
		go func() { _, err := c.DumpFlows(ctx); waiters <- err }()
		go func() { waiters <- c.Commit(ctx, messages(0, 2)) }()
		drained := make(chan struct{})
		go func() { // the switch's reading side
			defer close(drained)
			buf := make([]byte, 4096)
			theirs.SetReadDeadline(time.Now().Add(patience))
			for {
				if _, err := theirs.Read(buf); err != nil {
					return
				}
			}
		}()
		theirs.SetWriteDeadline(time.Now().Add(patience))
		if _, err := theirs.Write(b); err != nil && c.Err() == nil {
			eventually(t, "an end with a reason", func() bool { return c.Err() != nil })
		}
		cancel()
		for range 3 {
			<-waiters
		}
		c.Close()
		theirs.Close()
		<-drained
		if c.Err() == nil {
			t.Fatal("ended without a reason")
		}
	})
}
