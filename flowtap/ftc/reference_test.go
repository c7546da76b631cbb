package ftc

import (
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
