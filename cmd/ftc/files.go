package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/flowtap/flowtap/flowtap/ftc"
	"github.com/flowtap/flowtap/flowtap/ftc/eval"
	"github.com/flowtap/flowtap/flowtap/ftc/lang"
	"github.com/flowtap/flowtap/flowtap/ftc/program"
)

// inputs are the files that a command reads.
type inputs struct {
	policies, facts, schemas []string
}

func (in *inputs) schemaFlag(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&in.schemas, "schemas", nil, `JSON with the tables of data sources, {"service:table": ["column", ...]}`)
}

func (in *inputs) flags(cmd *cobra.Command) {
	in.schemaFlag(cmd)
	in.policyFlag(cmd)
	cmd.Flags().StringArrayVar(&in.facts, "facts", nil, `JSON with rows, {"table": [[value, ...], ...]}, or CSV, which is the table file:NAME`)
}

func (in *inputs) policyFlag(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&in.policies, "policy", nil, "file of the policy; several are one policy")
}

// read gives a file's content.
func (w world) read(path string) ([]byte, error) {
	var b []byte
	var err error
	if path == "-" {
		b, err = io.ReadAll(w.in)
	} else {
		b, err = os.ReadFile(path) // #nosec G304 -- the file that the command line names
	}
	if err != nil {
		return nil, err // names the file
	}
	return b, nil
}

// load is everything that was read.
type load struct {
	files   []*lang.File // of the policy
	program *program.Program
	facts   []eval.Change
}

// load reads all inputs and checks the policy; what there is to say of it is printed.
func (w world) load(in inputs, query string) (load, error) {
	var l load
	if len(in.policies) == 0 {
		return l, errors.New("which policy? name a file")
	}
	opts := ftc.Options{Schemas: program.Schemas{}}
	for _, path := range in.schemas {
		b, err := w.read(path)
		if err != nil {
			return l, err
		}
		s, err := ftc.ReadSchemas(b)
		if err != nil {
			return l, fmt.Errorf("%s: %w", path, err)
		}
		maps.Copy(opts.Schemas, s)
	}
	given := map[string]bool{}
	for _, path := range in.facts {
		facts, err := w.readFacts(path, opts.Schemas)
		if err != nil {
			return l, fmt.Errorf("%s: %w", path, err)
		}
		for _, f := range facts {
			given[f.Table] = true
		}
		l.facts = append(l.facts, facts...)
	}
	opts.Given = func(table string) bool { return given[table] }
	if query != "" {
		q, ds := lang.ParseAtom(lang.NewFile("query", query))
		if ds.Errors() {
			fmt.Fprint(w.err, ds.String())
			return l, errQuery
		}
		opts.Query = &q
	}
	for _, path := range in.policies {
		b, err := w.read(path)
		if err != nil {
			return l, err
		}
		l.files = append(l.files, lang.NewFile(path, string(b)))
	}
	p, ds := ftc.Load(l.files, opts)
	fmt.Fprint(w.err, ds.String())
	if p == nil {
		if opts.Query != nil && !slices.ContainsFunc(ds, func(d lang.Diagnostic) bool {
			return d.Severity == lang.Error && d.Span.File != opts.Query.Span.File
		}) {
			return l, errQuery
		}
		return l, errPolicy
	}
	for _, f := range l.facts {
		if t := p.Table(f.Table); t >= 0 && p.Tables[t].Arity != len(f.Row) {
			return l, fmt.Errorf("the facts give %s rows of %d columns, and the policy or its schema says %d", f.Table, len(f.Row), p.Tables[t].Arity)
		}
	}
	l.program = p
	return l, nil
}

func (w world) readFacts(path string, schemas program.Schemas) ([]eval.Change, error) {
	b, err := w.read(path)
	if err != nil {
		return nil, err
	}
	if !strings.HasSuffix(path, ".csv") {
		return ftc.ReadFacts(b)
	}
	table := "file:" + strings.TrimSuffix(filepath.Base(path), ".csv")
	if name, ds := lang.ParseAtom(lang.NewFile(path, table)); ds.Errors() || name.Atom.Table != table {
		return nil, fmt.Errorf("no policy can name the table %s: call the file otherwise", table)
	}
	cols, facts, err := ftc.ReadCSV(table, b)
	schemas[table] = cols
	return facts, err
}

// policyID names taps after the first file.
func policyID(in inputs) string {
	name := strings.TrimSuffix(filepath.Base(in.policies[0]), filepath.Ext(in.policies[0]))
	id := strings.Trim(strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z' || '0' <= r && r <= '9':
			return r
		case 'A' <= r && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, name), "-")
	if id == "" {
		return "policy"
	}
	return id
}

// compile gives the taps of a policy; what is wrong with them is printed.
func (w world) compile(in inputs, id string) (*ftc.Taps, load, error) {
	l, err := w.load(in, "")
	if err != nil {
		return nil, l, err
	}
	if id == "" {
		id = policyID(in)
	}
	taps, ds := ftc.Compile(id, l.program, l.facts, eval.Limits{})
	fmt.Fprint(w.err, ds.String())
	if ds.Errors() {
		return nil, l, errPolicy
	}
	return taps, l, nil
}
