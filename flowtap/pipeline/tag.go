package pipeline

import (
	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/topology"
)

// A monitor with tag vlan is told the network of each frame by an 802.1Q tag, put before whatever tags
// the frame has, and says it by the same tag in what it gives back.

const (
	etherVLAN   = 0x8100
	vlanPresent = 0x1000 // in vlan_vid: there is a tag (OpenFlow 1.3.5 section 7.2.3.7)
)

// VLANKey is the label key of a network's VLAN, whose numbers are apart from those of labels.
func VLANKey(network string) string { return "vlan/" + network }

// tags reports whether a monitor wants tags.
func (w *World) tags(monitor string) bool {
	m := w.ports[monitor]
	return m != nil && m.Tag == topology.TagVLAN
}

// numbered reports whether frames of a network can be sent to a monitor: it has a label, and where it
// wants tags the network has a VLAN.
func (w *World) numbered(network, monitor string) bool {
	return w.labels[MonitorLabel(monitor)] != 0 && (!w.tags(monitor) || w.labels[VLANKey(network)] != 0)
}

// tagged puts a network's tag on frames while actions take them to a monitor.
func (b *builder) tagged(network, monitor string, untag bool, actions ...openflow.Action) []openflow.Action {
	if !b.w.tags(monitor) {
		return actions
	}
	actions = append([]openflow.Action{openflow.PushVLAN{EtherType: etherVLAN},
		openflow.Set(openflow.FieldVLANVID, uint64(b.w.labels[VLANKey(network)]|vlanPresent))}, actions...)
	if untag {
		actions = append(actions, openflow.PopVLAN{})
	}
	return actions
}

// untagged lets in, by an entrance, frames that bear a network's tag. Open vSwitch looks at one tag
// only, unless it is configured otherwise: what had a tag of its own is looked at anew, by way of
// a group that makes it parse the frame again.
func (b *builder) untagged(entrance openflow.Flow, vlan, network uint32) {
	vid := openflow.Uint(openflow.FieldVLANVID, uint64(vlan|vlanPresent))
	entrance.Match = match(append(entrance.Match, vid)...)
	entrance.Apply = []openflow.Action{openflow.PopVLAN{}, set(RegNetwork, network)}
	b.flow(entrance)
	entrance.Priority++
	entrance.Match = match(append(entrance.Match, ethType(etherVLAN))...)
	entrance.Apply, entrance.Goto = append(entrance.Apply, openflow.ApplyGroup{ID: groupParse}), 0
	b.flow(entrance)
}
