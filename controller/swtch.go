package controller

import (
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
	status     topology.NodeStatus
}

// nodeOf is a node with the tunnel port that its switch has, as far as that is known.
func (p *planner) nodeOf(n *store.Node) pipeline.Node {
	node := pipeline.Node{ID: n.ID, Node: n.Spec, TunnelPort: n.Status.TunnelPort}
	if sw := p.switches[n.Spec.DatapathID]; sw != nil {
		node.TunnelPort = sw.ifaces[n.Spec.TunnelInterface]
	}
	return node
}

// register gives a connected switch to the node that names it.
func (p *planner) register(id string, n *store.Node) {
	p.drift[id] = max(p.drift[id], n.Status.DriftRepaired)
	for dpid, sw := range p.switches {
		if sw.node == id && dpid != n.Spec.DatapathID {
			p.clear(sw)
		}
	}
	if sw := p.switches[n.Spec.DatapathID]; sw != nil && sw.node != id {
		p.adopt(sw, id)
	} else if sw == nil && n.Status.State == "" {
		p.c.statuses.node(id, topology.NodeStatus{State: topology.NodeDisconnected})
	}
}

func (p *planner) unregister(id string) {
	delete(p.drift, id)
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
	p.switches[s.dpid] = sw
	for _, id := range p.world.Nodes() {
		if p.world.Node(id).DatapathID == s.dpid {
			p.adopt(sw, id)
		}
	}
	p.c.metrics.switches.Set(float64(len(p.switches)))
}

func (p *planner) switchDown(s *session) {
	sw := p.switches[s.dpid]
	if sw == nil || sw.session != s {
		return
	}
	delete(p.switches, s.dpid)
	p.c.metrics.switches.Set(float64(len(p.switches)))
	if sw.node != "" {
		sw.status.State, sw.status.Role = topology.NodeDisconnected, ""
		p.c.statuses.node(sw.node, sw.status)
		p.unreachable(sw.node)
		p.restateTaps(p.world.Taps())
		p.keepTunnels(false)
	}
}

// adopt makes a connected switch a node's: it is read, and then kept at its desired state.
func (p *planner) adopt(sw *swtch, node string) {
	n := p.world.Node(node)
	sw.shares, sw.keys, sw.groups, sw.meters = &pipeline.Shares{}, map[flowset.Key]bool{}, map[openflow.GroupID]bool{}, map[uint32]bool{}
	sw.node, sw.have, sw.want = node, nil, sw.shares.Want()
	sw.epoch, sw.all = pipeline.NewEpoch(p.epochSeed()), true
	with := *n
	with.TunnelPort = sw.ifaces[n.TunnelInterface]
	p.mark(p.world.PutNode(with))
	p.recompute(sw, []pipeline.Unit{{Kind: pipeline.UnitEverything}})
	sw.refused, sw.refusal = time.Time{}, ""
	sw.status = topology.NodeStatus{State: topology.NodeConnected, Role: "master", Version: sw.session.conn.Desc().Software}
	p.stateNode(sw)
	p.keepTunnels(false)
	p.read(sw)
	p.restateTaps(p.world.Taps())
}

// stateNode writes the status of a switch's node.
func (p *planner) stateNode(sw *swtch) {
	n := p.world.Node(sw.node)
	if n == nil {
		return
	}
	st := &sw.status
	st.TunnelPort, st.Reason, st.DriftRepaired = n.TunnelPort, "", p.drift[sw.node]
	switch {
	case sw.refusal != "":
		st.Reason = "the switch refuses a change: " + sw.refusal
	case n.TunnelPort == 0:
		st.Reason = "the switch has no port " + n.TunnelInterface + ", so nothing can be sent to other nodes"
	}
	p.c.statuses.node(sw.node, *st)
}

// clear has everything of ours taken off the switch of a node that was deleted, whatever the
// switch was left with: nobody will look there again.
func (p *planner) clear(sw *swtch) {
	sw.node, sw.have, sw.want = "", nil, &flowset.Set{}
	sw.shares, sw.all = &pipeline.Shares{}, true
	sw.refused, sw.refusal = time.Time{}, ""
	p.keepTunnels(false)
	p.read(sw)
}

// portChanged notices a tunnel interface that comes, goes or gets another number.
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
	if n == nil || n.TunnelPort == sw.ifaces[n.TunnelInterface] {
		return
	}
	with := *n
	with.TunnelPort = sw.ifaces[n.TunnelInterface]
	p.mark(p.world.PutNode(with))
	p.stateNode(sw)
	p.restateTaps(p.world.Taps())
}

// epochSeed differs from one connection to the next, of this process and of the one before it.
func (p *planner) epochSeed() uint32 {
	p.adopted++
	return uint32(p.started.Unix()) + p.adopted
}
