package rest

import (
	"fmt"
	"io"
	"strings"
)

// Plan is the answer to a dry run.
type Plan struct {
	Switches []SwitchPlan `json:"switches"`
	// Taps and Diagnostics are those of a policy.
	Taps *struct {
		Created int       `json:"created"`
		Changed int       `json:"changed"`
		Deleted int       `json:"deleted"`
		Items   []TapPlan `json:"items"`
	} `json:"taps"`
	Diagnostics []Diagnostic `json:"diagnostics"`
}

// TapPlan is what a policy would do to one tap: make it, change what it was, or delete it.
type TapPlan struct {
	Op  string `json:"op"`
	ID  string `json:"id"`
	Tap *Tap   `json:"tap"`
	Was *Tap   `json:"was"`
}

// Tap is what is shown of a tap: all that a policy can say of one.
type Tap struct {
	Src           string                  `json:"src"`
	Dst           string                  `json:"dst"`
	DstPool       string                  `json:"dst_pool"`
	Match         string                  `json:"match"`
	Direction     string                  `json:"direction"`
	Action        string                  `json:"action"`
	Priority      int                     `json:"priority"`
	Enabled       bool                    `json:"enabled"`
	FailMode      string                  `json:"fail_mode"`
	Truncate      int                     `json:"truncate"`
	RateLimit     struct{ KBPS, PPS int } `json:"rate_limit"`
	RewriteDstMAC bool                    `json:"rewrite_dst_mac"`
}

func (t *Tap) String() string {
	match := t.Match
	if match == "" {
		match = "everything"
	}
	text := fmt.Sprintf("%s of %s (%s, priority %d): %s to %s", match, t.Src, t.Direction, t.Priority, t.Action, t.Dst+t.DstPool)
	for _, more := range []struct {
		is   bool
		text string
	}{
		{!t.Enabled, "disabled"},
		{t.FailMode == "open", "fails open"},
		{t.Truncate > 0, fmt.Sprintf("%d bytes of each frame", t.Truncate)},
		{t.RateLimit.KBPS > 0, fmt.Sprintf("at most %d kbit/s", t.RateLimit.KBPS)},
		{t.RateLimit.PPS > 0, fmt.Sprintf("at most %d frames/s", t.RateLimit.PPS)},
		{t.RewriteDstMAC, "with the monitor's address"},
	} {
		if more.is {
			text += ", " + more.text
		}
	}
	return text
}

// SwitchPlan is what would change on one switch.
type SwitchPlan struct {
	Node          string   `json:"node"`
	FlowsAdded    []string `json:"flows_added"`
	FlowsChanged  []string `json:"flows_changed"`
	FlowsRemoved  []string `json:"flows_removed"`
	GroupsAdded   []string `json:"groups_added"`
	GroupsChanged []string `json:"groups_changed"`
	GroupsRemoved []string `json:"groups_removed"`
	MetersAdded   []string `json:"meters_added"`
	MetersChanged []string `json:"meters_changed"`
	MetersRemoved []string `json:"meters_removed"`
}

// Print shows a plan, a line a tap, flow, group and meter.
func (p *Plan) Print(out io.Writer) error {
	var b strings.Builder
	for _, d := range p.Diagnostics {
		b.WriteString(d.Text)
	}
	if t := p.Taps; t != nil {
		fmt.Fprintf(&b, "taps: %d created, %d changed, %d deleted\n", t.Created, t.Changed, t.Deleted)
		for _, one := range t.Items {
			switch {
			case one.Tap == nil:
				fmt.Fprintf(&b, "  - %s %s\n", one.ID, one.Was)
			case one.Was == nil:
				fmt.Fprintf(&b, "  + %s %s\n", one.ID, one.Tap)
			default:
				fmt.Fprintf(&b, "  ~ %s %s (was: %s)\n", one.ID, one.Tap, one.Was)
			}
		}
		if n := t.Created + t.Changed + t.Deleted - len(t.Items); n > 0 {
			fmt.Fprintf(&b, "  and %d more\n", n)
		}
	}
	if len(p.Switches) == 0 {
		b.WriteString("no switch would change\n")
	}
	for _, s := range p.Switches {
		fmt.Fprintf(&b, "%s:\n", s.Node)
		for _, part := range []struct {
			mark, what string
			lines      []string
		}{
			{"+", "meter", s.MetersAdded}, {"~", "meter", s.MetersChanged}, {"+", "group", s.GroupsAdded}, {"~", "group", s.GroupsChanged}, {"+", "flow", s.FlowsAdded},
			{"~", "flow", s.FlowsChanged}, {"-", "flow", s.FlowsRemoved}, {"-", "group", s.GroupsRemoved},
			{"-", "meter", s.MetersRemoved},
		} {
			for _, line := range part.lines {
				fmt.Fprintf(&b, "  %s %s %s\n", part.mark, part.what, line)
			}
		}
	}
	_, err := io.WriteString(out, b.String())
	return err
}
