package northbound

import (
	"maps"
	"slices"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/topology"
)

var (
	countSchema    = doc{"type": "integer", "minimum": 0}
	boolSchema     = doc{"type": "boolean"}
	labelsSchema   = doc{"type": "object", "additionalProperties": doc{"type": "string"}}
	metadataSchema = doc{"type": "string", "pattern": "^0x[0-9a-f]{1,16}$"}
)

// schemas are the components of the document. A test holds them against the Go types and against
// real answers.
func schemas() doc {
	d := doc{
		"Health":   closed(doc{"status": textSchema("", "ok")}, "status"),
		"Document": doc{"type": "object"},
		"Problem": closed(doc{
			"title": textSchema(""), "status": numberSchema(400, 599), "detail": textSchema(""),
			"field":          textSchema("The field or parameter that is at fault."),
			"conflicts_with": textSchema("The id of the object that stands in the way."),
			"witness":        textSchema("A frame that both of two overlapping taps match."),
			"users":          listOf(textSchema("")),
			"diagnostics":    listOf(schemaRef("Diagnostic")),
		}, "title", "status", "detail"),
		"SwitchChange": switchChangeSchema(),
		"DryRun": closed(doc{
			"dry_run": boolSchema, "op": textSchema("", string(OpCreate), string(OpReplace), string(OpDelete)),
			"object": doc{"type": "object"}, "switches": listOf(schemaRef("SwitchChange")),
			"taps": foreseenSchema(), "diagnostics": listOf(schemaRef("Diagnostic")),
		}, "dry_run", "op", "switches"),
		"Diagnostic": closed(doc{
			"severity": textSchema("", "error", "warning"), "line": countSchema, "column": countSchema, "message": textSchema(""),
			"hint": textSchema("What to do."), "text": textSchema("All of it, with the line and a caret below."),
		}, "severity", "line", "column", "message", "text"),
		"ReplicaList": closed(doc{"items": listOf(closed(doc{
			"name": textSchema(""), "leader": boolSchema, "reached": boolSchema, "peer_address": textSchema(""), "version": textSchema(""),
			"since": doc{"type": "string", "format": "date-time"}, "switches": countSchema, "masters": countSchema,
		}, "name", "leader", "reached", "peer_address", "version", "since", "switches", "masters"))}, "items"),
		"UnregisteredNode": closed(doc{
			"id": textSchema(""), "datapath_id": textSchema(""), "revision": textSchema("", "0"),
			"created_at": doc{"type": "string", "format": "date-time"}, "updated_at": doc{"type": "string", "format": "date-time"},
			"status": nodeStatusSchema(),
		}, "id", "datapath_id", "revision", "created_at", "updated_at", "status"),
	}
	maps.Copy(d, traceSchemas())
	maps.Copy(d, auditSchemas())
	maps.Copy(d, loadSchemas())
	for name, c := range map[string]struct {
		fields []field
		status doc
	}{
		"Node":    {nodeFields(), nodeStatusSchema()},
		"Network": {[]field{{name: "labels", schema: labelsSchema}}, closed(doc{"label": countSchema, "members": countSchema}, "members")},
		"Port":    {portFields(), portStatusSchema()},
		"Project": {projectFields(), closed(doc{})},
		"Token":   {tokenFields(), closed(doc{})},
		"Pool":    {poolFields(), closed(doc{"slices": doc{"type": "object", "additionalProperties": countSchema}})},
		"Policy":  {policyFields(), policyStatusSchema()},
		"Tap":     {tapFields(), tapStatusSchema()},
	} {
		switch name {
		case "Network", "Port", "Pool", "Policy", "Tap":
			c.fields = append(c.fields, field{name: "project", out: true, schema: textSchema("Whose the object is; default where nobody says.")})
		}
		wanted, whole := objectSchemas(c.fields, c.status)
		d[name+"Wanted"], d[name] = wanted, whole
		d[name+"OrDryRun"] = doc{"oneOf": []doc{schemaRef(name), schemaRef("DryRun")}}
		item := schemaRef(name)
		if name == "Node" {
			item = doc{"oneOf": []doc{schemaRef(name), schemaRef("UnregisteredNode")}}
		}
		d[name+"List"] = closed(doc{"items": listOf(item), "next": textSchema("The page to ask for next; empty on the last.")}, "items", "next")
	}
	return withSecret(d)
}

