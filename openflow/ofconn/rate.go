package ofconn

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/flowtap/flowtap/openflow"
)

// burstSeconds is for how long a switch may have been saving up messages of its own.
const burstSeconds = 10

// rate meters what a switch says unasked. It is the reader's.
type rate struct {
	credit float64
	last   time.Time
}

// take reports whether one more message is within the rate, and how long to wait until one is.
func (r *rate) take(now time.Time, perSecond int) (ok bool, wait time.Duration) {
	most := float64(perSecond * burstSeconds)
	if r.last.IsZero() {
		r.credit = most
	} else if passed := now.Sub(r.last); passed > 0 {
		r.credit = min(most, r.credit+passed.Seconds()*float64(perSecond))
	}
	r.last = now
	if r.credit < 1 {
		return false, time.Duration((1 - r.credit) / float64(perSecond) * float64(time.Second))
	}
	r.credit--
	return true, 0
}

// tooMuch reports whether a message is to be dropped because its switch says too much, or waits until
// that is no longer so where none may be lost. An error ends the connection.
func (c *Conn) tooMuch(frame []byte) (drop bool, err error) {
	if !c.shaken.Load() && c.count.bytesIn.get() > uint64(c.c.MaxHandshakeBytes) {
		return false, fmt.Errorf("%w: more than %d bytes in the handshake", ErrProtocol, c.c.MaxHandshakeBytes)
	}
	t, xid := openflow.MsgType(frame[1]), binary.BigEndian.Uint32(frame[4:])
	if xid&relayed != 0 && !c.c.Relayed {
		return false, nil // an answer to the relay's far end, which looks itself
	}
	unasked := t == openflow.TypePacketIn || t == openflow.TypePortStatus || t == openflow.TypeFlowRemoved
	if !unasked {
		if r, _, _ := c.x.find(xid); r != nil {
			return false, nil
		}
	}
	ok, wait := c.unaskedRate.take(time.Now(), c.c.MessageRate)
	if ok {
		return false, nil
	}
	if t != openflow.TypePortStatus && t != openflow.TypeMultipartReply { // the latter report changes of flows
		if n := c.count.flooded.inc(); n&(n-1) == 0 {
			c.logger().Warn("the switch says too much, and is not listened to", "type", t, "a_second", c.c.MessageRate, "dropped", n)
		}
		return true, nil
	}
	for ; !ok; ok, wait = c.unaskedRate.take(time.Now(), c.c.MessageRate) {
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-c.done:
			timer.Stop()
			return true, nil
		}
	}
	return false, nil
}
