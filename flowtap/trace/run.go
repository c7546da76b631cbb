package trace

import (
	"fmt"
	"net/netip"

	"github.com/flowtap/flowtap/flowtap/pipeline"
	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/flowset"
	"github.com/flowtap/flowtap/openflow/ofsim"
)

// A Node is a node in a Run. One without a Set is not looked into; Run says when it is needed. Of a node of two
// bridges DPID, Ports and Set are the bridge with the ports.
type Node struct {
	ID         string
	DPID       openflow.DPID
	TunnelIP   netip.Addr
	TunnelPort openflow.PortNo // zero: none
	Ports      map[openflow.PortNo]string
	Set        *flowset.Set
	Tunnels    *TunnelBridge // nil: one bridge
}

// A TunnelBridge is the second bridge of a node: the one with the tunnel port. Patch is its port towards the
// bridge with the ports, PortPatch the port there.
type TunnelBridge struct {
	DPID             openflow.DPID
	Patch, PortPatch openflow.PortNo // zero: none
	Set              *flowset.Set
}

// Run executes a frame that enters a node by a port. needed are the nodes without a Set that frames
// came to: run again when they have one. An error is a Set that no switch would take.
func Run(nodes []Node, at openflow.DPID, port openflow.PortNo, frame []byte) (t ofsim.Trace, needed []string, err error) {
	var fabric ofsim.Fabric
	unknown := map[openflow.DPID]string{}
	for _, n := range nodes {
		sw := ofsim.NewSwitch(n.DPID)
		for no, name := range n.Ports {
			sw.AddPort(no, name)
		}
		fabric.AddSwitch(sw)
		whole := n.DPID
		if t := n.Tunnels; t != nil {
			whole = t.DPID
			if err := t.join(&fabric, &n); err != nil {
				return ofsim.Trace{}, nil, fmt.Errorf("node %s: %w", n.ID, err)
			}
			if n.Set == nil {
				unknown[whole] = n.ID
			}
		}
		if n.TunnelPort != 0 {
			if err := fabric.AddTunnel(whole, n.TunnelPort, n.TunnelIP); err != nil {
				return t, nil, fmt.Errorf("node %s: %w", n.ID, err)
			}
		}
		if n.Set == nil {
			unknown[n.DPID] = n.ID
		} else if err := sw.Replace(n.Set); err != nil {
			return t, nil, fmt.Errorf("node %s: %w", n.ID, err)
		}
	}
	if t, err = fabric.Trace(at, port, frame); err != nil {
		return t, nil, err
	}
	seen := map[string]bool{}
	for _, h := range t.Hops {
		if id := unknown[h.DPID]; id != "" && !seen[id] {
			seen[id] = true
			needed = append(needed, id)
		}
	}
	return t, needed, nil
}

// join adds the second bridge of a node whose first is in the fabric.
func (t *TunnelBridge) join(fabric *ofsim.Fabric, n *Node) error {
	sw := ofsim.NewSwitch(t.DPID)
	fabric.AddSwitch(sw)
	if t.Patch != 0 && t.PortPatch != 0 {
		sw.AddPort(t.Patch, pipeline.PatchToPorts)
		fabric.Switch(n.DPID).AddPort(t.PortPatch, pipeline.PatchToTunnels)
		if err := fabric.AddPatch(t.DPID, t.Patch, n.DPID, t.PortPatch); err != nil {
			return err
		}
	}
	if t.Set == nil {
		return nil
	}
	return sw.Replace(t.Set)
}
