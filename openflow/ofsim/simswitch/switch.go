package simswitch

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/flowset"
	"github.com/flowtap/flowtap/openflow/ofsim"
)

type key = flowset.Key

// A Switch is one switch of a Fabric, whose mutex guards the fields.
type Switch struct {
	fabric   *Fabric
	dpid     openflow.DPID
	tunnel   netip.Addr
	sim      *ofsim.Switch
	counters map[key]*counter
	meters   map[uint32]*meter
	ports    map[openflow.PortNo]string
	down     map[openflow.PortNo]bool
	link     *link // nil while not connected

	refuse  func([]openflow.Message) bool
	drop    Drop
	delay   time.Duration
	hung    chan struct{} // closed when the switch answers again; nil while it does
	refusal int
}

// counter is what a flow counts.
type counter struct {
	packets, bytes uint64
	since          time.Time
}

// meter is what a meter counts.
type meter struct {
	packets, bytes, dropped, droppedBytes uint64
	since                                 time.Time
}

// Drop says when a switch loses its connection once.
type Drop int

// When to lose the connection.
const (
	DropNever        Drop = iota
	DropBeforeCommit      // the next bundle has no effect
	DropAfterCommit       // the next bundle takes effect, and is not answered
)

// DPID is the switch's datapath id.
func (s *Switch) DPID() openflow.DPID { return s.dpid }

// Tunnel is the address of its tunnel port.
func (s *Switch) Tunnel() netip.Addr { return s.tunnel }

// Connect opens a connection to a controller and serves it until Disconnect or until the
// controller ends it. One that is open is closed before.
func (s *Switch) Connect(addr string) error {
	s.Disconnect()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		return fmt.Errorf("connect switch %v: %w", s.dpid, err)
	}
	s.serve(nc)
	return nil
}

// Connected reports whether the switch has a connection.
func (s *Switch) Connected() bool {
	s.fabric.mu.Lock()
	defer s.fabric.mu.Unlock()
	return s.link != nil
}

// Stay keeps the switch connected, dialling again whenever it is not, until ctx ends. It returns
// when the last connection has ended.
func (s *Switch) Stay(ctx context.Context, addr string) {
	for ctx.Err() == nil {
		if !s.Connected() {
			_ = s.Connect(addr) // the next turn tries again
		}
		select {
		case <-ctx.Done():
		case <-time.After(2 * time.Millisecond):
		}
	}
	s.Disconnect()
}

// Disconnect ends the connection, if there is one, and waits until it has ended.
func (s *Switch) Disconnect() {
	s.fabric.mu.Lock()
	l := s.link
	s.link = nil
	s.fabric.mu.Unlock()
	if l != nil {
		l.close()
		l.wg.Wait()
	}
}

// Restart loses the connection and all flows and groups; ports stay.
func (s *Switch) Restart() {
	s.Disconnect()
	s.fabric.mu.Lock()
	defer s.fabric.mu.Unlock()
	if err := s.sim.Replace(&flowset.Set{}); err != nil {
		panic(err) // of nothing
	}
	s.counters = map[key]*counter{}
	s.meters = map[uint32]*meter{}
}

// AddPort plugs a port in.
func (s *Switch) AddPort(no openflow.PortNo, name string) {
	s.fabric.mu.Lock()
	defer s.fabric.mu.Unlock()
	s.sim.AddPort(no, name)
	s.ports[no] = name
	if no == TunnelPort {
		panic("the tunnel port cannot come back") // ofsim has no way
	}
	s.lockedSend(0, &openflow.PortStatus{Reason: openflow.PortAdd, Port: s.lockedPort(no)})
}

// RemovePort unplugs a port.
func (s *Switch) RemovePort(no openflow.PortNo) {
	s.fabric.mu.Lock()
	defer s.fabric.mu.Unlock()
	name := s.ports[no]
	s.sim.RemovePort(no)
	delete(s.ports, no)
	delete(s.down, no)
	s.lockedSend(0, &openflow.PortStatus{Reason: openflow.PortDelete, Port: openflow.Port{No: no, Name: name}})
}