func switchChangeSchema() doc {
	properties := doc{"node": textSchema(""), "datapath_id": textSchema("")}
	required := []string{"node", "datapath_id"}
	for _, what := range []string{"flows", "groups", "meters"} {
		for _, how := range []string{"added", "changed", "removed"} {
			properties[what+"_"+how] = listOf(textSchema(""))
			required = append(required, what+"_"+how)
		}
	}
	return closed(properties, required...)
}

func nodeFields() []field {
	return []field{
		{name: "datapath_id", in: true, out: true, schema: doc{"type": "string", "pattern": "^[0-9a-f]{16}$"},
			request: doc{"type": "string", "pattern": "^[0-9a-fA-F]{16}$"}},
		{name: "tunnel_datapath_id", schema: doc{"type": "string", "pattern": "^[0-9a-f]{16}$", "description": "The bridge that has the tunnel port, where that is a second one."},
			request: doc{"type": "string", "pattern": "^[0-9a-fA-F]{16}$"}},
		{name: "tunnel_ip", in: true, out: true, schema: doc{"type": "string", "format": "ipv4"}},
		{name: "tunnel_interface", out: true, schema: textSchema("The flow-based tunnel port; tun0 by default.")},
		{name: "certificate", schema: textSchema("The name that the certificate of the node's switches must bear; by default any.")},
		{name: "labels", schema: labelsSchema},
	}
}

func nodeStatusSchema() doc {
	return closed(doc{
		"state": textSchema("", "connected", "disconnected", "unregistered"), "reason": textSchema(""), "role": textSchema(""), "version": textSchema(""),
		"master": textSchema("The replica that is the switch's master."), "replicas": listOf(textSchema("A replica that the switch is connected to.")),
		"tunnel_ofport": countSchema, "flows": countSchema, "groups": countSchema, "foreign_flows": countSchema, "drift_repaired": countSchema,
		"last_drift": closed(doc{"at": doc{"type": "string", "format": "date-time"}, "what": textSchema("")}, "at", "what"),
		"load":       nodeLoadSchema(),
	}, "state", "flows", "groups", "foreign_flows", "drift_repaired")
}

func portFields() []field {
	return []field{
		{name: "network", schema: textSchema("Left out for a monitor.")},
		{name: "kind", out: true, schema: textSchema("vm by default.", kinds...)},
		{name: "interface", out: true, schema: textSchema("The switch port's name; by default the id.")},
		{name: "mac", schema: doc{"type": "string", "pattern": "^([0-9a-f]{2}:){5}[0-9a-f]{2}$"}, request: textSchema("")},
		{name: "ips", schema: listOf(textSchema(""))},
		{name: "port_security", out: true, schema: doc{"type": "boolean", "description": "By default true where mac is given."}},
		{name: "labels", schema: labelsSchema},
		{name: "metadata", out: true, schema: metadataSchema, request: doc{"oneOf": []doc{textSchema("Hexadecimal with 0x, or decimal."), countSchema}}},
		{name: "return_port", schema: textSchema("Where a two-armed monitor gives frames back; by default here.")},
		{name: "tag", schema: textSchema("Whether frames to a monitor carry a VLAN a network; none by default.", "none", "vlan")},
		sharedField,
	}
}

func portStatusSchema() doc {
	return closed(doc{
		"state": textSchema("", "pending", "active", "migrating", "down"), "node": textSchema(""), "ofport": countSchema,
		"attachments":  listOf(closed(doc{"node": textSchema(""), "ofport": countSchema, "down": boolSchema, "lost": boolSchema}, "node", "ofport")),
		"learned_macs": listOf(textSchema("")), "learned_ips": listOf(textSchema("")),
		"load": portLoadSchema(), "monitor": monitorLoadSchema(),
	}, "state")
}

func poolFields() []field {
	weight := numberSchema(1, topology.MaxWeight)
	member := func(required ...string) doc {
		return closed(doc{"port": textSchema(""), "weight": weight}, required...)
	}
	return []field{
		{name: "mode", in: true, out: true, schema: textSchema("copy: each member gets every frame; spread: each connection goes to one, by weight.", "copy", "spread")},
		{name: "members", in: true, out: true, schema: listOf(member("port", "weight")), request: listOf(member("port"))},
		{name: "labels", schema: labelsSchema},
		sharedField,
	}
}

