package ofsim

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/flowset"
)

// A Result is all that one frame caused, in the order in which it happened.
type Result struct {
	// Deliveries are frames that left by ports; in a Fabric only by ports that are no tunnels.
	Deliveries []Delivery
	PacketIns  []PacketIn
	// Lost are frames sent by a tunnel port to an address where no other switch of the fabric is,
	// or with a pkt_mark, which Open vSwitch's own routing has no route for.
	Lost []Delivery
	// Steps say what the frame met.
	Steps []Step

	rec *recorder
}

// A Delivery is a frame that left a switch.
type Delivery struct {
	DPID  openflow.DPID
	Port  openflow.PortNo
	Frame []byte
	// Tunnel is zero except where the port is a tunnel.
	Tunnel Tunnel

	// Of a trace: its node and the hop that it is in.
	out *Output
	hop int
}

// Tunnel is the context that a tunnelled frame carries.
type Tunnel struct {
	ID       uint64
	Src, Dst netip.Addr
}

// Reasons of a PacketIn, as OpenFlow 1.3 numbers them.
const (
	ReasonNoMatch = 0 // sent by a table-miss flow: priority 0, matching everything
	ReasonAction  = 1
)

// A PacketIn is a frame sent to the controller. Frame has at most as many bytes as the action asked for.
type PacketIn struct {
	DPID   openflow.DPID
	InPort openflow.PortNo
	Table  openflow.TableID
	Cookie uint64
	Reason uint8
	Frame  []byte
	// TotalLen is the length of the whole frame in bytes.
	TotalLen int
}

// An Event is a kind of Step.
type Event uint8

// Events. Where the comment says so, Arg has a number.
const (
	EventArrive    Event = iota // a frame entered the switch; Arg is the port
	EventMatch                  // Flow matched in Table
	EventMiss                   // nothing matched in Table
	EventBucket                 // of a group, Arg>>32, bucket Arg&0xffffffff starts
	EventOutput                 // the frame left by port Arg
	EventToInPort               // output to port Arg skipped: it is the in_port
	EventNoPort                 // output to port Arg, which does not exist or is down
	EventNoGroup                // group Arg does not exist, or none of its buckets is alive
	EventUnset                  // set_field of field Arg ignored: the frame has no such header
	EventOwnTunnel              // output to tunnel Arg skipped: the frame came with that tun_dst
	EventChoice                 // a multipath or select group chose; Choice says what
	EventMeter                  // meter Arg dropped the frame: what follows in the datapath is not done
	EventMetered                // meter Arg let the frame pass
	EventDropped                // output to port Arg not done: a meter dropped the frame before
	EventClone                  // a clone starts
	EventGivenUp                // too many lookups behind a patch port: that branch ends, the frame goes on
	EventNoRoute                // the tunnelled frame is lost: the route lookup includes pkt_mark, which is Arg
)

var eventNames = [...]string{"in by port", "match", "no match", "bucket", "output to port",
	"no output to in_port", "no such port", "no group or bucket", "nothing to set", "no tunnel to oneself", "choice",
	"dropped by meter", "passed by meter", "dropped before it is output to port", "clone", "too many lookups", "no route with pkt_mark"}

// A Step is one thing that a frame met on its way.
type Step struct {
	DPID  openflow.DPID
	Event Event
	// Depth counts the resubmits, gotos and groups that the step is within.
	Depth int
	Table openflow.TableID
	// Flow is set with EventMatch. It belongs to the switch.
	Flow *openflow.Flow
	Arg  uint64
	// Choice is set with EventChoice.
	Choice *Choice
}

// String is one line of a trace.
func (s Step) String() string {
	pre := fmt.Sprintf("%v %*s", s.DPID, 2*s.Depth, "")
	switch s.Event {
	case EventMatch:
		return fmt.Sprintf("%s%d. priority %d cookie %#x", pre, s.Table, s.Flow.Priority, s.Flow.Cookie)
	case EventMiss:
		return fmt.Sprintf("%s%d. no match", pre, s.Table)
	case EventBucket:
		return fmt.Sprintf("%sgroup %d bucket %d", pre, s.Arg>>32, s.Arg&0xffffffff)
	case EventClone, EventGivenUp:
		return pre + eventNames[s.Event]
	case EventChoice:
		return fmt.Sprintf("%schoice %d of %d by %v", pre, s.Choice.Link, s.Choice.Links, s.Choice.Fields)
	case EventUnset:
		return fmt.Sprintf("%s%s: %v", pre, eventNames[s.Event], openflow.Field(s.Arg))
	}
	return fmt.Sprintf("%s%s %d", pre, eventNames[s.Event], s.Arg)
}

// Trace is the steps, one a line, for people.
func (r *Result) Trace() string {
	var b strings.Builder
	for _, s := range r.Steps {
		b.WriteString(s.String())
		b.WriteByte('\n')
	}
	return b.String()
}

// A Hit names one flow of one switch.
type Hit struct {
	DPID openflow.DPID
	Flow flowset.Key
}

// Hits counts how often each flow was used: what its packet counter grows by.
func (r *Result) Hits() map[Hit]int {
	out := map[Hit]int{}
	for _, s := range r.Steps {
		if s.Flow != nil {
			out[Hit{s.DPID, flowset.KeyOf(s.Flow)}]++
		}
	}
	return out
}
