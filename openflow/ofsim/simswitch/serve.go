package simswitch

import (
	"bufio"
	"errors"
	"io"
	"net"
	"time"

	"github.com/flowtap/flowtap/openflow"
)

var errDropped = errors.New("the connection is to be lost")

// serve starts the two goroutines of a connection.
func (s *Switch) serve(nc net.Conn) {
	l := &link{nc: nc, out: make(chan []byte, 1<<14), done: make(chan struct{})}
	s.fabric.mu.Lock()
	s.link = l
	s.lockedSend(0, &openflow.Hello{Versions: []uint8{openflow.Version}})
	s.fabric.mu.Unlock()
	l.wg.Add(2)
	go func() {
		defer l.wg.Done()
		defer l.close()
		w := bufio.NewWriter(nc)
		for {
			select {
			case <-l.done:
				return
			case b := <-l.out:
				_, err := w.Write(b)
				if err == nil && len(l.out) == 0 {
					err = w.Flush()
				}
				if err != nil {
					return
				}
			}
		}
	}()
	go func() {
		defer l.wg.Done()
		s.read(l)
		l.close()
		s.fabric.mu.Lock()
		defer s.fabric.mu.Unlock()
		if s.link == l {
			s.link = nil
		}
	}()
}

func (s *Switch) read(l *link) {
	bundles := map[uint32]*bundle{}
	r := bufio.NewReaderSize(l.nc, 64<<10)
	header := make([]byte, openflow.HeaderLen)
	for {
		if _, err := io.ReadFull(r, header); err != nil {
			return
		}
		n, err := openflow.FrameLength(header)
		if err != nil {
			return
		}
		frame := make([]byte, n)
		copy(frame, header)
		if _, err := io.ReadFull(r, frame[openflow.HeaderLen:]); err != nil {
			return
		}
		if !s.pause(l) {
			return
		}
		xid, m, err := openflow.Decode(frame)
		if err != nil {
			s.answer(xid, refused(errBadRequest, badLen))
			continue
		}
		if s.handle(l, bundles, xid, m) != nil {
			return
		}
	}
}

// pause waits as Hang and Delay say; false when the connection ended meanwhile.
func (s *Switch) pause(l *link) bool {
	s.fabric.mu.Lock()
	hung, delay := s.hung, s.delay
	s.fabric.mu.Unlock()
	if hung != nil {
		select {
		case <-hung:
		case <-l.done:
			return false
		}
	}
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-l.done:
			return false
		}
	}
	return true
}

// The errors that a switch answers with (OpenFlow 1.3.5 §7.5.4 and ONF EXT-230).
const (
	errBadRequest    = 1
	badType          = 1
	badLen           = 6
	errFlowModFailed = 5
	// errMeterModFailed answers a meter-mod.
	errMeterModFailed = 12
)

func refused(t, code uint16) *openflow.Error { return &openflow.Error{ErrType: t, Code: code} }

func (s *Switch) answer(xid uint32, m openflow.Message) {
	s.fabric.mu.Lock()
	defer s.fabric.mu.Unlock()
	s.lockedSend(xid, m)
}

func (s *Switch) lockedSend(xid uint32, m openflow.Message) {
	if s.link == nil {
		return
	}
	b, err := openflow.Append(nil, xid, m)
	if err != nil {
		panic(err) // we made the message
	}
	select {
	case s.link.out <- b:
	default:
	}
}

func (s *Switch) handle(l *link, bundles map[uint32]*bundle, xid uint32, m openflow.Message) error {
	s.fabric.mu.Lock()
	defer s.fabric.mu.Unlock()
	if s.link != l {
		return errDropped
	}
	switch m := m.(type) {
	case *openflow.Hello, *openflow.SetConfig, *openflow.EchoReply, *openflow.Error:
	case *openflow.EchoRequest:
		s.lockedSend(xid, &openflow.EchoReply{Data: m.Data})
	case *openflow.FeaturesRequest:
		s.lockedSend(xid, &openflow.FeaturesReply{DPID: s.dpid, NTables: 254})
	case *openflow.BarrierRequest:
		s.lockedSend(xid, &openflow.BarrierReply{})
	case *openflow.RoleRequest:
		s.lockedSend(xid, &openflow.RoleReply{Role: m.Role, GenerationID: m.GenerationID})
	case *openflow.MultipartRequest:
		s.lockedMultipart(xid, m.Body)
	case *openflow.FlowMod, *openflow.GroupMod:
		if s.lockedAll([]openflow.Message{m}) != nil {
			s.lockedSend(xid, refused(errFlowModFailed, 0))
		} else {
			s.fabric.lockedNote(Commit{DPID: s.dpid, Messages: []openflow.Message{m}})
		}
	case *openflow.MeterMod:
		if s.lockedMeterMod(m) != nil {
			s.lockedSend(xid, refused(errMeterModFailed, 0))
		} else {
			s.fabric.lockedNote(Commit{DPID: s.dpid, Messages: []openflow.Message{m}})
		}
	case *openflow.PacketOut:
		s.lockedPacketOut(m)
	case *openflow.BundleControl:
		return s.lockedBundle(bundles, xid, m)
	case *openflow.BundleAdd:
		if _, meter := m.Message.(*openflow.MeterMod); meter {
			s.lockedSend(xid, refused(bundleFailed, unsupported))
		} else if b := bundles[m.BundleID]; b != nil && !b.closed {
			b.messages, b.xids = append(b.messages, m.Message), append(b.xids, xid)
		} else {
			s.lockedSend(xid, refused(bundleFailed, badID))
		}
	default:
		s.lockedSend(xid, refused(errBadRequest, badType))
	}
	return nil
}

