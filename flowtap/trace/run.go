package trace

import (
	"fmt"
	"net/netip"

	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/flowset"
	"github.com/flowtap/flowtap/openflow/ofsim"
)

// A Node is a switch in a Run. One without a Set is not looked into; Run says when it is needed.
type Node struct {
	ID         string
	DPID       openflow.DPID
	TunnelIP   netip.Addr
	TunnelPort openflow.PortNo // zero: none
	Ports      map[openflow.PortNo]string
	Set        *flowset.Set
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
		if n.TunnelPort != 0 {
			if err := fabric.AddTunnel(n.DPID, n.TunnelPort, n.TunnelIP); err != nil {
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
