package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"sigs.k8s.io/yaml"
)

// print writes objects as the user asked: one alone when one was named, else a list.
func (a *app) print(col *collection, objs []object, single bool) error {
	if a.output == "table" {
		return printTable(a.out, col, objs)
	}
	var v any = map[string]any{"items": withKind(col, objs)}
	if single && len(objs) == 1 {
		v = withKind(col, objs)[0]
	}
	return a.printValue(v)
}

func (a *app) printValue(v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the output: %w", err)
	}
	if a.output == "yaml" {
		if b, err = yaml.JSONToYAML(b); err != nil {
			return fmt.Errorf("encode the output: %w", err)
		}
	}
	_, err = fmt.Fprintln(a.out, strings.TrimSuffix(string(b), "\n"))
	return err
}

// withKind adds the kind that apply reads, so that what get printed can be applied. A port has a
// field of that name, which stays; apply tells ports by it.
func withKind(col *collection, objs []object) []object {
	out := make([]object, len(objs))
	for i, o := range objs {
		out[i] = object{}
		for k, v := range o {
			out[i][k] = v
		}
		if col.singular == "port" {
			continue
		}
		out[i]["kind"] = col.singular
	}
	return out
}

// printTable aligns columns by their widest cell, two blanks apart.
func printTable(w io.Writer, col *collection, objs []object) error {
	rows := [][]string{make([]string, len(col.columns))}
	for i, c := range col.columns {
		rows[0][i] = c.title
	}
	for _, o := range objs {
		rows = append(rows, cells(col, o))
	}
	return writeRows(w, rows, widths(rows))
}

func cells(col *collection, o object) []string {
	row := make([]string, len(col.columns))
	for i, c := range col.columns {
		row[i] = o.text(c.path)
		switch {
		case c.path == "match" && row[i] == "":
			row[i] = "any"
		case c.path == "dst" && row[i] == "":
			row[i] = o.text("dst_pool")
		case c.path == "members":
			row[i] = memberText(o)
		case row[i] == "" && i < len(col.columns)-1:
			row[i] = "-"
		}
	}
	return row
}

// memberText shows a pool's members as create reads them.
func memberText(o object) string {
	list, _ := o["members"].([]any)
	texts := make([]string, len(list))
	for i, m := range list {
		m, _ := m.(map[string]any)
		texts[i] = object(m).text("port")
		if w := object(m).text("weight"); w != "1" {
			texts[i] += "=" + w
		}
	}
	return strings.Join(texts, ",")
}

func widths(rows [][]string) []int {
	out := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			out[i] = max(out[i], utf8.RuneCountInString(cell))
		}
	}
	return out
}

func writeRows(w io.Writer, rows [][]string, width []int) error {
	var b strings.Builder
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			line.WriteString(cell)
			line.WriteString(strings.Repeat(" ", max(0, width[i]-utf8.RuneCountInString(cell))+2))
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}
