package flowtap

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
}

// RateLimit bounds a contract's copies, in 1000 bits or in frames a second, not both; zero is no
// bound. Copies beyond it are dropped and counted.
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

// Counters are a tap's totals over all nodes and since its creation.
type Counters struct {
	MatchedPackets   uint64 `json:"matched_packets"`
	MatchedBytes     uint64 `json:"matched_bytes"`
	DeliveredPackets uint64 `json:"delivered_packets"`
	DeliveredBytes   uint64 `json:"delivered_bytes"`
	// Dropped copies are those that rate_limit held back. Truncation drops nothing.
	DroppedPackets uint64 `json:"dropped_packets"`
	DroppedBytes   uint64 `json:"dropped_bytes"`
}

// TapStatus is what the controller made of a tap.
type TapStatus struct {
	State    string   `json:"state"`
	Reason   string   `json:"reason"`
	SrcNode  string   `json:"src_node,omitempty"`
	DstNode  string   `json:"dst_node,omitempty"`
	Counters Counters `json:"counters"`
	// Revision is the revision of the tap that this state speaks of.
	Revision string `json:"revision,omitempty"`
}
