package pipeline

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/flowset"
)

// contractFields are the fields of a frame, and of the user's context, that contracts may match.
var contractFields = func() map[openflow.Field]bool {
	m := map[openflow.Field]bool{}
	for n := uint8(2); n <= 33; n++ {
		m[openflow.FieldOf(0x8000, n)] = true
	}
	for _, f := range []openflow.Field{openflow.FieldTunnelID, openflow.FieldVLANTCI, openflow.FieldIPFrag, openflow.FieldIPTTL, openflow.FieldTunSrc, openflow.FieldTunDst} {
		m[f] = true
	}
	for n := 8; n < 16; n++ {
		m[openflow.FieldReg(n)] = true
	}
	return m
}()

// TestDesiredIsWellFormed holds every flow of random worlds to the table map.
func TestDesiredIsWellFormed(t *testing.T) { inLayouts(t, desiredIsWellFormed) }

func desiredIsWellFormed(t *testing.T) {
	rapidly(t, cases(200), func(rt *rapid.T) {
		l := drawn(rt, draws.world)
		for _, id := range l.w.Nodes() {
			set, err := desired(l.w, id)
			if err == nil {
				err = wellFormed(set)
			}
			if err != nil {
				rt.Fatalf("%s: %v\n%s", id, err, describe(l.w))
			}
		}
	})
}

// TestTheMapIsInOrder: tables go up, goto goes to higher ones only, names and ids are unique.
func TestTheMapIsInOrder(t *testing.T) {
	names := map[string]bool{}
	for i, table := range Tables {
		if names[table.Name] || i > 0 && table.ID <= Tables[i-1].ID {
			t.Errorf("table %d %q is out of order or there twice", table.ID, table.Name)
		}
		names[table.Name] = true
		for _, next := range table.Next {
			if next <= table.ID || tableOf(next) == nil {
				t.Errorf("table %s leads to %d", table.Name, next)
			}
		}
		for _, sub := range table.Resubmits {
			if tableOf(sub) == nil {
				t.Errorf("table %s resubmits to %d", table.Name, sub)
			}
		}
	}
}

func tableOf(id openflow.TableID) *Table {
	for i := range Tables {
		if Tables[i].ID == id {
			return &Tables[i]
		}
	}
	return nil
}

func wellFormed(set *flowset.Set) error {
	for _, f := range set.Flows() {
		if err := flowFits(set, f); err != nil {
			return fmt.Errorf("%v: %w", f, err)
		}
	}
	for _, m := range set.Meters() {
		if !OurMeter(m.ID) {
			return fmt.Errorf("meter %#x is out of our range", m.ID)
		}
	}
	for _, g := range set.Groups() {
		if !OurGroup(g.ID) {
			return fmt.Errorf("group %#x is out of our range", g.ID)
		}
		for _, b := range g.Buckets {
			final := 0
			for _, a := range b.Actions {
				switch a.(type) {
				case openflow.Output, openflow.Resubmit:
					final++
				case openflow.SetField, openflow.PushVLAN: // a load would do
				default:
					return fmt.Errorf("group %#x: a bucket is an action set, in which Open vSwitch does not do %T", g.ID, a)
				}
			}
			if final != 1 && len(b.Actions) > 0 {
				return fmt.Errorf("group %#x: a bucket with %d final actions", g.ID, final)
			}
		}
	}
	return nil
}

