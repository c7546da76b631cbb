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
	readOnly       bool
	whole          bool // is listed as a whole: the route takes no limit
}

// column is one column of a table.
type column struct{ title, path string }

// flag is one flag of create that sets one field.
type flag struct {
	name, field string // field has dots for nesting
	kind        flagKind
	usage       string
	values      []string // for completion
	of          string   // completed with the ids of this collection
}

type flagKind int

const (
	flagText flagKind = iota
	flagList          // of texts, comma separated
	flagMap           // of texts, key=value, comma separated
	flagInt
	flagBool
	flagInts    // of whole numbers, key=value, comma separated
	flagSeconds // a duration, such as 24h
	flagMembers // of a pool, port or port=weight, comma separated
	flagFile    // the text of a file
)

var sharedFlag = flag{name: "shared-with", field: "shared_with", kind: flagList, usage: "projects whose taps may lead here, or '*'; the provider's to say"}

var labelsFlag = flag{name: "labels", field: "labels", kind: flagMap, usage: "labels, key=value"}

// collections in the order in which objects depend on each other.
var collections = []*collection{
	{
		name: "projects", singular: "project",
		columns: []column{{"ID", "id"}, {"QUOTAS", "quotas"}, {"LABELS", "labels"}},
		flags: []flag{
			{name: "quotas", field: "quotas", kind: flagInts, usage: "how many there may be, such as ports=50,taps=20 (default the usual)"},
			labelsFlag,
		},
	},
	{
		name: "tokens", singular: "token",
		columns: []column{{"ID", "id"}, {"NAME", "name"}, {"ROLE", "role"}, {"PROJECT", "project"}, {"CERTIFICATE", "certificate"}, {"EXPIRES", "expires_at"}},
		flags: []flag{
			{name: "name", field: "name", usage: "what it is called"},
			{name: "role", field: "role", usage: "reader, member, admin or provider", values: []string{"reader", "member", "admin", "provider"}},
			{name: "expires-in", field: "expires_in", kind: flagSeconds, usage: "how long it is good, such as 24h (default for ever)"},
			{name: "certificate", field: "certificate", usage: "common name of the client certificates that have the role, in place of a secret"},
		},
	},
	{
		name: "audit", singular: "audit", readOnly: true,
		columns: []column{{"TIME", "time"}, {"PRINCIPAL", "principal"}, {"FROM", "from"}, {"VERB", "verb"}, {"COLLECTION", "collection"},
			{"PROJECT", "project"}, {"OBJECT", "object"}, {"REVISION", "revision"}},
	},
	{
		name: "replicas", singular: "replica", readOnly: true, whole: true,
		columns: []column{{"NAME", "name"}, {"LEADER", "leader"}, {"REACHED", "reached"}, {"SWITCHES", "switches"}, {"MASTERS", "masters"},
			{"VERSION", "version"}, {"PEER", "peer_address"}, {"SINCE", "since"}},
	},
	{
		name: "nodes", singular: "node",
		columns: []column{{"ID", "id"}, {"DATAPATH", "datapath_id"}, {"TUNNEL-IP", "tunnel_ip"}, {"CERTIFICATE", "certificate"}, {"STATE", "status.state"},
			{"ROLE", "status.role"}, {"VERSION", "status.version"}, {"FLOWS", "status.flows"}, {"GROUPS", "status.groups"},
			{"FOREIGN", "status.foreign_flows"}, {"REPAIRED", "status.drift_repaired"}, {"REASON", "status.reason"}},
		flags: []flag{
			{name: "datapath-id", field: "datapath_id", usage: "the bridge's datapath id, 16 hexadecimal digits"},
			{name: "tunnel-datapath-id", field: "tunnel_datapath_id", usage: "the datapath id of the bridge with the tunnel port, where that is a second one"},
			{name: "tunnel-ip", field: "tunnel_ip", usage: "the node's address on the underlay"},
			{name: "tunnel-interface", field: "tunnel_interface", usage: "name of the tunnel port (default tun0)"},
			{name: "certificate", field: "certificate", usage: "the name that the certificate of the node's switches must bear (default any)"},
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
			{name: "return-port", field: "return_port", usage: "the port by which a two-armed monitor gives frames back (default its own)", of: "ports"},
			{name: "tag", field: "tag", usage: "none, or vlan: frames to the monitor carry a VLAN a network (default none)", values: []string{"none", "vlan"}},
			sharedFlag,
			{name: "metadata", field: "metadata", usage: "64-bit user metadata, such as 0x1f"},
			labelsFlag,
		},
	},
	{
		name: "pools", singular: "pool",
		columns: []column{{"ID", "id"}, {"MODE", "mode"}, {"MEMBERS", "members"}, {"SLICES", "status.slices"}, {"LABELS", "labels"}},
		flags: []flag{
			{name: "mode", field: "mode", usage: "copy: every member gets all; spread: each connection goes to one", values: []string{"copy", "spread"}},
			{name: "members", field: "members", kind: flagMembers, usage: "monitors' ports, with weights where they are not 1, such as ids1,ids2=3", of: "ports"},
			sharedFlag,
			labelsFlag,
		},
	},
	{
		name: "policies", singular: "policy",
		columns: []column{{"ID", "id"}, {"STATE", "status.state"}, {"TAPS", "status.taps"}, {"PROVIDER", "provider"}, {"REASON", "status.reason"}},
		flags: []flag{
			{name: "source", field: "source", usage: "the policy's text"},
			{name: "source-file", field: "source", kind: flagFile, usage: "the file that has it"},
		},
	},
	{
		name: "taps", singular: "tap",
		columns: []column{{"ID", "id"}, {"SRC", "src"}, {"DST", "dst"}, {"MATCH", "match"}, {"DIRECTION", "direction"},
			{"ACTION", "action"}, {"POLICY", "policy"}, {"STATE", "status.state"}, {"PACKETS", "status.counters.delivered_packets"}, {"REASON", "status.reason"}},
		flags: []flag{
			{name: "src", field: "src", usage: "the port whose frames are tapped", of: "ports"},
			{name: "dst", field: "dst", usage: "the monitor's port; a tap has this or --dst-pool", of: "ports"},
			{name: "dst-pool", field: "dst_pool", usage: "a pool of monitors", of: "pools"},
			{name: "match", field: "match", usage: "the flow, such as 'tcp,tp_dst=80' (default every frame)"},
			{name: "direction", field: "direction", usage: "in, out or both (default both)", values: []string{"in", "out", "both"}},
			{name: "action", field: "action", usage: "forward copies the frames, redirect diverts them", values: []string{"forward", "redirect"}},
			{name: "priority", field: "priority", kind: flagInt, usage: "0 to 1000 (default 100)"},
			{name: "enabled", field: "enabled", kind: flagBool, usage: "false keeps the tap without flows (default true)"},
			{name: "fail-mode", field: "fail_mode", usage: "closed or open: what becomes of redirected frames while the monitor is gone (default closed)", values: []string{"closed", "open"}},
			{name: "truncate", field: "truncate", kind: flagInt, usage: "bytes that a copy has at most, from 64 (default 0, whole frames)"},
			{name: "rate-kbps", field: "rate_limit.kbps", kind: flagInt, usage: "at most so many kbit of copies a second (default 0, no bound)"},
			{name: "rate-pps", field: "rate_limit.pps", kind: flagInt, usage: "at most so many copies a second (default 0, no bound)"},
			{name: "rewrite-dst-mac", field: "rewrite_dst_mac", kind: flagBool, usage: "copies carry the monitor's address, for one that is not promiscuous"},
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
