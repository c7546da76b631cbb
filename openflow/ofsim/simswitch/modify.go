package simswitch

import (
	"time"

	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/flowset"
)

// bundle is a bundle that is being filled.
type bundle struct {
	messages []openflow.Message
	xids     []uint32
	closed   bool
}

// The errors of bundles: OFPET_BUNDLE_FAILED of OpenFlow 1.4 §7.5.4.18, which Open vSwitch sends
// as an experimenter's error on 1.3.
const (
	bundleFailed  = 17
	badID         = 2
	unsupported   = 10 // the message cannot be in a bundle
	messageFailed = 7
)

func (s *Switch) lockedBundle(bundles map[uint32]*bundle, xid uint32, m *openflow.BundleControl) error {
	b := bundles[m.BundleID]
	if b == nil && m.Ctrl != openflow.BundleOpenRequest {
		s.lockedSend(xid, refused(bundleFailed, badID))
		return nil
	}
	switch m.Ctrl {
	case openflow.BundleOpenRequest:
		bundles[m.BundleID] = &bundle{}
	case openflow.BundleCloseRequest:
		b.closed = true
	case openflow.BundleDiscardRequest:
		delete(bundles, m.BundleID)
	case openflow.BundleCommitRequest:
		delete(bundles, m.BundleID)
		drop := s.drop
		s.drop = DropNever
		if drop == DropBeforeCommit {
			return errDropped
		}
		if s.refuse != nil && s.refuse(b.messages) {
			s.refusal++
			s.lockedSend(b.xids[0], refused(errFlowModFailed, 1))
			s.lockedSend(xid, refused(bundleFailed, messageFailed))
			return nil
		}
		if err := s.lockedAll(b.messages); err != nil {
			s.refusal++
			s.lockedSend(xid, refused(bundleFailed, messageFailed))
			return nil
		}
		s.fabric.lockedNote(Commit{DPID: s.dpid, Bundle: true, Messages: b.messages})
		if drop == DropAfterCommit {
			return errDropped
		}
	}
	s.lockedSend(xid, &openflow.BundleControl{BundleID: m.BundleID, Ctrl: m.Ctrl + 1, Flags: m.Flags})
	return nil
}

// lockedAll carries out all messages or, when one cannot be, none.
func (s *Switch) lockedAll(ms []openflow.Message) error {
	var undo []func()
	for _, m := range ms {
		if err := s.lockedOne(m, &undo); err != nil {
			for i := len(undo) - 1; i >= 0; i-- {
				undo[i]()
			}
			return err
		}
	}
	return nil
}

func (s *Switch) lockedOne(m openflow.Message, undo *[]func()) error {
	switch m := m.(type) {
	case *openflow.FlowMod:
		return s.lockedFlowMod(m, undo)
	case *openflow.GroupMod:
		return s.lockedGroupMod(m, undo)
	case *openflow.MeterMod:
		return s.lockedMeterMod(m)
	}
	return nil
}

// lockedFlowMod does as flowset.Changes.Messages says of Open vSwitch.
func (s *Switch) lockedFlowMod(m *openflow.FlowMod, undo *[]func()) error {
	k := flowset.KeyOf(&m.Flow)
	old, there := s.sim.Set().Flow(k)
	switch m.Command {
	case openflow.FlowAdd:
		return s.lockedPut(m.Flow, there && m.Flags&openflow.FlowResetCounts == 0, false, undo)
	case openflow.FlowModifyStrict:
		if !there {
			return nil
		}
		f := m.Flow
		f.Cookie = old.Cookie
		return s.lockedPut(f, true, true, undo)
	case openflow.FlowDeleteStrict:
		if there {
			s.lockedTake(old, undo)
		}
	case openflow.FlowDelete:
		for _, f := range s.sim.Set().Flows() {
			if m.Flow.Table != openflow.TableAll && m.Flow.Table != f.Table || (m.Flow.Cookie^f.Cookie)&m.CookieMask != 0 || len(m.Flow.Match) > 0 {
				continue
			}
			s.lockedTake(f, undo)
		}
	}
	return nil
}

