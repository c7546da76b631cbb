package ftc

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/flowtap/ftc/eval"
	"github.com/flowtap/flowtap/flowtap/ftc/lang"
	"github.com/flowtap/flowtap/flowtap/ftc/program"
)

var fence = regexp.MustCompile("(?ms)^```(\\w+)( error)?\n(.*?)^```$")

// TestReferenceIsTrue runs the examples of docs/POLICY.md: a policy is followed by rows, where it
// needs any, and by queries with their answers; a wrong one by what is said of it.
func TestReferenceIsTrue(t *testing.T) {
	b, err := os.ReadFile("../../docs/POLICY.md")
	require.NoError(t, err)
	blocks := fence.FindAllStringSubmatch(string(b), -1)
	examples := 0
	for i := 0; i < len(blocks); i++ {
		if blocks[i][1] != "datalog" {
			require.Equal(t, "sh", blocks[i][1], "a block by itself: %s", blocks[i][3])
			continue
		}
		examples++
		wrong, file := blocks[i][2] != "", lang.NewFile("policy", blocks[i][3])
		var rows []eval.Change
		if i+1 < len(blocks) && blocks[i+1][1] == "json" {
			i++
			rows = facts(t, blocks[i][3])
		}
		i++
		require.Equal(t, "text", blocks[i][1], "no answers to\n%s", file.Text)
		p, ds := Load([]*lang.File{file}, Options{})
		if wrong {
			assert.Equal(t, blocks[i][3], ds.String())
			continue
		}
		require.NotNil(t, p, ds.String())
		taps, ds := Compile("reference", p, rows, eval.Limits{})
		require.NotNil(t, taps)
		assert.Empty(t, ds.String())
		for _, line := range strings.Split(strings.TrimSpace(blocks[i][3]), "\n") {
			query, want, _ := strings.Cut(line, " => ")
			assert.Equal(t, want, answer(t, file, rows, query), "%s of\n%s", query, file.Text)
		}
	}
	assert.Greater(t, examples, 12)
}

// TestTablesOfTheReferenceAreTrue compares the tables of docs/POLICY.md, and its limits, with the code.
func TestTablesOfTheReferenceAreTrue(t *testing.T) {
	b, err := os.ReadFile("../../docs/POLICY.md")
	require.NoError(t, err)
	sources, builtins, taps := map[string]string{}, map[string]int{}, map[string]string{}
	quoted := regexp.MustCompile("`([^`]*)`")
	section := ""
	for _, line := range strings.Split(string(b), "\n") {
		if strings.HasPrefix(line, "## ") {
			section = line[3:]
		}
		cells := strings.Split(line, " | ")
		if !strings.HasPrefix(line, "| ") || len(cells) < 2 {
			continue
		}
		cells[0] = cells[0][2:]
		switch section {
		case "Data sources":
			sources[strings.Trim(cells[0], "`")] = strings.TrimSuffix(cells[1], " |")
		case "Builtins":
			for _, m := range quoted.FindAllStringSubmatch(cells[0], -1) {
				name, args, given := strings.Cut(m[1], "(")
				if builtins[name] = -1; given {
					builtins[name] = strings.Count(args, ",") + 1
				}
			}
		case "Taps":
			defaults := quoted.FindAllStringSubmatch(cells[1], -1)
			for i, name := range strings.Split(cells[0], ", ") {
				if taps[name] = ""; len(defaults) > 0 {
					taps[name] = defaults[min(i, len(defaults)-1)][1]
				}
			}
		}
	}
	delete(sources, "table")
	delete(taps, "column")
	want := map[string]string{}
	for table, cols := range program.FlowTap {
		var names []string
		for _, c := range cols {
			names = append(names, c.Name)
		}
		want[table] = strings.Join(names, ", ")
	}
	assert.Equal(t, want, sources)
	for name, known := range program.Builtins() {
		require.Contains(t, builtins, name)
		if builtins[name] >= 0 {
			assert.Len(t, known.Kinds, builtins[name], name)
		}
	}
	assert.Len(t, builtins, len(program.Builtins()))
	for _, c := range program.TapColumns {
		require.Contains(t, taps, c.Name)
		if c.Default != nil && taps[c.Name] != "" {
			assert.Equal(t, c.Default.Text(), taps[c.Name], c.Name)
		} else if c.Default != nil {
			assert.Equal(t, lang.Str(""), *c.Default, c.Name)
		}
	}
	assert.Len(t, taps, len(program.TapColumns))
	for _, limit := range []int{lang.MaxStatements, eval.MaxValues, eval.MaxTaps, eval.MaxWork} {
		assert.Contains(t, string(b), " "+commas(limit)+" ")
	}
}

func commas(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return commas(n/1000) + fmt.Sprintf(",%03d", n%1000)
}

// answer evaluates a query.
func answer(t *testing.T, file *lang.File, rows []eval.Change, query string) string {
	atom, ds := lang.ParseAtom(lang.NewFile("query", query))
	require.Empty(t, ds, query)
	p, ds := Load([]*lang.File{file}, Options{Query: &atom})
	require.NotNil(t, p, ds.String())
	e := eval.New(p, eval.Limits{})
	require.NoError(t, e.Apply(rows))
	return rowsText(e.Rows(p.Table(program.QueryTable)))
}
