package ofsim

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/flowtap/flowtap/openflow"
)

// ErrLoop is wrapped by the errors of frames that a switch would go on with for ever: more than 64
// nested lookups or groups, or 4096 lookups in all, as Open vSwitch counts them, or more than
// maxHops tunnel hops. The switch then drops the frame and all its copies.
var ErrLoop = errors.New("loop")

const (
	maxDepth   = 64
	maxLookups = 4096
)

// Inject runs a frame that arrives by a port through the switch.
func (s *Switch) Inject(in openflow.PortNo, frame []byte) (Result, error) {
	var r Result
	err := s.run(&r, in, frame, Tunnel{}, nil)
	return r, err
}

// InjectTunnel runs a frame that arrives by a tunnel port.
func (s *Switch) InjectTunnel(in openflow.PortNo, t Tunnel, frame []byte) (Result, error) {
	var r Result
	err := s.run(&r, in, frame, t, nil)
	return r, err
}

// PacketOut executes actions on a frame as a packet-out message does. in may be PortController;
// output to PortTable runs the frame through the tables.
func (s *Switch) PacketOut(in openflow.PortNo, actions []openflow.Action, frame []byte) (Result, error) {
	var r Result
	err := s.packetOut(&r, in, actions, frame)
	return r, err
}

func (s *Switch) packetOut(r *Result, in openflow.PortNo, actions []openflow.Action, frame []byte) error {
	if actions == nil {
		actions = []openflow.Action{}
	}
	return s.run(r, in, frame, Tunnel{}, actions)
}

// run executes actions, or with none table 0, and adds to r.
func (s *Switch) run(r *Result, in openflow.PortNo, frame []byte, t Tunnel, actions []openflow.Action) error {
	x := exec{sw: s, r: r, committed: committed{frame: frame}, packetOut: actions != nil}
	x.cur.key.put(atInPort, uint64(in))
	if t.Dst.Is4() {
		x.cur.key.put(atTunID, t.ID)
		x.cur.key.put(atTunSrc, addr4(t.Src))
		x.cur.key.put(atTunDst, addr4(t.Dst))
		x.tunDst = addr4(t.Dst)
	}
	x.layout = extract(frame, &x.cur.key)
	x.cur.tpid[0] = x.layout.tpid
	x.base = x.cur
	r.rec.arrive(s, in, t, frame)
	r.Steps = append(r.Steps, Step{DPID: s.dpid, Event: EventArrive, Arg: uint64(in)})
	deliveries, packetIns := len(r.Deliveries), len(r.PacketIns)
	if actions != nil {
		x.cookie = ^uint64(0)
		x.actions(actions, true)
	} else {
		x.enter(s.lookup(0, &x.cur.key), true)
	}
	if x.err != nil {
		r.Deliveries, r.PacketIns = r.Deliveries[:deliveries], r.PacketIns[:packetIns]
	}
	return x.err
}

func addr4(a netip.Addr) uint64 {
	b := a.As4()
	return uint64(be.Uint32(b[:]))
}

// state is what actions change: the key and the tags behind the outer one.
type state struct {
	key  key
	tpid [2]uint16
	tci1 uint16
}

// committed is the frame as the datapath has it, before what the actions have changed since.
type committed struct {
	frame   []byte
	owned   bool   // frame is not the caller's
	layout  layout // of frame
	base    state  // what frame says
	dropped bool   // a meter dropped it: there is nothing left to output
}

// exec is one frame on its way through one switch.
type exec struct {
	sw *Switch
	r  *Result
	committed
	cur    state  // what the actions made of it
	tunDst uint64 // tun_dst as received
	// aside is what recirculation left behind: what goes on when its bucket or clone has ended.
	aside *committed

	table          openflow.TableID
	cookie         uint64
	miss           bool // the present flow is a table-miss flow
	packetOut      bool
	depth, lookups int // as Open vSwitch counts them
	nesting        int
	err            error
}

func (x *exec) step(e Event, arg uint64) {
	x.note(Step{DPID: x.sw.dpid, Event: e, Depth: x.nesting, Table: x.table, Arg: arg})
}

