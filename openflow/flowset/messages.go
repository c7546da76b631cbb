package flowset

import "github.com/flowtap/flowtap/openflow"

// Before gives the messages that go before those of Messages, outside of the bundle: meters added
// and changed, so that every flow of the bundle finds its meter.
//
// On Open vSwitch 3.1.0 (TestWhatOVSKeeps) a modified meter starts anew: its counters and those of
// its bands are zero afterwards and its burst is there again. An equal meter is never sent.
func (c Changes) Before() []openflow.Message {
	var out []openflow.Message
	for _, m := range c.MeterAdd {
		out = append(out, &openflow.MeterMod{Command: openflow.MeterAdd, Meter: m})
	}
	for _, m := range c.MeterModify {
		out = append(out, &openflow.MeterMod{Command: openflow.MeterModify, Meter: m})
	}
	return out
}

// After gives the messages that go after those of Messages, outside of the bundle: meters deleted,
// when no flow uses them any more. A switch deletes the flows that still do with their meter.
func (c Changes) After() []openflow.Message {
	var out []openflow.Message
	for _, id := range c.MeterDelete {
		out = append(out, &openflow.MeterMod{Command: openflow.MeterDelete, Meter: openflow.Meter{ID: id}})
	}
	return out
}

// Messages says the changes of flows and groups in OpenFlow, in an order in which no step refers to what is not there
// yet or any more: groups added and modified, flows added and changed, flows deleted, groups
// deleted. Sent outside a bundle, no frame meets a flow without its group.
//
// What a switch does to counters and durations decides which command says what. On Open vSwitch
// 3.1.0 (TestWhatOVSKeeps):
//
//   - OFPFC_ADD of a flow that is there keeps its packet and byte counters, restarts its
//     duration, and takes the new cookie, also when nothing else changes.
//   - OFPFC_MODIFY_STRICT keeps counters and duration, and leaves the cookie as it was.
//   - OFPGC_MODIFY keeps a group's duration, sets the counters of the group and of all its
//     buckets to zero, and touches no flow. Before OpenFlow 1.5 there is no way to add one
//     bucket only.
//
// So a flow whose cookie stays is modified strictly, one whose cookie changes is added again, an
// equal group is never sent, and what is counted for good is counted by flows, not by buckets.
// A strict modify of a flow that is not there does nothing and reports no error: it relies on
// what Diff was told the switch has.
func (c Changes) Messages() []openflow.Message {
	out := make([]openflow.Message, 0, c.Len()-len(c.MeterAdd)-len(c.MeterModify)-len(c.MeterDelete))
	groups := func(cmd openflow.GroupCommand, gs []openflow.Group) {
		for _, g := range gs {
			out = append(out, &openflow.GroupMod{Command: cmd, Group: g})
		}
	}
	flows := func(cmd openflow.FlowCommand, fs []openflow.Flow) {
		for _, f := range fs {
			out = append(out, &openflow.FlowMod{Command: cmd, Flow: f})
		}
	}
	groups(openflow.GroupAdd, c.GroupAdd)
	groups(openflow.GroupModify, c.GroupModify)
	flows(openflow.FlowAdd, c.FlowAdd)
	flows(openflow.FlowModifyStrict, c.FlowModify)
	flows(openflow.FlowAdd, c.FlowReplace)
	for i := range c.FlowDelete {
		f := &c.FlowDelete[i]
		out = append(out, &openflow.FlowMod{Command: openflow.FlowDeleteStrict,
			Flow: openflow.Flow{Table: f.Table, Priority: f.Priority, Match: f.Match}})
	}
	for _, id := range c.GroupDelete {
		out = append(out, &openflow.GroupMod{Command: openflow.GroupDelete, Group: openflow.Group{ID: id}})
	}
	return out
}
