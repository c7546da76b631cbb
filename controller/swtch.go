package controller

import (
	"slices"
	"time"

	"github.com/flowtap/flowtap/flowtap/pipeline"
	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/flowset"
	"github.com/flowtap/flowtap/store"
	"github.com/flowtap/flowtap/topology"
)

// A swtch is one connected switch and what is known of it. One that nobody registered has no
// node; it is left as it is, which a nil want says, or, after its node was deleted, emptied.
type swtch struct {
	session *session
	ifaces  map[string]openflow.PortNo
	node    string
	ports   bool // it is the port bridge of its node

	have, want *flowset.Set         // have is nil until the switch was read
	shares     *pipeline.Shares     // what want is made of
	keys       map[flowset.Key]bool // flows that may differ
	groups     map[openflow.GroupID]bool
	meters     map[uint32]bool
	all        bool // everything may differ
	epoch      *pipeline.Epoch
	reading    bool
	outdated   bool      // what is being read changed meanwhile: read again
	commits    int       // rounds it took part in, to tell whether an audit overlapped one
	refused    time.Time // when it last refused a change
	refusal    string    // why

	suspicion   string        // that others changed it, and how that came up; empty: none
	lookBegan   time.Time     // when it was last read out of suspicion
	lookAfter   time.Time     // not again before
	waking      bool          // step will be called
	grouping    bool          // its groups are being looked at
	groupsAfter time.Time     // not again before
	groupsTook  time.Duration // what a look at them is taken to cost

	polling    bool // its ports' counters are being read
	pollsAfter time.Time

	flows, groupCount, foreign int // as last read: ours, and flows that are not
}

// nodeOf is a node with the tunnel port that its switch has, as far as that is known.
func (p *planner) nodeOf(n *store.Node) pipeline.Node {
	node := pipeline.Node{ID: n.ID, Node: n.Spec, TunnelPort: n.Status.TunnelPort}
	if was := p.world.Node(n.ID); was != nil {
		node.Patch, node.PortPatch = was.Patch, was.PortPatch
	}
	return p.plug(node)
}

// register gives connected switches to the node that names them.
func (p *planner) register(id string, n *store.Node) {
	p.drift[id] = max(p.drift[id], n.Status.DriftRepaired)
	if _, known := p.nodes[id]; !known {
		p.nodes[id] = n.Status
	}
	node := p.world.Node(id)
	for dpid, sw := range p.switches {
		if sw.node == id && !slices.Contains(bridges(node), dpid) {
			p.clear(sw)
		}
	}
	found := false
	for _, dpid := range bridges(node) {
		sw := p.switches[dpid]
		if sw == nil {
			continue
		}
		if found = true; sw.node != id || sw.ports != p.isPorts(node, dpid) {
			p.adopt(sw, id)
		}
	}
	if !found && n.Status.State == "" {
		p.c.statuses.node(id, topology.NodeStatus{State: topology.NodeDisconnected})
	}
}

func (p *planner) isPorts(n *pipeline.Node, dpid openflow.DPID) bool { return n.Pipeline() != dpid }

func (p *planner) unregister(id string) {
	delete(p.drift, id)
	delete(p.nodes, id)
	if n := p.world.Node(id); n != nil {
		for _, dpid := range bridges(n) {
			delete(p.left, dpid)
		}
	}
	for _, sw := range p.switches {
		if sw.node == id {
			p.clear(sw)
		}
	}
}

func (p *planner) switchUp(s *session) {
	sw := &swtch{session: s, ifaces: map[string]openflow.PortNo{}}
	for _, port := range s.conn.Ports() {
		sw.ifaces[port.Name] = port.No
	}
	p.leave(p.switches[s.dpid]) // its end may be noticed later than its return
	p.switches[s.dpid] = sw
	for _, id := range p.world.Nodes() {
		if slices.Contains(bridges(p.world.Node(id)), s.dpid) {
			p.adopt(sw, id)
		}
	}
	p.c.metrics.switches.Set(float64(len(p.switches)))
}

// leave remembers what a switch held when its connection ended.
func (p *planner) leave(sw *swtch) {
	if sw != nil && sw.node != "" && sw.have != nil {
		p.left[sw.session.dpid] = sw.have
	}
}

func (p *planner) switchDown(s *session) {
	sw := p.switches[s.dpid]
	if sw == nil || sw.session != s {
		return
	}
	delete(p.switches, s.dpid)
	p.leave(sw)
	p.c.metrics.switches.Set(float64(len(p.switches)))
	if sw.node != "" {
		p.stateNode(sw.node)
		if !sw.ports {
			p.unreachable(sw.node)
		}
		p.restateTaps(p.world.Taps())
		p.keepTunnels(false)
	}
}

// adopt makes a connected switch a node's: it is read, and then kept at its desired state.
func (p *planner) adopt(sw *swtch, node string) {
	n := p.world.Node(node)
	sw.ports = p.isPorts(n, sw.session.dpid)
	sw.shares, sw.keys, sw.groups, sw.meters = &pipeline.Shares{Ports: sw.ports}, map[flowset.Key]bool{}, map[openflow.GroupID]bool{}, map[uint32]bool{}
	sw.node, sw.have, sw.want = node, nil, sw.shares.Want()
	if sw.epoch, sw.all = pipeline.NewEpoch(p.epochSeed()), true; sw.ports {
		sw.epoch = pipeline.NewPortEpoch(p.epochSeed())
	}
	p.mark(p.world.PutNode(p.plug(*n)))
	p.recompute(sw, []pipeline.Unit{{Kind: pipeline.UnitEverything}})
	sw.refused, sw.refusal = time.Time{}, ""
	p.stateNode(node)
	p.keepTunnels(false)
	p.read(sw)
	p.restateTaps(p.world.Taps())
}

// clear has everything of ours taken off the switch of a node that was deleted, whatever the
// switch was left with: nobody will look there again.
func (p *planner) clear(sw *swtch) {
	sw.node, sw.ports, sw.have, sw.want = "", false, nil, &flowset.Set{}
	sw.shares, sw.all = &pipeline.Shares{}, true
	sw.refused, sw.refusal = time.Time{}, ""
	p.keepTunnels(false)
	p.read(sw)
}

// portChanged notices a tunnel interface or patch port that comes, goes or gets another number.
func (p *planner) portChanged(s *session, m *openflow.PortStatus) {
	sw := p.switches[s.dpid]
	if sw == nil || sw.session != s {
		return
	}
	for name, no := range sw.ifaces {
		if no == m.Port.No {
			delete(sw.ifaces, name)
		}
	}
	if m.Reason != openflow.PortDelete {
		sw.ifaces[m.Port.Name] = m.Port.No
	}
	n := p.world.Node(sw.node)
	if n == nil {
		return
	}
	now := p.plug(*n)
	if now.Same(n) {
		return
	}
	p.mark(p.world.PutNode(now))
	p.stateNode(sw.node)
	p.restateTaps(p.world.Taps())
}

// epochSeed differs from one connection to the next, of this controller and of the one before it, which may
// have been another replica's.
func (p *planner) epochSeed() uint32 {
	p.adopted++
	return uint32(p.started.Unix()) + p.adopted // #nosec G115 -- any number that differs from the last will do
}
