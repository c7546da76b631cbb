package pipeline

import (
	"fmt"
	"slices"

	"github.com/flowtap/flowtap/flowtap"
)

// A Tunnel is the way from one node to another.
type Tunnel struct{ From, To string }

// A Health is what is known of the switches: which are connected and have carried out
// everything asked of them, and which tunnels answer probes.
type Health struct {
	Up   func(node string) bool
	Warm func(Tunnel) bool
}

// TapTunnels gives the tunnels that copies of a contract take: from where its target is, and for
// received frames, which may be flooded from anywhere in the network, from all of its nodes.
func TapTunnels(w *World, id string) []Tunnel {
	t := w.taps[id]
	if t == nil || !t.Enabled {
		return nil
	}
	dst := w.ports[t.Dst]
	if dst == nil || dst.Status.Node == "" {
		return nil
	}
	var ts []Tunnel
	for _, n := range w.nodesOfTap(t) {
		if n != dst.Status.Node {
			ts = append(ts, Tunnel{n, dst.Status.Node})
		}
	}
	return append(ts, w.waysBack(t)...)
}

// waysBack gives the tunnels that frames of a redirect take from where the monitor gives them back:
// to anywhere in the network.
func (w *World) waysBack(t *Tap) (ts []Tunnel) {
	src, entrance := w.ports[t.Src], w.ports[w.entranceOf(t.Dst)]
	if t.Action != flowtap.Redirect || src == nil || entrance == nil || entrance.Status.Node == "" {
		return nil
	}
	for _, n := range w.nodesOfNetwork(src.Network) {
		if n != entrance.Status.Node {
			ts = append(ts, Tunnel{entrance.Status.Node, n})
		}
	}
	return ts
}

// TapNodes gives every node that a contract concerns.
func TapNodes(w *World, id string) []string {
	t := w.taps[id]
	if t == nil {
		return nil
	}
	nodes := w.nodesOfTap(t)
	if src := w.ports[t.Src]; src != nil && t.Action == flowtap.Redirect {
		for _, n := range w.nodesOfNetwork(src.Network) {
			if !slices.Contains(nodes, n) {
				nodes = append(nodes, n)
			}
		}
	}
	for _, id := range []string{t.Dst, w.entranceOf(t.Dst)} {
		if p := w.ports[id]; p != nil && p.Status.Node != "" && !slices.Contains(nodes, p.Status.Node) {
			nodes = append(nodes, p.Status.Node)
		}
	}
	return nodes
}

// nodesOfTap gives the nodes on which copies of a contract may be made, sorted.
func (w *World) nodesOfTap(t *Tap) []string {
	src := w.ports[t.Src]
	if src == nil {
		return nil
	}
	nodes := map[string]bool{}
	placesOf(src, nodes)
	if len(t.in) > 0 {
		for _, n := range w.nodesOfNetwork(src.Network) {
			nodes[n] = true
		}
	}
	return sortedKeys(nodes)
}

func (w *World) nodesOfNetwork(network string) []string {
	nodes := map[string]bool{}
	for _, p := range w.members[network] {
		placesOf(p, nodes)
	}
	return sortedKeys(nodes)
}

// placesOf adds the nodes where a port is, as far as anybody knows: not those where it was lost.
func placesOf(p *Port, nodes map[string]bool) {
	for _, a := range p.Status.Attachments {
		if !a.Lost {
			nodes[a.Node] = true
		}
	}
}

// TapsBy gives the ids of the contracts whose state depends on a port: its target's, its
// monitor's, and those by which its monitor gives frames back.
func (w *World) TapsBy(port string) []string {
	ids := w.TapsOf(port)
	for monitor := range w.arms[port] {
		if monitor != port {
			ids = append(ids, sortedKeys(w.tapsByDst[monitor])...)
		}
	}
	return ids
}

