package trace

import (
	"fmt"

	"github.com/flowtap/flowtap/flowtap/pipeline"
	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/ofsim"
)

// Names tells whose things are. Each function gives "" for what is nobody's.
type Names struct {
	Node func(openflow.DPID) string
	// PortBridge tells the bridge with the ports of a node of two, whose one table is not the pipeline's.
	PortBridge func(openflow.DPID) bool
	PortAt     func(openflow.DPID, openflow.PortNo) (id string, monitor bool)
	// Port, Network and Tap find objects by what cookies hold: number, label, number.
	Port    func(num uint32) string
	Network func(label uint32) string
	Tap     func(num uint32) (id string, redirect bool)
}

// Append adds what package ofsim found out to a trace: hops, and where frames came out. back is the
// Stop which gave the frame back that this is about; nil for the first.
func (t *Trace) Append(found ofsim.Trace, names Names, back *Copy) {
	x := &explainer{t: t, names: names, base: len(t.Hops), causes: map[int]cause{}}
	if found.Error != "" {
		t.Error = found.Error
		x.mute = true
	}
	if back != nil {
		at := x.base
		back.GivenBack = &at
	}
	for i, h := range found.Hops {
		hop := &Hop{Node: names.Node(h.DPID), DPID: h.DPID, InPort: h.InPort, Tunnel: h.Tunnel, Frame: h.Frame, Steps: []*Step{}}
		hop.Port, _ = names.PortAt(h.DPID, h.InPort)
		hop.From = x.shift(h.From)
		if i == 0 && back != nil {
			from := back.Hop
			hop.From, hop.GivenBackBy = &from, back.Monitor
		}
		t.Hops = append(t.Hops, hop)
		x.hop = hop
		if s := x.step(h.Flow, x.causes[i]); s != nil {
			hop.Steps = append(hop.Steps, s)
		}
	}
}

// A cause is the contract that a frame follows.
type cause struct {
	tap      string
	redirect bool
}

type explainer struct {
	t      *Trace
	names  Names
	base   int // number of the first hop
	hop    *Hop
	causes map[int]cause // of frames that came to a hop
	mute   bool          // nothing leaves
}

func (x *explainer) shift(hop *int) *int {
	if hop == nil {
		return nil
	}
	n := *hop + x.base
	return &n
}

func (x *explainer) step(n *ofsim.TraceNode, c cause) *Step {
	if n == nil {
		return nil
	}
	s := &Step{Kind: n.Kind, Table: n.Table, Priority: n.Priority, Match: n.Match, Cookie: n.Cookie, Action: n.Action,
		Group: n.Group, Bucket: n.Bucket, Notes: n.Notes}
	if n.Table != nil && !x.names.PortBridge(x.hop.DPID) {
		s.TableName = tableName(*n.Table)
	}
	if n.Cookie != nil {
		s.Origin, c = x.origin(uint64(*n.Cookie), c)
	}
	if n.Output != nil {
		s.Output = x.left(n.Output, c)
	}
	for _, child := range n.Children {
		s.Steps = append(s.Steps, x.step(child, c))
	}
	return s
}

// left notes a frame that leaves.
func (x *explainer) left(o *ofsim.Output, c cause) *Left {
	l := &Left{OFPort: o.Port, Frame: o.Frame, Tunnel: o.Tunnel, Lost: o.Lost, To: x.shift(o.To)}
	if o.To != nil {
		x.causes[*o.To] = c
	}
	if !o.Final() {
		return l
	}
	l.Port, l.Monitor = x.names.PortAt(x.hop.DPID, o.Port)
	at := len(x.t.Hops) - 1
	switch {
	case x.mute:
	case l.Monitor:
		to := &x.t.Copies
		if c.redirect {
			to = &x.t.Stops
		}
		*to = append(*to, Copy{Monitor: l.Port, Tap: c.tap, Node: x.hop.Node, Hop: at, Frame: o.Frame})
	default:
		x.t.Outputs = append(x.t.Outputs, Output{Port: l.Port, Node: x.hop.Node, OFPort: o.Port, Hop: at})
	}
	return l
}

// kinds are the names of cookie kinds, and of what their objects are.
var kinds = map[pipeline.Kind][2]string{
	pipeline.KindBase: {"base", ""}, pipeline.KindPort: {"port", "ports"}, pipeline.KindAllow: {"allow", "ports"},
	pipeline.KindSpoof: {"spoof", "ports"}, pipeline.KindClaim: {"claim", "ports"}, pipeline.KindLearn: {"learn", "ports"},
	pipeline.KindArrive: {"arrive", "ports"}, pipeline.KindNetwork: {"network", "networks"}, pipeline.KindMonitor: {"monitor", "ports"},
	pipeline.KindInject: {"inject", "ports"}, pipeline.KindTap: {"tap", "taps"}, pipeline.KindTapSeen: {"tap-seen", "taps"},
	pipeline.KindTapFlood: {"tap-flood", "taps"}, pipeline.KindProbe: {"probe", ""}, pipeline.KindSentinel: {"sentinel", ""},
	pipeline.KindEpoch: {"epoch", ""}, pipeline.KindReturn: {"return", "taps"}, pipeline.KindDivert: {"divert", "taps"},
	pipeline.KindTransit: {"transit", ""}, pipeline.KindPool: {"pool", ""}, pipeline.KindLimit: {"limit", "taps"},
	pipeline.KindCut: {"cut", "ports"},
}

// origin takes a cookie apart. A flow that sends to a monitor is the cause of what follows.
func (x *explainer) origin(cookie uint64, c cause) (*Origin, cause) {
	kind, object, ours := pipeline.Ours(cookie)
	if !ours {
		return &Origin{Kind: "foreign"}, c
	}
	k, known := kinds[kind]
	o := &Origin{Kind: k[0], Collection: k[1]}
	if !known {
		o.Kind = fmt.Sprintf("kind-%d", kind)
	}
	switch o.Collection {
	case "ports":
		o.ID = x.names.Port(object)
	case "networks":
		o.ID = x.names.Network(object)
	case "taps":
		var redirect bool
		if o.ID, redirect = x.names.Tap(object); kind == pipeline.KindTap {
			c = cause{o.ID, redirect}
		}
	}
	if o.ID == "" {
		o.Collection = ""
	}
	return o, c
}

// Taps lists the numbers of the taps in a trace's cookies.
func Taps(found ofsim.Trace) (nums []uint32) {
	for _, h := range found.Hops {
		h.Walk(func(n *ofsim.TraceNode) {
			if n.Cookie == nil {
				return
			}
			if kind, num, ours := pipeline.Ours(uint64(*n.Cookie)); ours && kinds[kind][1] == "taps" {
				nums = append(nums, num)
			}
		})
	}
	return nums
}

func tableName(id openflow.TableID) string {
	for _, t := range pipeline.Tables {
		if t.ID == id {
			return t.Name
		}
	}
	return ""
}
