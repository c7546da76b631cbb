package lang

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func format(t require.TestingT, text string) string {
	out, ds := Format(NewFile("x", text))
	require.Empty(t, ds, text)
	return out
}

func TestFormatStory(t *testing.T) {
	const in = `// The shop.


# two
p(x):-q(x), // c1
  /* a */ not r(x) /*b*/ , lt(x,/*in*/-1) // end
;s('a\'b', 1.0, 1.)  // tr
 t /* x */ u(0x10). # y

execute[flowtap:tap(a,b,"tcp",'forward',direction="in")]:-w(a,b)
long_enough(to_be, more_than) :- one_line(to_be, can_hold), so_that(it_is, broken), after_each(of, the_literals, more_than)
// last`
	const want = `// The shop.

# two
p(x) :-
    q(x),  // c1
    /* a */
    not r(x),  /*b*/
    /*in*/
    lt(x, -1)  // end
s("a'b", 1.0, 1.0)  // tr
t()  /* x */
u(16)  # y

execute[flowtap:tap(a, b, "tcp", "forward", direction="in")] :- w(a, b)
long_enough(to_be, more_than) :-
    one_line(to_be, can_hold),
    so_that(it_is, broken),
    after_each(of, the_literals, more_than)
// last
`
	assert.Equal(t, want, format(t, in))
}

// TestFormatKeepsMeaningAndComments: what is laid out is the same policy with the same comments, and is
// laid out already.
func TestFormatKeepsMeaningAndComments(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := drawPolicy(t)
		once := format(t, text)
		require.Equal(t, once, format(t, once), "once more, of\n%s", text)
		require.Equal(t, meaning(text), meaning(once), text)
		require.Equal(t, comments(text), comments(once), text)
	})
}

// meaning spells the statements of a policy.
func meaning(text string) (all []string) {
	pol, _ := Parse(NewFile("x", text))
	for _, s := range pol.Statements {
		switch s := s.(type) {
		case *Rule:
			all = append(all, fmt.Sprint(s.Heads, s.IsFact, s.Body))
		case *Action:
			all = append(all, fmt.Sprint(Atom{Table: s.Name, Args: s.Parameters}, s.Tap))
		}
	}
	return all
}

func comments(text string) (all []string) {
	pol, _ := Parse(NewFile("x", text))
	for _, c := range pol.Comments {
		all = append(all, commentText(c))
	}
	return all
}

// drawPolicy strings tokens together that make a policy, with comments and line ends anywhere.
func drawPolicy(t *rapid.T) string {
	var b strings.Builder
	gap := func() {
		b.WriteString(rapid.SampledFrom([]string{" ", " ", " ", "  ", "\n", "\n\n\n", "\t", " // c\n", "# d\n", "/* e */", " /* f\n g */ ", "\n// own\n"}).Draw(t, "gap"))
	}
	word := func(s string) {
		b.WriteString(s)
		gap()
	}
	atom := func() {
		word(rapid.SampledFrom([]string{"p", "q:r", "a:b:c", "x.y", "action_"}).Draw(t, "table"))
		n := rapid.IntRange(0, 3).Draw(t, "width")
		if n == 0 && rapid.Bool().Draw(t, "bare") {
			return
		}
		word("(")
		for i := range n {
			if i > 0 {
				word(",")
			}
			if rapid.IntRange(0, 4).Draw(t, "named") == 0 {
				word(rapid.SampledFrom([]string{"id=", "0 ="}).Draw(t, "column"))
			}
			word(rapid.SampledFrom([]string{"x", "_", "1", "-1", "1.5", `"s"`, `'a"b'`, `"\n\\"`}).Draw(t, "term"))
		}
		word(")")
	}
	gap()
	for range rapid.IntRange(0, 4).Draw(t, "statements") {
		switch rapid.IntRange(0, 4).Draw(t, "kind") {
		case 0:
			atom()
		case 1:
			word("execute[")
			atom()
			word("]")
			word(":-")
			atom()
		case 2:
			word("action a(x) =")
			word("flowtap:tap(src=x, \"m\")")
		case 3:
			word("placement")
			word(rapid.SampledFrom([]string{"hybrid", "per_node ", "x"}).Draw(t, "strategy"))
			word(rapid.SampledFrom([]string{"", "from w", "from\nfile:w", "; from :- p"}).Draw(t, "from"))
		default:
			atom()
			word(":-")
			for i := range rapid.IntRange(1, 3).Draw(t, "literals") {
				if i > 0 {
					word(",")
				}
				if rapid.Bool().Draw(t, "negated") {
					word(rapid.SampledFrom([]string{"not ", "!", "NOT "}).Draw(t, "not"))
				}
				atom()
			}
		}
		word(rapid.SampledFrom([]string{"", ";", "\n"}).Draw(t, "end"))
	}
	return b.String()
}

