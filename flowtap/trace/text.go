package trace

import (
	"fmt"
	"strings"

	"github.com/flowtap/flowtap/openflow/ofsim"
)

// String is the trace for people: what came of the frame, and below it how.
func (t *Trace) String() string {
	b := new(strings.Builder)
	t.write(b)
	return b.String()
}

func (t *Trace) write(b *strings.Builder) {
	fmt.Fprintf(b, "%s\nenters by port %s\n", t.Frame, t.Port)
	for _, o := range t.Outputs {
		fmt.Fprintf(b, "  comes out at %s (node %s, hop %d)\n", portText(o.Port, o.OFPort), o.Node, o.Hop)
	}
	for _, c := range t.Copies {
		fmt.Fprintf(b, "  is copied to monitor %s (tap %s; node %s, hop %d)\n", c.Monitor, c.Tap, c.Node, c.Hop)
	}
	for _, c := range t.Stops {
		fmt.Fprintf(b, "  is redirected to monitor %s (tap %s; node %s, hop %d)", c.Monitor, c.Tap, c.Node, c.Hop)
		if c.GivenBack != nil {
			fmt.Fprintf(b, ", and given back (hop %d)", *c.GivenBack)
		}
		b.WriteByte('\n')
	}
	switch {
	case t.Error != "":
		fmt.Fprintf(b, "  is dropped with all copies: %s\n", t.Error)
	case len(t.Outputs)+len(t.Copies)+len(t.Stops) == 0:
		b.WriteString("  is dropped\n")
	}
	for i, h := range t.Hops {
		fmt.Fprintf(b, "\nhop %d: node %s, ", i, h.Node)
		switch {
		case h.GivenBackBy != "":
			fmt.Fprintf(b, "given back by monitor %s (hop %d) at port %s\n", h.GivenBackBy, *h.From, portText(h.Port, h.InPort))
		case h.From != nil:
			fmt.Fprintf(b, "from hop %d by tunnel", *h.From)
			if h.Tunnel != nil {
				fmt.Fprintf(b, ", label %#x", h.Tunnel.ID)
			}
			b.WriteByte('\n')
		default:
			fmt.Fprintf(b, "in by port %s\n", portText(h.Port, h.InPort))
		}
		for _, s := range h.Steps {
			s.write(b, "  ")
		}
	}
}

func portText(id string, no any) string {
	if id == "" {
		return fmt.Sprintf("number %v, which is nobody's", no)
	}
	return id
}

func (s *Step) write(b *strings.Builder, pre string) {
	if s == nil {
		return
	}
	in := pre + "     "
	switch s.Kind {
	case ofsim.NodeMiss:
		fmt.Fprintf(b, "%s%2d %s: no flow\n", pre, *s.Table, s.TableName)
	case ofsim.NodeFlow:
		match := s.Match
		if match == "" {
			match = "any"
		}
		fmt.Fprintf(b, "%s%2d %s: %s, priority %d%s\n", pre, *s.Table, s.TableName, match, *s.Priority, s.Origin.text())
		if len(s.Steps) == 0 {
			b.WriteString(in + "drop\n")
		}
	case ofsim.NodeBucket:
		fmt.Fprintf(b, "%sbucket %d\n", pre, *s.Bucket)
		in = pre + "  "
	default:
		if !strings.HasPrefix(s.Action, "goto_table:") {
			b.WriteString(pre + s.Action + s.Output.text() + "\n")
		}
		in = pre + "  "
	}
	for _, n := range s.Notes {
		b.WriteString(in + "(" + n + ")\n")
	}
	for _, c := range s.Steps {
		if strings.HasPrefix(s.Action, "goto_table:") {
			c.write(b, strings.TrimSuffix(pre, "     ")) // beside the flow that led there
			continue
		}
		c.write(b, in)
	}
}

func (o *Origin) text() string {
	switch {
	case o == nil:
		return ""
	case o.ID == "":
		return " [" + o.Kind + "]"
	case o.Kind == strings.TrimSuffix(o.Collection, "s"):
		return fmt.Sprintf(" [%s %s]", o.Kind, o.ID)
	}
	return fmt.Sprintf(" [%s of %s %s]", o.Kind, strings.TrimSuffix(o.Collection, "s"), o.ID)
}

func (l *Left) text() string {
	switch {
	case l == nil:
		return ""
	case l.Lost != "":
		return " -> lost: " + l.Lost
	case l.To != nil:
		return fmt.Sprintf(" -> hop %d", *l.To)
	case l.Monitor:
		return " -> monitor " + l.Port
	case l.Port != "":
		return " -> port " + l.Port
	}
	return ""
}
