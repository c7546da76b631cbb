package ofsim

import (
	"fmt"
	"net/netip"

	"github.com/flowtap/flowtap/openflow"
)

// maxHops bounds the tunnel hops of a frame and maxFrames the frames that one may become.
const (
	maxHops   = 64
	maxFrames = 4096
)

// tunnelIDMask is what of a tunnel id is on the wire: Geneve and VXLAN have 24 bits.
const tunnelIDMask = 1<<24 - 1

// A Fabric is switches joined by tunnels and patch ports. The zero value has none.
type Fabric struct {
	switches map[openflow.DPID]*Switch
	ends     map[netip.Addr]end
}

// end is the tunnel port that has an address.
type end struct {
	sw   *Switch
	port openflow.PortNo
}

// AddSwitch adds a switch.
func (f *Fabric) AddSwitch(s *Switch) {
	if f.switches == nil {
		f.switches = map[openflow.DPID]*Switch{}
		f.ends = map[netip.Addr]end{}
	}
	f.switches[s.dpid] = s
}

// Switch finds a switch, nil where there is none.
func (f *Fabric) Switch(id openflow.DPID) *Switch { return f.switches[id] }

// AddTunnel gives a switch of the fabric a flow-based tunnel port (remote_ip=flow, key=flow, a fixed local_ip):
// a frame output there goes to the switch whose IPv4 address is in tun_dst, with the low 24 bits of
// tun_id, and arrives with nothing else of what the sender had set in registers or metadata.
func (f *Fabric) AddTunnel(id openflow.DPID, port openflow.PortNo, local netip.Addr) error {
	s := f.switches[id]
	switch {
	case s == nil:
		return fmt.Errorf("switch %v is not in the fabric", id)
	case !local.Is4():
		return fmt.Errorf("tunnel address %v: want IPv4", local)
	case f.ends[local].sw != nil:
		return fmt.Errorf("tunnel address %v is taken", local)
	}
	if s.ports[port] == nil {
		s.AddPort(port, "tun0")
	}
	s.ports[port].tunnel = uint32(addr4(local))
	f.ends[local] = end{s, port}
	return nil
}

// Inject runs a frame that arrives by a port, and every frame that follows from it, through the
// fabric. An error wraps ErrLoop; the Result then says what came before.
func (f *Fabric) Inject(id openflow.DPID, port openflow.PortNo, frame []byte) (Result, error) {
	return f.start(id, func(s *Switch, r *Result) error { return s.run(r, port, frame, Tunnel{}, nil) })
}

// PacketOut executes actions on a frame at a switch, see Switch.PacketOut, and follows it.
func (f *Fabric) PacketOut(id openflow.DPID, in openflow.PortNo, actions []openflow.Action, frame []byte) (Result, error) {
	return f.start(id, func(s *Switch, r *Result) error { return s.packetOut(r, in, actions, frame) })
}

func (f *Fabric) start(id openflow.DPID, first func(*Switch, *Result) error) (Result, error) {
	var r Result
	err := f.inject(&r, id, first)
	return r, err
}

func (f *Fabric) inject(r *Result, id openflow.DPID, first func(*Switch, *Result) error) error {
	s := f.switches[id]
	if s == nil {
		return fmt.Errorf("switch %v is not in the fabric", id)
	}
	if err := first(s, r); err != nil {
		return err
	}
	hops := 0
	for todo := f.split(r, 0); len(todo) > 0; hops++ {
		if hops == maxHops {
			return fmt.Errorf("%w: over %d tunnel hops", ErrLoop, maxHops)
		}
		var next []Delivery
		for _, d := range todo {
			if len(next) > maxFrames {
				return fmt.Errorf("%w: over %d frames", ErrLoop, maxFrames)
			}
			to, ok := f.ends[d.Tunnel.Dst]
			if !ok || to.sw.dpid == d.DPID {
				r.rec.lost(&d, "no other switch has the address "+d.Tunnel.Dst.String())
				r.Lost = append(r.Lost, d)
				continue
			}
			if to.sw.ports[to.port] == nil || to.sw.ports[to.port].down {
				r.rec.lost(&d, "the tunnel port of "+to.sw.dpid.String()+" is gone or down")
				r.Lost = append(r.Lost, d)
				continue
			}
			d.Tunnel.ID &= tunnelIDMask
			from := len(r.Deliveries)
			if r.rec != nil {
				r.rec.from = &d
			}
			if err := to.sw.run(r, to.port, d.Frame, d.Tunnel, nil); err != nil {
				return err
			}
			next = append(next, f.split(r, from)...)
		}
		todo = next
	}
	return nil
}

// split takes the frames for tunnels out of the deliveries from the given one on.
func (f *Fabric) split(r *Result, from int) []Delivery {
	var tunnelled []Delivery
	kept := r.Deliveries[:from]
	for _, d := range r.Deliveries[from:] {
		if d.Tunnel.Src.IsValid() {
			tunnelled = append(tunnelled, d)
		} else {
			kept = append(kept, d)
		}
	}
	r.Deliveries = kept
	return tunnelled
}
