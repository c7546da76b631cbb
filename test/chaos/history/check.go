package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// patience is how long an order is looked for. Histories of a minute take well under a second; what
// is not found in this time counts as not found.
const patience = 5 * time.Minute

// A verdict is what check found.
type verdict struct {
	result porcupine.CheckResult
	info   porcupine.LinearizationInfo
	counts map[string]int // operations by outcome
	broken []operation    // answers that are wrong in any state: 5xx other than 503
	ops    []porcupine.Operation
}

func (v verdict) ok() bool { return v.result == porcupine.Ok && len(v.broken) == 0 }

// check orders a history.
func check(all []operation) verdict {
	v := verdict{counts: map[string]int{}}
	var end int64
	for _, o := range all {
		v.counts[o.Outcome]++
		if o.Status >= 500 && o.Status != http.StatusServiceUnavailable && o.Status != http.StatusBadGateway && o.Status != http.StatusGatewayTimeout {
			v.broken = append(v.broken, o)
		}
		end = max(end, o.Call, o.Return)
	}
	ends := map[string]bool{}
	add := func(o operation) {
		v.ops = append(v.ops, porcupine.Operation{ClientId: o.Client, Input: o, Call: o.Call, Output: len(v.ops), Return: o.Return})
	}
	for _, o := range bounded(all) {
		if o.Return == math.MaxInt64 {
			o.Return = end + 3
			if !ends[o.Group] {
				ends[o.Group] = true
				add(operation{Kind: opEnd, Group: o.Group, Outcome: outcomeAnswered, Call: end + 1, Return: end + 2})
			}
		}
		add(o)
	}
	v.result, v.info = porcupine.CheckOperationsVerbose(groups, v.ops, patience)
	return v
}

// report says it in a few lines.
func (v verdict) report(w io.Writer) {
	fmt.Fprintf(w, "%d answered, %d unknown, %d not done, %d stale; linearizable: %s\n", v.counts[outcomeAnswered], v.counts[outcomeUnknown],
		v.counts[outcomeNothing], v.counts[outcomeStale], v.result)
	for i, o := range v.broken {
		if i == 5 {
			fmt.Fprintf(w, "... and %d more\n", len(v.broken)-i)
			break
		}
		fmt.Fprintf(w, "must not happen: %s by %s: %s\n", describe(o), o.Replica, o.Detail)
	}
	if v.result == porcupine.Ok {
		return
	}
	// Of each group the longest order that was found, and of what it could not take in the first: there
	// is where to look.
	for i, group := range groups.Partition(v.ops) {
		var longest []porcupine.Operation
		for _, order := range v.info.PartialLinearizationsOperations()[i] {
			if len(order) > len(longest) {
				longest = order
			}
		}
		ordered := map[any]bool{}
		for _, o := range longest {
			ordered[o.Output] = true
		}
		left := slices.DeleteFunc(slices.Clone(group), func(o porcupine.Operation) bool { return ordered[o.Output] })
		if len(left) == 0 {
			continue
		}
		show := func(o porcupine.Operation) string {
			in := o.Input.(operation)
			return fmt.Sprintf("client %d at %.6f to %.6f s by %s: %s", o.ClientId, float64(o.Call)/1e9, float64(o.Return)/1e9, in.Replica, describe(in))
		}
		fmt.Fprintf(w, "of %d operations on group %s at most %d can be ordered, the last of them:\n", len(group), group[0].Input.(operation).Group, len(longest))
		for _, o := range longest[max(0, len(longest)-12):] {
			fmt.Fprintf(w, "  %s\n", show(o))
		}
		first := slices.MinFunc(left, func(a, b porcupine.Operation) int { return cmp.Compare(a.Return, b.Return) })
		fmt.Fprintf(w, "then there is no room for\n  %s\n", show(first))
	}
}
