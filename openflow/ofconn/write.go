package ofconn

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/flowtap/flowtap/openflow"
)

// outgoing is a number of whole encoded messages.
type outgoing struct {
	b []byte
	n int // messages in b
}

// pieceSize is the length from which on a piece of a long Send or Commit goes to the queue by
// itself, in bytes; so keepalives and other senders get their turn in between.
const pieceSize = 32 << 10

// write is the writer: it sends what is queued, flushes whenever nothing more is, and ends the
// connection when a write fails or, all written, when it is shut.
func (c *Conn) write() {
	defer c.writer.Done()
	defer func() {
		if p := recover(); p != nil {
			c.fail(fmt.Errorf("panic while writing: %v\n%s", p, debug.Stack()))
		}
	}()
	w := bufio.NewWriterSize(&deadlineWriter{c.nc, c.c.WriteTimeout, &c.count.bytesOut}, pieceSize)
	for {
		out, more := c.nextOutgoing()
		if !more {
			return
		}
		if out.n == 0 { // shut: every message before was flushed, see below
			c.fail(c.shutReason)
			return
		}
		_, err := w.Write(out.b)
		if err == nil && len(c.urgent)+len(c.queue) == 0 {
			err = w.Flush()
		}
		if err != nil {
			c.fail(writeError(err))
			return
		}
		c.count.messagesOut.add(out.n)
	}
}

// nextOutgoing waits for something to write; urgent first. It gives nothing when the connection
// was shut and all is written, and reports false when it has ended.
func (c *Conn) nextOutgoing() (out outgoing, more bool) {
	select {
	case out = <-c.urgent:
		return out, true
	default:
	}
	select {
	case <-c.done:
		return outgoing{}, false
	case out = <-c.urgent:
		return out, true
	case out = <-c.queue:
		return out, true
	case <-c.closing:
	}
	select {
	case out = <-c.urgent:
	case out = <-c.queue:
	default:
	}
	return out, true
}

func writeError(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("%w: it accepts no bytes: %w", ErrDead, err)
	}
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
		return fmt.Errorf("switch closed the connection: %w", err)
	}
	return fmt.Errorf("write: %w", err)
}

// deadlineWriter gives every write its own deadline.
type deadlineWriter struct {
	nc      net.Conn
	timeout time.Duration
	total   *counter
}

func (w *deadlineWriter) Write(b []byte) (int, error) {
	if err := w.nc.SetWriteDeadline(time.Now().Add(w.timeout)); err != nil {
		return 0, err
	}
	n, err := w.nc.Write(b)
	w.total.add(n)
	return n, err
}

// enqueue hands messages to the writer. It waits while the queue is full, until ctx or the
// connection ends; nothing was queued when it fails.
func (c *Conn) enqueue(ctx context.Context, out outgoing) error {
	select { // a queue with room must not win over an end that has come before
	case <-c.done:
		return c.reason
	case <-c.closing:
		return c.shutReason
	case <-ctx.Done():
		return context.Cause(ctx)
	default:
	}
	select {
	case c.queue <- out:
		return nil
	case <-c.done:
		return c.reason
	case <-c.closing:
		return c.shutReason
	case <-ctx.Done():
		return fmt.Errorf("write queue full: %w", context.Cause(ctx))
	}
}

// enqueueUrgent is for the reader: it never waits.
func (c *Conn) enqueueUrgent(xid uint32, m openflow.Message) {
	b, err := openflow.Append(nil, xid, m)
	if err != nil {
		c.logger().Error("cannot encode own answer", "err", err)
		return
	}
	select {
	case c.urgent <- outgoing{b, 1}:
	default:
		c.count.unsent.inc()
	}
}

// Send queues messages in order and returns; they need no answer. It waits while the queue is
// full, and fails when ctx ends first (the messages before some point are then queued, the others
// not), when the connection has ended, or when a message cannot be encoded (then none is queued
// unless the list is longer than 32 KiB). An error that the switch answers to one of them
// comes through Events and from the next Barrier.
func (c *Conn) Send(ctx context.Context, ms ...openflow.Message) error {
	if len(ms) == 0 {
		return nil
	}
	first := c.x.take(len(ms))
	p := pieces{c: c, ctx: ctx}
	for i, m := range ms {
		if err := p.add(first+uint32(i), m); err != nil {
			return fmt.Errorf("send message %d (%v): %w", i, m.Type(), err)
		}
	}
	if err := p.flush(); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}

// pieces encodes messages and queues them whenever enough have come together.
type pieces struct {
	c   *Conn
	ctx context.Context // of the one call that pieces lives for
	out outgoing
}

// add encodes m and queues what is ready when that is long enough.
func (p *pieces) add(xid uint32, m openflow.Message) error {
	if err := p.encode(xid, m); err != nil {
		return err
	}
	if len(p.out.b) >= pieceSize {
		return p.flush()
	}
	return nil
}

func (p *pieces) encode(xid uint32, m openflow.Message) error {
	b, err := openflow.Append(p.out.b, xid, m)
	if err != nil {
		return err
	}
	p.out.b, p.out.n = b, p.out.n+1
	return nil
}

func (p *pieces) flush() error {
	if p.out.n == 0 {
		return nil
	}
	out := p.out
	p.out = outgoing{}
	return p.c.enqueue(p.ctx, out)
}
