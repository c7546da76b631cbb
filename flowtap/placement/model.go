package placement

import "slices"

// A unit is one slice of one flow on its way through Next.
type unit struct {
	flow, slice int
	rate        float64 // bytes a second
	home        int     // node of the target, -1 for nowhere
	may         []int   // monitors that may have it, in order
	at          int     // monitor that has it, -1 for none
	held        Held    // where it was when Next began
	moved       bool    // in this call
	fixed       bool    // figures are unknown or stale, or it has moved lately
}

// A resource is one column of the model: its utilisation is linear in the rates of the slices that use it.
type resource struct {
	Resource
	base   float64 // what is used by others
	used   float64 // base and slices
	frozen bool    // a figure of it is stale
	goal   float64 // it need not be lower than this
}

// A model is the input as numbers. Resources are numbered: monitors, then for each node its CPU, what its
// link sends and what it receives.
type model struct {
	in        Input
	res       []resource
	nMonitors int
	node      []int // of each monitor, -1 for one that is on none
	nNodes    int
	// What one byte a second costs: a monitor, the CPU of a monitor's node, a node's link (both ways).
	perByte, perByteCPU, perByteLink []float64
	count                            []int // slices at each monitor
	units                            []unit
	notes                            []Note
}

func (m *model) cpu(node int) int  { return m.nMonitors + 3*node }
func (m *model) sent(node int) int { return m.nMonitors + 3*node + 1 }
func (m *model) recv(node int) int { return m.nMonitors + 3*node + 2 }

// newModel takes a sorted input.
func newModel(in Input) *model {
	m := &model{in: in, nMonitors: len(in.Monitors), count: make([]int, len(in.Monitors))}
	nodes := m.nodesOf()
	m.nNodes = len(nodes)
	m.res = make([]resource, m.nMonitors+3*len(nodes))
	m.perByte, m.perByteCPU = make([]float64, m.nMonitors), make([]float64, m.nMonitors)
	m.perByteLink, m.node = make([]float64, len(nodes)), make([]int, m.nMonitors)
	age := func(f Figure) bool { return f.Stale(in.Now, in.Config.MaxAge) }
	for i, n := range nodes {
		cpu, sent, recv := &m.res[m.cpu(i)], &m.res[m.sent(i)], &m.res[m.recv(i)]
		*cpu = resource{Resource: Resource{OfCPU, n.ID}, base: n.CPU.Value, frozen: age(n.CPU)}
		*sent = resource{Resource: Resource{OfSent, n.ID}, frozen: age(n.Sent)}
		*recv = resource{Resource: Resource{OfRecv, n.ID}, frozen: age(n.Received)}
		if n.Link > 0 {
			m.perByteLink[i] = 1 / max(n.Link, 1)
			sent.base, recv.base = n.Sent.Value*m.perByteLink[i], n.Received.Value*m.perByteLink[i]
		}
	}
	for i, x := range in.Monitors {
		capacity, byCPU := capacityOf(x, in.Config.Capacity)
		m.perByte[i] = 1 / capacity
		m.res[i] = resource{Resource: Resource{OfMonitor, x.ID}, base: x.Other * m.perByte[i], frozen: age(x.CPU) || age(x.Received)}
		m.node[i] = slices.IndexFunc(nodes, func(n Node) bool { return n.ID == x.Node && x.Node != "" })
		if n := m.node[i]; n >= 0 && nodes[n].CPU.Known() {
			// The node's CPU without what slices cost is what it uses besides; a slice's part of it follows a move
			// at once, where the measured use would lag behind. What a monitor costs that has fallen silent is not foreseen.
			if x.Share > 0 && !m.res[i].frozen {
				m.perByteCPU[i] = x.Share * (1 - x.Idle) / byCPU
				m.res[m.cpu(n)].base -= m.perByteCPU[i] * max(0, x.Received.Value-x.Other)
			}
		}
	}
	for i := range m.res {
		r := &m.res[i]
		r.base, r.goal = max(r.base, 0), in.Config.Low
		r.used = r.base
	}
	return m
}

// nodesOf gives the nodes of the input and those that only monitors or flows name, sorted.
func (m *model) nodesOf() []Node {
	nodes := slices.Clone(m.in.Nodes)
	known := map[string]bool{"": true}
	for _, n := range nodes {
		known[n.ID] = true
	}
	add := func(id string) {
		if !known[id] {
			known[id] = true
			nodes = append(nodes, Node{ID: id})
		}
	}
	for _, x := range m.in.Monitors {
		add(x.Node)
	}
	for _, f := range m.in.Flows {
		add(f.Node)
	}
	slices.SortFunc(nodes, func(a, b Node) int { return compareResources(Resource{OfCPU, a.ID}, Resource{OfCPU, b.ID}) })
	return nodes
}

// remote reports whether a unit's frames cross the fabric to a monitor.
func (m *model) remote(u *unit, monitor int) bool {
	return u.home >= 0 && monitor >= 0 && m.node[monitor] != u.home
}

// each calls f with every resource that the unit uses at a monitor, and how much of it.
func (m *model) each(u *unit, monitor int, f func(res int, part float64)) {
	f(monitor, u.rate*m.perByte[monitor])
	n := m.node[monitor]
	if n >= 0 {
		f(m.cpu(n), u.rate*m.perByteCPU[monitor])
	}
	if m.remote(u, monitor) {
		f(m.sent(u.home), u.rate*m.perByteLink[u.home])
		if n >= 0 {
			f(m.recv(n), u.rate*m.perByteLink[n])
		}
	}
}

// put moves a unit to a monitor, or to none (-1).
func (m *model) put(u *unit, monitor int) {
	if u.at >= 0 {
		m.count[u.at]--
		m.each(u, u.at, func(r int, part float64) { m.res[r].used -= part })
	}
	if u.at = monitor; monitor >= 0 {
		m.count[monitor]++
		m.each(u, monitor, func(r int, part float64) { m.res[r].used += part })
	}
}

// part gives how much of a resource a unit uses where it is.
func (m *model) part(u *unit, res int) (part float64) {
	if u.at >= 0 {
		m.each(u, u.at, func(r int, p float64) {
			if r == res {
				part = p
			}
		})
	}
	return part
}

// arrival says what a move to a monitor would make of the resources that it makes fuller: the highest
// utilisation among them, by how much any of them would be over its goal, and whether one, or the monitor, is frozen.
func (m *model) arrival(u *unit, to int) (highest, over float64, frozen bool) {
	frozen = m.res[to].frozen
	look := func(r int, more float64) {
		if more <= 0 {
			return
		}
		x := &m.res[r]
		highest, over, frozen = max(highest, x.used+more), max(over, x.used+more-x.goal), frozen || x.frozen
	}
	look(to, u.rate*m.perByte[to])
	n, from := m.node[to], -1
	if u.at >= 0 {
		from = m.node[u.at]
	}
	if n >= 0 {
		more := u.rate * m.perByteCPU[to]
		if n == from && u.at >= 0 {
			more -= u.rate * m.perByteCPU[u.at]
		}
		look(m.cpu(n), more)
	}
	if m.remote(u, to) {
		was := m.remote(u, u.at)
		if !was {
			look(m.sent(u.home), u.rate*m.perByteLink[u.home])
		}
		if n >= 0 && !(was && n == from) {
			look(m.recv(n), u.rate*m.perByteLink[n])
		}
	}
	return highest, over, frozen
}
