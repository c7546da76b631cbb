package main

import (
	"fmt"
	"io"
	"math"
	"net/http"
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
	var ops []porcupine.Operation
	for _, o := range bounded(all) {
		if o.Return == math.MaxInt64 {
			o.Return = end + 1
		}
		ops = append(ops, porcupine.Operation{ClientId: o.Client, Input: o, Call: o.Call, Output: nil, Return: o.Return})
	}
	v.result, v.info = porcupine.CheckOperationsVerbose(groups, ops, patience)
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
	// The longest order that was found, by group: what it could not take in is where to look.
	for i, partials := range v.info.PartialLinearizationsOperations() {
		longest := 0
		var last porcupine.Operation
		for _, p := range partials {
			if len(p) > longest {
				longest, last = len(p), p[len(p)-1]
			}
		}
		if longest > 0 {
			o := last.Input.(operation)
			fmt.Fprintf(w, "part %d, group %s: the longest order has %d operations and ends with %s, called at %d\n", i, o.Group, longest, describe(o), o.Call)
		}
	}
}
