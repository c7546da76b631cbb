package topology

import (
	"net/netip"
	"time"

	"github.com/flowtap/flowtap/openflow"
)

// Node is one cloud node: a switch that carries VM ports and a tunnel port.
type Node struct {
	DatapathID openflow.DPID `json:"datapath_id"`
	// TunnelDatapathID is the second bridge, where a node has one, whose tunnel ports it uses
	// (OpenStack's br-tun). Zero: the tunnel port is on the bridge of DatapathID.
	TunnelDatapathID openflow.DPID `json:"tunnel_datapath_id,omitzero"`
	// TunnelIP is the node's address on the underlay.
	TunnelIP netip.Addr `json:"tunnel_ip"`
	// TunnelInterface is the name of the flow-based tunnel port, by default "tun0".
	TunnelInterface string `json:"tunnel_interface,omitempty"`
	// Certificate is the name, common or DNS, that the certificate of the node's switches must bear. Empty: any
	// certificate, or none, except one that another node names.
	Certificate string            `json:"certificate,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
}

// States of a node.
const (
	NodeConnected    = "connected"
	NodeDisconnected = "disconnected"
	NodeUnregistered = "unregistered"
)

// NodeStatus is what the controller observed of a node.
type NodeStatus struct {
	State string `json:"state"`
	// Reason says why the node is not serving, for example that its tunnel port is missing.
	Reason string `json:"reason,omitempty"`
	Role   string `json:"role,omitempty"`
	// Master names the replica that is the switch's master, and Replicas those that it is connected to.
	Master   string   `json:"master,omitempty"`
	Replicas []string `json:"replicas,omitempty"`
	// Version is the switch's software version, as it describes itself.
	Version string `json:"version,omitempty"`
	// TunnelPort is the port number of TunnelInterface; zero while the switch has none.
	TunnelPort openflow.PortNo `json:"tunnel_ofport,omitempty"`
	// Flows and Groups count what of ours the switch holds; ForeignFlows what is not ours.
	Flows        int `json:"flows"`
	Groups       int `json:"groups"`
	ForeignFlows int `json:"foreign_flows"`
	// DriftRepaired counts flows, groups and meters that were found missing, changed or left over.
	DriftRepaired uint64 `json:"drift_repaired"`
	// LastDrift is what was found last; nil: nothing ever was.
	LastDrift *Drift `json:"last_drift,omitempty"`
	// Load is how busy it is; nil: nobody has measured it.
	Load *NodeLoad `json:"load,omitempty"`
}

// Drift is what somebody did to a node's flows, groups or meters of ours.
type Drift struct {
	At   time.Time `json:"at"`
	What string    `json:"what"`
}

// Network is one tenant layer-2 segment.
type Network struct {
	Labels map[string]string `json:"labels,omitempty"`
}

// NetworkStatus is what the controller made of a network.
type NetworkStatus struct {
	// Label is the network's 24-bit tunnel key.
	Label   uint32 `json:"label,omitempty"`
	Members int    `json:"members"`
}

// Kind is what is attached to a port.
type Kind string

// Kinds of port.
const (
	KindVM      Kind = "vm"
	KindGateway Kind = "gateway"
	KindMonitor Kind = "monitor"
)

// Port is the attachment of a VM to a network, or of a security VM to the taps.
type Port struct {
	// Network is empty for monitors.
	Network string `json:"network,omitempty"`
	Kind    Kind   `json:"kind"`
	// Interface is the name of the switch port that carries this port, by default the port's id.
	Interface string       `json:"interface"`
	MAC       MAC          `json:"mac,omitzero"`
	IPs       []netip.Addr `json:"ips,omitempty"`
	// PortSecurity confines the port to its own MAC and IPs.
	PortSecurity bool              `json:"port_security"`
	Labels       map[string]string `json:"labels,omitempty"`
	Metadata     Metadata          `json:"metadata"`
	// ReturnPort is the id of another monitor's port, by which a two-armed monitor gives redirected
	// frames back; empty is the monitor's own. It is a port of its own right, which may get copies. It is
	// one monitor's return port only, and frames are redirected to it only where it has a return port
	// itself (two arms may each be the other's): what comes in by a port comes from one monitor. Monitors
	// only.
	ReturnPort string `json:"return_port,omitempty"`
	// Tag says how frames tell the monitor their network. Empty is TagNone. Monitors only.
	Tag Tag `json:"tag,omitempty"`
	// SharedWith are the projects whose taps may lead here, besides the port's own. Monitors only.
	SharedWith Shared `json:"shared_with,omitempty"`
}

// Tag is how a monitor is told which network a frame is of.
type Tag string

// Tags: none, or one 802.1Q tag a network, in front of what the frame has of its own.
const (
	TagNone Tag = "none"
	TagVLAN Tag = "vlan"
)

// States of a port.
const (
	PortPending   = "pending"   // on no switch yet
	PortActive    = "active"    // on one switch
	PortMigrating = "migrating" // on two
	PortDown      = "down"      // was on a switch and is on none, or has no link there
)

// Attachment is one place where a port's interface exists.
type Attachment struct {
	Node   string          `json:"node"`
	OFPort openflow.PortNo `json:"ofport"`
	// Down says that the interface is switched off or has no link.
	Down bool `json:"down,omitempty"`
	// Lost says that the node does not answer while the port is active elsewhere: whether the
	// interface is still there will be known when the node returns.
	Lost bool `json:"lost,omitempty"`
}

// PortStatus is what the controller observed of a port.
type PortStatus struct {
	State string `json:"state"`
	// Node and OFPort are where frames for the port are sent.
	Node   string          `json:"node,omitempty"`
	OFPort openflow.PortNo `json:"ofport,omitempty"`
	// Attachments are all places where the interface exists, the active one first, then by node.
	Attachments []Attachment `json:"attachments,omitempty"`
	// LearnedMACs and LearnedIPs were seen from a port that declares none, oldest first.
	LearnedMACs []MAC        `json:"learned_macs,omitempty"`
	LearnedIPs  []netip.Addr `json:"learned_ips,omitempty"`
	// Load is what it sends and receives; nil: nobody has measured it. Monitor is what a monitor says of itself.
	Load    *PortLoad    `json:"load,omitempty"`
	Monitor *MonitorLoad `json:"monitor,omitempty"`
}
