package simswitch

import (
	"net/netip"
	"sync"

	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/ofsim"
)

// TunnelPort is the number of every switch's tunnel port, TunnelName its name.
const (
	TunnelPort openflow.PortNo = 100
	TunnelName                 = "tun0"
)

// A Fabric is switches joined by tunnels. Its methods may be called from any goroutine.
type Fabric struct {
	mu       sync.Mutex // guards all of the fabric and of its switches
	sim      ofsim.Fabric
	switches map[openflow.DPID]*Switch
	log      []Commit
	watch    func(Commit)
	cut      map[[2]openflow.DPID]bool // tunnels that lose every frame
}

// NewFabric makes a fabric without switches.
func NewFabric() *Fabric {
	return &Fabric{switches: map[openflow.DPID]*Switch{}, cut: map[[2]openflow.DPID]bool{}}
}

// Add makes a switch with a tunnel port; it is not connected yet.
func (f *Fabric) Add(dpid openflow.DPID, tunnel netip.Addr) *Switch {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := &Switch{fabric: f, dpid: dpid, sim: ofsim.NewSwitch(dpid), tunnel: tunnel, counters: map[key]*counter{}, ports: map[openflow.PortNo]string{},
		meters: map[uint32]*meter{}, down: map[openflow.PortNo]bool{}}
	f.sim.AddSwitch(s.sim)
	if err := f.sim.AddTunnel(dpid, TunnelPort, tunnel); err != nil {
		panic(err) // a test's mistake
	}
	s.ports[TunnelPort] = TunnelName
	f.switches[dpid] = s
	return s
}

// Patch plugs a patch port into each of two switches and joins them, as br-int and br-tun of a node are.
func (f *Fabric) Patch(a *Switch, portA openflow.PortNo, nameA string, b *Switch, portB openflow.PortNo, nameB string) {
	a.AddPort(portA, nameA)
	b.AddPort(portB, nameB)
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.sim.AddPatch(a.dpid, portA, b.dpid, portB); err != nil {
		panic(err) // a test's mistake
	}
}

// Cut makes the tunnel from one switch to another lose what is sent from the controller, or heals it.
func (f *Fabric) Cut(from, to openflow.DPID, broken bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cut[[2]openflow.DPID{from, to}] = broken
}

// Commits gives every change of any switch so far, in the order in which they took effect.
func (f *Fabric) Commits() []Commit {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]Commit(nil), f.log...)
}

// OnCommit has f called with every commit, while the fabric is locked: it must not use it.
func (f *Fabric) OnCommit(call func(Commit)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watch = call
}

func (f *Fabric) lockedNote(c Commit) {
	f.log = append(f.log, c)
	if f.watch != nil {
		f.watch(c)
	}
}

// Forget empties the log.
func (f *Fabric) Forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.log = nil
}

// A Commit is a bundle, or a message outside of one, that a switch carried out.
type Commit struct {
	DPID     openflow.DPID
	Bundle   bool
	Messages []openflow.Message
}

// lockedSpread counts what a frame met and sends packet-ins.
func (f *Fabric) lockedSpread(r *ofsim.Result, size int) {
	for hit, n := range r.Hits() {
		if c := f.switches[hit.DPID].counters[hit.Flow]; c != nil {
			c.packets += uint64(n)
			c.bytes += uint64(n * size)
		}
	}
	for _, step := range r.Steps {
		f.switches[step.DPID].lockedMetered(step, uint64(size))
	}
	for _, p := range r.PacketIns {
		f.switches[p.DPID].lockedSend(0, &openflow.PacketIn{BufferID: openflow.NoBuffer, TotalLen: uint16(p.TotalLen),
			Reason: openflow.PacketInReason(p.Reason), Table: p.Table, Cookie: p.Cookie, Data: p.Frame,
			Match: openflow.Match{openflow.Uint(openflow.FieldInPort, uint64(p.InPort))}})
	}
}

// lockedMetered counts what a meter saw and dropped.
func (s *Switch) lockedMetered(step ofsim.Step, size uint64) {
	if step.Event != ofsim.EventMeter && step.Event != ofsim.EventMetered {
		return
	}
	m := s.meters[uint32(step.Arg)]
	if m == nil {
		return
	}
	m.packets++
	m.bytes += size
	if step.Event == ofsim.EventMeter {
		m.dropped++
		m.droppedBytes += size
	}
}
