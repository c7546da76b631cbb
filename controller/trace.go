package controller

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/flowtap/pipeline"
	"github.com/flowtap/flowtap/flowtap/trace"
	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/flowset"
	"github.com/flowtap/flowtap/openflow/ofsim"
	"github.com/flowtap/flowtap/topology"
)

// A TraceRequest asks what becomes of a frame that has the flow Frame and enters by a port. With GiveBack
// monitors to which frames are redirected give them back.
type TraceRequest struct {
	Port     string
	Frame    flowtap.Match
	GiveBack bool
}

// maxGivenBack bounds how often frames are given back in a trace.
const maxGivenBack = 32

// Trace tells what the switches should do with a frame, by what they should hold; nothing is sent to
// them. Errors are *topology.FieldError of the fields "port" and "frame", or ctx's.
func (c *Controller) Trace(ctx context.Context, r TraceRequest) (*trace.Trace, error) {
	s, err := c.sight(ctx, nil)
	if err != nil {
		return nil, err
	}
	p := s.ports[r.Port]
	switch {
	case p == nil:
		return nil, &topology.FieldError{Field: "port", Detail: fmt.Sprintf("the controller knows no port %q yet", r.Port)}
	case s.nodes[p.status.Node] == nil || p.status.OFPort == 0:
		return nil, &topology.FieldError{Field: "port", Detail: fmt.Sprintf("port %s is on no switch", r.Port)}
	}
	frame, spelled, err := trace.Build(r.Frame, s.around(p))
	if err != nil {
		return nil, err
	}
	t := &trace.Trace{Port: r.Port, Frame: spelled, Bytes: frame, Copies: []trace.Copy{}, Stops: []trace.Copy{}, Outputs: []trace.Output{}, Hops: []*trace.Hop{}}
	if err := c.follow(ctx, t, p, frame, -1); err != nil || !r.GiveBack {
		return t, err
	}
	for i := 0; i < len(t.Stops); i++ {
		if i == maxGivenBack {
			t.Error = fmt.Sprintf("frames were given back %d times and no more in this trace", maxGivenBack)
			break
		}
		stop := &t.Stops[i]
		m := s.ports[stop.Monitor]
		if m != nil && m.returnPort != "" {
			m = s.ports[m.returnPort]
		}
		if m == nil || s.nodes[m.status.Node] == nil || m.status.OFPort == 0 {
			continue // it cannot give anything back
		}
		if err := c.follow(ctx, t, m, stop.Frame, i); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// follow adds to a trace what becomes of a frame that enters by a port; stop is the number of the stop
// that gave it back, or -1. Switches are asked for as frames come to them, and all again at once each
// time, so that what is told is of one moment.
func (c *Controller) follow(ctx context.Context, t *trace.Trace, p *seenPort, frame []byte, stop int) error {
	want := map[string]bool{p.status.Node: true}
	for {
		s, err := c.sight(ctx, want)
		if err != nil {
			return err
		}
		at := s.nodes[p.status.Node]
		if at == nil {
			return &topology.FieldError{Field: "port", Detail: fmt.Sprintf("port %s is on no switch", p.id)}
		}
		found, needed, err := trace.Run(slices.Collect(values(s.nodes)), at.DPID, p.status.OFPort, frame)
		if err != nil {
			return err
		}
		if len(needed) > 0 {
			for _, id := range needed {
				want[id] = true
			}
			continue
		}
		names, err := c.names(ctx, s, found)
		if err != nil {
			return err
		}
		var back *trace.Copy
		if stop >= 0 {
			back = &t.Stops[stop]
		}
		t.Append(found, names, back)
		return nil
	}
}

func values(m map[string]*trace.Node) func(func(trace.Node) bool) {
	return func(yield func(trace.Node) bool) {
		for _, n := range m {
			if !yield(*n) {
				return
			}
		}
	}
}

// A sight is what a trace needs of the world, at one moment.
type sight struct {
	nodes    map[string]*trace.Node
	ports    map[string]*seenPort
	networks map[uint32]string // by label
}

type seenPort struct {
	id         string
	num        uint32
	network    string
	kind       topology.Kind
	returnPort string
	macs       []topology.MAC
	ips        []netip.Addr
	status     topology.PortStatus
}

// sight looks at the world; the nodes wanted come with what their switches should hold.
func (c *Controller) sight(ctx context.Context, want map[string]bool) (*sight, error) {
	answer := make(chan *sight, 1)
	want = maps.Clone(want)
	c.planner.post(ctx, func(p *planner) { answer <- p.look(want) })
	select {
	case s := <-answer:
		return s, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *planner) look(want map[string]bool) *sight {
	p.recomputeDirty()
	s := &sight{nodes: map[string]*trace.Node{}, ports: map[string]*seenPort{}, networks: map[uint32]string{}}
	for _, id := range p.world.Nodes() {
		n := p.world.Node(id)
		t := &trace.Node{ID: id, DPID: n.DatapathID, TunnelIP: n.TunnelIP, TunnelPort: n.TunnelPort, Ports: map[openflow.PortNo]string{}}
		if s.nodes[id] = t; n.Split() {
			t.Tunnels = &trace.TunnelBridge{DPID: n.TunnelDatapathID, Patch: n.Patch, PortPatch: n.PortPatch}
		}
		switch {
		case want[id] && n.Split():
			t.Tunnels.Set, t.Set = p.shouldHold(id), p.portBridge(id)
		case want[id]:
			t.Set = p.shouldHold(id)
		}
	}
	for _, id := range p.world.Networks() {
		s.networks[p.world.Label(pipeline.NetworkLabel(id))] = id
	}
	for _, id := range p.world.Ports() {
		port := p.world.Port(id)
		s.ports[id] = &seenPort{id, port.Num, port.Network, port.Kind, port.ReturnPort, port.Status.LearnedMACs, port.Status.LearnedIPs, port.Status}
		if !port.MAC.IsZero() {
			s.ports[id].macs = []topology.MAC{port.MAC}
		}
		if len(port.IPs) > 0 {
			s.ports[id].ips = port.IPs
		}
		for _, a := range port.Status.Attachments {
			if n := s.nodes[a.Node]; n != nil && (n.Tunnels != nil && a.OFPort != n.Tunnels.PortPatch || n.Tunnels == nil && a.OFPort != n.TunnelPort) {
				n.Ports[a.OFPort] = port.Interface
			}
		}
	}
	return s
}

// portBridge gives what the bridge with the ports of a node of two should hold.
func (p *planner) portBridge(node string) *flowset.Set {
	set := &flowset.Set{}
	for _, u := range p.world.Units() {
		for _, f := range pipeline.PortPart(p.world, node, u) {
			set.PutFlow(f)
		}
	}
	return set
}

// shouldHold gives a copy of a node's desired state: of two bridges that of the tunnel bridge.
func (p *planner) shouldHold(node string) *flowset.Set {
	if sw := p.bridge(node, p.world.Node(node).Pipeline()); sw != nil {
		return sw.want.Clone()
	}
	set := &flowset.Set{}
	flows, groups, meters := pipeline.Desired(p.world, node)
	for _, f := range flows {
		set.PutFlow(f)
	}
	for _, g := range groups {
		set.PutGroup(g)
	}
	for _, m := range meters {
		set.PutMeter(m)
	}
	return set
}

// around gives what a frame of a port may leave open.
func (s *sight) around(p *seenPort) (a trace.Surroundings) {
	end := func(p *seenPort) trace.Endpoint { return trace.Endpoint{ID: p.id, MACs: p.macs, IPs: p.ips} }
	a.Sender = end(p)
	for _, id := range slices.Sorted(maps.Keys(s.ports)) {
		o := s.ports[id]
		if o == p || o.network != p.network || o.kind == topology.KindMonitor {
			continue
		}
		a.Others = append(a.Others, end(o))
		if o.kind == topology.KindGateway && o.status.Node != "" && a.Gateway == nil {
			g := end(o)
			a.Gateway = &g
		}
	}
	return a
}

// names gives the objects that a trace is about.
func (c *Controller) names(ctx context.Context, s *sight, found ofsim.Trace) (trace.Names, error) {
	type tap struct {
		id       string
		redirect bool
	}
	taps := map[uint32]tap{}
	done := make(chan struct{})
	nums := trace.Taps(found)
	c.planner.post(ctx, func(p *planner) {
		for _, num := range nums {
			if t := p.c.counts.taps[num]; t != nil {
				taps[num] = tap{t.id, t.redirect}
			}
		}
		close(done)
	})
	select {
	case <-done:
	case <-ctx.Done():
		return trace.Names{}, ctx.Err()
	}
	type spot struct {
		dpid openflow.DPID
		no   openflow.PortNo
	}
	nodes, ports, byNum, portBridges := map[openflow.DPID]string{}, map[spot]*seenPort{}, map[uint32]string{}, map[openflow.DPID]bool{}
	for id, n := range s.nodes {
		if nodes[n.DPID] = id; n.Tunnels != nil {
			nodes[n.Tunnels.DPID], portBridges[n.DPID] = id, true
		}
	}
	for _, p := range s.ports {
		byNum[p.num] = p.id
		for _, a := range p.status.Attachments {
			if n := s.nodes[a.Node]; n != nil {
				ports[spot{n.DPID, a.OFPort}] = p
			}
		}
	}
	return trace.Names{
		Node:       func(d openflow.DPID) string { return nodes[d] },
		PortBridge: func(d openflow.DPID) bool { return portBridges[d] },
		Port:       func(num uint32) string { return byNum[num] },
		Network:    func(label uint32) string { return s.networks[label] },
		Tap:        func(num uint32) (string, bool) { t := taps[num]; return t.id, t.redirect },
		PortAt: func(d openflow.DPID, no openflow.PortNo) (string, bool) {
			if p := ports[spot{d, no}]; p != nil {
				return p.id, p.kind == topology.KindMonitor
			}
			return "", false
		},
	}, nil
}
