package flowset

import (
	"bytes"
	"slices"

	"github.com/flowtap/flowtap/openflow"
)

// sameWork reports whether two flows with one key do the same to a frame. Cookies are left out.
func sameWork(a, b *openflow.Flow) bool {
	return a.Meter == b.Meter && a.Goto == b.Goto && sameActions(a.Apply, b.Apply) && bytes.Equal(a.Other, b.Other)
}

func sameGroup(a, b openflow.Group) bool {
	return a.ID == b.ID && a.Type == b.Type && slices.EqualFunc(a.Buckets, b.Buckets, sameBucket)
}

func sameBucket(a, b openflow.Bucket) bool {
	return a.Weight == b.Weight && a.WatchPort == b.WatchPort && a.WatchGroup == b.WatchGroup &&
		sameActions(a.Actions, b.Actions)
}

func sameActions(a, b []openflow.Action) bool { return slices.EqualFunc(a, b, sameAction) }

// sameAction is ==, but for RawAction, which has bytes and is not comparable.
func sameAction(a, b openflow.Action) bool {
	if ra, ok := a.(openflow.RawAction); ok {
		rb, ok := b.(openflow.RawAction)
		return ok && bytes.Equal(ra.Bytes, rb.Bytes)
	}
	if _, ok := b.(openflow.RawAction); ok {
		return false
	}
	return a == b
}
