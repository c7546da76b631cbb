package pipeline

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/flowset"
	"github.com/flowtap/flowtap/openflow/ofsim"
	"github.com/flowtap/flowtap/topology"
)

// tunnelNo is the port number of the tunnel interface on every node of a lab.
const tunnelNo openflow.PortNo = 200

// split says which nodes of labs have two bridges; nil: none.
var split func(node int) bool

// inLayouts runs a test with nodes of one bridge, and with some of two.
func inLayouts(t *testing.T, test func(*testing.T)) {
	for name, two := range map[string]func(int) bool{"one bridge": nil, "some of two bridges": func(i int) bool { return i%2 == 1 }} {
		t.Run(name, func(t *testing.T) {
			split = two
			defer func() { split = nil }()
			test(t)
		})
	}
}

// A lab is a world that numbers its own objects and labels, as the store would.
type lab struct {
	w      *World
	labels uint32
	nums   uint32
}

func newLab(nodes int) *lab {
	l := &lab{w: NewWorld(), labels: 100}
	for i := 1; i <= nodes; i++ {
		l.putNode(i)
	}
	return l
}

func nodeName(i int) string { return fmt.Sprintf("n%d", i) }

func (l *lab) putNode(i int) []Unit {
	return l.w.PutNode(labNode(i, split != nil && split(i)))
}

// labNode is a node of one bridge or two. Of two, the tunnel and the patch port of the tunnel bridge have numbers
// that ports have on the port bridge.
func labNode(i int, two bool) Node {
	n := Node{ID: nodeName(i), TunnelPort: tunnelNo, Node: topology.Node{
		DatapathID: openflow.DPID(i), TunnelIP: netip.AddrFrom4([4]byte{172, 16, 0, byte(i)})}}
	if two {
		n.TunnelDatapathID, n.PortPatch = openflow.DPID(100+i), tunnelNo
		n.TunnelPort, n.Patch = ofport(11, i), ofport(12, i)
	}
	return n
}

// ordinal is the inverse of nodeName.
func (n *Node) ordinal() int { return int(n.ID[1] - '0') }

func (l *lab) num() uint32 { l.nums++; return l.nums }

// number gives every label that is needed a number.
func (l *lab) number() (us []Unit) {
	for _, key := range l.w.MissingLabels() {
		l.labels++
		us = append(us, l.w.PutLabel(key, l.labels)...)
	}
	return us
}

// put adds or replaces a port, keeping its number.
func (l *lab) put(id string, p topology.Port, st topology.PortStatus) []Unit {
	num := uint32(0)
	if old := l.w.Port(id); old != nil {
		num = old.Num
	} else {
		num = l.num()
	}
	return l.w.PutPort(Port{ID: id, Num: num, Port: p, Status: st})
}

// status puts a port on nodes, the first active, with a port number of its own on each.
func status(ordinal int, nodes ...int) (st topology.PortStatus) {
	for _, n := range nodes {
		st = topology.Attach(st, nodeName(n), ofport(ordinal, n), func(string) bool { return true })
	}
	return st
}

func ofport(ordinal, node int) openflow.PortNo { return openflow.PortNo(ordinal*5 + node) }

// tap adds or replaces a contract, keeping its number.
func (l *lab) tap(id string, t flowtap.Tap) []Unit {
	num := uint32(0)
	if old := l.w.Tap(id); old != nil {
		num = old.Num
	} else {
		num = l.num()
	}
	return l.w.PutTap(id, num, t)
}

// desired is what a node's switch should hold; an error names what is made twice.
func desired(w *World, node string) (*flowset.Set, error) {
	set, from := &flowset.Set{}, map[flowset.Key]Unit{}
	for _, u := range w.Units() {
		flows, groups, meters := Part(w, node, u)
		for _, f := range flows {
			k := flowset.KeyOf(&f)
			if first, twice := from[k]; twice {
				return nil, fmt.Errorf("%s: %v and %v both make %v", node, first, u, f)
			}
			from[k] = u
			set.PutFlow(f)
		}
		for _, g := range groups {
			if _, twice := set.Group(g.ID); twice {
				return nil, fmt.Errorf("%s: %v makes group %#x again", node, u, g.ID)
			}
			set.PutGroup(g)
		}
		for _, m := range meters {
			if _, twice := set.Meter(m.ID); twice {
				return nil, fmt.Errorf("%s: %v makes meter %#x again", node, u, m.ID)
			}
			set.PutMeter(m)
		}
	}
	return set, nil
}

