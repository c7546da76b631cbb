package ftc

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/flowtap/ftc/eval"
)

// TestRowsAreNumberedAnewAfterAFailure: a change that fails has rows computed again, under other
// numbers, which the taps must not take for the old ones.
func TestRowsAreNumberedAnewAfterAFailure(t *testing.T) {
	e := eval.New(load(t, `execute[flowtap:tap(p, "m", "", "forward")] :- port(p)`), eval.Limits{Taps: 6})
	taps := NewTaps("shop", e)
	require.NoError(t, e.Apply(facts(t, `{"port": [["a"], ["b"], ["c"]]}`)))
	taps.Update()
	a := facts(t, `{"port": [["a"]]}`)
	a[0].Delete = true
	require.NoError(t, e.Apply(a))
	require.Len(t, taps.Update().Delete, 1)

	require.Error(t, e.Apply(facts(t, `{"port": [["d"], ["e"], ["f"], ["g"], ["h"], ["i"], ["j"], ["k"], ["l"], ["m"], ["n"], ["o"], ["p"]]}`)))
	c := facts(t, `{"port": [["c"]]}`)
	c[0].Delete = true
	require.NoError(t, e.Apply(c))
	changes := taps.Update()
	require.Len(t, changes.Delete, 1)
	require.Empty(t, changes.Put)
	require.Len(t, taps.All(), 1)
	assert.Equal(t, "b", taps.All()[0].Tap.Src)
}

// TestManyTapsOfOnePort: so many are not compared each with each, and the one that overlaps is found.
func TestManyTapsOfOnePort(t *testing.T) {
	p := load(t, `execute[flowtap:tap("gw", "ids1", "tcp,tp_dst={n}", "forward", direction="in")] :- port(n)
execute[flowtap:tap("gw", "ids2", f, "forward", direction="in")] :- other(f)`)
	var ports []string
	for i := range 3 * smallGroup {
		ports = append(ports, fmt.Sprintf("[%d]", i+1))
	}
	rows := `{"port": [` + strings.Join(ports, ",") + `], "other": [["%s"]]}`
	taps, ds := Compile("shop", p, facts(t, fmt.Sprintf(rows, "udp")), eval.Limits{})
	assert.Empty(t, ds.String())
	assert.Equal(t, 3*smallGroup+1, taps.Len())
	_, ds = Compile("shop", p, facts(t, fmt.Sprintf(rows, "ip,nw_proto=6,tp_dst=7")), eval.Limits{})
	require.Len(t, ds, 1)
	assert.Contains(t, ds[0].Message, "two taps of port gw overlap: both have incoming a frame with tcp,tp_dst=7")
	assert.Contains(t, ds.String(), `other("ip,nw_proto=6,tp_dst=7")`)
	assert.Contains(t, ds.String(), "port(7)")
}
