package main

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/flowtap/flowtap/flowtap/trace"
)

func (a *app) traceCommand() *cobra.Command {
	var giveBack bool
	cmd := &cobra.Command{
		Use:   "trace PORT [FRAME]",
		Short: "Show what becomes of a frame that a port sends",
		Long: "Show what becomes of a frame that enters by a port: where it comes out, which monitors get it, and by\n" +
			"which flows of which objects. It is worked out from what the switches should hold; nothing is sent.\n\n" +
			"FRAME is spelled like the match of a tap. What it leaves out is the port's own (its MAC and first IP),\n" +
			"that of the port which has the destination's IP, or something usual.",
		Example: "  flowtapctl trace web tcp,nw_dst=10.0.0.2,tp_dst=80\n" +
			"  flowtapctl trace web arp,arp_tpa=10.0.0.2\n" +
			"  flowtapctl trace web udp,nw_dst=10.0.0.2 --give-back -o json",
		Args:              needArgs(1, 2, "PORT [FRAME]"),
		ValidArgsFunction: a.completePort,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			body := map[string]any{"port": args[0], "give_back": giveBack}
			if len(args) == 2 {
				body["frame"] = args[1]
			}
			var raw json.RawMessage
			if _, err := c.Do(cmd.Context(), request{Method: http.MethodPost, Path: "/v1/trace", Body: body}, &raw); err != nil {
				return err
			}
			if a.output != "table" {
				return a.printValue(raw)
			}
			var t trace.Trace
			if err := json.Unmarshal(raw, &t); err != nil {
				return fmt.Errorf("%s does not answer as FlowTap does: %w; is --server right?", c.Base, err)
			}
			_, err = fmt.Fprint(a.out, t.String())
			return err
		},
	}
	cmd.Flags().BoolVar(&giveBack, "give-back", false, "go on as if monitors gave back what is redirected to them")
	return cmd
}

// completePort offers the ids of ports for the first argument.
func (a *app) completePort(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.completeIDs("ports")(cmd, nil, prefix)
}
