package eval

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/flowtap/ftc/lang"
)

// rowsOf gives rows of a table of two columns that differ.
func rowsOf(table string, n int) (all []Change) {
	for i := range n {
		all = append(all, Change{Table: table, Row: []lang.Value{lang.Integer(int64(i)), lang.Integer(int64(i + 1))}})
	}
	return all
}

func exceeded(t *testing.T, e *Engine, changes []Change, what string) {
	t.Helper()
	var limit *LimitError
	require.True(t, errors.As(e.Apply(changes), &limit))
	assert.Equal(t, what, limit.What)
	require.NoError(t, e.Apply(nil), "all is as before")
}

// Rows that are looked at cost work also where they are not what is looked for.
func TestRowsThatDoNotMatchAreWork(t *testing.T) {
	p := mustCheck(t, `p(x) :- a(x, _), b(y, y)`)
	rows := append(rowsOf("a", 200), rowsOf("b", 200)...)
	exceeded(t, New(p, Limits{Work: 10_000}), rows, "combinations of rows that are tried")
	e := New(p, Limits{Work: 60_000})
	require.NoError(t, e.Apply(rows))
	exceeded(t, e, rowsOf("a", 2000)[200:], "combinations of rows that are tried")
}

// To find out in which order a long rule is best evaluated is work, too.
func TestPlanningIsWork(t *testing.T) {
	var body []string
	for i := range lang.MaxLiterals {
		body = append(body, fmt.Sprintf("q(x%d, x%d)", i, i+1))
	}
	p := mustCheck(t, "p(x0) :- "+strings.Join(body, ", "))
	rows := rowsOf("q", lang.MaxLiterals/2)
	require.NoError(t, New(p, Limits{}).Apply(rows))
	exceeded(t, New(p, Limits{Work: 20_000}), rows, "combinations of rows that are tried")
}

// A row counts by its columns.
func TestWideRowsCountForMore(t *testing.T) {
	p := mustCheck(t, `p(x, y, x, y, x, y, x, y) :- a(x, _), b(y, _)`)
	e := New(p, Limits{Values: 1000})
	require.NoError(t, e.Apply(append(rowsOf("a", 10), rowsOf("b", 11)...)))
	assert.Equal(t, 110, e.Len(p.Table("p")))
	exceeded(t, e, rowsOf("b", 20), "values in the rows of all tables")
	assert.Equal(t, 110, e.Len(p.Table("p")))
	exceeded(t, e, rowsOf("b", 1000), "values in the rows of all tables")
}

// Texts that are made of others do not grow without end: each of these literals would double one.
func TestTextsDoNotGrowWithoutEnd(t *testing.T) {
	var body []string
	for i := range lang.MaxLiterals - 1 {
		body = append(body, fmt.Sprintf("concat(x%d, x%d, x%d)", i, i, i+1))
	}
	source := "p(x0) :- q(x0), " + strings.Join(body[:12], ", ") + "\nr(x0) :- q(x0), " + strings.Join(body, ", ")
	p := mustCheck(t, source)
	e := New(p, Limits{})
	require.NoError(t, e.Apply([]Change{{Table: "q", Row: []lang.Value{lang.Str("0123456789abcdef")}}}))
	assert.Equal(t, 1, e.Len(p.Table("p")))
	assert.Zero(t, e.Len(p.Table("r")), "what cannot be computed does not hold")

	// Nor are there many of them.
	q := func(i int) Change {
		return Change{Table: "q", Row: []lang.Value{lang.Str(fmt.Sprintf("%06d", i))}}
	}
	e = New(p, Limits{Text: 1 << 20})
	require.NoError(t, e.Apply([]Change{q(1)}))
	var more []Change
	for i := range 100 {
		more = append(more, q(i))
	}
	exceeded(t, e, more, "bytes of text")
	// Those of rows that are no more do not count for ever.
	for i := range 100 {
		gone := q(i + 1)
		gone.Delete = true
		require.NoError(t, e.Apply([]Change{gone, q(i + 2)}))
	}
}

// An explanation ends, and says that it does, where there are more reasons than anybody reads; and it is not sought for
// longer than it takes.
func TestExplanationsEnd(t *testing.T) {
	source := "r0(x) :- q(x, _)\n"
	for i := range 12 {
		source += fmt.Sprintf("r%d(x) :- r%d(x), r%d(y)\n", i+1, i, i)
	}
	p := mustCheck(t, source)
	e := New(p, Limits{})
	require.NoError(t, e.Apply(rowsOf("q", 100)))
	why := e.Explain(p.Table("r12"), []lang.Value{lang.Integer(5)}, 10, 20)
	require.NotNil(t, why)
	reasons, more := 0, false
	var count func(*Reason)
	count = func(r *Reason) {
		reasons++
		more = more || r.More
		for _, w := range r.Ways {
			for i := range w.Body {
				count(&w.Body[i])
			}
		}
	}
	count(why)
	assert.Less(t, reasons, 2*mostReasons)
	assert.True(t, more)

	e.Explain(p.Table("r1"), []lang.Value{lang.Integer(5)}, 1, 1)
	assert.Less(t, e.work, 20, "one way was asked for, and there are a hundred")
}
