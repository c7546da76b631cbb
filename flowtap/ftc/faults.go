package ftc

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/flowtap/ftc/eval"
	"github.com/flowtap/flowtap/flowtap/ftc/lang"
)

// fault is a row that cannot be a contract, or two that cannot be contracts together.
type fault struct {
	row   eval.RowID
	other eval.RowID
	err   error
	both  *overlap // of row and other, where err is nil
}

// overlap says that two forms cannot stand together on one target; nil is that they can.
type overlap struct {
	direction flowtap.Direction
	witness   flowtap.Witness
}

// smallGroup is how many contracts of one port are compared each with each.
const smallGroup = 16

// overlaps finds contracts of one port that cannot stand together.
func (t *Taps) overlaps(wanted []Wanted) (faults []fault) {
	if len(wanted) > smallGroup {
		return t.manyOverlaps(wanted)
	}
	for i, a := range wanted {
		for _, b := range wanted[:i] {
			if !near(a, b) {
				continue
			}
			if o := t.overlap(a, b); o != nil {
				faults = append(faults, fault{row: a.Row, other: b.Row, both: o})
			}
		}
	}
	return faults
}

// overlap compares the forms of two contracts, once for all ports that have both.
func (t *Taps) overlap(a, b Wanted) *overlap {
	key := [2]int{t.form(t.engine.Syms(t.table, a.Row)).number, t.form(t.engine.Syms(t.table, b.Row)).number}
	o, known := t.forms.overlaps[key]
	if !known {
		b.Tap.Priority = a.Tap.Priority // of parts that have the same
		if d, w, ok := flowtap.Overlap(a.Tap, b.Tap); ok {
			o = &overlap{d, w}
		}
		t.forms.overlaps[key] = o
	}
	return o
}

func (t *Taps) manyOverlaps(wanted []Wanted) (faults []fault) {
	var index flowtap.OverlapIndex
	byKey := map[string]eval.RowID{}
	for i, w := range wanted {
		key := fmt.Sprint(i) // ids may be twice here
		atPriorities(w, func(tap flowtap.Tap) bool {
			other, d, witness, ok := index.Overlap(tap, "")
			if ok {
				faults = append(faults, fault{row: w.Row, other: byKey[other[:strings.Index(other, "+")]], both: &overlap{d, witness}})
			}
			return !ok
		})
		atPriorities(w, func(tap flowtap.Tap) bool {
			index.Put(fmt.Sprintf("%s+%d", key, tap.Priority), tap)
			return true
		})
		byKey[key] = w.Row
	}
	return faults
}

// maxFaults is how many rows are complained of one by one.
const maxFaults = 20

// Faults says what is wrong with the rows as they are: an empty list is a set of contracts that can
// stand together.
func (t *Taps) Faults() lang.Diagnostics {
	var ds lang.Diagnostics
	ds = append(ds, t.placingFault()...)
	more := 0
	for _, src := range slices.Sorted(maps.Keys(t.faulty)) {
		for _, f := range t.groups[src].faults {
			if len(ds) == maxFaults {
				more++
				continue
			}
			ds = append(ds, t.diagnostic(f))
		}
	}
	if more > 0 {
		last := &ds[len(ds)-1]
		*last = last.WithHint("%d more taps have faults", more)
	}
	return ds
}

func (t *Taps) diagnostic(f fault) lang.Diagnostic {
	at, why := t.reason(f.row)
	if f.both == nil {
		return lang.Errorf(at, "a tap that cannot be: %v", f.err).WithHint("it follows from %s", why)
	}
	other, because := t.reason(f.other)
	port := t.engine.Value(t.engine.Syms(t.table, f.row)[colSrc]).S
	d := lang.Errorf(at, "two taps of port %s overlap: both have %s a frame with %s", port, sent(f.both.direction), f.both.witness)
	d = d.WithHint("one follows from %s", why)
	return d.WithNote(other, "the other follows from %s; give one of them another priority", because)
}

func sent(d flowtap.Direction) string {
	if d == flowtap.In {
		return "incoming"
	}
	return "outgoing"
}

// reason gives the place of a rule that gives a row, and the rows by which it does.
func (t *Taps) reason(row eval.RowID) (lang.Span, string) {
	why := t.engine.Explain(t.table, t.engine.Row(t.table, row), 1, 1)
	if why == nil || len(why.Ways) == 0 {
		return lang.Span{}, "its row is given"
	}
	way := why.Ways[0]
	var rows []string
	for _, r := range way.Body {
		rows = append(rows, r.Atom)
	}
	if len(rows) == 0 {
		rows = []string{"nothing: it is a fact"}
	}
	return way.Rule.Place(), strings.Join(rows, ", ")
}

// EvalFault says where an error of eval.Engine.Apply comes from.
func EvalFault(err error) lang.Diagnostic {
	var limit *eval.LimitError
	if errors.As(err, &limit) && limit.Rule != nil {
		d := lang.Errorf(limit.Rule.Place(), "this gives %v", limit)
		if strings.Contains(limit.What, "text") {
			return d
		}
		return d.WithHint("do two literals of a body have no variable in common?")
	}
	return lang.Errorf(lang.Span{}, "%v", err)
}

func kindName(k lang.Kind) string {
	if k == lang.Int {
		return "an integer"
	}
	return "a " + k.String()
}
