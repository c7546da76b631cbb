package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"
)

func (a *app) watchCommand() *cobra.Command {
	var filter []string
	cmd := &cobra.Command{
		Use:   "watch COLLECTION [ID]",
		Short: "Show objects and then every change, until interrupted",
		Long: "Show objects and then every change, until interrupted. With -o json each event is one line,\n" +
			"with -o yaml one document.",
		Example:           "  flowtapctl watch taps\n  flowtapctl watch ports --filter network=shop -o json",
		Args:              needArgs(1, 2, "COLLECTION [ID]"),
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
			if len(args) == 2 {
				q.Set("id", args[1])
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			p := &eventPrinter{app: a, col: col}
			return c.watch(cmd.Context(), col, q, p.print)
		},
	}
	addFilter(cmd, &filter)
	return cmd
}

// eventPrinter prints events. A table holds back what was there at first, to know the widths.
type eventPrinter struct {
	*app
	col    *collection
	rows   [][]string // until SYNCED
	width  []int
	synced bool
}

func (p *eventPrinter) print(e event) error {
	switch p.output {
	case "json":
		b, err := json.Marshal(e)
		if err != nil {
			return fmt.Errorf("encode the output: %w", err)
		}
		_, err = fmt.Fprintf(p.out, "%s\n", b)
		return err
	case "yaml":
		if _, err := fmt.Fprintln(p.out, "---"); err != nil {
			return err
		}
		return p.printValue(e)
	}
	if e.Type == "SYNCED" {
		return p.start()
	}
	row := append([]string{e.Type}, cells(p.col, e.Object)...)
	if !p.synced {
		p.rows = append(p.rows, row)
		return nil
	}
	for i, w := range widths([][]string{row}) {
		p.width[i] = max(p.width[i], w)
	}
	return writeRows(p.out, [][]string{row}, p.width)
}

// start prints the header and what was held back.
func (p *eventPrinter) start() error {
	head := []string{"EVENT"}
	for _, c := range p.col.columns {
		head = append(head, c.title)
	}
	rows := append([][]string{head}, p.rows...)
	p.width, p.synced, p.rows = widths(rows), true, nil
	p.width[0] = len("MODIFIED")
	return writeRows(p.out, rows, p.width)
}
