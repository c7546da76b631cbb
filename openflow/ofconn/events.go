package ofconn

import (
	"errors"
	"fmt"
	"sync"

	"github.com/flowtap/flowtap/openflow"
)

// Events gives, in the order they came, *openflow.PacketIn, *openflow.PortStatus,
// *openflow.FlowRemoved, reports of MonitorFlows and every *openflow.Error that answers no request or bundle. Read it
// for as long as the connection lives. The reader closes it after the connection has ended;
// what fits in the channel is then still there to be read.
//
// It holds Config.EventQueue messages. When it is full, nothing waits: packet-ins are dropped
// and counted, the switch will send more. Flow-removed, reports and errors wait in an overflow of the same size and
// are dropped and counted beyond it. Port-status are never dropped: they wait in the overflow
// without limit, and beyond its size a later port-status of the same port replaces an earlier one,
// so that it holds at most one a port. A reader must therefore take the description as the
// port's state, and "delete" as its absence, whatever was said before. The alternative, to stop reading from
// the switch, would also stop the answers that the slow reader may itself be waiting for.
// A switch that names more than 65,536 ports meanwhile loses its connection.
func (c *Conn) Events() <-chan openflow.Message { return c.events }

// maxPortStatus bounds the ports that the overflow holds a status of.
const maxPortStatus = 1 << 16

// overflow holds events that found their channel full. While it holds any, a goroutine moves
// them to the channel in order.
type overflow struct {
	mu     sync.Mutex              // guards what follows
	list   []openflow.Message      // nil where a later port-status took over
	held   int                     // non-nil in list
	base   int                     // places of list that were given out before
	latest map[openflow.PortNo]int // base + index of each port's last status
	busy   bool                    // the mover runs; only it may then send to the channel

	mover sync.WaitGroup
}

func (o *overflow) wait() { o.mover.Wait() }

// drain puts what fits into the channel. The mover has ended.
func (o *overflow) drain(events chan openflow.Message) {
	for _, m := range o.list {
		if m == nil {
			continue
		}
		select {
		case events <- m:
		default:
			return
		}
	}
}

// event delivers or keeps m. It runs in the reader and never waits.
func (c *Conn) event(m openflow.Message) error {
	o := &c.more
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.busy {
		select {
		case c.events <- m:
			return nil
		default:
		}
	}
	full := o.held >= c.c.EventQueue
	switch m := m.(type) {
	case *openflow.PacketIn:
		c.count.droppedPacketIns.inc()
		return nil
	case *openflow.PortStatus:
		if i, known := o.latest[m.Port.No]; known && full {
			o.list[i-o.base] = nil
			o.held--
			c.count.mergedPortStatus.inc()
		}
		if o.held >= c.c.EventQueue+maxPortStatus {
			return errors.New("port-status of too many ports wait to be read")
		}
		if o.latest == nil {
			o.latest = map[openflow.PortNo]int{}
		}
		o.lockedCompact()
		o.latest[m.Port.No] = o.base + len(o.list)
	default:
		if full {
			if n := c.count.droppedEvents.inc(); n&(n-1) == 0 {
				c.logger().Warn("events dropped, nobody reads them", "type", fmt.Sprintf("%T", m), "count", n)
			}
			return nil
		}
	}
	o.list = append(o.list, m)
	o.held++
	if !o.busy {
		o.busy = true
		o.mover.Add(1)
		go c.moveEvents()
	}
	return nil
}

// lockedCompact closes the gaps when they are more than half of the list.
func (o *overflow) lockedCompact() {
	if len(o.list) < 64 || o.held > len(o.list)/2 {
		return
	}
	kept := o.list[:0]
	clear(o.latest)
	for _, m := range o.list {
		if m == nil {
			continue
		}
		if p, ok := m.(*openflow.PortStatus); ok {
			o.latest[p.Port.No] = o.base + len(kept)
		}
		kept = append(kept, m)
	}
	clear(o.list[len(kept):])
	o.list = kept
}

// moveEvents ends when the overflow is empty or the connection has ended.
func (c *Conn) moveEvents() {
	defer c.more.mover.Done()
	for {
		m := c.more.pop()
		if m == nil {
			return
		}
		select {
		case c.events <- m:
		case <-c.done:
			c.more.unpop(m)
			return
		}
	}
}

// pop takes the oldest event; nil, and the end of the mover, when there is none.
func (o *overflow) pop() openflow.Message {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.list) > 0 {
		m := o.list[0]
		o.list[0], o.list = nil, o.list[1:]
		o.base++
		if m == nil {
			continue
		}
		o.held--
		if p, ok := m.(*openflow.PortStatus); ok && o.latest[p.Port.No] == o.base-1 {
			delete(o.latest, p.Port.No)
		}
		return m
	}
	o.list, o.latest, o.base, o.busy = nil, nil, 0, false
	return nil
}

// unpop puts m back in front. The mover ends after it.
func (o *overflow) unpop(m openflow.Message) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.list = append([]openflow.Message{m}, o.list...)
	o.base--
	o.held++
}
