package flowtap

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the answers of testdata/*.txt anew")

// runCases runs a file of cases. A case is an input up to a line "----" and the answer up to an
// empty line; lines that begin with # before a case say what it is about.
func runCases(t *testing.T, path string, answer func(input string) string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	var out strings.Builder
	for i, block := range strings.Split(strings.TrimSpace(string(raw)), "\n\n") {
		head, want, _ := strings.Cut(block, "----")
		var comment, input []string
		for _, line := range strings.Split(strings.TrimRight(head, "\n"), "\n") {
			if strings.HasPrefix(line, "# ") {
				comment = append(comment, line+"\n")
			} else {
				input = append(input, line)
			}
		}
		in := strings.Join(input, "\n")
		got := strings.Trim(answer(in), "\n")
		if i > 0 {
			out.WriteString("\n")
		}
		out.WriteString(strings.Join(comment, "") + in + "\n----\n" + got + "\n")
		if !*update {
			t.Run(in, func(t *testing.T) { require.Equal(t, strings.Trim(want, "\n"), got) })
		}
	}
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(out.String()), 0o644))
	}
}

func TestParseMatchCases(t *testing.T) {
	runCases(t, "testdata/match.txt", func(in string) string {
		m, err := parseEither(in)
		if err != nil {
			return "error " + err.Error()
		}
		if m.IsZero() {
			return "every frame"
		}
		return m.String()
	})
}

// parseEither reads a JSON object or a text.
func parseEither(in string) (m Match, err error) {
	if strings.HasPrefix(in, "{") {
		err = m.UnmarshalJSON([]byte(in))
		return m, err
	}
	return ParseMatch(in)
}

func TestCubesCases(t *testing.T) {
	runCases(t, "testdata/cubes.txt", func(in string) string {
		m, err := ParseMatch(in)
		require.NoError(t, err)
		return cubesText(m.Cubes()) + "reversed\n" + cubesText(m.Reverse().Cubes())
	})
}

func cubesText(cubes []Cube) string {
	var b strings.Builder
	for _, c := range cubes {
		b.WriteString("  " + cubeText(c) + "\n")
	}
	return b.String()
}

func cubeText(c Cube) string {
	var words []string
	for _, n := range []struct{ k, v string }{{"from", c.InPort}, {"to", c.ToPort}, {"at", string(c.Table)}} {
		if n.v != "" {
			words = append(words, n.k+" "+n.v)
		}
	}
	for _, f := range c.Fields {
		w := oxmText(f)
		words = append(words, w)
	}
	if len(words) == 0 {
		return "any"
	}
	return strings.Join(words, ", ")
}
