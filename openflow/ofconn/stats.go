package ofconn

import "sync/atomic"

// counter only grows.
type counter struct{ v atomic.Uint64 }

func (c *counter) add(n int)   { c.v.Add(uint64(n)) }
func (c *counter) inc() uint64 { return c.v.Add(1) }
func (c *counter) get() uint64 { return c.v.Load() }

// Stats counts what passed over one connection since it was made.
type Stats struct {
	MessagesIn, MessagesOut uint64
	BytesIn, BytesOut       uint64
	// DroppedPacketIns were not delivered because Events was full.
	DroppedPacketIns uint64
	// DroppedEvents are flow-removed and errors lost for the same reason.
	DroppedEvents uint64
	// MergedPortStatus are port-status replaced by a later one of the same port.
	MergedPortStatus uint64
	// Flooded messages were not looked at because the switch said too much, see Config.MessageRate.
	Flooded uint64
	// Malformed messages had a sound header and a body that could not be decoded.
	Malformed uint64
	// Unexpected messages are those a switch should not send, or of unknown type.
	Unexpected uint64
	// LateReplies answer a request that nobody waits for any more.
	LateReplies uint64
	// ErrorsIn counts error messages from the switch.
	ErrorsIn uint64
	// Unsent are replies of ours (to echo, to nonsense) that a full queue made us drop.
	Unsent uint64
}

type counters struct {
	messagesIn, messagesOut, bytesIn, bytesOut           counter
	droppedPacketIns, droppedEvents, mergedPortStatus    counter
	flooded                                              counter
	malformed, unexpected, lateReplies, errorsIn, unsent counter
}

// Stats is a snapshot; its fields are read one after the other.
func (c *Conn) Stats() Stats {
	n := &c.count
	return Stats{
		MessagesIn: n.messagesIn.get(), MessagesOut: n.messagesOut.get(),
		BytesIn: n.bytesIn.get(), BytesOut: n.bytesOut.get(),
		DroppedPacketIns: n.droppedPacketIns.get(), DroppedEvents: n.droppedEvents.get(),
		MergedPortStatus: n.mergedPortStatus.get(),
		Flooded:          n.flooded.get(),
		Malformed:        n.malformed.get(), Unexpected: n.unexpected.get(),
		LateReplies: n.lateReplies.get(), ErrorsIn: n.errorsIn.get(), Unsent: n.unsent.get(),
	}
}
