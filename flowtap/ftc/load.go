package ftc

import (
	"fmt"
	"slices"
	"strings"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/flowtap/ftc/lang"
	"github.com/flowtap/flowtap/flowtap/ftc/program"
	"github.com/flowtap/flowtap/topology"
)

// Options are what a policy is checked against. The zero value is the sources of a controller.
type Options struct {
	// Schemas are data sources besides those of program.FlowTap.
	Schemas program.Schemas
	// Given says which tables have rows from elsewhere; nil is none.
	Given func(table string) bool
	// Query is an atom whose answers are wanted: program.QueryTable.
	Query *lang.Literal
}

// Load reads a policy of one or more files and checks it. It gives a program, perhaps with warnings, or no
// program and at least one error.
func Load(files []*lang.File, opts Options) (*program.Program, lang.Diagnostics) {
	var all lang.Diagnostics
	var policies []*lang.Policy
	for _, f := range files {
		pol, ds := lang.Parse(f)
		policies = append(policies, pol)
		all = append(all, ds...)
	}
	syntax := all.Errors()
	p, ds := program.Check(policies, program.Options{
		Schemas: opts.Schemas, Given: opts.Given, Query: opts.Query, TapValue: tapValue,
	})
	if syntax { // what could not be read may be what a warning misses
		p = nil
		ds = slices.DeleteFunc(ds, func(d lang.Diagnostic) bool { return d.Severity == lang.Warning })
	}
	return p, append(all, ds...).Sort().First()
}

// tapValue says what is wrong with a constant in a column of a tap, as flowtap.Tap.Validate would of
// the whole.
func tapValue(column string, v lang.Value) error {
	t := flowtap.Tap{Src: "a", Dst: "b", Action: flowtap.Forward, Direction: flowtap.Both, FailMode: flowtap.FailClosed}
	field := column
	switch column {
	case "src", "dst", "dst_pool":
		if v.S == "" && column != "src" {
			return nil
		}
		if err := topology.ValidRef(v.S); err != nil {
			return fmt.Errorf("%s: %s is not an id: %w", column, lang.Quote(v.S), err)
		}
		return nil
	case "match":
		_, err := flowtap.ParseMatch(v.S)
		return err
	case "enabled", "rewrite_dst_mac":
		_, err := truth(column, v.S)
		return err
	case "action":
		t.Action = flowtap.Action(v.S)
	case "direction":
		t.Direction = flowtap.Direction(v.S)
	case "fail_mode":
		t.Action, t.FailMode = flowtap.Redirect, v.S
	case "priority":
		t.Priority = int(v.I)
	case "truncate":
		t.Truncate = int(v.I)
	case "rate_kbps":
		t.RateLimit.KBPS = int(v.I)
		field = "rate_limit.kbps"
	case "rate_pps":
		t.RateLimit.PPS = int(v.I)
		field = "rate_limit.pps"
	}
	err := t.Validate()
	if err != nil && strings.HasPrefix(err.Error(), field+":") {
		return err
	}
	return nil
}

// truth reads "true" or "false": the language has no third kind of value for them.
func truth(column, s string) (bool, error) {
	switch s {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, &topology.FieldError{Field: column, Detail: lang.Quote(s) + ": want \"true\" or \"false\""}
}
