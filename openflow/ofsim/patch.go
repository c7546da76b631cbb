package ofsim

import (
	"fmt"

	"github.com/flowtap/flowtap/openflow"
)

// AddPatch joins two switches of the fabric by a pair of patch ports, which it adds where they are
// missing. What is output to one arrives at the other at once, within the translation, as on Open
// vSwitch: registers, metadata and tunnel fields are cleared, pkt_mark stays, and what the other switch
// does to the frame is undone when the first goes on. A loop in the other switch ends there only.
func (f *Fabric) AddPatch(a openflow.DPID, portA openflow.PortNo, b openflow.DPID, portB openflow.PortNo) error {
	sa, sb := f.switches[a], f.switches[b]
	if sa == nil || sb == nil || a == b {
		return fmt.Errorf("patch between switches %v and %v: both must be in the fabric", a, b)
	}
	for s, no := range map[*Switch]openflow.PortNo{sa: portA, sb: portB} {
		if s.ports[no] == nil {
			s.AddPort(no, "patch")
		}
	}
	sa.ports[portA].peer, sb.ports[portB].peer = &end{sb, portB}, &end{sa, portA}
	return nil
}

// patch goes on in another switch. Where the flow there has, among its own actions, what the datapath cannot take
// back (a meter, a truncating output), Open vSwitch has the datapath clone the frame, as for a Clone.
func (x *exec) patch(port openflow.PortNo, to *end, last bool) {
	if !x.allowed() {
		return
	}
	back := x.r.rec.cross(x.sw, port, to, func() []byte {
		now := *x
		now.owned = false // a look at it, without bringing the datapath's frame up to date
		return now.render()
	})
	saved, sw, table, cookie, miss := x.cur, x.sw, x.table, x.cookie, x.miss
	x.sw, x.table = to.sw, 0
	k := &x.cur.key
	for w := range wFirstHeader {
		if w != wPort {
			k[w] = 0
		}
	}
	k.put(atInPort, uint64(to.port))
	x.step(EventArrive, uint64(to.port))
	e := to.sw.lookup(0, k)
	x.depth++
	x.lookups++
	if e != nil && !last && (e.flow.Meter != 0 || truncates(e.flow.Apply)) {
		x.commit()
		outside := x.committed
		x.owned = false
		x.apart(func() { x.enter(e, true) })
		x.committed = outside
	} else {
		x.apart(func() { x.enter(e, last) })
	}
	x.depth--
	if x.err != nil { // a loop there does not stop what goes on here, and what it sent is sent
		x.err = nil
		x.step(EventGivenUp, 0)
	}
	back()
	x.cur, x.sw, x.table, x.cookie, x.miss = saved, sw, table, cookie, miss
}

// truncates reports whether a truncating output is among the actions themselves.
func truncates(actions []openflow.Action) bool {
	for _, a := range actions {
		if _, ok := a.(openflow.OutputTruncate); ok {
			return true
		}
	}
	return false
}