// SetPortDown takes a port down or up, as when its interface loses or gains its carrier. Fast-failover
// groups act on it at once, and the controller is told.
func (s *Switch) SetPortDown(no openflow.PortNo, down bool) {
	s.fabric.mu.Lock()
	defer s.fabric.mu.Unlock()
	if _, ok := s.ports[no]; !ok {
		return
	}
	s.sim.SetDown(no, down)
	s.down[no] = down
	s.lockedSend(0, &openflow.PortStatus{Reason: openflow.PortModify, Port: s.lockedPort(no)})
}

func (s *Switch) lockedPort(no openflow.PortNo) openflow.Port {
	p := openflow.Port{No: no, Name: s.ports[no], State: openflow.PortStateLive}
	if s.down[no] {
		p.State = openflow.PortStateLinkDown
	}
	return p
}

// SetMeterDropping has a meter drop every frame, or none, from now on. Meters begin by dropping none.
func (s *Switch) SetMeterDropping(id uint32, drop bool) {
	s.fabric.mu.Lock()
	defer s.fabric.mu.Unlock()
	s.sim.SetDropping(id, drop)
}

// Inject has a frame arrive by a port and gives all that it caused.
func (s *Switch) Inject(port openflow.PortNo, frame []byte) (ofsim.Result, error) {
	s.fabric.mu.Lock()
	defer s.fabric.mu.Unlock()
	r, err := s.fabric.sim.Inject(s.dpid, port, frame)
	s.fabric.lockedSpread(&r, len(frame))
	return r, err
}

// Set is a copy of what the switch holds.
func (s *Switch) Set() *flowset.Set {
	s.fabric.mu.Lock()
	defer s.fabric.mu.Unlock()
	return s.sim.Set().Clone()
}

// Since tells when each flow was added.
func (s *Switch) Since() map[flowset.Key]time.Time {
	s.fabric.mu.Lock()
	defer s.fabric.mu.Unlock()
	m := make(map[flowset.Key]time.Time, len(s.counters))
	for k, c := range s.counters {
		m[k] = c.since
	}
	return m
}

// Tamper carries out messages behind the controller's back: they are not logged.
func (s *Switch) Tamper(ms ...openflow.Message) error {
	s.fabric.mu.Lock()
	defer s.fabric.mu.Unlock()
	return s.lockedAll(ms)
}

// Refuse has the switch refuse every bundle for which f is true; nil ends that.
func (s *Switch) Refuse(f func([]openflow.Message) bool) {
	s.fabric.mu.Lock()
	defer s.fabric.mu.Unlock()
	s.refuse, s.refusal = f, 0
}

// Refused counts the bundles refused since the last call of Refuse.
func (s *Switch) Refused() int {
	s.fabric.mu.Lock()
	defer s.fabric.mu.Unlock()
	return s.refusal
}

// DropOnce has the switch lose its connection at its next bundle.
func (s *Switch) DropOnce(d Drop) {
	s.fabric.mu.Lock()
	defer s.fabric.mu.Unlock()
	s.drop = d
}

// Delay has the switch wait before it looks at each message.
func (s *Switch) Delay(d time.Duration) {
	s.fabric.mu.Lock()
	defer s.fabric.mu.Unlock()
	s.delay = d
}

// Hang has the switch read nothing and answer nothing, echo requests included, or wakes it up.
func (s *Switch) Hang(hang bool) {
	s.fabric.mu.Lock()
	defer s.fabric.mu.Unlock()
	switch {
	case hang && s.hung == nil:
		s.hung = make(chan struct{})
	case !hang && s.hung != nil:
		close(s.hung)
		s.hung = nil
	}
}

// link is one connection.
type link struct {
	nc   net.Conn
	out  chan []byte // full: packet-ins and port-status are lost, which no test comes near
	done chan struct{}
	once sync.Once
	wg   sync.WaitGroup
}

func (l *link) close() {
	l.once.Do(func() {
		close(l.done)
		_ = l.nc.Close()
	})
}

// PortNamed is the number of a port, zero where there is none.
func (s *Switch) PortNamed(name string) openflow.PortNo {
	s.fabric.mu.Lock()
	defer s.fabric.mu.Unlock()
	for no, n := range s.ports {
		if n == name {
			return no
		}
	}
	return 0
}
