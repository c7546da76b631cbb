package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/flowtap/flowtap/flowtap/placement"
)

func (w world) simulateCommand() *cobra.Command {
	var c placement.Config
	var tau time.Duration
	var plot, output string
	cmd := &cobra.Command{
		Use: "simulate FILE", Short: "Replay load samples through the placement: what moves, and how full everything is",
		Long: "Replay load samples, one JSON object a line, through the placement, and print what moves and how full everything is.\n" +
			"docs/PLACEMENT.md says what is in a sample.",
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if output != "json" && output != "table" {
				return fmt.Errorf("--output must be table or json, not %q", output)
			}
			b, err := w.read(args[0])
			if err != nil {
				return err
			}
			samples, err := placement.ReadSamples(b)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			steps, err := placement.Simulate(samples, placement.State{}, c, tau)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			if plot != "" {
				if err := os.WriteFile(plot, []byte(placement.Plot(steps, c)), 0o644); err != nil { // #nosec G306 -- a drawing, no secret
					return err
				}
			}
			if output == "json" {
				enc := json.NewEncoder(w.out)
				enc.SetIndent("", "  ")
				enc.SetEscapeHTML(false)
				return enc.Encode(steps)
			}
			return printSteps(w.out, steps)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&output, "output", "o", "table", "table or json")
	f.StringVar(&plot, "plot", "", "draw the replay into this file, as SVG")
	f.DurationVar(&tau, "tau", 10*time.Second, "time constant of smoothing; 0 takes each sample as it is")
	f.Float64Var(&c.High, "high", 0, "high watermark of utilisation (default 0.77)")
	f.Float64Var(&c.Low, "low", 0, "low watermark (default 0.70)")
	f.DurationVar(&c.Dwell, "dwell", 0, "how long a slice that moved stays (default 30s)")
	f.Float64Var(&c.Budget, "budget", 0, "part of all slices that may move in one dwell (default 0.02)")
	f.IntVar(&c.LeastMoves, "least-moves", 0, "moves in one dwell that are always allowed (default 8)")
	f.DurationVar(&c.MaxAge, "max-age", 0, "age at which a figure is stale (default 15s)")
	f.Float64Var(&c.Capacity, "capacity", 0, "bytes/s of a monitor of which nothing is known (default 125e6)")
	return cmd
}

// printSteps prints two tables: what moves, slices of one kind together, and utilisations after each sample.
func printSteps(out io.Writer, steps []placement.Step) error {
	since := func(s placement.Step) string { return s.At.Sub(steps[0].At).String() }
	tw := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "TIME\tFLOW\tSLICES\tFROM\tTO\tCAUSE\tRELIEVES")
	for _, s := range steps {
		for _, m := range together(s.Moves) {
			from, relieves := m.From, ""
			if from == "" {
				from = "-"
			}
			if m.Cause == placement.Hot {
				relieves = m.Relieves.String()
			}
			fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", since(s), m.Flow, ranges(m.slices), from, m.To, m.Cause, relieves)
		}
		for _, n := range s.Notes {
			what := n.Flow
			if what == "" {
				what = n.Resource.String()
			}
			fmt.Fprintf(tw, "%s\t%s: %s\n", since(s), what, n.Reason)
		}
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(out)
	var columns []placement.Resource
	named := map[placement.Resource]bool{}
	for _, s := range steps {
		for _, u := range s.Used {
			if u.Used > 0 && !named[u.Resource] {
				named[u.Resource] = true
				columns = append(columns, u.Resource)
			}
		}
	}
	fmt.Fprint(tw, "TIME")
	for _, r := range columns {
		fmt.Fprintf(tw, "\t%s %s", strings.ToUpper(r.Kind), r.ID)
	}
	fmt.Fprintln(tw, "\tACROSS NODES")
	for _, s := range steps {
		fmt.Fprint(tw, since(s))
		used := map[placement.Resource]placement.Use{}
		for _, u := range s.Used {
			used[u.Resource] = u
		}
		for _, r := range columns {
			mark := ""
			if used[r].Stale {
				mark = " stale"
			}
			fmt.Fprintf(tw, "\t%.0f %%%s", 100*used[r].Used, mark)
		}
		fmt.Fprintf(tw, "\t%.3g B/s\n", s.Copied)
	}
	return tw.Flush()
}

// A group is moves that differ in the slice alone.
type group struct {
	placement.Move
	slices []int
}

func together(moves []placement.Move) (out []group) {
	type key struct {
		flow, from, to string
		cause          placement.Cause
		relieves       placement.Resource
	}
	at := map[key]int{}
	for _, m := range moves {
		k := key{m.Flow, m.From, m.To, m.Cause, m.Relieves}
		i, ok := at[k]
		if !ok {
			i = len(out)
			at[k], out = i, append(out, group{Move: m})
		}
		out[i].slices = append(out[i].slices, m.Slice)
	}
	return out
}

// ranges writes numbers in order, those in a row as first-last.
func ranges(numbers []int) string {
	has := map[int]bool{}
	for _, n := range numbers {
		has[n] = true
	}
	var parts []string
	for n := range placement.MaxSlices {
		if !has[n] || has[n-1] {
			continue
		}
		last := n
		for has[last+1] {
			last++
		}
		text := strconv.Itoa(n)
		if last > n {
			text += "-" + strconv.Itoa(last)
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, ",")
}
