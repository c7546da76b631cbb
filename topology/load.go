package topology

import (
	"fmt"
	"time"
)

// A NodeReport is what an agent on a node measured.
type NodeReport struct {
	// CPU and Memory are how much of the node's is used, 0 to 1.
	CPU    float64 `json:"cpu"`
	Memory float64 `json:"memory"`
	// Link is bytes a second that the node's uplink carries each way; zero is unknown.
	Link float64 `json:"link,omitempty"`
}

// UnmarshalJSON reads a report strictly. cpu and memory are required.
func (r *NodeReport) UnmarshalJSON(b []byte) error {
	var v NodeReport
	given, err := DecodeObject(b, "", map[string]any{"cpu": &v.CPU, "memory": &v.Memory, "link": &v.Link})
	if err = firstError(err, required(given, "cpu", "memory"), share("cpu", v.CPU), share("memory", v.Memory), amount("link", v.Link)); err == nil {
		*r = v
	}
	return err
}

// A Heartbeat is what a monitor says of itself.
type Heartbeat struct {
	// CPU is how much it uses of the CPUs that it has, 0 to 1, Memory alike.
	CPU    float64 `json:"cpu"`
	Memory float64 `json:"memory"`
	// Share is which part of its node's CPUs it has, 0 to 1; zero is unknown.
	Share float64 `json:"share,omitempty"`
	// Capacity is bytes a second that it can bear; zero is not known to it.
	Capacity float64 `json:"capacity,omitempty"`
	// Totals since the monitor began: what it received, and what it had to drop.
	ReceivedFrames uint64 `json:"received_frames"`
	ReceivedBytes  uint64 `json:"received_bytes"`
	DroppedFrames  uint64 `json:"dropped_frames"`
	DroppedBytes   uint64 `json:"dropped_bytes"`
}

// UnmarshalJSON reads a heartbeat strictly. cpu is required.
func (h *Heartbeat) UnmarshalJSON(b []byte) error {
	var v Heartbeat
	given, err := DecodeObject(b, "", map[string]any{"cpu": &v.CPU, "memory": &v.Memory, "share": &v.Share, "capacity": &v.Capacity,
		"received_frames": &v.ReceivedFrames, "received_bytes": &v.ReceivedBytes, "dropped_frames": &v.DroppedFrames, "dropped_bytes": &v.DroppedBytes})
	if err = firstError(err, required(given, "cpu"), share("cpu", v.CPU), share("memory", v.Memory), share("share", v.Share), amount("capacity", v.Capacity)); err == nil {
		*h = v
	}
	return err
}

// NodeLoad is what is known of how busy a node is, smoothed.
type NodeLoad struct {
	// At is when the node's agent last reported; zero is never, and then CPU and Memory say nothing.
	At     time.Time `json:"at,omitzero"`
	CPU    float64   `json:"cpu"`
	Memory float64   `json:"memory"`
	// LinkAt is when the tunnel port's counters were last read, zero for never. Sent and Received are bytes a second by tunnels.
	LinkAt   time.Time `json:"link_at,omitzero"`
	Sent     float64   `json:"sent"`
	Received float64   `json:"received"`
	// Link is bytes a second that the uplink carries each way; zero is unknown.
	Link float64 `json:"link,omitempty"`
}

// Network is which part of the node's link is used, 0 where it is not known what the link carries.
func (l NodeLoad) Network() float64 {
	if l.Link <= 0 {
		return 0
	}
	return max(l.Sent, l.Received) / l.Link
}

// PortLoad is what a port sends and receives, bytes a second, smoothed.
type PortLoad struct {
	At       time.Time `json:"at"`
	Sent     float64   `json:"sent"`
	Received float64   `json:"received"`
}

// MonitorLoad is what a monitor last said of itself, CPU and received bytes a second smoothed over the same time.
// Idle and Bears are what was learned from it: how much of its CPUs it uses while it receives next to nothing, and bytes a second for
// which it would use all of them; zero is not known.
type MonitorLoad struct {
	At            time.Time `json:"at"`
	CPU           float64   `json:"cpu"`
	Memory        float64   `json:"memory"`
	Share         float64   `json:"share,omitempty"`
	Capacity      float64   `json:"capacity,omitempty"`
	Received      float64   `json:"received"`
	Idle          float64   `json:"idle,omitempty"`
	Bears         float64   `json:"bears,omitempty"`
	ReceivedTotal uint64    `json:"received_frames"`
	DroppedTotal  uint64    `json:"dropped_frames"`
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func required(given map[string]bool, names ...string) error {
	for _, n := range names {
		if !given[n] {
			return &FieldError{n, "is required"}
		}
	}
	return nil
}

func share(name string, v float64) error {
	if !(v >= 0 && v <= 1) {
		return &FieldError{name, fmt.Sprintf("%v: want 0 to 1, 1 being all there is", v)}
	}
	return nil
}

func amount(name string, v float64) error {
	if v != 0 && !(v >= 1 && v <= 1e15) {
		return &FieldError{name, fmt.Sprintf("%v: want bytes a second, 1 to 1e15, or 0 for unknown", v)}
	}
	return nil
}
