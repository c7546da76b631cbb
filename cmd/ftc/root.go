package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/flowtap/flowtap/cmd/rest"
)

// Exit codes.
const (
	exitOK         = 0
	exitPolicy     = 1
	exitUsage      = 2
	exitController = 3
)

// world is what the program knows of its surroundings.
type world struct {
	in       io.Reader
	out, err io.Writer
	env      rest.Environment
}

// errPolicy says that a policy is wrong, and that it has been said why.
var errPolicy = errors.New("the policy is wrong")

// errQuery says that the question is wrong, which is the command line's fault, and that it has been said why.
var errQuery = errors.New("the query is wrong")

// run executes one command line and gives its exit code.
func run(ctx context.Context, args []string, w world) int {
	var controller *errController
	cmd := w.root()
	cmd.SetArgs(args)
	cmd.SetIn(w.in)
	cmd.SetOut(w.out)
	cmd.SetErr(w.err)
	switch err := cmd.ExecuteContext(ctx); {
	case err == nil:
		return exitOK
	case errors.Is(err, errPolicy):
		return exitPolicy
	case errors.As(err, &controller):
		fmt.Fprintf(w.err, "ftc: %v\n", err)
		return exitController
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
			"reference. - is the standard input. Exit codes: 0, 1 a policy is wrong, 2 the command line or another file,\n" +
			"3 the controller.",
		Example: "  ftc check shop.ftc\n" +
			"  ftc eval --policy shop.ftc --facts shop.json --query 'public_vm(x)'\n" +
			"  ftc compile --policy shop.ftc --facts shop.json\n" +
			"  ftc explain shop-x5jx2 --policy shop.ftc --facts shop.json\n" +
			"  ftc fmt -w shop.ftc\n" +
			"  ftc simulate loads.jsonl --plot loads.svg\n" +
			"  ftc diff --policy shop.ftc\n" +
			"  ftc apply --policy shop.ftc",
		SilenceErrors: true, SilenceUsage: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("there is no command %q", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.AddCommand(w.checkCommand(), w.evalCommand(), w.compileCommand(), w.explainCommand(), w.fmtCommand(), w.simulateCommand(), w.diffCommand(), w.applyCommand())
	return root
}
