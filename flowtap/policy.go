package flowtap

import (
	"slices"

	"github.com/flowtap/flowtap/topology"
)

// Policy is a text from which taps follow (docs/POLICY.md).
type Policy struct {
	Source string `json:"source"`
	// Provider says that a provider wrote it: it then sees nodes, and where ports are.
	Provider bool `json:"provider"`
}

// States of a policy.
const (
	PolicyPending = "pending" // nobody has compiled this revision yet
	PolicyActive  = "active"  // its taps are those that it wants
	PolicyInvalid = "invalid" // it wants taps that cannot be, as facts are; those that it had go on
)

// PolicyStatus is what became of a policy.
type PolicyStatus struct {
	State string `json:"state"`
	// Reason is the first of the Diagnostics that is an error, in a line.
	Reason string `json:"reason,omitempty"`
	// Taps counts those that there are.
	Taps int `json:"taps"`
	// Revision is the revision of the policy that this state speaks of, and Running the one whose taps there are.
	Revision    string       `json:"revision,omitempty"`
	Running     string       `json:"running,omitempty"`
	Diagnostics []Diagnostic `json:"diagnostics,omitempty"`
}

// Diagnostic is one thing to say of a policy's text, and where; Line and Column begin with 1, and are 0 where it is
// about no place.
type Diagnostic struct {
	Severity string `json:"severity"` // error or warning
	Line     int    `json:"line"`
	Column   int    `json:"column"`
	Message  string `json:"message"`
	Hint     string `json:"hint,omitempty"`
	// Text is all of it as compilers print it: with the line, a caret below, and what else has to do with it.
	Text string `json:"text"`
}

// Equal reports whether two statuses say the same.
func (s PolicyStatus) Equal(o PolicyStatus) bool {
	return s.State == o.State && s.Reason == o.Reason && s.Taps == o.Taps && s.Revision == o.Revision && s.Running == o.Running &&
		slices.Equal(s.Diagnostics, o.Diagnostics)
}

// UnmarshalJSON reads a policy strictly.
func (p *Policy) UnmarshalJSON(b []byte) error {
	var v Policy
	_, err := topology.DecodeObject(b, "", map[string]any{"source": &v.Source, "provider": &v.Provider})
	if err == nil {
		*p = v
	}
	return err
}