// portBridge is what the port bridge of a node of two should hold.
func portBridge(w *World, node string) *flowset.Set {
	set := &flowset.Set{}
	for _, u := range w.Units() {
		for _, f := range PortPart(w, node, u) {
			set.PutFlow(f)
		}
	}
	return set
}

// fabric makes a switch of every node, with ports wherever one is attached.
func fabric(worlds ...*World) *ofsim.Fabric {
	f := &ofsim.Fabric{}
	for _, w := range worlds {
		for _, id := range w.Nodes() {
			n := w.Node(id)
			if f.Switch(n.DatapathID) != nil {
				continue
			}
			is := labNode(n.ordinal(), n.Split())
			f.AddSwitch(ofsim.NewSwitch(n.DatapathID))
			var err error
			if n.Split() {
				f.AddSwitch(ofsim.NewSwitch(n.TunnelDatapathID))
				err = f.AddPatch(n.TunnelDatapathID, is.Patch, n.DatapathID, is.PortPatch)
			}
			if err := errors.Join(err, f.AddTunnel(n.Pipeline(), is.TunnelPort, n.TunnelIP)); err != nil {
				panic(err)
			}
		}
	}
	for _, w := range worlds {
		for _, id := range w.Ports() {
			for _, a := range w.Port(id).Status.Attachments {
				if n := w.Node(a.Node); n != nil {
					f.Switch(n.DatapathID).AddPort(a.OFPort, id)
				}
			}
		}
	}
	return f
}

// install puts the desired state of every node on the fabric's switches.
func install(f *ofsim.Fabric, w *World) error {
	for _, id := range w.Nodes() {
		set, err := desired(w, id)
		if err != nil {
			return err
		}
		n := w.Node(id)
		if err := f.Switch(n.Pipeline()).Replace(set); err != nil {
			return err
		}
		if n.Split() {
			if err := f.Switch(n.DatapathID).Replace(portBridge(w, id)); err != nil {
				return err
			}
		}
	}
	return nil
}

// describe says what is in a world, for people.
func describe(w *World) string {
	var b strings.Builder
	for _, id := range w.Nodes() {
		n := w.Node(id)
		fmt.Fprintf(&b, "node %s: datapath %v, tunnel %v by port %d of %v\n", id, n.DatapathID, n.TunnelIP, n.TunnelPort, n.Pipeline())
	}
	for _, id := range w.Ports() {
		p := w.Port(id)
		fmt.Fprintf(&b, "port %s: num %d %s %s mac %v ips %v security %v metadata %d, active on %q, at", id, p.Num, p.Network, p.Kind, p.MAC, p.IPs, p.PortSecurity, p.Metadata, p.Status.Node)
		for _, a := range p.Status.Attachments {
			fmt.Fprintf(&b, " %s:%d", a.Node, a.OFPort)
		}
		if p.Tag != "" {
			fmt.Fprintf(&b, ", tag %s", p.Tag)
		}
		if p.ReturnPort != "" {
			fmt.Fprintf(&b, ", gives back by %s", p.ReturnPort)
		}
		if len(p.Status.LearnedMACs)+len(p.Status.LearnedIPs) > 0 {
			fmt.Fprintf(&b, ", learned %v %v", p.Status.LearnedMACs, p.Status.LearnedIPs)
		}
		b.WriteByte('\n')
	}
	for t := range w.dead {
		fmt.Fprintf(&b, "tunnel %s to %s is dead\n", t.From, t.To)
	}
	for _, id := range w.Pools() {
		fmt.Fprintf(&b, "pool %s: %s %v\n", id, w.Pool(id).Mode, w.Pool(id).Members)
	}
	for _, id := range w.Taps() {
		t := w.Tap(id)
		fmt.Fprintf(&b, "tap %s: num %d %s (fails %s) %s -> %s %q %s priority %d enabled %v limit %v\n", id, t.Num, t.Action, t.FailMode, t.Src, t.dest, t.Match, t.Direction, t.Priority, t.Enabled, t.RateLimit)
	}
	for _, key := range sortedKeys(w.labels) {
		fmt.Fprintf(&b, "label %s = %#x\n", key, w.labels[key])
	}
	return b.String()
}
