package flowtap

import (
	"fmt"
	"math"

	"github.com/flowtap/flowtap/topology"
)

// defaultTap is a tap of which nothing is said.
var defaultTap = Tap{Direction: Both, Priority: 100, Enabled: true, FailMode: FailClosed}

// Limits of Tap.Priority.
const (
	MinPriority = 0
	MaxPriority = 1000
)

// UnmarshalJSON reads a tap strictly: an unknown field or a value of the wrong type is a
// *topology.FieldError. What is left out has its default: direction both, priority 100, enabled,
// every frame. Validate says whether the values can be.
func (t *Tap) UnmarshalJSON(b []byte) error {
	v := defaultTap
	_, err := topology.DecodeObject(b, "", map[string]any{
		"src": &v.Src, "dst": &v.Dst, "match": &v.Match, "direction": &v.Direction,
		"action": &v.Action, "priority": &v.Priority, "enabled": &v.Enabled,
		"dst_pool": &v.DstPool, "fail_mode": &v.FailMode, "truncate": &v.Truncate,
		"rate_limit": &v.RateLimit, "rewrite_dst_mac": &v.RewriteDstMAC,
		"policy": &v.Policy,
	})
	if err == nil {
		*t = v
	}
	return err
}

// UnmarshalJSON reads the bounds strictly.
func (r *RateLimit) UnmarshalJSON(b []byte) error {
	var v RateLimit
	_, err := topology.DecodeObject(b, "rate_limit.", map[string]any{"kbps": &v.KBPS, "pps": &v.PPS})
	if err == nil {
		*r = v
	}
	return err
}

// Validate gives a *topology.FieldError for the first field that cannot be. Whether src, dst and
// dst_pool exist and what kind they are is for the caller to find out.
func (t Tap) Validate() error {
	for _, check := range []func() error{t.validEnds, t.validAction, t.validFlow, t.validOptions} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func tapErr(field, format string, args ...any) error {
	return &topology.FieldError{Field: field, Detail: fmt.Sprintf(format, args...)}
}

func (t Tap) validEnds() error {
	if t.Src == "" {
		return tapErr("src", "is required: the id of the port to tap")
	}
	if err := topology.ValidRef(t.Src); err != nil {
		return tapErr("src", "%s is not an id: %v", quote(t.Src), err)
	}
	switch {
	case t.Dst == "" && t.DstPool == "":
		return tapErr("dst", "is required: the id of the monitor's port; or give dst_pool")
	case t.Dst != "" && t.DstPool != "":
		return tapErr("dst_pool", "a tap has dst or dst_pool, not both")
	case t.Src == t.Dst:
		return tapErr("dst", "is the target itself")
	}
	field, id := "dst", t.Dst
	if t.DstPool != "" {
		field, id = "dst_pool", t.DstPool
	}
	if err := topology.ValidRef(id); err != nil {
		return tapErr(field, "%s is not an id: %v", quote(id), err)
	}
	return nil
}

func (t Tap) validAction() error {
	switch t.Action {
	case Forward, Redirect:
		return nil
	case "":
		return tapErr("action", "is required: forward or redirect")
	}
	return tapErr("action", "%s: want forward or redirect", quote(string(t.Action)))
}

func (t Tap) validFlow() error {
	switch stage := t.Match.form().stage; {
	case t.Direction != In && t.Direction != Out && t.Direction != Both:
		return tapErr("direction", "%s: want in, out or both", quote(string(t.Direction)))
	case stage != "" && t.Direction != Both && stage != t.Direction:
		return tapErr("match.table", "table=%s contradicts direction %s", stage, t.Direction)
	}
	if t.Priority < MinPriority || t.Priority > MaxPriority {
		return tapErr("priority", "%d: want %d to %d", t.Priority, MinPriority, MaxPriority)
	}
	return nil
}

// Limits of Tap.Truncate, in bytes of a copy, where it is not zero, and of both of Tap.RateLimit
// (OpenFlow 1.3.5 §7.3.4.5: the rate of a meter band has 32 bits).
const (
	MinTruncate = 64
	MaxTruncate = 65535
	MaxRate     = math.MaxUint32
)

// validOptions: fail_mode is about frames that wait for the monitor, which only redirected ones do;
// the others are about copies, which a redirected frame is not.
func (t Tap) validOptions() error {
	switch t.FailMode {
	case FailClosed:
	case FailOpen:
		if t.Action != Redirect {
			return tapErr("fail_mode", "open is for redirect: copies never stop the flow")
		}
	default:
		return tapErr("fail_mode", "%s: want closed or open", quote(t.FailMode))
	}
	if t.Truncate != 0 && (t.Truncate < MinTruncate || t.Truncate > MaxTruncate) {
		return tapErr("truncate", "%d: want 0, which is whole frames, or %d to %d bytes", t.Truncate, MinTruncate, MaxTruncate)
	}
	r := t.RateLimit
	switch {
	case r.KBPS < 0 || r.KBPS > MaxRate:
		return tapErr("rate_limit.kbps", "%d: want 0, which is no bound, to %d", r.KBPS, MaxRate)
	case r.PPS < 0 || r.PPS > MaxRate:
		return tapErr("rate_limit.pps", "%d: want 0, which is no bound, to %d", r.PPS, MaxRate)
	case r.KBPS != 0 && r.PPS != 0:
		return tapErr("rate_limit", "give kbps or pps, not both")
	}
	if t.Action == Redirect {
		const copies = "acts on copies, and a redirected frame is the frame itself"
		switch {
		case t.Truncate != 0:
			return tapErr("truncate", copies)
		case r != RateLimit{}:
			return tapErr("rate_limit", copies)
		case t.RewriteDstMAC:
			return tapErr("rewrite_dst_mac", copies)
		}
	}
	return nil
}
