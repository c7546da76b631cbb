package placement

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// Sample is what was measured since the sample before it. What it names is as it says from now on; what it does
// not name is as it was, and its figures grow stale. Figures that are left out were not measured. All of them
// are means since the one before.
type Sample struct {
	At       time.Time       `json:"at"`
	Nodes    []NodeSample    `json:"nodes,omitempty"`
	Monitors []MonitorSample `json:"monitors,omitempty"`
	Flows    []FlowSample    `json:"flows,omitempty"`
	// Gone are ids of flows that are not wanted any more.
	Gone []string `json:"gone,omitempty"`
}

// NodeSample is what was measured of a Node, in its units.
type NodeSample struct {
	ID       string   `json:"id"`
	CPU      *float64 `json:"cpu,omitempty"`
	Link     float64  `json:"link,omitempty"`
	Sent     *float64 `json:"sent,omitempty"`
	Received *float64 `json:"received,omitempty"`
}

// MonitorSample is what was measured of a Monitor, in its units.
type MonitorSample struct {
	ID       string   `json:"id"`
	Node     string   `json:"node"`
	Provider bool     `json:"provider,omitempty"`
	Down     bool     `json:"down,omitempty"`
	Capacity float64  `json:"capacity,omitempty"`
	Share    float64  `json:"share,omitempty"`
	CPU      *float64 `json:"cpu,omitempty"`
	Received *float64 `json:"received,omitempty"`
}

// FlowSample is what was measured of a Flow: no rates is not measured.
type FlowSample struct {
	ID       string   `json:"id"`
	Node     string   `json:"node,omitempty"`
	Strategy Strategy `json:"strategy"`
	Monitors []string `json:"monitors,omitempty"`
	// Slices is the number of slices; zero is that of Rates.
	Slices int       `json:"slices,omitempty"`
	Rates  []float64 `json:"rates,omitempty"`
}

// Loads is what samples come to, smoothed. The zero value is before the first one.
type Loads struct {
	at       time.Time
	nodes    map[string]Node
	monitors map[string]Monitor
	flows    map[string]Flow
}

// Add gives what is known after one more sample, with time constant tau; l is as it was. Samples come in the order
// of time.
func (l Loads) Add(s Sample, tau time.Duration) (Loads, error) {
	if s.At.Before(l.at) {
		return l, fmt.Errorf("sample of %s comes after one of %s", s.At.Format(time.RFC3339Nano), l.at.Format(time.RFC3339Nano))
	}
	out := Loads{s.At, cloned(l.nodes), cloned(l.monitors), cloned(l.flows)}
	add := func(f Figure, v *float64) Figure {
		if v == nil {
			return f
		}
		return f.Add(*v, s.At, tau)
	}
	for _, x := range s.Nodes {
		n := out.nodes[x.ID]
		out.nodes[x.ID] = Node{x.ID, add(n.CPU, x.CPU), x.Link, add(n.Sent, x.Sent), add(n.Received, x.Received)}
	}
	for _, x := range s.Monitors {
		m := out.monitors[x.ID]
		out.monitors[x.ID] = Monitor{ID: x.ID, Node: x.Node, Provider: x.Provider, Down: x.Down, Capacity: x.Capacity,
			Share: x.Share, CPU: add(m.CPU, x.CPU), Received: add(m.Received, x.Received)}
	}
	for _, x := range s.Flows {
		n := max(x.Slices, len(x.Rates))
		if len(x.Rates) != 0 && len(x.Rates) != n || !validSlices(n) {
			return l, fmt.Errorf("flow %s: %d slices and %d rates: want a power of two, at most %d", x.ID, x.Slices, len(x.Rates), MaxSlices)
		}
		before := out.flows[x.ID]
		f := Flow{ID: x.ID, Node: x.Node, Strategy: x.Strategy, Monitors: x.Monitors, Rates: before.Rates, At: before.At}
		if len(f.Rates) == 0 {
			f.Rates = make([]float64, n)
		}
		f.Rates = resliced(f.Rates, n) // other slices than before have equal parts, until they are measured
		if x.Rates != nil {
			rates := make([]float64, n)
			for i, r := range x.Rates {
				rates[i] = Figure{f.Rates[i], f.At}.Add(r, s.At, tau).Value
			}
			f.Rates, f.At = rates, s.At
		}
		out.flows[x.ID] = f
	}
	for _, id := range s.Gone {
		delete(out.flows, id)
	}
	return out, nil
}

func cloned[T any](m map[string]T) map[string]T {
	if m == nil {
		return map[string]T{}
	}
	return maps.Clone(m)
}

// Input gives what Next decides by.
func (l Loads) Input(now time.Time, c Config) Input {
	return Input{Now: now, Config: c, Nodes: slices.Collect(maps.Values(l.nodes)),
		Monitors: slices.Collect(maps.Values(l.monitors)), Flows: slices.Collect(maps.Values(l.flows))}
}
