package northbound

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/flowtap/flowtap/store"
	"github.com/flowtap/flowtap/topology"
)

func (s *Server) nodes() *resource[topology.Node, topology.NodeStatus] {
	res := &resource[topology.Node, topology.NodeStatus]{
		server: s, name: store.CollectionNodes, singular: "node", objects: s.deps.Store.Nodes(),
		claims:   true,
		complete: func(_ *scope, _ string, n, _ *topology.Node) error { return n.Validate() },
		observed: func(o *store.Node) topology.NodeStatus {
			st := o.Status
			if st.State == "" {
				st.State = topology.NodeDisconnected
			}
			return st
		},
	}
	res.rehearse = func(ctx context.Context, c Change) error {
		if c.Op == OpDelete {
			return nil
		}
		return taken(ctx, res.objects, c.ID, c.Spec.(topology.Node), nodeClaims)
	}
	res.special = s.unregistered
	return res
}

func nodeClaims(_ string, n *topology.Node) []claim {
	out := []claim{
		{"datapath_id", "datapath", n.DatapathID.String()},
		{"tunnel_ip", "tunnel_ip", n.TunnelIP.String()},
	}
	if n.TunnelDatapathID != 0 {
		out = append(out, claim{"tunnel_datapath_id", "datapath", n.TunnelDatapathID.String()})
	}
	return out
}

// unregistered answers ?state=unregistered: switches that are connected and that no node names. They
// are no objects yet, so their id is the datapath id and their revision 0.
func (s *Server) unregistered(f filters) ([]json.RawMessage, bool) {
	if !slices.Equal(f["state"], []string{topology.NodeUnregistered}) {
		return nil, false
	}
	var nodes []UnregisteredNode
	if s.deps.Unregistered != nil {
		nodes = slices.Clone(s.deps.Unregistered())
	}
	slices.SortFunc(nodes, func(a, b UnregisteredNode) int {
		return strings.Compare(a.DatapathID.String(), b.DatapathID.String())
	})
	items := []json.RawMessage{}
	for _, n := range nodes {
		id := n.DatapathID.String()
		if ids, ok := f["datapath_id"]; ok && !slices.Contains(ids, id) {
			continue
		}
		items = append(items, mustJSON(unregisteredNode{
			ID: id, DatapathID: id, Revision: "0", CreatedAt: n.Since.UTC(), UpdatedAt: n.Since.UTC(),
			Status: topology.NodeStatus{State: topology.NodeUnregistered, Version: n.Version},
		}))
	}
	return items, true
}

// unregisteredNode is a node without the fields that only a registration gives.
type unregisteredNode struct {
	ID         string              `json:"id"`
	DatapathID string              `json:"datapath_id"`
	Revision   string              `json:"revision"`
	CreatedAt  time.Time           `json:"created_at"`
	UpdatedAt  time.Time           `json:"updated_at"`
	Status     topology.NodeStatus `json:"status"`
}
