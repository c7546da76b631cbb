package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/spf13/cobra"
)

const waitDeleted = "deleted"

func (a *app) waitCommand() *cobra.Command {
	var state string
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "wait COLLECTION ID...",
		Short: "Wait until objects have a state",
		Long: "Wait until objects have a state (the default is active, and connected for nodes), or are deleted.\n" +
			"When the time is over, the last state and its reason are printed and the exit code is 1.",
		Example:           "  flowtapctl wait tap t1 --for active --timeout 10s\n  flowtapctl wait port web --for deleted",
		Args:              needArgs(2, -1, "COLLECTION ID..."),
		ValidArgsFunction: a.completeObjects,
		RunE: func(cmd *cobra.Command, args []string) error {
			col, err := findCollection(args[0])
			if err != nil {
				return err
			}
			want := state
			switch {
			case col.name == "networks" && want != waitDeleted:
				return usagef("a network has no state: only --for deleted can be waited for")
			case want == "" && col.name == "nodes":
				want = "connected"
			case want == "":
				want = "active"
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			for _, id := range args[1:] {
				last, err := waitFor(ctx, c, col, id, want)
				switch {
				case errors.Is(err, context.DeadlineExceeded):
					return fmt.Errorf("%s/%s is not %s after %v: %s", col.singular, id, want, timeout, last)
				case err != nil:
					return err
				}
				if _, err := fmt.Fprintf(a.out, "%s/%s %s\n", col.singular, id, want); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&state, "for", "", `the state, or "deleted"`)
	cmd.Flags().DurationVar(&timeout, "timeout", 30*time.Second, "how long to wait at most")
	_ = cmd.RegisterFlagCompletionFunc("for", cobra.FixedCompletions( // fails for unknown flags only
		[]string{"active", "pending", "degraded", "disabled", "invalid", "connected", "down", waitDeleted}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// waitFor returns when the object has the state, and on an error gives the state that it last had.
// An object that does not exist is an error unless that is waited for.
func waitFor(ctx context.Context, c *client, col *collection, id, want string) (last string, err error) {
	last = "no answer yet"
	there := false
	err = c.watch(ctx, col, url.Values{"id": {id}}, func(e event) error {
		switch e.Type {
		case "DELETED":
			there = false
		case "SYNCED":
		default:
			there = true
			last = e.Object.text("status.state")
			if reason := e.Object.text("status.reason"); reason != "" {
				last += ": " + reason
			}
			if e.Object.text("status.state") == want {
				return errEnough
			}
			return nil
		}
		switch {
		case there:
			return nil
		case want == waitDeleted:
			return errEnough
		}
		return &problem{Status: 404, Detail: fmt.Sprintf("there is no %s %q", col.singular, id)}
	})
	var gone *unreachable
	if errors.As(err, &gone) && ctx.Err() != nil {
		err = ctx.Err()
	}
	return last, err
}
