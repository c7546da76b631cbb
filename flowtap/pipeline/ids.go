package pipeline

import (
	"strings"

	"github.com/flowtap/flowtap/openflow"
)

// Tunnel labels below store-allocated ones.
const (
	LabelProbe    = 1 // tunnel probes, to the controller
	LabelSentinel = 2 // datapath barrier, to the controller
)

// LabelFlooded is set in a network's tunnel label for flooded frames; labels are below it. What
// is to become of a frame is settled where it enters, and this tells the other nodes: they do not
// decide again, by tables that may be older or newer, whether its destination is known. A frame
// that was flooded has its copies already; one that was sent to a single port has not.
const LabelFlooded = 1 << 23

// LabelReturned is set in a network's tunnel label for frames that a monitor gave back and that go
// to one port without further contracts, and in a via label for those that were flooded and go back
// to the monitor's targets alone. A via label with both marks is for flooded frames of the network's
// anonymous target, which their MAC does not give away.
const LabelReturned = 1 << 22

// Label keys, as kept in the store: one 24-bit number each.
func NetworkLabel(network string) string { return "net/" + network }
func MonitorLabel(port string) string    { return "dst/" + port } // or a destination of another form (copy.go)

// SeenLabel is for frames that a destination, or all members of a copy pool (PoolLabel), have had a copy of.
func SeenLabel(network, monitor string) string { return "seen/" + network + "/" + monitor }

// ViaLabel is for frames that a monitor gave back, which differs from having seen a copy: only the
// former satisfies a redirect.
func ViaLabel(network, monitor string) string { return "via/" + network + "/" + monitor }

// networkByLabel finds the network that has a label, "" for none.
func (w *World) networkByLabel(label uint32) string {
	network, ok := strings.CutPrefix(w.keys[label], NetworkLabel(""))
	if !ok {
		return ""
	}
	return network
}

// Owner is the upper 16 bits of every cookie of ours.
const Owner = 0xf10a

// Kind says what a flow of ours is for: bits 40 to 47 of its cookie.
type Kind uint8

// Cookie kinds. Numbers are fixed for ever; object is what the low 32 bits number.
const (
	KindBase     Kind = 1  // part of every switch; object 0
	KindPort     Kind = 2  // a port's place; object: port
	KindAllow    Kind = 3  // guard lets a port's own frames pass; object: port
	KindSpoof    Kind = 4  // guard drops what is not; object: port
	KindClaim    Kind = 5  // guard drops another port's address; object: the owner's port
	KindLearn    Kind = 6  // addresses of a port that declares none, and that it is here; object: port
	KindArrive   Kind = 7  // first frame of a port that moves here; object: port
	KindNetwork  Kind = 8  // object: network label
	KindMonitor  Kind = 9  // object: port of the monitor
	KindInject   Kind = 10 // what a monitor sends is dropped; object: port of the monitor
	KindTap      Kind = 11 // a contract's copies; object: tap
	KindTapSeen  Kind = 12 // a contract's frames that its destination has seen; object: tap
	KindTapFlood Kind = 13 // flooded frames that another contract of the target governs; object: tap
	KindProbe    Kind = 14
	KindSentinel Kind = 15 // object: round
	KindEpoch    Kind = 16
	KindReturn   Kind = 17 // what a monitor gives back or answers within a contract; object: tap
	KindDivert   Kind = 18 // flooded frames that a redirect keeps from its target; object: tap
	KindCut      Kind = 21 // port bridge: a monitor's copies of some form are cut; object: port of the monitor
	KindPool     Kind = 22 // object: pool's label
	KindLimit    Kind = 20 // a contract's rate; object: tap
	KindTransit  Kind = 19 // a network's forwarding on a node that has none of its members; object: port or network label
)

// Cookie builds owner(16) | kind(8) | reserved(8) | object(32).
func Cookie(k Kind, object uint32) uint64 {
	return uint64(Owner)<<48 | uint64(k)<<40 | uint64(object)
}

// Ours reports whether a cookie is of this controller, and takes it apart.
func Ours(cookie uint64) (k Kind, object uint32, ok bool) {
	return Kind(cookie >> 40), uint32(cookie), cookie>>48 == Owner
}

// Groups have no cookie: ours are told by their range, 0xf1000000 to 0xf8ffffff.
const (
	groupAlive       = 0xf1000000 // does nothing, and lives: what buckets of last resort watch
	groupParse       = 0xf1000001 // has Open vSwitch look at a frame anew
	groupCopy        = 0xf1000000 // plus the label of the destination or copy pool
	groupFloodLocal  = 0xf2000000 // plus the network's label
	groupFloodRemote = 0xf3000000 // plus the network's label
	groupBackLocal   = 0xf4000000 // plus the via label
	groupBackRemote  = 0xf5000000 // plus the via label
	groupPassOut     = 0xf6000000 // plus the via label
	groupPassIn      = 0xf7000000 // plus the via label
	groupPassFlooded = 0xf8000000 // plus the via label
)

// Meters are told by their range, too: up to the highest number that Open vSwitch takes.
const (
	meterFirst = 0xf0000000 // of contracts
	meterTell  = 0xf8000000 // of ports
	meterLast  = 0xffff0000
)

// MeterOf gives the meter of a contract's copies by the contract's number.
func MeterOf(tap uint32) uint32 { return meterFirst + tap%(meterTell-meterFirst) }

// OfMeter gives the contract whose meter it is by MeterOf.
func OfMeter(id uint32) (tap uint32, ok bool) {
	return id - meterFirst, id >= meterFirst && id < meterTell
}

// TellMeterOf gives the meter of what the controller is told of a port, by the port's number.
func TellMeterOf(port uint32) uint32 { return meterTell + port%(meterLast-meterTell+1) }

// OurMeter reports whether a meter is in our ranges.
func OurMeter(id uint32) bool { return id >= meterFirst && id <= meterLast }

// OurGroup reports whether a group id is in our range.
func OurGroup(id openflow.GroupID) bool { return id >= groupCopy && id < 0xf9000000 }
