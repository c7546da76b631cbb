package ftc

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/flowtap/ftc/lang"
)

// TestWhatIsWrongInBulkIsAnsweredBriefly: a policy comes over the network, and each message shows a line of it. Whatever is
// wrong how often, the answer stays one that a person can read, and costs no square of the policy's length.
func TestWhatIsWrongInBulkIsAnsweredBriefly(t *testing.T) {
	const size, cycle = 200_000, 3000
	repeat := func(piece func(i int) string) string {
		var b strings.Builder
		for i := 0; b.Len() < size; i++ {
			b.WriteString(piece(i))
		}
		return b.String()
	}
	always := func(piece string) string { return repeat(func(int) string { return piece }) }
	for name, text := range map[string]string{
		"bytes that are no characters": always("\xb3"),
		"the same, with blanks":        always("\xb3 "),
		"characters of no token":       always("é€ "),
		"escapes":                      always(`"\q" `),
		"a string of many lines":       `p("` + always("a\\n") + `") :- q(1, )`,
		"opened":                       always("("),
		"negated":                      always("!"),
		"unsafe, in one line":          repeat(func(i int) string { return fmt.Sprintf("p%d(x) :- q(y); ", i) }),
		"unknown columns":              repeat(func(i int) string { return fmt.Sprintf("p%d(x) :- flowtap:ports(idd=x);\n", i) }),
		"unknown tables":               repeat(func(i int) string { return fmt.Sprintf("p%d(x) :- flowtap:portz%d(x);\n", i, i) }),
		"another arity":                repeat(func(i int) string { return fmt.Sprintf("p(%d). p(%d, 1). ", i, i) }),
		"a long cycle":                 repeat(func(i int) string { return fmt.Sprintf("t%d(x) :- t%d(x);\n", i, (i+1)%cycle) }),
		"cycles through one table":     repeat(func(i int) string { return fmt.Sprintf("t%d(x) :- t%d(x), t0(x);\n", i, i+1) }),
		"a long name":                  strings.Repeat("x", size) + "(x) :- q(y);",
	} {
		p, ds := Load([]*lang.File{lang.NewFile("policy", text)}, Options{})
		assert.Nil(t, p, name)
		assert.True(t, ds.Errors(), name)
		assert.LessOrEqual(t, len(ds), lang.MaxShown+1, name)
		assert.Less(t, len(ds.String()), 300_000, name)
	}
}

// A long cycle is shown in part, and for names that nobody mistypes none is looked for.
func TestWhatIsLongIsShownInPart(t *testing.T) {
	const n = 30
	var names, rules []string
	for i := range n {
		names = append(names, fmt.Sprintf("t%d", i))
		rules = append(rules, fmt.Sprintf("t%d(x) :- t%d(x)", i, (i+1)%n))
	}
	_, ds := Load([]*lang.File{lang.NewFile("policy", strings.Join(rules, "\n"))}, Options{})
	require.Len(t, ds, 1)
	assert.Equal(t, "a table cannot follow from itself: "+strings.Join(names[:20], " -> ")+" -> ... -> t0", ds[0].Message)
	assert.Len(t, ds[0].Notes, 20)

	for length, hint := range map[int]string{60: "did you mean", 70: ""} {
		name := strings.Repeat("x", length)
		_, ds = Load([]*lang.File{lang.NewFile("policy", "p("+name+") :- q("+name+"y)")}, Options{})
		require.NotEmpty(t, ds)
		assert.Contains(t, ds[0].Hint, hint)
		assert.Equal(t, hint == "", ds[0].Hint == "")
	}
}
