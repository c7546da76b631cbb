package eval

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/flowtap/ftc/lang"
)

// TestValuesAreGivenBack: an engine that follows a load for ever keeps the values that rows have, and its
// rows stay what they are.
func TestValuesAreGivenBack(t *testing.T) {
	p := mustCheck(t, `hot(n, c) :- node(n, c), gt(c, 0.5), not off(n, "why not")`)
	e := New(p, Limits{})
	row := func(i int) []lang.Value { return []lang.Value{lang.Str("n1"), lang.Real(1 + float64(i)/100_000)} }
	for i := range 13_000 {
		changes := []Change{{Table: "node", Row: row(i)}}
		if i > 0 {
			changes = append(changes, Change{Table: "node", Row: row(i - 1), Delete: true})
		}
		require.NoError(t, e.Apply(changes))
		hot := p.Table("hot")
		require.Equal(t, 1, e.Len(hot))
		require.Len(t, e.Delta(hot).Added, 1)
		require.Equal(t, row(i), e.Row(hot, e.Delta(hot).Added[0]))
	}
	assert.Less(t, e.in.size(), 3*keptSyms)
	assert.Greater(t, e.Generation(), 2)
	assert.Len(t, e.tables[p.Table("node")].count, 2, "places are used again")
}

func TestRowsOfTheWrongWidth(t *testing.T) {
	e := New(mustCheck(t, `p(x) :- q(x)`), Limits{})
	require.NoError(t, e.Apply([]Change{{Table: "q", Row: []lang.Value{lang.Integer(1)}}, {Table: "unheard-of", Row: nil}}))
	require.ErrorContains(t, e.Apply([]Change{
		{Table: "q", Row: []lang.Value{lang.Integer(2)}},
		{Table: "q", Row: []lang.Value{lang.Integer(1), lang.Integer(2)}},
	}), "a row of q has 1 columns: 2 are given")
	assert.Len(t, e.Rows(0), 1, "nothing of it is done")
}