func (x *exec) note(s Step) {
	x.r.Steps = append(x.r.Steps, s)
	x.r.rec.note(&s)
}

// allowed keeps Open vSwitch's limits.
func (x *exec) allowed() bool {
	switch {
	case x.err != nil:
	case x.depth >= maxDepth:
		x.err = fmt.Errorf("switch %v: %w: over %d nested lookups", x.sw.dpid, ErrLoop, maxDepth)
	case x.lookups >= maxLookups:
		x.err = fmt.Errorf("switch %v: %w: over %d lookups", x.sw.dpid, ErrLoop, maxLookups)
	}
	return x.err == nil
}

// lookup goes on in a table as if the frame had come by in. Only the lookup sees that port: what
// the flow does, it does with the frame's own in_port.
func (x *exec) lookup(t openflow.TableID, in openflow.PortNo, last bool) {
	if !x.allowed() {
		return
	}
	old := x.table
	x.table = t
	own := x.cur.key.get(atInPort)
	x.cur.key.put(atInPort, uint64(in))
	e := x.sw.lookup(t, &x.cur.key)
	x.cur.key.put(atInPort, own)
	deeper := 0
	if t <= old {
		deeper = 1
	}
	x.depth += deeper
	x.lookups++
	x.nesting++
	x.enter(e, last)
	x.nesting--
	x.depth -= deeper
	x.table = old
}

// enter executes a flow; last says that nothing follows it.
func (x *exec) enter(e *entry, last bool) {
	x.r.rec.flow(x.table, e)
	defer x.r.rec.leave()
	if e == nil {
		x.step(EventMiss, 0)
		return
	}
	x.r.Steps = append(x.r.Steps, Step{DPID: x.sw.dpid, Event: EventMatch, Depth: x.nesting, Table: x.table, Flow: &e.flow})
	cookie, miss := x.cookie, x.miss
	x.cookie, x.miss = e.flow.Cookie, e.flow.Priority == 0 && len(e.flow.Match) == 0
	x.meter(e.flow.Meter)
	if x.actions(e.flow.Apply, last && e.flow.Goto == 0) && e.flow.Goto != 0 {
		x.r.rec.next(e.flow.Goto)
		x.lookup(e.flow.Goto, x.inPort(), last)
		x.r.rec.leave()
	}
	x.cookie, x.miss = cookie, miss
}

func (x *exec) inPort() openflow.PortNo { return openflow.PortNo(x.cur.key.get(atInPort)) }

// actions executes a list; false when the rest of the flow must not follow. last says that nothing
// follows the list.
func (x *exec) actions(list []openflow.Action, last bool) bool {
	for i, a := range list {
		last := last && i == len(list)-1
		x.r.rec.do(a)
		ok := true
		switch a := a.(type) {
		case openflow.Output:
			x.output(a.Port, int(a.MaxLen), 0, last)
		case openflow.OutputField:
			x.outputField(a)
		case openflow.OutputTruncate:
			x.outputTruncate(a)
		case openflow.ApplyGroup:
			ok = x.group(a.ID, last)
		case openflow.SetField:
			x.set(a)
		case openflow.Resubmit:
			port, table := a.Port, a.Table
			if port == openflow.PortInPort {
				port = x.inPort()
			}
			if table == openflow.TableAll {
				table = x.table
			}
			x.lookup(table, port, last)
		case openflow.PushVLAN:
			x.pushVLAN(a.EtherType)
		case openflow.PopVLAN:
			x.popVLAN()
		case openflow.Clone:
			x.clone(a, last)
		case openflow.Multipath:
			x.multipath(a)
		case openflow.Load:
			x.put(a.To, a.Value)
		case openflow.Move:
			x.put(a.To, x.cur.key.get(bitsAt(a.From)))
		}
		x.r.rec.leave()
		if !ok || x.err != nil {
			return false
		}
	}
	return true
}

