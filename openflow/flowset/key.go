package flowset

import (
	"cmp"
	"fmt"

	"github.com/flowtap/flowtap/openflow"
)

// A Key is what makes two flow entries the same one for the switch: table, priority and match
// (OpenFlow 1.3.5 §6.4). It is comparable.
type Key struct {
	Table    openflow.TableID
	Priority uint16
	match    string
}

// KeyOf gives the key of a flow, whose match is in canonical order.
func KeyOf(f *openflow.Flow) Key {
	var stack [256]byte
	return Key{f.Table, f.Priority, string(f.Match.AppendKey(stack[:0]))}
}

// Compare orders keys as a reader wants to see them: by table, then the higher priority first.
func (k Key) Compare(o Key) int {
	return cmp.Or(cmp.Compare(k.Table, o.Table), cmp.Compare(o.Priority, k.Priority), cmp.Compare(k.match, o.match))
}

// String names table and priority; the match is in the flow.
func (k Key) String() string { return fmt.Sprintf("table=%d,priority=%d", k.Table, k.Priority) }
