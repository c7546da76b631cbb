package placement

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"
)

// Strategy is which monitors may watch a flow.
type Strategy string

// Strategies.
const (
	// PerApplication: the monitors that the flow names.
	PerApplication Strategy = "per_application"
	// PerNode: the provider's monitors on the target's node, so that copies never cross the fabric.
	PerNode Strategy = "per_node"
	// Hybrid: all of the provider's monitors, those on the target's node first.
	Hybrid Strategy = "hybrid"
)

// MaxSlices is the largest number of slices of one flow, and MaxParts the largest into which Place divides one.
const (
	MaxSlices = 512
	MaxParts  = 16
)

// Flow is what is wanted to be watched: frames of one target. It is placed slice by slice, see SliceOf.
type Flow struct {
	ID string `json:"id"`
	// Node is where the target runs; empty while it is nowhere: then its slices stay where they are.
	Node     string   `json:"node,omitempty"`
	Strategy Strategy `json:"strategy"`
	// Monitors are those that the policy names. For PerNode and Hybrid nil is the provider's.
	Monitors []string `json:"monitors,omitempty"`
	// Rates are bytes a second of each slice, as its monitor gets them. Their number, a power of two, is that of
	// the slices.
	Rates []float64 `json:"rates"`
	// At is when Rates were last measured, zero for never. What was never measured, or is stale, is not moved
	// but where it must be.
	At time.Time `json:"at"`
}

// Monitor is a monitor's port.
type Monitor struct {
	ID   string `json:"id"`
	Node string `json:"node"`
	// Provider says that it is the provider's, and serves flows of PerNode and Hybrid.
	Provider bool `json:"provider,omitempty"`
	// Down says that it cannot have flows: it is on no switch, say.
	Down bool `json:"down,omitempty"`
	// Capacity is bytes a second by declaration; zero is none declared.
	Capacity float64 `json:"capacity,omitempty"`
	// CPU is how much it uses of the CPUs that it has, 0 to 1, and Received bytes a second over the same time:
	// together they say what it can bear.
	CPU      Figure `json:"cpu"`
	Received Figure `json:"received"`
	// Other is the part of Received, bytes a second, that is by no slice: by taps that name the monitor, say. Who measures says it.
	Other float64 `json:"other,omitempty"`
	Learned
	// Share is which part of its node's CPUs it has, 0 to 1; zero is unknown, and then watching costs the node
	// nothing that we could foresee.
	Share float64 `json:"share,omitempty"`
}

// Node is a cloud node. What was never measured of it bounds nothing.
type Node struct {
	ID string `json:"id"`
	// CPU is how much of it is used, 0 to 1, by all including monitors.
	CPU Figure `json:"cpu"`
	// Link is bytes a second each way, zero for unknown. Sent and Received are what it carries besides copies:
	// whoever measures subtracts those, which taps count over the same time.
	Link     float64 `json:"link,omitempty"`
	Sent     Figure  `json:"sent"`
	Received Figure  `json:"received"`
}

// Config bounds what Next does. Zero fields have the defaults named.
type Config struct {
	// High and Low are watermarks of utilisation: above High a resource is relieved until it is at Low, below
	// Low nothing is to be gained. By default 0.77 and 0.70: what is left alone is within 10 % of the goal.
	High, Low float64
	// Dwell is how long a slice that moved stays where it is. 30 s.
	Dwell time.Duration
	// Budget is which part of all slices may move in one Dwell, and at least LeastMoves. 0.02 and 8. Slices that
	// cannot stay where they are do not count.
	Budget     float64
	LeastMoves int
	// MaxAge is when a figure is stale. 15 s.
	MaxAge time.Duration
	// Capacity is that of monitors of which nothing is known, in bytes a second. 125 MB, a full gigabit.
	Capacity float64
	// Slice is how much of a monitor one slice of a flow may need before Place divides the flow further. 0.05.
	Slice float64
}

