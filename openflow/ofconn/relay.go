package ofconn

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/flowtap/flowtap/openflow"
)

// relayed is the bit that all transaction ids of a relay's far end have, and none of ours.
const relayed = 1 << 31

// ErrRelay says that a relay ended because of its far end: it broke the rules or took nothing more.
var ErrRelay = errors.New("relay cut")

// packetInsBehind is how many bytes may wait for a relay's far end before packet-ins are dropped.
const packetInsBehind = 1 << 20

// A relay is another party's way to the switch over a Conn. The Conn's reader puts whole frames for it
// into pending and never waits; a goroutine writes them to the far end.
type relay struct {
	most int // bytes of pending

	mu      sync.Mutex // guards what follows
	pending []byte     // whole frames
	behind  bool       // pending was full: the relay ends
	wake    chan struct{}
}

// Relay lets another party speak to the switch over this connection, until it hangs up, ctx or the
// connection ends. It takes nc and closes it. The far end is a Conn made by Handshake with
// Config.Relayed: whatever it sends goes to the switch as it is; it gets the answers, which are known by their
// transaction ids, and all that the switch sends unasked. Frames are not decoded. Hellos stay at this
// end; echo requests go all the way.
//
// A switch answers in order, so the relay begins when a barrier was answered: then everything that
// came by an earlier relay has been carried out, and nothing that answers it can come any more. There is one
// relay at a time; another is an error at once. When Relay returns, nothing more of it will be sent.
//
// A far end that takes its frames too slowly loses packet-ins, and, when 64 MiB (Config.MaxReply) wait for
// it, the relay.
func (c *Conn) Relay(ctx context.Context, nc net.Conn) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer nc.Close()
	defer context.AfterFunc(ctx, func() { _ = nc.Close() })()
	if _, err := c.request(ctx, &openflow.BarrierRequest{}); err != nil {
		return fmt.Errorf("barrier before the relay: %w", err)
	}
	hello, err := openflow.Append(nil, 0, &openflow.Hello{Versions: []uint8{openflow.Version}})
	if err != nil {
		return err
	}
	r := &relay{most: c.c.MaxReply, pending: hello, wake: make(chan struct{}, 1)}
	r.wake <- struct{}{}
	if !c.relay.CompareAndSwap(nil, r) {
		return errors.New("the connection has a relay already")
	}
	defer c.relay.Store(nil)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel(nil)
	wg.Go(func() { cancel(r.write(ctx, c, nc)) })
	wg.Go(func() {
		select {
		case <-c.done:
			cancel(c.reason)
		case <-ctx.Done():
		}
	})
	err = c.fromRelay(ctx, nc)
	if cause := context.Cause(ctx); cause != nil {
		err = cause // the reason for which nc was closed
	}
	return err
}

// fromRelay sends what the far end says to the switch.
func (c *Conn) fromRelay(ctx context.Context, nc net.Conn) error {
	var total counter
	f := newFrames(nc, openflow.MaxMessageLen, &total)
	var out outgoing
	for {
		frame, err := f.next(time.Time{})
		if err != nil {
			if err == io.EOF {
				return fmt.Errorf("%w: the far end hung up", ErrRelay)
			}
			return fmt.Errorf("%w: read: %w", ErrRelay, err)
		}
		t, xid := openflow.MsgType(frame[1]), binary.BigEndian.Uint32(frame[4:])
		switch {
		case t == openflow.TypeHello:
		case frame[0] != openflow.Version || xid&relayed == 0 && t != openflow.TypeError: // which repeats the switch's id
			return fmt.Errorf("%w: %v of version %d with transaction id %#x", ErrRelay, t, frame[0], xid)
		default:
			out.b, out.n = append(out.b, frame...), out.n+1
		}
		if out.n > 0 && (len(out.b) >= pieceSize || !f.whole()) {
			if err := c.enqueue(ctx, out); err != nil {
				return err
			}
			out = outgoing{}
		}
	}
}

// write hands pending frames to the far end.
func (r *relay) write(ctx context.Context, c *Conn, nc net.Conn) error {
	var total counter
	w := &deadlineWriter{nc, c.c.WriteTimeout, &total}
	var spare []byte
	for {
		select {
		case <-r.wake:
		case <-ctx.Done():
			return nil
		}
		r.mu.Lock()
		b, behind := r.pending, r.behind
		r.pending = spare[:0]
		r.mu.Unlock()
		if behind {
			return fmt.Errorf("%w: more than %d bytes wait for the far end", ErrRelay, r.most)
		}
		if _, err := w.Write(b); err != nil {
			return fmt.Errorf("%w: it takes nothing: %w", ErrRelay, err)
		}
		if spare = b; cap(spare) > packetInsBehind {
			spare = nil
		}
	}
}

// relayOf tells whether a frame is for the relay's far end, and which relay there is: answers to it always
// are, what the switch sends unasked is while there is a relay.
func (c *Conn) relayOf(frame []byte) (r *relay, theirs bool) {
	if c.c.Relayed {
		return nil, false // this is the far end
	}
	r = c.relay.Load()
	xid := binary.BigEndian.Uint32(frame[4:])
	switch openflow.MsgType(frame[1]) {
	case openflow.TypeHello, openflow.TypeEchoRequest:
		return nil, false
	case openflow.TypePacketIn, openflow.TypePortStatus, openflow.TypeFlowRemoved:
		return r, r != nil
	}
	return r, xid&relayed != 0 || xid == 0 && r != nil
}

// toRelay hands a frame to a relay; without one it is an answer to one that has ended.
func (c *Conn) toRelay(r *relay, frame []byte) {
	if r == nil {
		c.count.lateReplies.inc()
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case openflow.MsgType(frame[1]) == openflow.TypePacketIn && len(r.pending) > packetInsBehind:
		c.count.droppedPacketIns.inc()
		return
	case len(r.pending)+len(frame) > r.most:
		r.behind = true
	default:
		r.pending = append(r.pending, frame...)
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
}
