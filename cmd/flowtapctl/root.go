package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/flowtap/flowtap/cmd/rest"
)

// Exit codes.
const (
	exitOK      = 0
	exitRefused = 1
	exitUsage   = 2
)

// world is what the program knows of its surroundings.
type world struct {
	in       io.Reader
	out, err io.Writer
	env      rest.Environment
}

// app is what the commands share: the flags of all and what is made of them.
type app struct {
	world
	flags  rest.Flags
	output string // table, json or yaml
}

type usageError = rest.UsageError

func usagef(format string, args ...any) error { return &usageError{Err: fmt.Errorf(format, args...)} }

// run executes one command line and gives its exit code.
func run(ctx context.Context, args []string, w world) int {
	a := &app{world: w}
	cmd := a.root()
	cmd.SetArgs(args)
	cmd.SetIn(w.in)
	cmd.SetOut(w.out)
	cmd.SetErr(w.err)
	err := cmd.ExecuteContext(ctx)
	return a.report(err)
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "flowtapctl",
		Short: "Look at and change the objects of a FlowTap controller",
		Long: "Look at and change the objects of a FlowTap controller.\n\n" +
			"Collections: " + strings.Join(collectionNames(), ", ") + "; the singular does as well.",
		Example: "  flowtapctl get taps\n" +
			"  flowtapctl create tap t1 --src web --dst ids1 --match 'tcp,tp_dst=80' --action forward\n" +
			"  flowtapctl wait tap t1 --for active --timeout 10s\n" +
			"  flowtapctl apply -f cloud.yaml\n" +
			"  flowtapctl trace web tcp,nw_dst=10.0.0.2,tp_dst=80",
		SilenceErrors: true, SilenceUsage: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("there is no command %q", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(*cobra.Command, []string) error {
			switch a.output {
			case "table", "json", "yaml":
				return nil
			}
			return usagef("--output must be table, json or yaml, not %q", a.output)
		},
	}
	f := root.PersistentFlags()
	a.flags.Add(f, a.world.env)
	f.StringVarP(&a.output, "output", "o", "table", "table, json or yaml")
	_ = root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json", "yaml"}, cobra.ShellCompDirectiveNoFileComp)) // fails for unknown flags only
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{Err: err} })
	root.AddCommand(a.getCommand(), a.createCommand(), a.applyCommand(), a.deleteCommand(), a.waitCommand(), a.watchCommand(), a.traceCommand(), a.pkiCommand(), a.agentCommand())
	return root
}

// client is made when a command runs: the flags are read then.
func (a *app) client() (*client, error) {
	c, err := a.flags.Client()
	return &client{c}, err
}