func tapFields() []field {
	rate := closed(doc{"kbps": numberSchema(0, flowtap.MaxRate), "pps": numberSchema(0, flowtap.MaxRate)})
	rate["description"] = "At most so many copies, by one of the two, for any monitor; members of a spread pool share them; 0 is no bound."
	return []field{
		{name: "src", in: true, out: true, schema: textSchema("The port whose frames are tapped.")},
		{name: "dst", schema: textSchema("The monitor's port; a tap has this or dst_pool.")},
		{name: "dst_pool", schema: textSchema("A pool of monitors.")},
		{name: "match", out: true, schema: textSchema("The flow, in canonical form; empty is every frame."), request: doc{"oneOf": []doc{
			textSchema("The paper's or ovs-ofctl's spelling."),
			{"type": "object", "additionalProperties": true},
		}}},
		{name: "direction", out: true, schema: textSchema("As the target sees it; both by default.", "in", "out", "both")},
		{name: "action", in: true, out: true, schema: textSchema("forward copies the frames, redirect diverts them.", "forward", "redirect")},
		{name: "priority", out: true, schema: numberSchema(flowtap.MinPriority, flowtap.MaxPriority)},
		{name: "enabled", out: true, schema: boolSchema},
		{name: "fail_mode", out: true, schema: textSchema("What becomes of redirected frames while the monitor is gone; closed by default.", "closed", "open")},
		{name: "truncate", out: true, schema: doc{"type": "integer", "minimum": 0, "maximum": flowtap.MaxTruncate,
			"description": "Bytes of a copy, from 64; 0 is the whole frame."}},
		{name: "rate_limit", out: true, schema: rate},
		{name: "rewrite_dst_mac", out: true, schema: boolSchema},
		{name: "policy", schema: textSchema("The policy that the tap follows from, and that alone changes it; read only.")},
	}
}

func policyFields() []field {
	return []field{
		{name: "source", in: true, out: true, schema: textSchema("The policy's text.")},
		{name: "provider", out: true, schema: doc{"type": "boolean", "description": "A provider wrote it, and it sees nodes and where ports are; read only."}},
	}
}

func policyStatusSchema() doc {
	return closed(doc{
		"state":  textSchema("invalid: it wants taps that cannot be; those that it had go on.", flowtap.PolicyPending, flowtap.PolicyActive, flowtap.PolicyInvalid),
		"reason": textSchema(""), "taps": countSchema,
		"revision": textSchema("The revision that this speaks of."), "running": textSchema("The revision whose taps there are."),
		"diagnostics": listOf(schemaRef("Diagnostic")),
	}, "state", "taps")
}

// foreseenSchema is what a dry run of a policy says of its taps.
func foreseenSchema() doc {
	return closed(doc{"created": countSchema, "changed": countSchema, "deleted": countSchema, "items": listOf(closed(doc{
		"op": textSchema("", string(OpCreate), string(OpReplace), string(OpDelete)), "id": textSchema(""), "tap": doc{"type": "object"}, "was": doc{"type": "object"},
	}, "op", "id"))}, "created", "changed", "deleted", "items")
}

func tapStatusSchema() doc {
	return closed(doc{
		"state": textSchema("", "pending", "active", "degraded", "disabled"), "reason": textSchema(""),
		"src_node": textSchema(""), "dst_node": textSchema(""), "revision": textSchema(""),
		"counters": countersSchema(), "nodes": listOf(nodeCountersSchema()),
	}, "state", "reason", "counters")
}

// nodeCountersSchema is a node's part of a tap's counters.
func nodeCountersSchema() doc {
	properties := doc{"node": textSchema(""), "held": countersSchema(),
		"read_at": doc{"type": "string", "format": "date-time"}}
	required := []string{"node", "held", "read_at"}
	for _, n := range counterNames {
		properties[n] = countSchema
	}
	return closed(properties, append(required, counterNames...)...)
}

var counterNames = []string{"matched_packets", "matched_bytes", "delivered_packets", "delivered_bytes",
	"dropped_packets", "dropped_bytes", "returned_packets", "returned_bytes"}

func countersSchema() doc {
	d := doc{}
	for _, n := range counterNames {
		d[n] = countSchema
	}
	return closed(d, slices.Clone(counterNames)...)
}