func (c Config) withDefaults() Config {
	c.High, c.Low = cmp.Or(c.High, 0.77), cmp.Or(c.Low, 0.70)
	c.Dwell, c.MaxAge = cmp.Or(c.Dwell, 30*time.Second), cmp.Or(c.MaxAge, 15*time.Second)
	c.Budget, c.LeastMoves = cmp.Or(c.Budget, 0.02), cmp.Or(c.LeastMoves, 8)
	c.Capacity, c.Slice = cmp.Or(c.Capacity, 125e6), cmp.Or(c.Slice, 0.05)
	return c
}

// Input is what Next decides by. The order of the lists is no matter.
type Input struct {
	Now      time.Time `json:"now"`
	Nodes    []Node    `json:"nodes"`
	Monitors []Monitor `json:"monitors"`
	Flows    []Flow    `json:"flows"`
	Config   Config    `json:"-"`
}

// validate names the first thing that cannot be.
func (in *Input) validate() error {
	c := in.Config
	switch {
	case !(c.Low > 0 && c.High > c.Low):
		return fmt.Errorf("watermarks %v and %v: want 0 < low < high", c.Low, c.High)
	case c.Dwell < 0 || c.MaxAge < 0 || !positive(c.Budget) || c.LeastMoves < 0 || !positive(c.Capacity):
		return fmt.Errorf("config: dwell, max age, budget, least moves and capacity cannot be negative")
	}
	for _, n := range in.Nodes {
		if !positive(n.Link, n.CPU.Value, n.Sent.Value, n.Received.Value) {
			return fmt.Errorf("node %s: figures are finite and not negative", n.ID)
		}
	}
	for _, m := range in.Monitors {
		if !positive(m.Capacity, m.Share, m.CPU.Value, m.Received.Value, m.Other, m.Idle, m.Bears) || m.Idle > 1 {
			return fmt.Errorf("monitor %s: figures are finite and not negative", m.ID)
		}
	}
	for _, f := range in.Flows {
		switch {
		case !validSlices(len(f.Rates)):
			return fmt.Errorf("flow %s: %d slices: want a power of two, at most %d", f.ID, len(f.Rates), MaxSlices)
		case !positive(f.Rates...):
			return fmt.Errorf("flow %s: rates are finite and not negative", f.ID)
		case f.Strategy != PerApplication && f.Strategy != PerNode && f.Strategy != Hybrid:
			return fmt.Errorf("flow %s: strategy %q: want %s, %s or %s", f.ID, f.Strategy, PerApplication, PerNode, Hybrid)
		}
	}
	return cmp.Or(
		unique("node", in.Nodes, func(n Node) string { return n.ID }),
		unique("monitor", in.Monitors, func(m Monitor) string { return m.ID }),
		unique("flow", in.Flows, func(f Flow) string { return f.ID }))
}

func validSlices(n int) bool { return n > 0 && n <= MaxSlices && n&(n-1) == 0 }

// positive reports whether all of some numbers are finite and not negative.
func positive(xs ...float64) bool {
	for _, x := range xs {
		if !(x >= 0) || math.IsInf(x, 0) {
			return false
		}
	}
	return true
}

// unique gives an error for an id that is there twice. The list is sorted by id.
func unique[T any](kind string, list []T, id func(T) string) error {
	for i := 1; i < len(list); i++ {
		if id(list[i-1]) == id(list[i]) {
			return fmt.Errorf("%s %s is there twice", kind, id(list[i]))
		}
	}
	return nil
}

// sorted gives the input with its lists in order of ids and defaults filled in; the caller's are as they were.
func (in Input) sorted() Input {
	in.Config = in.Config.withDefaults()
	in.Nodes, in.Monitors, in.Flows = slices.Clone(in.Nodes), slices.Clone(in.Monitors), slices.Clone(in.Flows)
	slices.SortStableFunc(in.Nodes, func(a, b Node) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortStableFunc(in.Monitors, func(a, b Monitor) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortStableFunc(in.Flows, func(a, b Flow) int { return cmp.Compare(a.ID, b.ID) })
	return in
}
