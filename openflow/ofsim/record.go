package ofsim

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/flowtap/flowtap/openflow"
)

// Trace runs a frame that arrives by a port, or with a Tunnel by a tunnel port, through the switch
// alone and says how.
func (s *Switch) Trace(in openflow.PortNo, t Tunnel, frame []byte) Trace {
	r := Result{rec: &recorder{}}
	r.rec.fail(s.run(&r, in, frame, t, nil))
	return r.rec.trace
}

// Trace runs a frame through the fabric as Inject does and says how. It fails only for a switch
// that is not there.
func (f *Fabric) Trace(id openflow.DPID, in openflow.PortNo, frame []byte) (Trace, error) {
	r := Result{rec: &recorder{}}
	err := f.inject(&r, id, func(s *Switch, r *Result) error { return s.run(r, in, frame, Tunnel{}, nil) })
	if errors.Is(err, ErrLoop) {
		r.rec.fail(err)
		err = nil
	}
	return r.rec.trace, err
}

// A recorder makes a Trace while frames are executed. A nil one does nothing.
type recorder struct {
	trace Trace
	from  *Delivery    // the frame that the next hop gets
	hop   int          // where things happen now
	path  []*TraceNode // from the hop's flow to what is executed now
}

func (r *recorder) fail(err error) {
	if err != nil {
		r.trace.Error = err.Error()
	}
}

// arrive begins a hop.
func (r *recorder) arrive(s *Switch, in openflow.PortNo, t Tunnel, frame []byte) {
	if r == nil {
		return
	}
	h := &Hop{DPID: s.dpid, InPort: in, InPortName: s.PortName(in), Frame: append(Hex(nil), frame...), Tunnel: tunnelInfo(t)}
	if r.from != nil {
		to, from := len(r.trace.Hops), r.from.hop
		r.from.out.To, h.From = &to, &from
	}
	r.trace.Hops = append(r.trace.Hops, h)
	r.hop, r.path = len(r.trace.Hops)-1, nil
}

// cross begins a hop at the other end of a patch port. back ends it and goes on here.
func (r *recorder) cross(from *Switch, port openflow.PortNo, to *end, frame func() []byte) (back func()) {
	if r == nil {
		return func() {}
	}
	hop, path, at := r.hop, r.path, len(r.trace.Hops)
	o := &Output{Port: port, PortName: from.PortName(port), Frame: frame(), To: &at}
	if len(path) > 0 {
		path[len(path)-1].Output = o
	}
	r.trace.Hops = append(r.trace.Hops, &Hop{DPID: to.sw.dpid, InPort: to.port, InPortName: to.sw.PortName(to.port), From: &hop, Frame: o.Frame})
	r.hop, r.path = at, nil
	return func() { r.hop, r.path = hop, path }
}

func tunnelInfo(t Tunnel) *TunnelInfo {
	if !t.Dst.IsValid() {
		return nil
	}
	return &TunnelInfo{t.ID, t.Src.String(), t.Dst.String()}
}

// enter begins a node; leave ends it.
func (r *recorder) enter(n *TraceNode) {
	if len(r.path) == 0 {
		r.trace.Hops[r.hop].Flow = n
	} else {
		in := r.path[len(r.path)-1]
		in.Children = append(in.Children, n)
	}
	r.path = append(r.path, n)
}

func (r *recorder) leave() {
	if r != nil {
		r.path = r.path[:len(r.path)-1]
	}
}

func (r *recorder) flow(t openflow.TableID, e *entry) {
	if r == nil {
		return
	}
	n := &TraceNode{Kind: NodeMiss, Table: &t}
	if e != nil {
		cookie, priority := Cookie(e.flow.Cookie), e.flow.Priority
		n.Kind, n.Cookie, n.Priority, n.Match = NodeFlow, &cookie, &priority, e.flow.Match.String()
	}
	r.enter(n)
}

func (r *recorder) meter(id uint32) {
	if r != nil {
		r.enter(&TraceNode{Kind: NodeAction, Action: fmt.Sprintf("meter:%d", id)})
	}
}

func (r *recorder) next(t openflow.TableID) {
	if r != nil {
		r.enter(&TraceNode{Kind: NodeAction, Action: fmt.Sprintf("goto_table:%d", t)})
	}
}

func (r *recorder) do(a openflow.Action) {
	if r == nil {
		return
	}
	var group *openflow.GroupID
	if g, ok := a.(openflow.ApplyGroup); ok {
		group = &g.ID
	}
	r.enter(&TraceNode{Kind: NodeAction, Action: openflow.ActionsString([]openflow.Action{a}), Group: group})
}

func (r *recorder) bucket(g openflow.GroupID, i int) {
	if r != nil {
		r.enter(&TraceNode{Kind: NodeBucket, Group: &g, Bucket: &i})
	}
}

// note writes a step down that no node says.
func (r *recorder) note(s *Step) {
	if r == nil {
		return
	}
	if h := r.trace.Hops[r.hop]; s.Event == EventGivenUp && h.Flow != nil {
		h.Flow.Notes = append(h.Flow.Notes, eventNames[s.Event]+": this branch ends")
	}
	if len(r.path) == 0 {
		return
	}
	text := ""
	switch s.Event {
	case EventArrive, EventMatch, EventMiss, EventBucket, EventOutput, EventClone, EventMetered:
		return
	case EventChoice:
		text = fmt.Sprintf("%d of %d by %v", s.Choice.Link, s.Choice.Links, s.Choice.Fields)
	case EventUnset:
		text = eventNames[s.Event]
	case EventMeter:
		text = "dropped: above its rate"
	case EventToInPort, EventNoPort, EventOwnTunnel, EventDropped:
		port := openflow.ActionsString([]openflow.Action{openflow.Output{Port: openflow.PortNo(s.Arg)}})
		text = eventNames[s.Event] + " " + strings.TrimPrefix(port, "output:")
	default:
		text = eventNames[s.Event] + " " + strconv.FormatUint(s.Arg, 10)
	}
	n := r.path[len(r.path)-1]
	n.Notes = append(n.Notes, text)
}

// output notes the frame that leaves by the action under way.
func (r *recorder) output(s *Switch, d *Delivery) {
	if r == nil {
		return
	}
	o := &Output{Port: d.Port, PortName: s.PortName(d.Port), Frame: append(Hex(nil), d.Frame...), Tunnel: tunnelInfo(d.Tunnel)}
	d.out, d.hop = o, r.hop
	if len(r.path) > 0 { // always but for a packet-out
		r.path[len(r.path)-1].Output = o
	}
}

// lost notes that a tunnelled frame arrives nowhere.
func (r *recorder) lost(d *Delivery, why string) {
	if r != nil {
		d.out.Lost = why
	}
}