// outputField reads a port number as Open vSwitch does: 16 bits, the reserved ports at their end.
func (x *exec) outputField(a openflow.OutputField) {
	p, _ := placeOf(a.Field)
	n := x.cur.key.get(p)
	if n > 0xffff {
		x.step(EventNoPort, n)
		return
	}
	if n >= 0xfff8 {
		n |= 0xffff0000
	}
	if n != uint64(openflow.PortAny) {
		x.output(openflow.PortNo(n), int(a.MaxLen), 0, false)
	}
}

// outputTruncate: of the reserved ports it serves only OFPP_LOCAL, and no patch ports.
func (x *exec) outputTruncate(a openflow.OutputTruncate) {
	if p := x.sw.ports[a.Port]; (a.Port < openflow.PortInPort || a.Port == openflow.PortLocal) && (p == nil || p.peer == nil) {
		x.output(a.Port, 0, int(a.MaxLen), false)
		return
	}
	x.step(EventNoPort, uint64(a.Port))
}

// output sends the frame as it is now. limit is for the controller, truncate for other ports; zero
// truncates nothing.
func (x *exec) output(to openflow.PortNo, limit, truncate int, last bool) {
	switch to {
	case openflow.PortInPort:
		to = x.inPort()
	case openflow.PortController:
		x.packetIn(limit)
		return
	case openflow.PortTable:
		if x.packetOut {
			x.lookup(0, x.inPort(), last)
		}
		return
	default:
		if to == x.inPort() {
			x.step(EventToInPort, uint64(to))
			return
		}
	}
	p := x.sw.ports[to]
	if p == nil || p.down {
		x.step(EventNoPort, uint64(to))
		return
	}
	if p.peer != nil {
		x.step(EventOutput, uint64(to))
		x.patch(to, p.peer, last)
		return
	}
	d := Delivery{DPID: x.sw.dpid, Port: to}
	if p.tunnel != 0 {
		dst := x.cur.key.get(atTunDst)
		if dst == x.tunDst { // also when neither was ever set
			x.step(EventOwnTunnel, uint64(to))
			x.cur.key.put(atTunSrc, uint64(p.tunnel)) // Open vSwitch forgets to restore it
			return
		}
		d.Tunnel = Tunnel{x.cur.key.get(atTunID), addrOf(uint64(p.tunnel)), addrOf(dst)}
	}
	// Open vSwitch says how much to cut off before it pushes and pops what was not yet pushed and
	// popped for an earlier output.
	cut := max(0, len(x.frame)-truncate)
	d.Frame = x.render()
	if truncate > 0 {
		if d.Frame = d.Frame[:max(0, len(d.Frame)-cut)]; len(d.Frame) < 14 {
			return // no interface sends less than a header
		}
	}
	if x.dropped {
		x.step(EventDropped, uint64(to))
		return
	}
	x.r.rec.output(x.sw, &d)
	if p.tunnel != 0 && x.cur.key.get(atMark) != 0 {
		x.r.rec.lost(&d, "Open vSwitch has no route for a frame with a pkt_mark")
		x.step(EventNoRoute, x.cur.key.get(atMark))
		x.r.Lost = append(x.r.Lost, d)
		return
	}
	x.step(EventOutput, uint64(to))
	x.r.Deliveries = append(x.r.Deliveries, d)
}

func addrOf(v uint64) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
}

func (x *exec) packetIn(limit int) {
	f := x.render()
	if x.dropped {
		x.step(EventDropped, uint64(openflow.PortController))
		return
	}
	p := PacketIn{DPID: x.sw.dpid, InPort: x.inPort(), Table: x.table, Cookie: x.cookie, Reason: ReasonAction,
		Frame: f[:min(limit, len(f))], TotalLen: len(f)}
	if x.miss {
		p.Reason = ReasonNoMatch
	}
	x.step(EventOutput, uint64(openflow.PortController))
	x.r.rec.output(x.sw, &Delivery{DPID: p.DPID, Port: openflow.PortController, Frame: p.Frame})
	x.r.PacketIns = append(x.r.PacketIns, p)
}
