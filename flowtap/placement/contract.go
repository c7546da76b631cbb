package placement

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/flowtap/flowtap/flowtap"
)

// Levels is how many priorities, one after the other, a flow takes that is split: its own for all that
// no exception is made for, and up to two above for exceptions.
const Levels = 3

// SliceOf says in which of so many slices, a power of two, a frame is whose remote address this is: its
// low-order bits. What has no IP address (give the zero Addr) is in slice 0. The remote address is the
// destination of what the target sends and the source of what is delivered to it, so both directions of a
// connection are in one slice.
func SliceOf(remote netip.Addr, of int) int {
	if !remote.IsValid() {
		return 0
	}
	b := remote.AsSlice()
	n := len(b)
	return (int(b[n-2])<<8 | int(b[n-1])) & (of - 1)
}

// Contracts gives the taps by which each slice of a flow is watched by its monitor: monitors[i] has slice i,
// and their number is a power of two. The tap says everything but Dst.
//
// The flow as a whole, at its own priority, goes to the monitor of slice 0: frames without an IP address
// are then in no other slice, whatever they are, and nothing is missed. Slices of other monitors are exceptions
// above it, as few as low-order bits allow: slices 1 and 3 of four at one monitor are nw_dst=0.0.0.1/0.0.0.1.
// Exceptions never overlap each other at one priority: where a flow of both directions and its reverse have
// frames in common, those of the reverse are one priority higher.
//
// An error says that the tap cannot be split; one slice, or all at one monitor, is always possible.
func Contracts(tap flowtap.Tap, monitors []string) ([]flowtap.Tap, error) {
	all, err := contracts(tap, monitors)
	if err != nil {
		return nil, err
	}
	taps := make([]flowtap.Tap, len(all))
	for i, c := range all {
		taps[i] = c.tap
	}
	return taps, nil
}

// A contract is one tap of a flow that is split, and how many of its slices it has: those whose numbers are of.value
// but for higher bits or, of the flow as a whole, those that no exception has.
type contract struct {
	tap   flowtap.Tap
	of    part
	whole bool
}

func contracts(tap flowtap.Tap, monitors []string) ([]contract, error) {
	if n := len(monitors); !validSlices(n) {
		return nil, fmt.Errorf("%d slices: want a power of two, at most %d", n, MaxSlices)
	}
	tap.Dst, tap.DstPool = monitors[0], ""
	out := []contract{{tap: tap, whole: true}}
	parts := exceptions(monitors)
	switch {
	case len(parts) == 0:
		return out, nil
	case tap.RateLimit != (flowtap.RateLimit{}):
		return nil, fmt.Errorf("a rate limit is of one contract and cannot be split")
	case !Splittable(tap):
		return nil, fmt.Errorf("priority %d leaves no room for exceptions above: a flow that is split has at most %d",
			tap.Priority, flowtap.MaxPriority-Levels+1)
	}
	for _, v := range views(tap) {
		for _, p := range parts {
			for _, remote := range p.matches(v.remoteIsDst) {
				if m, ok := flowtap.And(v.match, remote); ok {
					t := tap
					t.Match, t.Dst, t.Priority = m, p.monitor, tap.Priority+v.level
					out = append(out, contract{tap: t, of: p})
				}
			}
		}
	}
	return out, nil
}

// Splittable reports whether a flow may have more than one slice.
func Splittable(tap flowtap.Tap) bool {
	return tap.RateLimit == (flowtap.RateLimit{}) && tap.Priority <= flowtap.MaxPriority-Levels+1
}

// A view is a part of a flow in which the remote address is the same field of all frames that the match
// describes. (A tap of both directions has the replies, in which it is the other one, by itself.)
type view struct {
	match       flowtap.Match
	remoteIsDst bool
	level       int
}

func views(tap flowtap.Tap) []view {
	m := tap.Match
	switch tap.Direction {
	case flowtap.In:
		return []view{{m, false, 1}}
	case flowtap.Out:
		return []view{{m, true, 1}}
	}
	// Both directions. A table names one of them, and has no replies.
	for _, d := range []flowtap.Direction{flowtap.In, flowtap.Out} {
		if at, ok := flowtap.And(m, mustMatch("table="+string(d))); ok && at == m {
			return []view{{m, d == flowtap.Out, 1}}
		}
	}
	// With its in_port a tap has what the target sends, by the match, and what is delivered to it, by the
	// match reversed: in both the remote address is the match's destination.
	sent := mustMatch("in_port=" + tap.Src)
	own, ok := flowtap.And(m, sent)
	if !ok { // the in_port is another port, the remote one
		return []view{{m, false, 1}}
	}
	out := []view{{own, true, 1}}
	back := m.Reverse()
	if own == m || back == m {
		return out
	}
	// The match has no in_port: frames that are delivered by it are those sent by its reverse, reversed.
	level := 1
	if _, common := flowtap.Intersect(m, back); common {
		level = 2
	}
	if back, ok = flowtap.And(back, sent); ok {
		out = append(out, view{back, true, level})
	}
	return out
}

// A part is slices whose numbers have the low-order bits in common, at one monitor.
type part struct {
	value, bits int
	monitor     string
}

// exceptions gives the parts that are not at the monitor of slice 0, as few as there can be.
func exceptions(monitors []string) []part {
	var out []part
	var walk func(value, bits int)
	walk = func(value, bits int) {
		first, same := monitors[value], true
		for i := value; i < len(monitors) && same; i += 1 << bits {
			same = monitors[i] == first
		}
		switch {
		case !same:
			walk(value, bits+1)
			walk(value|1<<bits, bits+1)
		case first != monitors[0]:
			out = append(out, part{value, bits, first})
		}
	}
	walk(0, 0)
	slices.SortFunc(out, func(a, b part) int { return a.value - b.value })
	return out
}

// matches gives the part's addresses in IPv4 and in IPv6.
func (p part) matches(isDst bool) []flowtap.Match {
	end := "src"
	if isDst {
		end = "dst"
	}
	low := func(v int) [16]byte { return [16]byte{14: byte(v >> 8), 15: byte(v)} }
	value, mask := low(p.value), low(1<<p.bits-1)
	return []flowtap.Match{
		mustMatch(fmt.Sprintf("nw_%s=%s/%s", end, netip.AddrFrom4([4]byte(value[12:])), netip.AddrFrom4([4]byte(mask[12:])))),
		mustMatch(fmt.Sprintf("ipv6_%s=%s/%s", end, netip.AddrFrom16(value), netip.AddrFrom16(mask))),
	}
}

// mustMatch reads a match of our own making.
func mustMatch(s string) flowtap.Match {
	m, err := flowtap.ParseMatch(s)
	if err != nil {
		panic(fmt.Sprintf("match %q: %v", s, err))
	}
	return m
}
