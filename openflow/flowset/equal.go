package flowset

import (
	"bytes"
	"slices"

	"github.com/flowtap/flowtap/openflow"
)

// sameWork reports whether two flows with one key do the same to a frame. Cookies are left out.
func sameWork(a, b *openflow.Flow) bool {
	return a.Meter == b.Meter && a.Goto == b.Goto && openflow.SameActions(a.Apply, b.Apply) && bytes.Equal(a.Other, b.Other)
}

func sameGroup(a, b openflow.Group) bool {
	return a.ID == b.ID && a.Type == b.Type && slices.EqualFunc(a.Buckets, b.Buckets, sameBucket)
}

func sameBucket(a, b openflow.Bucket) bool {
	return a.Weight == b.Weight && a.WatchPort == b.WatchPort && a.WatchGroup == b.WatchGroup &&
		openflow.SameActions(a.Actions, b.Actions)
}

// sameMeter leaves out bursts that do not count: without the flag Open vSwitch 3.1 reports the rate there.
func sameMeter(a, b openflow.Meter) bool {
	return a.ID == b.ID && a.Flags == b.Flags && slices.EqualFunc(a.Bands, b.Bands, func(p, q openflow.MeterBand) bool {
		return p.Type == q.Type && p.Rate == q.Rate && (p.Burst == q.Burst || a.Flags&openflow.MeterBurst == 0) && bytes.Equal(p.Extra, q.Extra)
	})
}
