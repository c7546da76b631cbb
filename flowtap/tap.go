package flowtap

import (
	"slices"
	"time"
)

// Action is what happens to the frames of a contract's flow.
type Action string

// What becomes of a redirected flow whose monitor is gone: it stops (the default), or it passes by
// the monitor.
const (
	FailClosed = "closed"
	FailOpen   = "open"
)

// Actions. Forward copies, redirect diverts.
const (
	Forward  Action = "forward"
	Redirect Action = "redirect"
)

// Direction is which of the target's frames a contract concerns.
type Direction string

// Directions, as the target sees them: in is delivered to it, out is sent by it. Both is every
// frame, sent or delivered, that has the match or is the reply to one that has it: the match as
// written and the match with source and destination fields exchanged.
const (
	In   Direction = "in"
	Out  Direction = "out"
	Both Direction = "both"
)

// Tap is one contract.
type Tap struct {
	Src string `json:"src"`
	// Dst is a monitor's port, DstPool a pool of them: a tap has one of the two.
	Dst       string    `json:"dst,omitempty"`
	DstPool   string    `json:"dst_pool,omitempty"`
	Match     Match     `json:"match"`
	Direction Direction `json:"direction"`
	Action    Action    `json:"action"`
	// Priority is 0 to 1000; of two contracts on one target the higher one has the frame.
	Priority int  `json:"priority"`
	Enabled  bool `json:"enabled"`

	// FailMode is FailClosed or, for redirect only, FailOpen.
	FailMode string `json:"fail_mode"`
	// What follows acts on copies, so is for forward only. Truncate is how many bytes of a frame a copy
	// has at most; 0 is all.
	Truncate  int       `json:"truncate"`
	RateLimit RateLimit `json:"rate_limit"`
	// RewriteDstMAC gives copies the monitor's address, for monitors that are not promiscuous.
	RewriteDstMAC bool `json:"rewrite_dst_mac"`
	// Policy is the id of the policy that the tap follows from, and whose alone it is to change; empty is a tap
	// that was made by hand.
	Policy string `json:"policy,omitempty"`
}

// RateLimit bounds a contract's copies, in 1000 bits or in frames a second, not both; zero is no
// bound. Copies beyond it are dropped and counted. It is of the contract, and so of what any monitor gets by it:
// all members of a copy pool get the same frames, those of a spread pool share the rate.
type RateLimit struct {
	KBPS int `json:"kbps"`
	PPS  int `json:"pps"`
}

// States of a tap.
const (
	TapPending  = "pending"  // not yet in force; Reason says what it waits for
	TapActive   = "active"   // proven in the datapath of every switch concerned, tunnels warm
	TapDegraded = "degraded" // was active; Reason says what is missing
	TapDisabled = "disabled" // enabled is false
)

// Counters are a tap's totals since its creation. They are what switches counted: Open vSwitch adds
// up what its datapath did at least every half second, and bytes are those of whole frames, also where
// copies are truncated. A flooded frame that several targets' contracts send to one monitor is one
// copy, and is counted for one contract, the first of them that was made.
type Counters struct {
	// Matched frames are the contract's. Of a redirect they are those that were sent to the monitor.
	MatchedPackets uint64 `json:"matched_packets"`
	MatchedBytes   uint64 `json:"matched_bytes"`
	// Delivered frames were sent to the monitor by this contract. Of a contract that copies they are fewer
	// than the matched ones where the monitor had the frame already, by the contract of another target.
	DeliveredPackets uint64 `json:"delivered_packets"`
	DeliveredBytes   uint64 `json:"delivered_bytes"`
	// Dropped copies are those that rate_limit held back. Truncation drops nothing.
	DroppedPackets uint64 `json:"dropped_packets"`
	DroppedBytes   uint64 `json:"dropped_bytes"`
	// Returned frames are those that the monitor of a redirect gave back, and answers that it gave in an
	// endpoint's name.
	ReturnedPackets uint64 `json:"returned_packets"`
	ReturnedBytes   uint64 `json:"returned_bytes"`
}

// NodeCounters is one node's part of a tap's totals.
type NodeCounters struct {
	Node string `json:"node"`
	Counters
	// Held is the part that was counted by flows which the switch still held at ReadAt; what else there
	// is was counted by flows that are no more. A controller that starts tells by it what is new.
	Held   Counters  `json:"held"`
	ReadAt time.Time `json:"read_at"`
}

// TapStatus is what the controller made of a tap.
type TapStatus struct {
	State    string   `json:"state"`
	Reason   string   `json:"reason"`
	SrcNode  string   `json:"src_node,omitempty"`
	DstNode  string   `json:"dst_node,omitempty"`
	Counters Counters `json:"counters"`
	// Nodes are the parts of Counters, by node; those that never counted anything are left out.
	Nodes []NodeCounters `json:"nodes,omitempty"`
	// Revision is the revision of the tap that this state speaks of.
	Revision string `json:"revision,omitempty"`
}

// Equal reports whether two statuses say the same. When counters were read is no matter.
func (s TapStatus) Equal(o TapStatus) bool {
	return s.State == o.State && s.Reason == o.Reason && s.SrcNode == o.SrcNode && s.DstNode == o.DstNode &&
		s.Revision == o.Revision && s.Counters == o.Counters &&
		slices.EqualFunc(s.Nodes, o.Nodes, func(a, b NodeCounters) bool {
			return a.Node == b.Node && a.Counters == b.Counters && a.Held == b.Held
		})
}