func TestDiagnosticsLookLikeACompilers(t *testing.T) {
	_, ds := Parse(NewFile("shop.ftc", "p(x) :- q(x)\n\tré(\"é\", 1 2)\n"))
	assert.Equal(t, "shop.ftc:2:3: error: \"é\" is no part of the language\n"+
		"    \tré(\"é\", 1 2)\n"+
		"    \t ^\n", ds.String())
	_, ds = Parse(NewFile("shop.ftc", "p(\"é\",\tx y)"))
	assert.Equal(t, "shop.ftc:1:10: error: want a comma or the closing ), not \"y\"\n"+
		"    p(\"é\",\tx y)\n"+
		"          \t  ^\n", ds.String())
	_, ds = Parse(NewFile("shop.ftc", "p(\"\u009b31m\x1b\" \u009b)"))
	assert.NotContains(t, ds.String(), "\u009b", "nothing that a terminal acts upon")
	assert.NotContains(t, ds.String(), "\x1b")
	_, ds = Parse(NewFile("shop.ftc", "p("+strings.Repeat("x, ", 1000)+")"))
	assert.Less(t, len(ds.String()), 700, "a long line is cut")
}

func TestLimitsOfSource(t *testing.T) {
	for name, text := range map[string]string{
		"bytes":      strings.Repeat(" ", MaxSource+1),
		"statements": strings.Repeat("p ", MaxStatements+1),
		"literals":   "p :- q" + strings.Repeat(", q", MaxLiterals),
		"columns":    "p(1" + strings.Repeat(", 1", MaxArgs) + ")",
		"errors":     strings.Repeat("p(\n", 10*maxFaults),
	} {
		_, ds := Parse(NewFile("x", text))
		require.NotEmpty(t, ds, name)
		assert.LessOrEqual(t, len(ds), maxFaults+1, name)
	}
}

// FuzzParse: no text makes the parser or the formatter panic, errors are inside the text, and what is
// laid out is laid out already.
func FuzzParse(f *testing.F) {
	cases, _ := filepath.Glob("../testdata/conformance/*.txt")
	for _, file := range cases {
		b, err := os.ReadFile(file)
		require.NoError(f, err)
		for i, text := range regexp.MustCompile(`(?m)^(===|%).*$`).Split(string(b), -1) {
			if i%6 == 1 {
				f.Add(text)
			}
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		file := NewFile("x", text)
		pol, ds := Parse(file)
		for _, d := range ds {
			require.True(t, 0 <= d.Span.Start && d.Span.Start <= d.Span.End && d.Span.End <= len(text))
			_ = d.String()
		}
		if ds.Errors() {
			return
		}
		once, _ := Format(file)
		twice, ds := Format(NewFile("x", once))
		require.Empty(t, ds, once)
		require.Equal(t, once, twice)
		require.Equal(t, meaning(text), meaning(once))
		require.Len(t, comments(once), len(pol.Comments))
	})
}
