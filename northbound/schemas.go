package northbound

import "github.com/flowtap/flowtap/flowtap"

var (
	count    = doc{"type": "integer", "minimum": 0}
	boolean  = doc{"type": "boolean"}
	labels   = doc{"type": "object", "additionalProperties": doc{"type": "string"}}
	metadata = doc{"type": "string", "pattern": "^0x[0-9a-f]{1,16}$"}
)

// schemas are the components of the document. A test holds them against the Go types and against
// real answers.
func schemas() doc {
	d := doc{
		"Health":   closed(doc{"status": text("", "ok")}, "status"),
		"Document": doc{"type": "object"},
		"Problem": closed(doc{
			"title": text(""), "status": number(400, 599), "detail": text(""),
			"field":          text("The field or parameter that is at fault."),
			"conflicts_with": text("The id of the object that stands in the way."),
			"witness":        text("A frame that both of two overlapping taps match."),
			"users":          listOf(text("")),
		}, "title", "status", "detail"),
		"SwitchChange": closed(doc{
			"node": text(""), "datapath_id": text(""),
			"flows_added": listOf(text("")), "flows_changed": listOf(text("")), "flows_removed": listOf(text("")),
			"groups_added": listOf(text("")), "groups_changed": listOf(text("")), "groups_removed": listOf(text("")),
		}, "node", "datapath_id", "flows_added", "flows_changed", "flows_removed", "groups_added", "groups_changed", "groups_removed"),
		"DryRun": closed(doc{
			"dry_run": boolean, "op": text("", string(OpCreate), string(OpReplace), string(OpDelete)),
			"object": doc{"type": "object"}, "switches": listOf(schemaRef("SwitchChange")),
		}, "dry_run", "op", "switches"),
		"UnregisteredNode": closed(doc{
			"id": text(""), "datapath_id": text(""), "revision": text("", "0"),
			"created_at": doc{"type": "string", "format": "date-time"}, "updated_at": doc{"type": "string", "format": "date-time"},
			"status": nodeStatusSchema(),
		}, "id", "datapath_id", "revision", "created_at", "updated_at", "status"),
	}
	for name, c := range map[string]struct {
		fields []field
		status doc
	}{
		"Node":    {nodeFields(), nodeStatusSchema()},
		"Network": {[]field{{name: "labels", schema: labels}}, closed(doc{"label": count, "members": count}, "members")},
		"Port":    {portFields(), portStatusSchema()},
		"Tap":     {tapFields(), tapStatusSchema()},
	} {
		wanted, whole := objectSchemas(c.fields, c.status)
		d[name+"Wanted"], d[name] = wanted, whole
		d[name+"OrDryRun"] = doc{"oneOf": []doc{schemaRef(name), schemaRef("DryRun")}}
		item := schemaRef(name)
		if name == "Node" {
			item = doc{"oneOf": []doc{schemaRef(name), schemaRef("UnregisteredNode")}}
		}
		d[name+"List"] = closed(doc{"items": listOf(item), "next": text("The page to ask for next; empty on the last.")}, "items", "next")
	}
	return d
}

func nodeFields() []field {
	return []field{
		{name: "datapath_id", in: true, out: true, schema: doc{"type": "string", "pattern": "^[0-9a-f]{16}$"},
			request: doc{"type": "string", "pattern": "^[0-9a-fA-F]{16}$"}},
		{name: "tunnel_ip", in: true, out: true, schema: doc{"type": "string", "format": "ipv4"}},
		{name: "tunnel_interface", out: true, schema: text("The flow-based tunnel port; tun0 by default.")},
		{name: "labels", schema: labels},
	}
}

func nodeStatusSchema() doc {
	return closed(doc{
		"state": text("", "connected", "disconnected", "unregistered"), "reason": text(""), "role": text(""), "version": text(""),
		"tunnel_ofport": count, "flows": count, "groups": count, "foreign_flows": count, "drift_repaired": count,
	}, "state", "flows", "groups", "foreign_flows", "drift_repaired")
}

func portFields() []field {
	return []field{
		{name: "network", schema: text("Left out for a monitor.")},
		{name: "kind", out: true, schema: text("vm by default.", kinds...)},
		{name: "interface", out: true, schema: text("The switch port's name; by default the id.")},
		{name: "mac", schema: doc{"type": "string", "pattern": "^([0-9a-f]{2}:){5}[0-9a-f]{2}$"}, request: text("")},
		{name: "ips", schema: listOf(text(""))},
		{name: "port_security", out: true, schema: doc{"type": "boolean", "description": "By default true where mac is given."}},
		{name: "labels", schema: labels},
		{name: "metadata", out: true, schema: metadata, request: doc{"oneOf": []doc{text("Hexadecimal with 0x, or decimal."), count}}},
	}
}

func portStatusSchema() doc {
	return closed(doc{
		"state": text("", "pending", "active", "migrating", "down"), "node": text(""), "ofport": count,
		"attachments":  listOf(closed(doc{"node": text(""), "ofport": count}, "node", "ofport")),
		"learned_macs": listOf(text("")), "learned_ips": listOf(text("")),
	}, "state")
}

func tapFields() []field {
	rate := closed(doc{"kbps": count, "pps": count})
	return []field{
		{name: "src", in: true, out: true, schema: text("The port whose frames are tapped.")},
		{name: "dst", in: true, out: true, schema: text("The monitor's port.")},
		{name: "match", out: true, schema: text("The flow, in canonical form; empty is every frame."), request: doc{"oneOf": []doc{
			text("The paper's or ovs-ofctl's spelling."),
			{"type": "object", "additionalProperties": true},
		}}},
		{name: "direction", out: true, schema: text("As the target sees it; both by default.", "in", "out", "both")},
		{name: "action", in: true, out: true, schema: text("redirect: not yet.", "forward", "redirect")},
		{name: "priority", out: true, schema: number(flowtap.MinPriority, flowtap.MaxPriority)},
		{name: "enabled", out: true, schema: boolean},
		{name: "dst_pool", schema: text("Not yet.")},
		{name: "fail_mode", out: true, schema: text("open: not yet.", "closed", "open")},
		{name: "truncate", out: true, schema: count},
		{name: "rate_limit", out: true, schema: rate},
		{name: "rewrite_dst_mac", out: true, schema: boolean},
	}
}

func tapStatusSchema() doc {
	return closed(doc{
		"state": text("", "pending", "active", "degraded", "disabled"), "reason": text(""),
		"src_node": text(""), "dst_node": text(""), "revision": text(""),
		"counters": closed(doc{"matched_packets": count, "matched_bytes": count, "delivered_packets": count, "delivered_bytes": count},
			"matched_packets", "matched_bytes", "delivered_packets", "delivered_bytes"),
	}, "state", "reason", "counters")
}
