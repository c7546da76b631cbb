package flowset

import (
	"cmp"
	"slices"

	"github.com/flowtap/flowtap/openflow"
)

// Changes turn what a switch has into what it should have. Each list is ordered by key or id.
type Changes struct {
	// Meters cannot be in a bundle: see Before and After.
	MeterAdd, MeterModify []openflow.Meter
	MeterDelete           []uint32
	GroupAdd, GroupModify []openflow.Group
	FlowAdd               []openflow.Flow
	// FlowModify are flows whose cookie stays, FlowReplace those whose cookie changes: the
	// switch must be told in different ways (see Messages).
	FlowModify, FlowReplace []openflow.Flow
	FlowDelete              []openflow.Flow
	GroupDelete             []openflow.GroupID
}

// Empty reports whether there is nothing to do.
func (c Changes) Empty() bool { return c.Len() == 0 }

// Len counts the changes.
func (c Changes) Len() int {
	return len(c.GroupAdd) + len(c.GroupModify) + len(c.FlowAdd) + len(c.FlowModify) + len(c.FlowReplace) +
		len(c.FlowDelete) + len(c.GroupDelete) + len(c.MeterAdd) + len(c.MeterModify) + len(c.MeterDelete)
}

// Diff compares two whole sets. It changes neither.
func Diff(have, want *Set) Changes {
	var d differ
	both := 0
	for k, w := range want.flows {
		h, ok := have.flows[k]
		if ok {
			both++
		}
		d.flow(k, h, ok, w, true)
	}
	if both < len(have.flows) {
		for k, h := range have.flows {
			if _, ok := want.flows[k]; !ok {
				d.flow(k, h, true, openflow.Flow{}, false)
			}
		}
	}
	for id, w := range want.groups {
		h, ok := have.groups[id]
		d.group(id, h, ok, w, true)
	}
	for id, h := range have.groups {
		if _, ok := want.groups[id]; !ok {
			d.group(id, h, true, openflow.Group{}, false)
		}
	}
	for id, w := range want.meters {
		h, ok := have.meters[id]
		d.meter(id, h, ok, w, true)
	}
	for id, h := range have.meters {
		if _, ok := want.meters[id]; !ok {
			d.meter(id, h, true, openflow.Meter{}, false)
		}
	}
	return d.sorted()
}

// DiffKeys compares only the flows, groups and meters named, at a cost that does not depend on the
// size of the sets. A name may come twice and may be in neither set.
func DiffKeys(have, want *Set, keys []Key, groups []openflow.GroupID, meters ...uint32) Changes {
	var d differ
	keys = slices.Clone(keys)
	slices.SortFunc(keys, Key.Compare)
	for _, k := range slices.Compact(keys) {
		h, had := have.flows[k]
		w, wanted := want.flows[k]
		d.flow(k, h, had, w, wanted)
	}
	groups = slices.Clone(groups)
	slices.Sort(groups)
	for _, id := range slices.Compact(groups) {
		h, had := have.groups[id]
		w, wanted := want.groups[id]
		d.group(id, h, had, w, wanted)
	}
	meters = slices.Clone(meters)
	slices.Sort(meters)
	for _, id := range slices.Compact(meters) {
		h, had := have.meters[id]
		w, wanted := want.meters[id]
		d.meter(id, h, had, w, wanted)
	}
	return d.sorted()
}

// keyed is a flow with its key, so that sorting does not make keys anew.
type keyed struct {
	key  Key
	flow openflow.Flow
}

// differ collects changes in any order.
type differ struct {
	add, modify, replace, del []keyed
	c                         Changes
}

func (d *differ) flow(k Key, have openflow.Flow, had bool, want openflow.Flow, wanted bool) {
	switch {
	case !wanted && had:
		d.del = append(d.del, keyed{k, have})
	case !wanted:
	case !had:
		d.add = append(d.add, keyed{k, want})
	case have.Cookie != want.Cookie:
		d.replace = append(d.replace, keyed{k, want})
	case !sameWork(&have, &want):
		d.modify = append(d.modify, keyed{k, want})
	}
}

func (d *differ) group(id openflow.GroupID, have openflow.Group, had bool, want openflow.Group, wanted bool) {
	switch {
	case !wanted && had:
		d.c.GroupDelete = append(d.c.GroupDelete, id)
	case !wanted:
	case !had:
		d.c.GroupAdd = append(d.c.GroupAdd, want)
	case !sameGroup(have, want):
		d.c.GroupModify = append(d.c.GroupModify, want)
	}
}

func (d *differ) meter(id uint32, have openflow.Meter, had bool, want openflow.Meter, wanted bool) {
	switch {
	case !wanted && had:
		d.c.MeterDelete = append(d.c.MeterDelete, id)
	case !wanted:
	case !had:
		d.c.MeterAdd = append(d.c.MeterAdd, want)
	case !sameMeter(have, want):
		d.c.MeterModify = append(d.c.MeterModify, want)
	}
}

func (d *differ) sorted() Changes {
	c := d.c
	c.FlowAdd, c.FlowModify = flowsOf(d.add), flowsOf(d.modify)
	c.FlowReplace, c.FlowDelete = flowsOf(d.replace), flowsOf(d.del)
	for _, g := range [][]openflow.Group{c.GroupAdd, c.GroupModify} {
		slices.SortFunc(g, func(a, b openflow.Group) int { return cmp.Compare(a.ID, b.ID) })
	}
	for _, m := range [][]openflow.Meter{c.MeterAdd, c.MeterModify} {
		slices.SortFunc(m, func(a, b openflow.Meter) int { return cmp.Compare(a.ID, b.ID) })
	}
	slices.Sort(c.GroupDelete)
	slices.Sort(c.MeterDelete)
	return c
}

func flowsOf(ks []keyed) []openflow.Flow {
	if ks == nil {
		return nil
	}
	slices.SortFunc(ks, func(a, b keyed) int { return a.key.Compare(b.key) })
	out := make([]openflow.Flow, len(ks))
	for i := range ks {
		out[i] = ks[i].flow
	}
	return out
}
