package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/flowtap/ftc"
	"github.com/flowtap/flowtap/flowtap/ftc/eval"
	"github.com/flowtap/flowtap/flowtap/ftc/lang"
	"github.com/flowtap/flowtap/flowtap/ftc/program"
	"github.com/flowtap/flowtap/flowtap/placement"
)

func (w world) checkCommand() *cobra.Command {
	var in inputs
	cmd := &cobra.Command{
		Use: "check FILE...", Short: "Say what is wrong with a policy, all of it",
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			in.policies = args
			_, err := w.load(in, "")
			return err
		},
	}
	in.schemaFlag(cmd)
	return cmd
}

func (w world) evalCommand() *cobra.Command {
	var in inputs
	var query string
	cmd := &cobra.Command{
		Use: "eval --policy FILE --facts FILE --query 'p(x, y)'", Short: "Print the rows that answer a query, as sorted JSON",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if query == "" {
				return errors.New("what is asked? give --query 'table(x, y)'")
			}
			l, err := w.load(in, query)
			if err != nil {
				return err
			}
			e := eval.New(l.program, eval.Limits{})
			if err := e.Apply(l.facts); err != nil {
				fmt.Fprint(w.err, ftc.EvalFault(err).String())
				return errPolicy
			}
			b := []byte("[")
			for i, row := range e.Rows(l.program.Table(program.QueryTable)) {
				if i > 0 {
					b = append(b, ',')
				}
				b = ftc.AppendJSON(append(b, "\n  "...), row)
			}
			if len(b) > 1 {
				b = append(b, '\n')
			}
			_, err = w.out.Write(append(b, "]\n"...))
			return err
		},
	}
	in.flags(cmd)
	cmd.Flags().StringVar(&query, "query", "", "a table with arguments; its rows are printed in the order of the arguments")
	return cmd
}

// listed is a wanted tap as it is printed.
type listed struct {
	ID string `json:"id"`
	flowtap.Tap
	Strategy placement.Strategy `json:"strategy,omitempty"`
	Monitors []string           `json:"monitors,omitempty"`
}

func (w world) compileCommand() *cobra.Command {
	var in inputs
	var id, output string
	cmd := &cobra.Command{
		Use: "compile --policy FILE --facts FILE", Short: "Print the taps that a policy wants",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if output != "json" && output != "table" {
				return fmt.Errorf("--output must be table or json, not %q", output)
			}
			taps, _, err := w.compile(in, id)
			if err != nil {
				return err
			}
			if output == "json" {
				list := []listed{}
				for _, t := range taps.All() {
					list = append(list, listed{t.ID, t.Tap, t.Strategy, t.Candidates()})
				}
				enc := json.NewEncoder(w.out)
				enc.SetIndent("", "  ")
				enc.SetEscapeHTML(false)
				return enc.Encode(list)
			}
			tw := tabwriter.NewWriter(w.out, 0, 0, 2, ' ', 0)
			fmt.Fprintln(tw, "ID\tSRC\tDST\tDIRECTION\tACTION\tPRIORITY\tMATCH")
			for _, t := range taps.All() {
				dst := t.Tap.Dst
				switch {
				case t.Tap.DstPool != "":
					dst = "pool " + t.Tap.DstPool
				case t.Strategy != "" && t.Provider:
					dst = string(t.Strategy)
				case t.Strategy != "":
					dst = string(t.Strategy) + " from " + t.Monitors
				}
				fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%d\t%s\n", t.ID, t.Tap.Src, dst, t.Tap.Direction, t.Tap.Action, t.Tap.Priority, t.Tap.Match)
			}
			return tw.Flush()
		},
	}
	in.flags(cmd)
	cmd.Flags().StringVar(&id, "id", "", "id of the policy, with which those of its taps begin; by default the file's name")
	cmd.Flags().StringVarP(&output, "output", "o", "table", "table or json")
	return cmd
}

// Bounds of what explain prints.
const (
	explainWays  = 10
	explainDepth = 20
)

func (w world) explainCommand() *cobra.Command {
	var in inputs
	var id string
	cmd := &cobra.Command{
		Use: "explain TAP --policy FILE --facts FILE", Short: "Print why a policy wants a tap: rules, and rows that satisfy them",
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			taps, _, err := w.compile(in, id)
			if err != nil {
				return err
			}
			found := taps.Find(args[0])
			switch len(found) {
			case 0:
				return fmt.Errorf("the policy wants no tap whose id begins with %q", args[0])
			case 1:
			default:
				return fmt.Errorf("%d taps have an id that begins with %q", len(found), args[0])
			}
			_, err = taps.Explain(found[0], explainWays, explainDepth).WriteTo(w.out)
			return err
		},
	}
	in.flags(cmd)
	cmd.Flags().StringVar(&id, "id", "", "id of the policy; by default the file's name")
	return cmd
}

func (w world) fmtCommand() *cobra.Command {
	var write, list bool
	cmd := &cobra.Command{
		Use: "fmt FILE...", Short: "Lay policies out in the canonical way",
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			var wrong bool
			for _, path := range args {
				b, err := w.read(path)
				if err != nil {
					return err
				}
				text, ds := lang.Format(lang.NewFile(path, string(b)))
				if ds.Errors() {
					fmt.Fprint(w.err, ds.String())
					wrong = true
					continue
				}
				changed := text != string(b)
				if list && changed {
					fmt.Fprintln(w.out, path)
				}
				if write && changed && path != "-" {
					if err := os.WriteFile(path, []byte(text), 0o644); err != nil { // #nosec G306 -- a policy, formatted in place: no secret
						return err
					}
				}
				if !list && (!write || path == "-") {
					fmt.Fprint(w.out, strings.TrimSuffix(text, "\n"), "\n")
				}
			}
			if wrong {
				return errPolicy
			}
			return nil
		},
	}
	cmd.Flags().BoolVarP(&write, "write", "w", false, "write the result to the file")
	cmd.Flags().BoolVarP(&list, "list", "l", false, "print the names of files that are not laid out so")
	return cmd
}
