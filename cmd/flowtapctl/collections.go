package main

import (
	"net/url"
	"slices"
	"strings"
)

// collection is what the client knows of one collection: names, columns, and create's flags.
type collection struct {
	name, singular string
	short          string // another accepted name, or ""
	columns        []column
	flags          []flag
}

// column is one column of a table.
type column struct{ title, path string }

// flag is one flag of create that sets one field.
type flag struct {
	name, field string
	kind        flagKind
	usage       string
	values      []string // for completion
	ports       bool     // completed with the ids of ports
}

type flagKind int

const (
	flagText flagKind = iota
	flagList          // of texts, comma separated
	flagMap           // of texts, key=value, comma separated
	flagInt
	flagBool
)

var labelsFlag = flag{name: "labels", field: "labels", kind: flagMap, usage: "labels, key=value"}

// collections in the order in which objects depend on each other.
var collections = []*collection{
	{
		name: "nodes", singular: "node",
		columns: []column{{"ID", "id"}, {"DATAPATH", "datapath_id"}, {"TUNNEL-IP", "tunnel_ip"}, {"STATE", "status.state"},
			{"ROLE", "status.role"}, {"VERSION", "status.version"}, {"FLOWS", "status.flows"}, {"GROUPS", "status.groups"},
			{"FOREIGN", "status.foreign_flows"}, {"REPAIRED", "status.drift_repaired"}, {"REASON", "status.reason"}},
		flags: []flag{
			{name: "datapath-id", field: "datapath_id", usage: "the bridge's datapath id, 16 hexadecimal digits"},
			{name: "tunnel-ip", field: "tunnel_ip", usage: "the node's address on the underlay"},
			{name: "tunnel-interface", field: "tunnel_interface", usage: "name of the tunnel port (default tun0)"},
			labelsFlag,
		},
	},
	{
		name: "networks", singular: "network", short: "net",
		columns: []column{{"ID", "id"}, {"LABEL", "status.label"}, {"MEMBERS", "status.members"}, {"LABELS", "labels"}},
		flags:   []flag{labelsFlag},
	},
	{
		name: "ports", singular: "port",
		columns: []column{{"ID", "id"}, {"NETWORK", "network"}, {"KIND", "kind"}, {"INTERFACE", "interface"}, {"MAC", "mac"},
			{"IPS", "ips"}, {"STATE", "status.state"}, {"NODE", "status.node"}, {"OFPORT", "status.ofport"}},
		flags: []flag{
			{name: "network", field: "network", usage: "the network's id; none for a monitor"},
			{name: "kind", field: "kind", usage: "vm, gateway or monitor (default vm)", values: []string{"vm", "gateway", "monitor"}},
			{name: "interface", field: "interface", usage: "name of the switch port (default the id)"},
			{name: "mac", field: "mac", usage: "MAC address"},
			{name: "ips", field: "ips", kind: flagList, usage: "IP addresses"},
			{name: "port-security", field: "port_security", kind: flagBool, usage: "confine the port to its own MAC and IPs (default: where --mac is given)"},
			{name: "metadata", field: "metadata", usage: "64-bit user metadata, such as 0x1f"},
			labelsFlag,
		},
	},
	{
		name: "taps", singular: "tap",
		columns: []column{{"ID", "id"}, {"SRC", "src"}, {"DST", "dst"}, {"MATCH", "match"}, {"DIRECTION", "direction"},
			{"ACTION", "action"}, {"STATE", "status.state"}, {"PACKETS", "status.counters.delivered_packets"}, {"REASON", "status.reason"}},
		flags: []flag{
			{name: "src", field: "src", usage: "the port whose frames are tapped", ports: true},
			{name: "dst", field: "dst", usage: "the monitor's port", ports: true},
			{name: "match", field: "match", usage: "the flow, such as 'tcp,tp_dst=80' (default every frame)"},
			{name: "direction", field: "direction", usage: "in, out or both (default both)", values: []string{"in", "out", "both"}},
			{name: "action", field: "action", usage: "forward", values: []string{"forward", "redirect"}},
			{name: "priority", field: "priority", kind: flagInt, usage: "0 to 1000 (default 100)"},
			{name: "enabled", field: "enabled", kind: flagBool, usage: "false keeps the tap without flows (default true)"},
		},
	},
}

func collectionNames() (names []string) {
	for _, c := range collections {
		names = append(names, c.name)
	}
	return names
}

// findCollection takes singular, plural and short names, in any case.
func findCollection(name string) (*collection, error) {
	n := strings.ToLower(name)
	for _, c := range collections {
		if n == c.name || n == c.singular || c.short != "" && n == c.short {
			return c, nil
		}
	}
	return nil, usagef("there is no collection %q; there are: %s", name, strings.Join(collectionNames(), ", "))
}

// path is the collection's, or one object's when id is not empty.
func (c *collection) path(id string) string {
	if id == "" {
		return "/v1/" + c.name
	}
	return "/v1/" + c.name + "/" + url.PathEscape(id)
}

// rank orders objects so that what is referred to comes first.
func (c *collection) rank() int { return slices.Index(collections, c) }
