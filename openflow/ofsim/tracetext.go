package ofsim

import (
	"fmt"
	"strings"
)

// String is the trace for people, in the manner of `ovs-appctl ofproto/trace`: a table a line, its actions
// below, what a resubmit or a bucket did further in, and under the hops what left them.
func (t Trace) String() string {
	var b strings.Builder
	for i, h := range t.Hops {
		if i > 0 {
			b.WriteByte('\n')
		}
		h.write(&b, i)
	}
	if t.Error != "" {
		fmt.Fprintf(&b, "\n>>>> %s: nothing leaves <<<<\n", t.Error)
	}
	return b.String()
}

func (h *Hop) write(b *strings.Builder, i int) {
	title := fmt.Sprintf("hop %d: switch %v, in_port=%d", i, h.DPID, h.InPort)
	if h.InPortName != "" {
		title += " (" + h.InPortName + ")"
	}
	if h.Tunnel != nil {
		title += ", " + h.Tunnel.String()
	}
	if h.From != nil {
		title += fmt.Sprintf(", from hop %d", *h.From)
	}
	fmt.Fprintf(b, "%s\n%s\n", title, strings.Repeat("-", len(title)))
	h.Flow.write(b, "")
}

// String is the tunnel as fields of a match.
func (t TunnelInfo) String() string {
	return fmt.Sprintf("tun_id=0x%x,tun_src=%s,tun_dst=%s", t.ID, t.Src, t.Dst)
}

// String is where the frame went.
func (o *Output) String() string {
	s := fmt.Sprintf("%d bytes", len(o.Frame))
	if o.PortName != "" {
		s += " to " + o.PortName
	}
	if o.Tunnel != nil {
		s += ", " + o.Tunnel.String()
	}
	switch {
	case o.To != nil:
		s += fmt.Sprintf(", to hop %d", *o.To)
	case o.Lost != "":
		s += ", lost: " + o.Lost
	}
	return s
}

func (n *TraceNode) write(b *strings.Builder, pre string) {
	if n == nil {
		return
	}
	in := pre + "    "
	switch n.Kind {
	case NodeMiss:
		fmt.Fprintf(b, "%s%2d. No match.\n%sdrop\n", pre, *n.Table, in)
	case NodeFlow:
		match := n.Match
		if match != "" {
			match += ", "
		}
		fmt.Fprintf(b, "%s%2d. %spriority %d, cookie %v", pre, *n.Table, match, *n.Priority, *n.Cookie)
		if n.Object != "" {
			b.WriteString(", " + n.Object)
		}
		b.WriteByte('\n')
		if len(n.Children) == 0 {
			b.WriteString(in + "drop\n")
		}
	case NodeBucket:
		fmt.Fprintf(b, "%sbucket %d\n", pre, *n.Bucket)
	case NodeAction:
		b.WriteString(pre + n.Action + "\n")
		in = pre
		if n.Group == nil && !strings.HasPrefix(n.Action, "goto_table:") {
			in = pre + " "
		}
	}
	for _, note := range n.Notes {
		b.WriteString(in + " >> " + note + "\n")
	}
	if n.Output != nil {
		fmt.Fprintf(b, "%s -> %v\n", in, n.Output)
	}
	for _, c := range n.Children {
		if strings.HasPrefix(n.Action, "goto_table:") && len(pre) >= 4 {
			c.write(b, pre[4:]) // not further in: a long pipeline would leave the page
			continue
		}
		c.write(b, in)
	}
}
