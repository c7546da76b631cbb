package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// Exit codes. 3 is for commands that speak to a controller.
const (
	exitOK     = 0
	exitPolicy = 1
	exitUsage  = 2
)

// world is what the program knows of its surroundings.
type world struct {
	in       io.Reader
	out, err io.Writer
}

// errPolicy says that a policy is wrong, and that it has been said why.
var errPolicy = errors.New("the policy is wrong")

// run executes one command line and gives its exit code.
func run(args []string, w world) int {
	cmd := w.root()
	cmd.SetArgs(args)
	cmd.SetIn(w.in)
	cmd.SetOut(w.out)
	cmd.SetErr(w.err)
	switch err := cmd.Execute(); {
	case err == nil:
		return exitOK
	case errors.Is(err, errPolicy):
		return exitPolicy
	default:
		fmt.Fprintf(w.err, "ftc: %v\n", err)
		return exitUsage
	}
}

func (w world) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "ftc",
		Short: "Check, evaluate and compile FlowTap policies",
		Long: "Check, evaluate and compile FlowTap policies.\n\n" +
			"A policy is one or more files in Datalog, the language of OpenStack Congress; docs/POLICY.md is its\n" +
			"reference. - is the standard input. Exit codes: 0, 1 a policy is wrong, 2 the command line or another file.",
		Example: "  ftc check shop.ftc\n" +
			"  ftc eval --policy shop.ftc --facts shop.json --query 'public_vm(x)'\n" +
			"  ftc compile --policy shop.ftc --facts shop.json\n" +
			"  ftc explain shop-x5jx2 --policy shop.ftc --facts shop.json\n" +
			"  ftc fmt -w shop.ftc\n" +
			"  ftc simulate loads.jsonl --plot loads.svg",
		SilenceErrors: true, SilenceUsage: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("there is no command %q", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.AddCommand(w.checkCommand(), w.evalCommand(), w.compileCommand(), w.explainCommand(), w.fmtCommand(), w.simulateCommand())
	return root
}
