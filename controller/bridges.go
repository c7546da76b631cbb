package controller

import (
	"context"
	"fmt"
	"slices"

	"github.com/flowtap/flowtap/flowtap/pipeline"
	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/topology"
)

// A node of two bridges (pipeline/bridges.go) has two connections. Ports are observed on the port
// bridge's; the tunnel interface, probes, sentinels and counters are the tunnel bridge's. Both are kept at
// their desired state alike, and the node is connected with both.

// bridges gives the datapath ids of a node, that of the pipeline first.
func bridges(n *pipeline.Node) []openflow.DPID {
	if n.Split() {
		return []openflow.DPID{n.TunnelDatapathID, n.DatapathID}
	}
	return []openflow.DPID{n.DatapathID}
}

// bridge gives a node's connected bridge, nil where it is not.
func (p *planner) bridge(node string, dpid openflow.DPID) *swtch {
	if sw := p.switches[dpid]; sw != nil && sw.node == node {
		return sw
	}
	return nil
}

// plug gives a node the port numbers that its bridges have, as far as they are connected.
func (p *planner) plug(n pipeline.Node) pipeline.Node {
	if sw := p.switches[n.Pipeline()]; sw != nil {
		if n.TunnelPort = sw.ifaces[n.TunnelInterface]; n.Split() {
			n.Patch = sw.ifaces[pipeline.PatchToPorts]
		}
	}
	if sw := p.switches[n.DatapathID]; sw != nil && n.Split() {
		n.PortPatch = sw.ifaces[pipeline.PatchToTunnels]
	}
	return n
}

// stateNode writes the status of a node.
func (p *planner) stateNode(id string) {
	n := p.world.Node(id)
	if n == nil {
		return
	}
	st := p.nodes[id]
	st.State, st.Role, st.Reason = topology.NodeConnected, "master", p.trouble(n)
	st.TunnelPort, st.DriftRepaired = n.TunnelPort, p.drift[id]
	st.Flows, st.Groups, st.ForeignFlows = 0, 0, 0
	found := 0
	if p.c.place != nil {
		st.Master, st.Replicas = p.c.place(n.DatapathID)
	}
	for _, dpid := range bridges(n) {
		sw := p.bridge(id, dpid)
		if sw == nil {
			continue
		}
		found++
		st.Flows, st.Groups, st.ForeignFlows = st.Flows+sw.flows, st.Groups+sw.groupCount, st.ForeignFlows+sw.foreign
		st.Version = sw.session.conn.Desc().Software
	}
	if found < len(bridges(n)) {
		st.State, st.Role, st.Master = topology.NodeDisconnected, "", ""
		was := p.nodes[id]
		st.Flows, st.Groups, st.ForeignFlows = was.Flows, was.Groups, was.ForeignFlows
	}
	p.nodes[id] = st
	p.c.statuses.node(id, st)
}

// trouble says what a node lacks.
func (p *planner) trouble(n *pipeline.Node) string {
	whole, ports := p.bridge(n.ID, n.Pipeline()), p.bridge(n.ID, n.DatapathID)
	switch {
	case n.Split() && whole == nil && ports != nil:
		return fmt.Sprintf("the tunnel bridge, %v, is not connected", n.TunnelDatapathID)
	case n.Split() && whole != nil && ports == nil:
		return fmt.Sprintf("the bridge with the ports, %v, is not connected", n.DatapathID)
	case whole == nil:
		return ""
	case whole.refusal != "":
		return "the switch refuses a change: " + whole.refusal
	case ports.refusal != "":
		return "the bridge with the ports refuses a change: " + ports.refusal
	case n.Split() && n.Patch == 0:
		return fmt.Sprintf("the tunnel bridge, %v, has no patch port %s, so its ports have no network", n.TunnelDatapathID, pipeline.PatchToPorts)
	case n.Split() && n.PortPatch == 0:
		return fmt.Sprintf("the bridge with the ports, %v, has no patch port %s, so its ports have no network", n.DatapathID, pipeline.PatchToTunnels)
	case n.TunnelPort == 0:
		return "the switch has no port " + n.TunnelInterface + ", so nothing can be sent to other nodes"
	}
	return ""
}

// Placed takes note that what Deps.Place says may have changed.
func (c *Controller) Placed(ctx context.Context) {
	done := make(chan struct{})
	c.planner.post(ctx, func(p *planner) {
		defer close(done)
		for _, id := range p.world.Nodes() {
			st := p.nodes[id]
			master, replicas := p.c.place(p.world.Node(id).DatapathID)
			if st.State == topology.NodeConnected && st.Master != master || !slices.Equal(st.Replicas, replicas) {
				p.stateNode(id)
			}
		}
	})
	select {
	case <-done:
	case <-ctx.Done():
	}
}
