package northbound

// traceSchemas are the components of POST /v1/trace.
func traceSchemas() doc {
	hop, hex := numberSchema(0, 0), doc{"type": "string", "pattern": "^([0-9a-f]{2})*$"}
	ofport, object := numberSchema(0, 0), textSchema("")
	tunnel := closed(doc{"tun_id": countSchema, "tun_src": textSchema(""), "tun_dst": textSchema("")}, "tun_id", "tun_src", "tun_dst")
	taken := closed(doc{"monitor": object, "tap": object, "node": object, "hop": hop, "frame": hex,
		"given_back": doc{"type": "integer", "description": "The hop where the frame goes on as if the monitor had given it back."}},
		"monitor", "tap", "node", "hop", "frame")
	return doc{
		"TraceWanted": closed(doc{
			"port": textSchema("The port by which the frame enters."),
			"frame": doc{"description": "The frame, spelled like the match of a tap; what is left out is the port's own, or something usual.",
				"oneOf": []doc{textSchema(""), {"type": "object", "additionalProperties": true}}},
			"give_back": doc{"type": "boolean", "description": "Go on as if monitors gave back what is redirected to them."},
		}, "port"),
		"Trace": closed(doc{
			"port": object, "frame": textSchema("The whole frame, as ovs-ofctl spells it."), "bytes": hex,
			"copies":  described(listOf(schemaRef("TraceCopy")), "Monitors that get a copy."),
			"stops":   described(listOf(schemaRef("TraceCopy")), "Monitors to which the frame goes instead of going on."),
			"outputs": described(listOf(schemaRef("TraceOutput")), "Ports where the frame comes out."),
			"error":   textSchema("Why the switches drop the frame with all copies."),
			"hops":    listOf(schemaRef("TraceHop")),
		}, "port", "frame", "bytes", "copies", "stops", "outputs", "hops"),
		"TraceCopy":   taken,
		"TraceOutput": closed(doc{"port": object, "node": object, "ofport": ofport, "hop": hop}, "port", "node", "ofport", "hop"),
		"TraceHop": closed(doc{
			"node": object, "datapath_id": object, "in_port": ofport, "port": object, "from": hop, "given_back_by": object,
			"tunnel": tunnel, "frame": hex, "steps": listOf(schemaRef("TraceStep")),
		}, "node", "datapath_id", "in_port", "frame", "steps"),
		"TraceStep": closed(doc{
			"kind":  textSchema("A flow that matched, a table without one, an action, or a bucket of a group; within it what it did.", "flow", "miss", "action", "bucket"),
			"table": ofport, "table_name": textSchema(""), "priority": ofport, "match": textSchema("Empty matches everything."), "cookie": textSchema(""),
			"origin": closed(doc{"kind": textSchema("What the flow is for."), "collection": textSchema(""), "id": textSchema("The object that it comes from.")}, "kind"),
			"action": textSchema(""), "group": ofport, "bucket": ofport, "notes": listOf(textSchema("")),
			"output": closed(doc{"ofport": ofport, "port": object, "monitor": boolSchema, "frame": hex, "tunnel": tunnel, "to": hop,
				"lost": textSchema("Why it arrives nowhere.")}, "ofport", "frame"),
			"steps": listOf(schemaRef("TraceStep")),
		}, "kind"),
	}
}

func described(d doc, text string) doc {
	d["description"] = text
	return d
}