// Tunnels gives every tunnel in use, by networks and by contracts.
func Tunnels(w *World) map[Tunnel]bool {
	in := map[Tunnel]bool{}
	for id := range w.networks {
		nodes := w.nodesOfNetwork(id)
		for _, a := range nodes {
			for _, b := range nodes {
				if a != b {
					in[Tunnel{a, b}] = true
				}
			}
		}
	}
	for id := range w.taps {
		for _, t := range TapTunnels(w, id) {
			in[t] = true
		}
	}
	return in
}

// Applying begins the reason of a pending tap that waits for nothing but the switches.
const Applying = "applying"

// State says whether a contract is in force once the switches have carried out what was asked of
// them. was is the state before, which makes a contract that stopped working degraded rather than
// pending. Counters and Revision are left to the caller.
func State(w *World, id string, was string, h Health) flowtap.TapStatus {
	t := w.taps[id]
	if t == nil {
		return flowtap.TapStatus{}
	}
	src, dst := w.ports[t.Src], w.ports[t.Dst]
	var st flowtap.TapStatus
	if src != nil {
		st.SrcNode = src.Status.Node
	}
	if dst != nil {
		st.DstNode = dst.Status.Node
	}
	if !t.Enabled {
		st.State = flowtap.TapDisabled
		return st
	}
	st.Reason = w.obstacle(t, src, dst, h)
	switch {
	case PassesUnmonitored(w, id):
		st.State, st.Reason = flowtap.TapDegraded, fmt.Sprintf("monitor %s cannot be reached; the flow passes unmonitored, since fail_mode is open", t.Dst)
	case st.Reason == "":
		st.State = flowtap.TapActive
	case was == flowtap.TapActive || was == flowtap.TapDegraded:
		st.State = flowtap.TapDegraded
	default:
		st.State = flowtap.TapPending
	}
	return st
}

func (w *World) obstacle(t *Tap, src, dst *Port, h Health) string {
	if src == nil || src.Status.Node == "" {
		return fmt.Sprintf("port %s is on no switch", t.Src)
	}
	if dst == nil || dst.Status.Node == "" {
		return fmt.Sprintf("monitor %s is on no switch", t.Dst)
	}
	if t.Action == flowtap.Redirect {
		e := w.entranceOf(t.Dst)
		switch p := w.ports[e]; {
		case p == nil || p.Status.Node == "":
			return fmt.Sprintf("return port %s is on no switch", e)
		case e != t.Dst && p.Status.LinkDown():
			return fmt.Sprintf("return port %s is down", e)
		}
	}
	if src.Status.LinkDown() {
		return fmt.Sprintf("port %s is down", t.Src)
	}
	if dst.Status.LinkDown() {
		return fmt.Sprintf("monitor %s's port is down", t.Dst)
	}
	if e := w.entranceOf(t.Dst); w.networkAt(e) != "" && w.monitorAt(e) != t.Dst {
		return fmt.Sprintf("port %s is where monitor %s gives frames back; another monitor cannot", e, w.monitorAt(e))
	}
	if !w.suits(t) {
		return fmt.Sprintf("monitor %s gives frames of network %s back, and cannot tell those of network %s from them without a tag",
			t.Dst, w.networkAt(w.entranceOf(t.Dst)), src.Network)
	}
	for _, n := range TapNodes(w, t.ID) {
		if w.nodes[n] != nil && !h.Up(n) {
			return fmt.Sprintf("node %s is not connected", n)
		}
	}
	for _, tunnel := range TapTunnels(w, t.ID) {
		if w.nodes[tunnel.From] == nil || w.nodes[tunnel.To] == nil {
			continue
		}
		if w.nodes[tunnel.From].TunnelPort == 0 {
			return fmt.Sprintf("node %s has no tunnel interface", tunnel.From)
		}
		if w.nodes[tunnel.To].TunnelPort == 0 {
			return fmt.Sprintf("node %s has no tunnel interface", tunnel.To)
		}
		if !h.Warm(tunnel) {
			return fmt.Sprintf("%s: the tunnel from %s to %s does not answer yet", Applying, tunnel.From, tunnel.To)
		}
	}
	return ""
}
