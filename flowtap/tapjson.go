package flowtap

import (
	"fmt"

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

// Validate gives a *topology.FieldError for the first field that cannot be. The detail of a value
// whose feature does not exist begins with "not yet: ". Whether src and dst exist and what kind
// of port they are is for the caller to find out.
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
	if err := topology.ValidID(t.Src); err != nil {
		return tapErr("src", "%s is not an id: %v", quote(t.Src), err)
	}
	if t.DstPool != "" {
		if t.Dst != "" {
			return tapErr("dst_pool", "a tap has dst or dst_pool, not both")
		}
		return tapErr("dst_pool", "not yet: give a monitor as dst")
	}
	if t.Dst == "" {
		return tapErr("dst", "is required: the id of the monitor's port")
	}
	if err := topology.ValidID(t.Dst); err != nil {
		return tapErr("dst", "%s is not an id: %v", quote(t.Dst), err)
	}
	if t.Src == t.Dst {
		return tapErr("dst", "is the target itself")
	}
	return nil
}

func (t Tap) validAction() error {
	switch t.Action {
	case Forward:
		return nil
	case Redirect:
		return tapErr("action", "not yet: redirect")
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

func (t Tap) validOptions() error {
	switch t.FailMode {
	case FailClosed:
	case FailOpen:
		return tapErr("fail_mode", "not yet: open")
	default:
		return tapErr("fail_mode", "%s: want closed or open", quote(t.FailMode))
	}
	for _, n := range []struct {
		field string
		value int
	}{{"truncate", t.Truncate}, {"rate_limit.kbps", t.RateLimit.KBPS}, {"rate_limit.pps", t.RateLimit.PPS}} {
		switch {
		case n.value < 0:
			return tapErr(n.field, "%d is negative", n.value)
		case n.value > 0:
			return tapErr(n.field, "not yet: only 0, which is no bound")
		}
	}
	if t.RewriteDstMAC {
		return tapErr("rewrite_dst_mac", "not yet: copies are exact")
	}
	return nil
}
