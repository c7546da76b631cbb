package ofconn

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/flowtap/flowtap/openflow"
)

// read is the reader. It returns when the connection ends, and closes events.
func (c *Conn) read() {
	defer c.reader.Done()
	defer func() {
		<-c.done
		c.more.wait()
		c.more.drain(c.events)
		close(c.events)
	}()
	defer func() {
		if p := recover(); p != nil {
			c.fail(fmt.Errorf("panic while reading: %v\n%s", p, debug.Stack()))
		}
	}()
	f := newFrames(c.nc, c.c.MaxMessage, &c.count.bytesIn)
	alive := keepalive{interval: c.c.EchoInterval, timeout: c.c.EchoTimeout}
	alive.heard(time.Now())
	negotiated := false
	for {
		frame, err := f.next(alive.deadline())
		if errors.Is(err, os.ErrDeadlineExceeded) {
			if ask, dead := alive.expired(time.Now()); dead {
				c.fail(fmt.Errorf("%w: silent for %v, echo request included", ErrDead, c.c.EchoInterval+c.c.EchoTimeout))
				return
			} else if ask && negotiated {
				c.enqueueUrgent(c.x.take(1), &openflow.EchoRequest{})
			}
			continue
		}
		if err != nil {
			c.readFailed(err)
			return
		}
		alive.heard(time.Now())
		c.count.messagesIn.inc()
		if !negotiated {
			if err := c.negotiate(frame); err != nil {
				c.hello <- err
				c.shut(err)
				return
			}
			negotiated = true
			c.hello <- nil
			continue
		}
		if err := c.handle(frame); err != nil {
			c.shut(err)
			return
		}
	}
}

func (c *Conn) readFailed(err error) {
	switch {
	case err == io.EOF || errors.Is(err, syscall.ECONNRESET):
		c.fail(fmt.Errorf("switch closed the connection: %w", err))
	case errors.Is(err, openflow.ErrMalformed) || errors.Is(err, errTooLong):
		// The switch is told before it is cut off; it may be someone's debugging session.
		c.sendError(0, nil, errBadRequest, badLen)
		c.shut(fmt.Errorf("%w: %w", ErrProtocol, err))
	default:
		c.fail(fmt.Errorf("read: %w", err))
	}
}

// keepalive decides when to ask and when to give up (OpenFlow 1.3.5 §6.4). Time is passed in.
type keepalive struct {
	interval, timeout time.Duration
	until             time.Time
	asked             bool
}

func (k *keepalive) heard(now time.Time) { k.until, k.asked = now.Add(k.interval), false }
func (k *keepalive) deadline() time.Time { return k.until }

// expired says what to do when nothing was heard until the deadline. When this process itself
// slept past it, the switch gets its time again: its answer may be waiting in the socket.
func (k *keepalive) expired(now time.Time) (ask, dead bool) {
	if k.asked && now.Sub(k.until) < max(k.timeout/2, time.Millisecond) {
		return false, true
	}
	ask = !k.asked
	k.asked, k.until = true, now.Add(k.timeout)
	return ask, false
}

// handle gives one message to whom it belongs. An error ends the connection.
func (c *Conn) handle(frame []byte) error {
	if t := openflow.MsgType(frame[1]); frame[0] != openflow.Version {
		if t == openflow.TypeError {
			// Open vSwitch 3.1.0 has errors that it cannot put into 1.3: that a
			// flow monitor is there already comes in 1.0.
			c.count.unexpected.inc()
			return nil
		}
		return fmt.Errorf("%w: %v in version 0x%02x after the hello", ErrProtocol, t, frame[0])
	}
	if drop, err := c.tooMuch(frame); drop || err != nil {
		return err
	}
	if r, theirs := c.relayOf(frame); theirs {
		c.toRelay(r, frame)
		return nil
	}
	xid, m, err := openflow.Decode(frame)
	if err != nil {
		if openflow.MsgType(frame[1]) == openflow.TypePortStatus {
			// Going on would mean a wrong list of ports for good; the next handshake reads them anew.
			return fmt.Errorf("%w: %w", ErrProtocol, err)
		}
		c.undecodable(xid, frame, err)
		return nil
	}
	switch m := m.(type) {
	case *openflow.EchoRequest:
		c.enqueueUrgent(xid, &openflow.EchoReply{Data: m.Data})
		return nil
	case *openflow.Hello: // allowed at any time and without meaning (§7.5.1)
		return nil
	case *openflow.PacketIn, *openflow.PortStatus, *openflow.FlowRemoved:
		return c.event(m) // xid 0 or of a packet-out, never an answer
	case *openflow.MultipartReply:
		if _, ok := m.Body.(openflow.FlowMonitorReply); ok && xid == 0 { // no request has it
			return c.event(m)
		}
	case *openflow.Error:
		c.count.errorsIn.inc()
	}
	if r, index, left := c.x.find(xid); r != nil {
		if left {
			c.count.lateReplies.inc()
		}
		if r.sink.take(index, answer{m: m, size: len(frame)}, left) {
			c.x.drop(r)
		}
		return nil
	}
	return c.unasked(xid, frame, m)
}

// unasked handles a message that answers nothing known and is no event.
func (c *Conn) unasked(xid uint32, frame []byte, m openflow.Message) error {
	switch m := m.(type) {
	case *openflow.Error:
		c.refused.add(m)
		return c.event(m)
	case *openflow.EchoReply: // to the reader's own question
		return nil
	}
	switch m.Type() {
	case openflow.TypeFeaturesReply, openflow.TypeGetConfigReply, openflow.TypeMultipartReply,
		openflow.TypeBarrierReply, openflow.TypeRoleReply, openflow.TypeGetAsyncReply:
		c.count.lateReplies.inc()
		return nil
	case openflow.TypeExperimenter:
		// Vendors send these by themselves; it is no offence.
		c.count.unexpected.inc()
		return nil
	}
	if n := c.count.unexpected.inc(); n&(n-1) == 0 {
		c.logger().Warn("unexpected message from switch", "type", m.Type(), "xid", xid, "count", n)
	}
	c.sendError(xid, frame, errBadRequest, badType)
	return nil
}

// undecodable handles a message with a sound header and a body that makes no sense: the switch is
// told, whoever waits for it is told, and the connection goes on.
func (c *Conn) undecodable(xid uint32, frame []byte, err error) {
	if n := c.count.malformed.inc(); n&(n-1) == 0 {
		c.logger().Warn("malformed message from switch", "err", err, "xid", xid, "count", n)
	}
	t := openflow.MsgType(frame[1])
	if t != openflow.TypeError { // an error is never answered by an error
		c.sendError(xid, frame, errBadRequest, badLen)
	}
	switch t {
	case openflow.TypePacketIn, openflow.TypePortStatus, openflow.TypeFlowRemoved, openflow.TypeEchoRequest, openflow.TypeHello:
		return
	}
	if r, index, left := c.x.find(xid); r != nil {
		if r.sink.take(index, answer{size: len(frame), err: err}, left) {
			c.x.drop(r)
		}
	}
}
