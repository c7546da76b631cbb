package trace

import (
	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/ofsim"
)

// A Trace is what becomes of one frame.
type Trace struct {
	// Port is where the frame enters, Frame its description, and Bytes what it is.
	Port  string    `json:"port"`
	Frame string    `json:"frame"`
	Bytes ofsim.Hex `json:"bytes"`
	// Copies go to monitors beside the frame.
	Copies []Copy `json:"copies"`
	// Stops are monitors where the frame, or one that is flooded to some port, goes instead of going on.
	Stops []Copy `json:"stops"`
	// Outputs are where the frame comes out.
	Outputs []Output `json:"outputs"`
	// Error is set where a switch drops the frame with all copies because they would never end.
	Error string `json:"error,omitempty"`
	// Hops are how that comes about: the switches that the frame and its copies came to, in order.
	Hops []*Hop `json:"hops"`
}

// An Output is a frame that left by a port.
type Output struct {
	// Port is a port's id, empty where nobody's is there; Node and OFPort tell the place.
	Port   string          `json:"port"`
	Node   string          `json:"node"`
	OFPort openflow.PortNo `json:"ofport"`
	Hop    int             `json:"hop"`
}

// A Copy is what a monitor gets.
type Copy struct {
	Monitor string `json:"monitor"`
	Tap     string `json:"tap"` // by which
	Node    string `json:"node"`
	Hop     int    `json:"hop"`
	// Frame is the monitor's.
	Frame ofsim.Hex `json:"frame"`
	// GivenBack is the hop where the trace goes on as if the monitor had given the frame back.
	GivenBack *int `json:"given_back,omitempty"`
}

// A Hop is one frame in one switch.
type Hop struct {
	Node   string          `json:"node"`
	DPID   openflow.DPID   `json:"datapath_id"`
	InPort openflow.PortNo `json:"in_port"`
	// Port is the port that has that number; empty for a tunnel.
	Port string `json:"port,omitempty"`
	// From is the hop that sent the frame here, by a tunnel or by way of GivenBackBy.
	From        *int              `json:"from,omitempty"`
	GivenBackBy string            `json:"given_back_by,omitempty"`
	Tunnel      *ofsim.TunnelInfo `json:"tunnel,omitempty"`
	Frame       ofsim.Hex         `json:"frame"`
	Steps       []*Step           `json:"steps"`
}

// A Step is one thing that happens, and in Steps what happens within it.
type Step struct {
	// Kind is flow, miss (no flow of a table matches), action, or bucket (of a group).
	Kind ofsim.NodeKind `json:"kind"`

	// Of flows and misses.
	Table     *openflow.TableID `json:"table,omitempty"`
	TableName string            `json:"table_name,omitempty"`
	Priority  *uint16           `json:"priority,omitempty"`
	Match     string            `json:"match,omitempty"`
	Cookie    *ofsim.Cookie     `json:"cookie,omitempty"`
	Origin    *Origin           `json:"origin,omitempty"`

	Action string            `json:"action,omitempty"`
	Group  *openflow.GroupID `json:"group,omitempty"`
	Bucket *int              `json:"bucket,omitempty"`

	Notes  []string `json:"notes,omitempty"`
	Output *Left    `json:"output,omitempty"`
	Steps  []*Step  `json:"steps,omitempty"`
}

// Origin is what a flow comes from: the cookie's kind, and the object in it where there is one.
type Origin struct {
	Kind       string `json:"kind"`
	Collection string `json:"collection,omitempty"`
	ID         string `json:"id,omitempty"`
}

// Left is a frame that leaves a switch.
type Left struct {
	OFPort openflow.PortNo `json:"ofport"`
	// Port has that number; Monitor says that it is one.
	Port    string            `json:"port,omitempty"`
	Monitor bool              `json:"monitor,omitempty"`
	Frame   ofsim.Hex         `json:"frame"`
	Tunnel  *ofsim.TunnelInfo `json:"tunnel,omitempty"`
	To      *int              `json:"to,omitempty"` // hop
	Lost    string            `json:"lost,omitempty"`
}