func (s *Switch) lockedPacketOut(m *openflow.PacketOut) {
	in := m.InPort
	if in == 0 {
		in = openflow.PortController
	}
	r, err := s.fabric.sim.PacketOut(s.dpid, in, m.Actions, m.Data)
	if err != nil {
		return
	}
	kept := r.PacketIns[:0]
	for _, p := range r.PacketIns {
		if !s.fabric.cut[[2]openflow.DPID{s.dpid, p.DPID}] {
			kept = append(kept, p)
		}
	}
	r.PacketIns = kept
	s.fabric.lockedSpread(&r, len(m.Data))
}

// partSize is how many flows or groups go into one part of an answer; few, so that answers have
// several parts.
const partSize = 100

func (s *Switch) lockedMultipart(xid uint32, body openflow.MultipartBody) {
	switch body := body.(type) {
	case openflow.DescRequest:
		s.lockedSend(xid, &openflow.MultipartReply{Body: openflow.Desc{Manufacturer: "Nicira, Inc.", Hardware: "Open vSwitch", Software: "3.1.0"}})
	case openflow.PortDescRequest:
		var ports openflow.PortDescReply
		for no := range s.ports {
			ports = append(ports, s.lockedPort(no))
		}
		parts(s, xid, ports)
	case openflow.FlowStatsRequest:
		var all openflow.FlowStatsReply
		for k, f := range s.sim.Set().AllFlows() {
			if body.Table != openflow.TableAll && f.Table != body.Table || (f.Cookie^body.Cookie)&body.CookieMask != 0 {
				continue
			}
			c := s.counters[k]
			all = append(all, openflow.FlowStats{Flow: f, Duration: time.Since(c.since), Packets: c.packets, Bytes: c.bytes})
		}
		parts(s, xid, all)
	case openflow.GroupDescRequest:
		parts(s, xid, openflow.GroupDescReply(s.sim.Set().Groups()))
	case openflow.MeterConfigRequest:
		var all openflow.MeterConfigReply
		for _, m := range s.sim.Set().Meters() {
			if body.Meter == openflow.MeterAll || body.Meter == m.ID {
				all = append(all, m)
			}
		}
		parts(s, xid, all)
	case openflow.MeterStatsRequest:
		parts(s, xid, s.lockedMeterStats(body.Meter))
	default:
		s.lockedSend(xid, refused(errBadRequest, badType))
	}
}

func (s *Switch) lockedMeterStats(id uint32) (all openflow.MeterStatsReply) {
	for _, m := range s.sim.Set().Meters() {
		if id != openflow.MeterAll && id != m.ID {
			continue
		}
		n := s.meters[m.ID]
		st := openflow.MeterStats{Meter: m.ID, Packets: n.packets, Bytes: n.bytes, Duration: time.Since(n.since),
			Bands: make([]openflow.BandStats, len(m.Bands))}
		if len(m.Bands) > 0 {
			st.Bands[0] = openflow.BandStats{Packets: n.dropped, Bytes: n.droppedBytes}
		}
		for _, f := range s.sim.Set().AllFlows() {
			if f.Meter == m.ID {
				st.Flows++
			}
		}
		all = append(all, st)
	}
	return all
}

// parts sends a list in parts.
func parts[L interface {
	~[]E
	openflow.MultipartBody
}, E any](s *Switch, xid uint32, all L) {
	for len(all) > partSize {
		s.lockedSend(xid, &openflow.MultipartReply{More: true, Body: all[:partSize]})
		all = all[partSize:]
	}
	s.lockedSend(xid, &openflow.MultipartReply{Body: all})
}
