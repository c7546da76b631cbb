package main

import (
	"net/url"
	"strings"

	"github.com/spf13/cobra"
)

func (a *app) getCommand() *cobra.Command {
	var filter []string
	var fresh bool
	cmd := &cobra.Command{
		Use:   "get COLLECTION [ID...]",
		Short: "Show objects",
		Example: "  flowtapctl get taps\n  flowtapctl get tap t1 -o yaml\n" +
			"  flowtapctl get ports --filter network=shop --filter state=active\n" +
			"  flowtapctl get nodes --filter state=unregistered\n  flowtapctl get tap t1 --fresh",
		Args:              needArgs(1, -1, "COLLECTION [ID...]"),
		ValidArgsFunction: a.completeObjects,
		RunE: func(cmd *cobra.Command, args []string) error {
			col, err := findCollection(args[0])
			if err != nil {
				return err
			}
			q, err := filterQuery(filter)
			if err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			if fresh && (len(args) == 1 || col.name != "taps") {
				return usagef("--fresh is for taps that are named")
			}
			if len(args) == 1 {
				objs, err := c.list(cmd.Context(), col, q)
				if err != nil {
					return err
				}
				return a.print(col, objs, false)
			}
			if len(filter) > 0 {
				return usagef("give either ids or --filter")
			}
			one := url.Values{}
			if fresh {
				one.Set("fresh", "true")
			}
			var objs []object
			for _, id := range args[1:] {
				o, err := c.get(cmd.Context(), col, id, one)
				if err != nil {
					return err
				}
				objs = append(objs, o)
			}
			return a.print(col, objs, true)
		},
	}
	addFilter(cmd, &filter)
	cmd.Flags().BoolVar(&fresh, "fresh", false, "have the counters of a tap read from the switches now")
	return cmd
}

func addFilter(cmd *cobra.Command, filter *[]string) {
	cmd.Flags().StringArrayVar(filter, "filter", nil, "only objects with FIELD=VALUE; may be repeated")
}

func filterQuery(filter []string) (url.Values, error) {
	q := url.Values{}
	for _, f := range filter {
		name, value, ok := strings.Cut(f, "=")
		if !ok || name == "" {
			return nil, usagef("--filter must be FIELD=VALUE, not %q", f)
		}
		q.Add(name, value)
	}
	return q, nil
}

// needArgs bounds the number of arguments; a negative most is no bound.
func needArgs(least, most int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least || most >= 0 && len(args) > most {
			return usagef("%s needs %s", cmd.CommandPath(), what)
		}
		return nil
	}
}
