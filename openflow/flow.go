package openflow

import (
	"bytes"
	"iter"
	"slices"
)

// A Flow is a flow entry without its counters: what flow-mod writes and flow-stats reads.
type Flow struct {
	Table    TableID
	Priority uint16
	Cookie   uint64
	Match    Match
	// Meter is applied before the actions; zero is none.
	Meter uint32
	// Apply is the apply-actions list, executed in order. Together with a zero Goto an empty
	// list drops the frame.
	Apply []Action
	// Goto is the next table. Zero is none: goto_table never reaches table 0.
	Goto TableID
	// Other holds instructions that this package does not model, raw and in order. Only flows
	// that are not ours have any.
	Other []byte
}

// GroupType is the type of a group (OpenFlow 1.3.5 §7.3.4.2).
type GroupType uint8

// Group types.
const (
	GroupTypeAll GroupType = iota
	GroupTypeSelect
	GroupTypeIndirect
	GroupTypeFastFailover
)

// A Group is a group entry without its counters.
type Group struct {
	ID      GroupID
	Type    GroupType
	Buckets []Bucket
}

// A Bucket is a list of actions executed on its own copy of the frame. WatchPort and WatchGroup
// are PortAny and GroupAny where liveness does not matter; Weight is for select groups.
type Bucket struct {
	Weight     uint16
	WatchPort  PortNo
	WatchGroup GroupID
	Actions    []Action
}

// An Action is one of the types below. All are comparable but Clone and RawAction: see SameActions.
type Action interface{ isAction() }

// Output sends the frame to Port. MaxLen matters for PortController only: bytes sent, 0xffff for all.
type Output struct {
	Port   PortNo
	MaxLen uint16
}

// OutputField sends the frame to the port whose number Field holds (NXAST_OUTPUT_REG).
type OutputField struct {
	Field  Field
	MaxLen uint16
}

// OutputTruncate sends at most MaxLen bytes to Port (NXAST_OUTPUT_TRUNC).
type OutputTruncate struct {
	Port   PortNo
	MaxLen uint32
}

// ApplyGroup executes a group on a copy of the frame.
type ApplyGroup struct{ ID GroupID }

// SetField writes a whole field. Value is in network order from index 0.
type SetField struct {
	Field Field
	Value [16]byte
}

// Resubmit looks the frame up again in Table as if it had come by Port (PortInPort: the present
// in_port) and then goes on with the next action; changes made there persist (NXAST_RESUBMIT_TABLE).
type Resubmit struct {
	Port  PortNo
	Table TableID
}

// PushVLAN pushes an 802.1Q tag with the given Ethertype.
type PushVLAN struct{ EtherType uint16 }

// PopVLAN removes the outer 802.1Q tag.
type PopVLAN struct{}

// Clone executes a list of actions on a copy of the frame: what they change is undone after them
// (NXAST_CLONE). With a truncating output among them, and not in a list reached from them, Open
// vSwitch executes them apart from all else in the datapath too, so that a meter that drops the copy
// drops nothing more (TestAMeterInACloneDropsOnlyTheCopy). A bucket ignores it.
type Clone struct{ Actions []Action }

// RawAction is an action that this package does not model: the whole action, header included.
type RawAction struct{ Bytes []byte }

func (Output) isAction()         {}
func (OutputField) isAction()    {}
func (OutputTruncate) isAction() {}
func (ApplyGroup) isAction()     {}
func (SetField) isAction()       {}
func (Resubmit) isAction()       {}
func (PushVLAN) isAction()       {}
func (PopVLAN) isAction()        {}
func (Multipath) isAction()      {}
func (Load) isAction()           {}
func (Move) isAction()           {}
func (Clone) isAction()          {}
func (RawAction) isAction()      {}

// SameActions reports whether two lists say the same.
func SameActions(a, b []Action) bool { return slices.EqualFunc(a, b, sameAction) }

func sameAction(a, b Action) bool {
	switch a := a.(type) {
	case RawAction:
		b, ok := b.(RawAction)
		return ok && bytes.Equal(a.Bytes, b.Bytes)
	case Clone:
		b, ok := b.(Clone)
		return ok && SameActions(a.Actions, b.Actions)
	}
	return a == b // of two types or of a comparable one
}

// EveryAction goes through a list, and through those of the clones in it.
func EveryAction(actions []Action) iter.Seq[Action] {
	return func(yield func(Action) bool) { every(actions, yield) }
}

func every(actions []Action, yield func(Action) bool) bool {
	for _, a := range actions {
		if !yield(a) {
			return false
		}
		if c, ok := a.(Clone); ok && !every(c.Actions, yield) {
			return false
		}
	}
	return true
}

// Set is a SetField of the low bits of v; f has at most 64 bits.
func Set(f Field, v uint64) SetField { return SetField{f, Uint(f, v).Value} }