// lockedPut adds a flow, with the counters and the age of the one in its place where so told.
func (s *Switch) lockedPut(f openflow.Flow, counts, age bool, undo *[]func()) error {
	k := flowset.KeyOf(&f)
	old, there := s.sim.Set().Flow(k)
	if err := s.sim.Apply(flowset.Changes{FlowAdd: []openflow.Flow{f}}); err != nil {
		return err
	}
	was := s.counters[k]
	now := counter{since: time.Now()}
	if counts {
		now.packets, now.bytes = was.packets, was.bytes
	}
	if age {
		now.since = was.since
	}
	s.counters[k] = &now
	*undo = append(*undo, func() {
		if there {
			_ = s.sim.Apply(flowset.Changes{FlowAdd: []openflow.Flow{old}}) // it was there
			s.counters[k] = was
		} else {
			_ = s.sim.Apply(flowset.Changes{FlowDelete: []openflow.Flow{f}})
			delete(s.counters, k)
		}
	})
	return nil
}

func (s *Switch) lockedTake(f openflow.Flow, undo *[]func()) {
	k := flowset.KeyOf(&f)
	was := s.counters[k]
	_ = s.sim.Apply(flowset.Changes{FlowDelete: []openflow.Flow{f}}) // a delete never fails
	delete(s.counters, k)
	*undo = append(*undo, func() {
		_ = s.sim.Apply(flowset.Changes{FlowAdd: []openflow.Flow{f}})
		s.counters[k] = was
	})
}

func (s *Switch) lockedGroupMod(m *openflow.GroupMod, undo *[]func()) error {
	old, there := s.sim.Set().Group(m.Group.ID)
	switch m.Command {
	case openflow.GroupAdd:
		if err := s.sim.Apply(flowset.Changes{GroupAdd: []openflow.Group{m.Group}}); err != nil {
			return err
		}
		*undo = append(*undo, func() { _ = s.sim.Apply(flowset.Changes{GroupDelete: []openflow.GroupID{m.Group.ID}}) })
	case openflow.GroupModify:
		if err := s.sim.Apply(flowset.Changes{GroupModify: []openflow.Group{m.Group}}); err != nil {
			return err
		}
		*undo = append(*undo, func() { _ = s.sim.Apply(flowset.Changes{GroupModify: []openflow.Group{old}}) })
	case openflow.GroupDelete:
		if !there {
			return nil
		}
		for _, f := range s.sim.Set().Flows() {
			for a := range openflow.EveryAction(f.Apply) {
				if a == openflow.Action(openflow.ApplyGroup{ID: m.Group.ID}) {
					s.lockedTake(f, undo)
					break
				}
			}
		}
		_ = s.sim.Apply(flowset.Changes{GroupDelete: []openflow.GroupID{m.Group.ID}})
		*undo = append(*undo, func() { _ = s.sim.Apply(flowset.Changes{GroupAdd: []openflow.Group{old}}) })
	}
	return nil
}

// lockedMeterMod is never within a bundle, so there is nothing to undo.
func (s *Switch) lockedMeterMod(m *openflow.MeterMod) error {
	id := m.Meter.ID
	_, there := s.sim.Set().Meter(id)
	switch m.Command {
	case openflow.MeterAdd:
		if err := s.sim.Apply(flowset.Changes{MeterAdd: []openflow.Meter{m.Meter}}); err != nil {
			return err
		}
		s.meters[id] = &meter{since: time.Now()}
	case openflow.MeterModify:
		if err := s.sim.Apply(flowset.Changes{MeterModify: []openflow.Meter{m.Meter}}); err != nil {
			return err
		}
		s.meters[id] = &meter{since: s.meters[id].since} // Open vSwitch counts anew
	case openflow.MeterDelete:
		for _, one := range s.sim.Set().Meters() {
			if id == openflow.MeterAll || there && one.ID == id {
				s.lockedDropMeter(one.ID)
			}
		}
	}
	return nil
}

// lockedDropMeter takes a meter and the flows that use it away.
func (s *Switch) lockedDropMeter(id uint32) {
	var undo []func()
	for _, f := range s.sim.Set().Flows() {
		if f.Meter == id {
			s.lockedTake(f, &undo)
		}
	}
	_ = s.sim.Apply(flowset.Changes{MeterDelete: []uint32{id}}) // a delete never fails
	delete(s.meters, id)
}
