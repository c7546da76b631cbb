package pipeline

import (
	"fmt"
	"slices"
	"strings"

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
	var ts []Tunnel
	for _, m := range w.monitorsOf(t) {
		for _, tunnel := range w.tunnelsTo(t, m) {
			if !slices.Contains(ts, tunnel) {
				ts = append(ts, tunnel)
			}
		}
	}
	return ts
}

// tunnelsTo gives the tunnels by way of one of a contract's monitors.
func (w *World) tunnelsTo(t *Tap, monitor string) (ts []Tunnel) {
	dst := w.ports[monitor]
	if dst == nil || dst.Status.Node == "" {
		return nil
	}
	for _, n := range w.nodesOfTap(t) {
		if n != dst.Status.Node {
			ts = append(ts, Tunnel{n, dst.Status.Node})
		}
	}
	return append(ts, w.waysBack(t, monitor)...)
}

// waysBack gives the tunnels that frames of a redirect take from where a monitor gives them back:
// to anywhere in the network.
func (w *World) waysBack(t *Tap, monitor string) (ts []Tunnel) {
	src, entrance := w.ports[t.Src], w.ports[w.entranceOf(monitor)]
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
	nodes := w.nodesConcerned(t)
	for _, m := range w.monitorsOf(t) {
		for _, n := range w.nodesOfMonitor(m) {
			if !slices.Contains(nodes, n) {
				nodes = append(nodes, n)
			}
		}
	}
	return nodes
}

// nodesConcerned gives the nodes of a contract but for its monitors'.
func (w *World) nodesConcerned(t *Tap) []string {
	nodes := w.nodesOfTap(t)
	if src := w.ports[t.Src]; src != nil && t.Action == flowtap.Redirect {
		for _, n := range w.nodesOfNetwork(src.Network) {
			if !slices.Contains(nodes, n) {
				nodes = append(nodes, n)
			}
		}
	}
	return nodes
}

// nodesOfMonitor gives where a monitor is, and where it gives frames back.
func (w *World) nodesOfMonitor(monitor string) (nodes []string) {
	for _, id := range []string{monitor, w.entranceOf(monitor)} {
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
//
// unmonitored reports whether a redirect lets its flow, or a part of it, pass because a monitor is away.
func State(w *World, id string, was string, h Health) (st flowtap.TapStatus, unmonitored bool) {
	t := w.taps[id]
	if t == nil {
		return st, false
	}
	src := w.ports[t.Src]
	if src != nil {
		st.SrcNode = src.Status.Node
	}
	if dst := w.ports[t.Dst]; dst != nil {
		st.DstNode = dst.Status.Node
	}
	if !t.Enabled {
		st.State = flowtap.TapDisabled
		return st, false
	}
	var partly bool
	st.Reason, partly = w.obstacle(t, src, h)
	passes := passesUnmonitored(w, t)
	switch {
	case passes != "":
		st.State, st.Reason = flowtap.TapDegraded, passes
	case st.Reason == "":
		st.State = flowtap.TapActive
	case partly && !strings.HasPrefix(st.Reason, Applying):
		st.State = flowtap.TapDegraded
	case was == flowtap.TapActive || was == flowtap.TapDegraded:
		st.State = flowtap.TapDegraded
	default:
		st.State = flowtap.TapPending
	}
	return st, passes != ""
}

// obstacle says why a contract is not in force, or not wholly: partly, where some members of its pool
// serve and others do not.
func (w *World) obstacle(t *Tap, src *Port, h Health) (reason string, partly bool) {
	if src == nil || src.Status.Node == "" {
		return fmt.Sprintf("port %s is on no switch", t.Src), false
	}
	if src.Status.LinkDown() {
		return fmt.Sprintf("port %s is down", t.Src), false
	}
	if m, unfit := w.unfit(t); unfit {
		return w.unfitness(t, m, src), false
	}
	for _, n := range w.nodesConcerned(t) {
		if reason := w.away(n, h); reason != "" {
			return reason, false
		}
	}
	if t.DstPool == "" {
		return w.obstacleTo(t, t.Dst, h), false
	}
	pool := w.pools[t.DstPool]
	if pool == nil {
		return fmt.Sprintf("pool %s is gone", t.DstPool), false
	}
	serving := 0
	for _, m := range pool.Members {
		if o := w.obstacleTo(t, m.Port, h); o == "" {
			serving++
		} else if reason == "" {
			reason = o
		}
	}
	if reason == "" {
		return "", false
	}
	return fmt.Sprintf("%s (%d of %d members of pool %s serve)", reason, serving, len(pool.Members), pool.ID), serving > 0
}

// away says why a node cannot do its part.
func (w *World) away(node string, h Health) string {
	switch n := w.nodes[node]; {
	case n == nil:
	case !h.Up(node):
		return fmt.Sprintf("node %s is not connected", node)
	case n.Split() && (n.Patch == 0 || n.PortPatch == 0):
		return fmt.Sprintf("no patch ports %s and %s join the bridges of node %s", PatchToTunnels, PatchToPorts, node)
	}
	return ""
}

// unfitness says why a contract cannot lead to a monitor that gives frames back.
func (w *World) unfitness(t *Tap, monitor string, src *Port) string {
	e := w.entranceOf(monitor)
	if t.DstPool != "" && w.spreadOf(t) == nil {
		return fmt.Sprintf("monitor %s gives frames back, so pool %s cannot have copies sent to it", monitor, t.DstPool)
	}
	if w.monitorAt(e) != monitor {
		return fmt.Sprintf("port %s is where monitor %s gives frames back; another monitor cannot", e, w.monitorAt(e))
	}
	if t.optioned() {
		return fmt.Sprintf("monitor %s gives redirected frames back, and would give back copies that are cut, limited or readdressed as well", monitor)
	}
	return fmt.Sprintf("monitor %s gives frames of network %s back, and cannot tell those of network %s from them without a tag",
		monitor, w.networkAt(e), src.Network)
}

// obstacleTo says why a contract's frames cannot reach one of its monitors, and come back.
func (w *World) obstacleTo(t *Tap, monitor string, h Health) string {
	if dst := w.ports[monitor]; dst == nil || dst.Status.Node == "" {
		return fmt.Sprintf("monitor %s is on no switch", monitor)
	}
	if e := w.entranceOf(monitor); t.Action == flowtap.Redirect {
		switch p := w.ports[e]; {
		case p == nil || p.Status.Node == "":
			return fmt.Sprintf("return port %s is on no switch", e)
		case e != monitor && p.Status.LinkDown():
			return fmt.Sprintf("return port %s is down", e)
		}
	}
	if w.ports[monitor].Status.LinkDown() {
		return fmt.Sprintf("monitor %s's port is down", monitor)
	}
	if _, known := addressOf(w.ports[monitor]); t.RewriteDstMAC && !known {
		return fmt.Sprintf("monitor %s declares no mac, and has sent no frame to learn it from", monitor)
	}
	if n := w.nodes[w.ports[monitor].Status.Node]; n != nil && n.Split() && t.Truncate != 0 && w.labels[MonitorLabel(destination(monitor, t.form()))] >= cutLabels && slices.Contains(w.nodesOfTap(t), n.ID) {
		return fmt.Sprintf("node %s of monitor %s has two bridges and cannot cut copies of its own ports' frames under a label above %d; whole ones it can make", n.ID, monitor, cutLabels-1)
	}
	for _, n := range w.nodesOfMonitor(monitor) {
		if reason := w.away(n, h); reason != "" {
			return reason
		}
	}
	for _, tunnel := range w.tunnelsTo(t, monitor) {
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
