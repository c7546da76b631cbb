package placement

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// State is what Next remembers from one call to the next; the zero value is "nothing was placed". It is
// the placement and what hysteresis needs, can be kept as JSON, and is never changed by Next.
type State struct {
	// Flows has for each flow and slice where it is.
	Flows map[string][]Held `json:"flows"`
	// Hot are resources above the high watermark that have not been at the low one since, sorted.
	Hot []Resource `json:"hot,omitempty"`
	// Spent is how much of the move budget was used when, in the last Dwell.
	Spent []Spent `json:"spent,omitempty"`
}

// Held is where a slice is. Monitor is empty where nobody watches it.
type Held struct {
	Monitor string `json:"monitor,omitempty"`
	// Since is when it moved here; zero where it was placed here first.
	Since time.Time `json:"since,omitzero"`
}

// Spent is some moves at one time.
type Spent struct {
	At    time.Time `json:"at"`
	Moves int       `json:"moves"`
}

// Monitors gives the monitor of each slice of a flow, as Contracts wants them; nil where nothing is
// placed of it.
func (s State) Monitors(flow string) []string {
	var out []string
	for _, h := range s.Flows[flow] {
		if h.Monitor == "" {
			return nil
		}
		out = append(out, h.Monitor)
	}
	return out
}

// Resource is something that can be used up: "monitor", "cpu", "sent" or "received" and the id of the
// monitor or, for the other three, of the node.
type Resource struct {
	Kind string `json:"kind"`
	ID   string `json:"id"`
}

// Kinds of resource.
const (
	OfMonitor = "monitor"
	OfCPU     = "cpu"
	OfSent    = "sent"
	OfRecv    = "received"
)

func (r Resource) String() string {
	switch r.Kind {
	case OfMonitor:
		return "monitor " + r.ID
	case OfCPU:
		return "CPU of node " + r.ID
	}
	return "link of node " + r.ID + ", " + r.Kind
}

// Cause is why a slice moves.
type Cause string

// Causes. Only the last two are a choice: they wait for Dwell and count for the budget.
const (
	New  Cause = "new"  // nobody has watched it
	Lost Cause = "lost" // its monitor may not or cannot have it any more
	Hot  Cause = "hot"  // relieves a resource above the high watermark
	Home Cause = "home" // there is room on its target's node again
)

// Move is one slice that goes to another monitor.
type Move struct {
	Flow  string `json:"flow"`
	Slice int    `json:"slice"`
	From  string `json:"from,omitempty"`
	To    string `json:"to"`
	Cause Cause  `json:"cause"`
	// Relieves is the resource that is hot, for Hot, and Before and After its utilisation; for Home they are
	// those of the monitor that it goes to.
	Relieves Resource `json:"relieves,omitzero"`
	Before   float64  `json:"before"`
	After    float64  `json:"after"`
}

// String says why, in a line.
func (m Move) String() string {
	what := fmt.Sprintf("%s slice %d", m.Flow, m.Slice)
	switch m.Cause {
	case New:
		return fmt.Sprintf("%s is new, to %s", what, m.To)
	case Lost:
		return fmt.Sprintf("%s to %s: %s cannot have it any more", what, m.To, m.From)
	case Home:
		return fmt.Sprintf("%s from %s home to %s, which has room: %.0f %% becomes %.0f %%", what, m.From, m.To, 100*m.Before, 100*m.After)
	}
	return fmt.Sprintf("%s from %s to %s: %s from %.0f %% to %.0f %%", what, m.From, m.To, m.Relieves, 100*m.Before, 100*m.After)
}

// Note says what was not done, and why.
type Note struct {
	// About is a flow that is not watched, or a resource that stays hot.
	Flow     string   `json:"flow,omitempty"`
	Resource Resource `json:"resource,omitzero"`
	Reason   string   `json:"reason"`
}

// Result is what Next decides.
type Result struct {
	State State  `json:"state"`
	Moves []Move `json:"moves,omitempty"`
	Notes []Note `json:"notes,omitempty"`
	// Used is the utilisation of each resource as it is to be, 1 being all of it, sorted.
	Used []Use `json:"used"`
	// Max is the highest of them, Copied bytes a second go to monitors on other nodes than their target's.
	Max    float64 `json:"max"`
	Copied float64 `json:"copied"`
	// Best is a bound: no placement has the most loaded monitor below it.
	Best float64 `json:"best"`
}

// Use is the utilisation of one resource.
type Use struct {
	Resource
	Used float64 `json:"used"`
	// Stale says that it was measured too long ago to be acted upon.
	Stale bool `json:"stale,omitempty"`
}

// spent counts the budget used within the last dwell, and drops what is older.
func spent(all []Spent, now time.Time, dwell time.Duration) (kept []Spent, moves int) {
	for _, s := range all {
		if now.Sub(s.At) < dwell {
			kept = append(kept, s)
			moves += s.Moves
		}
	}
	return kept, moves
}

// inherited gives where slices were when there were as many as now: one that was divided leaves its place
// to its parts, and those that became one have the place of the first.
func inherited(before []Held, n int) []Held {
	out := make([]Held, n)
	if len(before) == 0 {
		return out
	}
	for i := range out {
		out[i] = before[i%len(before)]
	}
	return out
}

func compareResources(a, b Resource) int {
	return cmp.Or(cmp.Compare(slices.Index(kinds, a.Kind), slices.Index(kinds, b.Kind)), cmp.Compare(a.ID, b.ID))
}

var kinds = []string{OfMonitor, OfCPU, OfSent, OfRecv}
