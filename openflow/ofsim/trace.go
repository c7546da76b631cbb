package ofsim

import (
	"encoding/hex"
	"strconv"

	"github.com/flowtap/flowtap/openflow"
)

// A Trace is the way of one frame, as a value that can be kept, sent as JSON and read by people
// (String). It is made by the same code that executes frames, so it cannot say anything else.
type Trace struct {
	// Hops are the switches that the frame and its copies came to, in the order of arrival; the
	// first is where it entered. A switch is there as often as frames came to it.
	Hops []*Hop `json:"hops"`
	// Error is set where a switch drops the frame and all copies because they would never end: no
	// Output counts then.
	Error string `json:"error,omitempty"`
}

// A Hop is one frame in one switch.
type Hop struct {
	DPID       openflow.DPID   `json:"datapath_id"`
	InPort     openflow.PortNo `json:"in_port"`
	InPortName string          `json:"in_port_name,omitempty"`
	// From is the hop that sent the frame by a tunnel or a patch port; nil where it entered.
	From   *int        `json:"from,omitempty"`
	Tunnel *TunnelInfo `json:"tunnel,omitempty"`
	Frame  Hex         `json:"frame"`
	// Flow is what table 0 decided; in it is all that followed.
	Flow *TraceNode `json:"flow"`
}

// TunnelInfo is what a tunnelled frame carries.
type TunnelInfo struct {
	ID  uint64 `json:"tun_id"`
	Src string `json:"tun_src"`
	Dst string `json:"tun_dst"`
}

// NodeKind is what a TraceNode is about.
type NodeKind string

// Kinds of nodes and what is in their Children.
const (
	NodeFlow   NodeKind = "flow"   // a flow that matched: its actions
	NodeMiss   NodeKind = "miss"   // a table where nothing matched: nothing
	NodeAction NodeKind = "action" // resubmit, goto_table: a flow; group: buckets; clone: actions
	NodeBucket NodeKind = "bucket" // a bucket of a group: its actions, in the order of execution
)

// A TraceNode is one thing that happened, and in Children what happened within it, in order.
type TraceNode struct {
	Kind NodeKind `json:"kind"`

	// Of flows and misses. The cookie tells whose flow it is.
	Table    *openflow.TableID `json:"table,omitempty"`
	Priority *uint16           `json:"priority,omitempty"`
	Match    string            `json:"match,omitempty"` // as ovs-ofctl spells it; empty matches everything
	Cookie   *Cookie           `json:"cookie,omitempty"`
	// Object is left empty for whoever knows what the cookie means.
	Object string `json:"object,omitempty"`

	// Action is an action as ovs-ofctl spells it.
	Action string `json:"action,omitempty"`
	// Of buckets, and of group actions without Bucket.
	Group  *openflow.GroupID `json:"group,omitempty"`
	Bucket *int              `json:"bucket,omitempty"`

	// Notes say what came of it, where that is not plain: why nothing was output, what a hash chose.
	Notes []string `json:"notes,omitempty"`
	// Output is the frame that left by this action.
	Output   *Output      `json:"output,omitempty"`
	Children []*TraceNode `json:"children,omitempty"`
}

// An Output is a frame that left a switch.
type Output struct {
	Port     openflow.PortNo `json:"port"`
	PortName string          `json:"port_name,omitempty"`
	Frame    Hex             `json:"frame"`
	Tunnel   *TunnelInfo     `json:"tunnel,omitempty"`
	// To is the hop where a frame sent by a tunnel or a patch port arrived.
	To *int `json:"to,omitempty"`
	// Lost says why a tunnelled frame arrived nowhere.
	Lost string `json:"lost,omitempty"`
}

// Final reports whether the frame left by a port that is neither a tunnel nor a patch.
func (o *Output) Final() bool {
	return o.Tunnel == nil && o.To == nil && o.Port != openflow.PortController
}

// Cookie is a flow's cookie, in text as 0x and hexadecimal digits: JSON numbers do not hold 64 bits.
type Cookie uint64

// String gives 0x and the digits.
func (c Cookie) String() string { return "0x" + strconv.FormatUint(uint64(c), 16) }

// MarshalText implements encoding.TextMarshaler.
func (c Cookie) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (c *Cookie) UnmarshalText(b []byte) error {
	v, err := strconv.ParseUint(string(b), 0, 64)
	*c = Cookie(v)
	return err
}

// Hex is bytes, in text as hexadecimal digits.
type Hex []byte

// String gives the digits.
func (h Hex) String() string { return hex.EncodeToString(h) }

// MarshalText implements encoding.TextMarshaler.
func (h Hex) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *Hex) UnmarshalText(b []byte) (err error) {
	*h, err = hex.DecodeString(string(b))
	return err
}

// Walk calls f for every node of a hop, parents first, in the order in which things happened.
func (h *Hop) Walk(f func(*TraceNode)) { h.Flow.walk(f) }

func (n *TraceNode) walk(f func(*TraceNode)) {
	if n == nil {
		return
	}
	f(n)
	for _, c := range n.Children {
		c.walk(f)
	}
}

// Outputs are the frames that left a hop, in order.
func (h *Hop) Outputs() []*Output {
	var out []*Output
	h.Walk(func(n *TraceNode) {
		if n.Output != nil {
			out = append(out, n.Output)
		}
	})
	return out
}

// A Leaving is a final output of a trace.
type Leaving struct {
	DPID openflow.DPID `json:"datapath_id"`
	*Output
}

// Leaves are the frames that left the fabric by ports: empty with an Error.
func (t *Trace) Leaves() []Leaving {
	var out []Leaving
	if t.Error != "" {
		return nil
	}
	for _, h := range t.Hops {
		for _, o := range h.Outputs() {
			if o.Final() {
				out = append(out, Leaving{h.DPID, o})
			}
		}
	}
	return out
}