func flowFits(set *flowset.Set, f openflow.Flow) error {
	t := tableOf(f.Table)
	if t == nil {
		return fmt.Errorf("no such table")
	}
	if _, _, ok := Ours(f.Cookie); !ok {
		return fmt.Errorf("the cookie is not ours")
	}
	for i, m := range f.Match {
		if i > 0 && f.Match[i-1].Field >= m.Field {
			return fmt.Errorf("fields out of order or twice")
		}
		if m.Mask == ([16]byte{}) {
			return fmt.Errorf("%v with an empty mask", m.Field)
		}
		if !slices.Contains(t.Context, m.Field) && !(t.Contract && contractFields[m.Field]) {
			return fmt.Errorf("%s may not match %v", t.Name, m.Field)
		}
	}
	if f.Goto != 0 && !slices.Contains(t.Next, f.Goto) {
		return fmt.Errorf("%s may not lead to %d", t.Name, f.Goto)
	}
	resubmits := func(actions []openflow.Action) error {
		for a := range openflow.EveryAction(actions) {
			if r, ok := a.(openflow.Resubmit); ok && !slices.Contains(t.Resubmits, r.Table) {
				return fmt.Errorf("%s may not resubmit to %d", t.Name, r.Table)
			}
		}
		return nil
	}
	if _, ok := set.Meter(f.Meter); f.Meter != 0 && !ok {
		return fmt.Errorf("meter %#x is not on this switch", f.Meter)
	}
	for a := range openflow.EveryAction(f.Apply) {
		ref, ok := a.(openflow.ApplyGroup)
		if !ok {
			continue
		}
		g, ok := set.Group(ref.ID)
		if !ok {
			return fmt.Errorf("group %#x is not on this switch", ref.ID)
		}
		for _, b := range g.Buckets {
			if err := resubmits(b.Actions); err != nil {
				return err
			}
		}
	}
	if err := resubmits(f.Apply); err != nil {
		return err
	}
	return bands(f)
}

// bands holds priorities to their tables: contracts below what is above them, epochs' places free.
func bands(f openflow.Flow) error {
	kind, _, _ := Ours(f.Cookie)
	contract := kind == KindTap || kind == KindTapSeen || kind == KindTapFlood || kind == KindReturn || kind == KindDivert
	base := map[openflow.TableID][]uint16{
		TableReturn: {bandAny, bandOwn}, TableReturnIn: {bandAny, bandOwn}, TableAnswer: {bandAny, bandOwn}, TableTapIn: {0, bandFlooded},
		TableTapOut: {0}, TableFlood: {0},
	}[f.Table]
	allowed := map[openflow.TableID][]uint16{
		TableClassify: {prioSentinel, prioClassify + 1, prioClassify, prioInject, prioNobody, prioMiss}, TableSender: {prioClassify, prioMiss},
		TableGuard:   {guardOwn, guardForged, guardSource, guardClaim, guardLearn, guardRest},
		TableAddress: {guardOwn + 1, guardOwn, guardForged, guardSource, guardClaim, guardOther, guardLearn, guardRest},
		TableTarget:  {guardOwn, guardClaim, guardRest},
		TableTapOut:  {prioMiss}, TableForward: {prioReturned, prioFlooded, prioUnicast, prioMulticast, prioUnknownGW, prioUnknown},
		TableFlood: {floodSkip, floodSender}, TableTapIn: {prioSeenAll, prioOwn, bandFlooded, prioReturnedMiss, prioMiss}, TableEncap: {prioClassify, prioUnknown + 2, prioUnknown + 3, prioUnknown + 4},
		TableComeback: {prioClassify, prioMiss}, TableReturn: {prioKnown, prioToSelf, prioMiss}, TableReturnIn: {prioAccepted, prioKnown, prioMiss},
		TableAnswer: {prioAccepted, prioMiss},
		TableSpread: {prioMiss}, TableSlice: {prioClassify, prioMiss}, TableGive: {giveSeen, giveTo, prioMiss},
		TableLimit: {prioClassify, prioClassify + 1}, TableCut: {prioClassify}, TableDeliver: {prioClassify}, TableOutput: {prioClassify, prioMiss}, TableTell: {prioClassify},
	}[f.Table]
	switch {
	case contract && f.Table == TableReturnIn && (f.Priority == prioReturnMC || f.Priority == prioReturnUC):
	case contract && !slices.ContainsFunc(base, func(b uint16) bool { return b+tapPriority(0) <= f.Priority && f.Priority <= b+tapPriority(1000)+1 }):
		return fmt.Errorf("a contract outside its band")
	case !contract && !slices.Contains(allowed, f.Priority):
		return fmt.Errorf("not a priority of this table")
	}
	return nil
}
