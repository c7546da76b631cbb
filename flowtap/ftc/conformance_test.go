package ftc

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/flowtap/ftc/eval"
	"github.com/flowtap/flowtap/flowtap/ftc/lang"
	"github.com/flowtap/flowtap/flowtap/ftc/program"
)

// TestConformance runs testdata/conformance/*.txt. A case is a title, a policy, and lines that begin
// with %:
//
//	=== title
//	policy
//	%schemas {"service:table": ["column"]}
//	%facts {"table": [[1]]}
//	%error 1:5 part of the message     all errors, in this order, else the policy is right
//	%warning 1:5 part of the message
//	%query p(x) => [[1], [2]]
func TestConformance(t *testing.T) {
	files, err := filepath.Glob("testdata/conformance/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	cases := 0
	for _, file := range files {
		b, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, text := range strings.Split("\n"+string(b), "\n=== ")[1:] {
			title, body, _ := strings.Cut(text, "\n")
			cases++
			t.Run(strings.TrimSuffix(filepath.Base(file), ".txt")+"/"+title, func(t *testing.T) { conform(t, body) })
		}
	}
	assert.Greater(t, cases, 150)
}

func conform(t *testing.T, body string) {
	var policy, errors, warnings, queries []string
	var facts []eval.Change
	var schemas program.Schemas
	given := map[string]bool{}
	for _, line := range strings.Split(body, "\n") {
		directive, rest, _ := strings.Cut(line, " ")
		var err error
		switch directive {
		case "%error":
			errors = append(errors, rest)
		case "%warning":
			warnings = append(warnings, rest)
		case "%query":
			queries = append(queries, rest)
		case "%facts":
			facts, err = ReadFacts([]byte(rest))
		case "%schemas":
			schemas, err = ReadSchemas([]byte(rest))
		default:
			require.False(t, strings.HasPrefix(line, "%"), line)
			policy = append(policy, line)
		}
		require.NoError(t, err, line)
	}
	for _, f := range facts {
		given[f.Table] = true
	}
	opts := Options{Schemas: schemas, Given: func(table string) bool { return given[table] }}
	file := lang.NewFile("policy", strings.TrimSuffix(strings.Join(policy, "\n"), "\n"))
	p, ds := Load([]*lang.File{file}, opts)
	expectDiagnostics(t, ds, lang.Error, errors)
	if len(warnings) > 0 {
		expectDiagnostics(t, ds, lang.Warning, warnings)
	}
	if len(errors) > 0 {
		assert.Nil(t, p)
		return
	}
	require.NotNil(t, p)
	for _, q := range queries {
		query, want, ok := strings.Cut(q, " => ")
		require.True(t, ok, q)
		atom, ds := lang.ParseAtom(lang.NewFile("query", query))
		require.Empty(t, ds, q)
		opts.Query = &atom
		p, ds := Load([]*lang.File{file}, opts)
		require.NotNil(t, p, ds.String())
		e := eval.New(p, eval.Limits{})
		require.NoError(t, e.Apply(facts))
		assert.Equal(t, want, rowsText(e.Rows(p.Table(program.QueryTable))), q)
	}
}

func rowsText(rows [][]lang.Value) string {
	b := []byte("[")
	for i, r := range rows {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = AppendJSON(b, r)
	}
	return string(append(b, ']'))
}

// expectDiagnostics compares all of one severity with "line:column part of the message".
func expectDiagnostics(t *testing.T, ds lang.Diagnostics, severity lang.Severity, want []string) {
	var got []string
	for _, d := range ds {
		if d.Severity == severity {
			line, column := d.Span.Position()
			got = append(got, fmt.Sprintf("%d:%d %s", line, column, d.Message+"; "+d.Hint))
		}
	}
	require.Len(t, got, len(want), ds.String())
	for i, w := range want {
		at, part, _ := strings.Cut(w, " ")
		assert.True(t, strings.HasPrefix(got[i], at+" ") && strings.Contains(got[i], part), "want %s\ngot %s", w, got[i])
	}
}
