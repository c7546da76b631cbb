package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/flowtap"
)

var update = flag.Bool("update", false, "write what the examples give to examples/expected")

const examples = "../../examples/"

// command runs one command line, with files by name in a directory of their own; - is the standard input.
func command(t *testing.T, files map[string]string, args ...string) (code int, out, errs string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	for i, a := range args {
		if _, ok := files[a]; ok && a != "-" {
			args[i] = filepath.Join(dir, a)
		}
	}
	var o, e bytes.Buffer
	code = run(context.Background(), args, world{in: strings.NewReader(files["-"]), out: &o, err: &e})
	return code, o.String(), strings.ReplaceAll(e.String(), dir+"/", "")
}

// TestExamples compiles the paper's policies, explains each of their taps, and finds them laid out.
func TestExamples(t *testing.T) {
	policies, err := filepath.Glob(examples + "*.ftc")
	require.NoError(t, err)
	require.Len(t, policies, 7)
	for _, path := range policies {
		t.Run(filepath.Base(path), func(t *testing.T) {
			code, _, errs := command(t, nil, "check", path)
			assert.Zero(t, code)
			assert.Empty(t, errs)
			code, out, errs := command(t, nil, "compile", "--policy", path, "--facts", examples+"dvd-rental.json")
			require.Zero(t, code, errs)
			assert.Empty(t, errs)
			golden := examples + "expected/" + strings.TrimSuffix(filepath.Base(path), ".ftc") + ".txt"
			if *update {
				require.NoError(t, os.WriteFile(golden, []byte(out), 0o644))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			assert.Equal(t, string(want), out)

			lines := strings.Split(strings.TrimSpace(out), "\n")[1:]
			require.NotEmpty(t, lines)
			for _, l := range lines {
				fields := strings.Fields(l)
				code, out, errs := command(t, nil, "explain", fields[0], "--policy", path, "--facts", examples+"dvd-rental.json")
				require.Zero(t, code, errs)
				assert.Contains(t, out, `execute[flowtap:tap(src="`+fields[1]+`", dst="`+fields[2]+`"`)
				assert.Contains(t, out, "by the rule at "+path)
			}
			_, out, _ = command(t, nil, "fmt", "-l", path)
			assert.Empty(t, out, "not laid out")
		})
	}
}

func TestCheckSaysEverythingAtOnce(t *testing.T) {
	code, out, errs := command(t, map[string]string{
		"a.ftc": "p(x) :- nova:servers(nmae=x)\np(x) :- q(\n", "b.ftc": "r(x) :- r(x)\n",
		"schemas.json": `{"nova:servers": ["id", "name"]}`,
	}, "check", "--schemas", "schemas.json", "a.ftc", "b.ftc")
	assert.Equal(t, exitPolicy, code)
	assert.Empty(t, out)
	assert.Equal(t, `a.ftc:1:22: error: nova:servers has no column nmae
    p(x) :- nova:servers(nmae=x)
                         ^^^^
    = did you mean name?
a.ftc:3:1: error: want a variable or a constant, not the end of the file
    
    ^
b.ftc:1:9: error: a table cannot follow from itself: r -> r
    r(x) :- r(x)
            ^^^^
`, errs)
}

func TestWarningsAreNoErrors(t *testing.T) {
	code, _, errs := command(t, map[string]string{"a.ftc": "public_vm(1)\np(x) :- pubic_vm(x)\n"}, "check", "a.ftc")
	assert.Zero(t, code)
	assert.Contains(t, errs, "a.ftc:2:9: warning: no rule and no fact is about pubic_vm")
	assert.Contains(t, errs, "did you mean public_vm?")
}

func TestEvalPrintsSortedJSON(t *testing.T) {
	files := map[string]string{
		"a.ftc":        "p(x, y) :- q(x), nova:servers(id=y), not file:skip(host=y)\n",
		"facts.json":   `{"q": [[2], [1.0], [1], ["é<\""]], "file:all": [["a"], ["b"], ["c"]], "nova:servers": [["b", 1], ["a", 2], ["c", 3]]}`,
		"schemas.json": `{"nova:servers": ["id", "n"]}`,
		"skip.csv":     "\ufeffhost\nc\n",
	}
	code, out, errs := command(t, files, "eval", "--policy", "a.ftc", "--facts", "facts.json", "--facts", "skip.csv", "--schemas", "schemas.json", "--query", "p(x, y)")
	require.Zero(t, code, errs)
	assert.Empty(t, errs)
	assert.Equal(t, `[
  [1, "a"],
  [1, "b"],
  [1.0, "a"],
  [1.0, "b"],
  [2, "a"],
  [2, "b"],
  ["é<\"", "a"],
  ["é<\"", "b"]
]
`, out)
	require.True(t, json.Valid([]byte(out)))

	code, out, _ = command(t, files, "eval", "--policy", "a.ftc", "--schemas", "schemas.json", "--facts", "skip.csv", "--query", "q(x)")
	assert.Zero(t, code)
	assert.Equal(t, "[]\n", out)

	files["b.ftc"] = "r(y) :- file:all(y), not file:skip(host=y)\n"
	code, out, errs = command(t, files, "eval", "--policy", "b.ftc", "--facts", "facts.json", "--facts", "skip.csv", "--query", "r(y)")
	assert.Zero(t, code, errs)
	assert.Equal(t, "[\n  [\"a\"],\n  [\"b\"]\n]\n", out, "of two files one says its columns")

	code, out, _ = command(t, map[string]string{"-": "p(1)"}, "eval", "--policy", "-", "--query", "p(x)")
	assert.Zero(t, code)
	assert.Equal(t, "[\n  [1]\n]\n", out)
}

func TestCompileAsJSON(t *testing.T) {
	code, out, errs := command(t, map[string]string{"Shop 1.ftc": `execute[flowtap:tap("web", "ids1", "tcp", "forward")]`}, "compile", "--policy", "Shop 1.ftc", "-o", "json")
	require.Zero(t, code, errs)
	var taps []map[string]any
	require.NoError(t, json.Unmarshal([]byte(out), &taps))
	require.Len(t, taps, 1)
	assert.True(t, strings.HasPrefix(taps[0]["id"].(string), "shop-1-"))
	delete(taps[0], "id")
	b, err := json.Marshal(taps[0])
	require.NoError(t, err)
	var tap flowtap.Tap
	require.NoError(t, json.Unmarshal(b, &tap), "what the server reads")
	assert.NoError(t, tap.Validate())
	assert.Equal(t, "ids1", tap.Dst)
}

func TestExitCodes(t *testing.T) {
	files := map[string]string{
		"good.ftc": `execute[flowtap:tap(p, "ids1", "", "forward")] :- port(p)`, "bad.ftc": "p(x) :-", "facts.json": `{"port": [["web"]]}`,
		"overlap.ftc": `execute[flowtap:tap("web", "ids1", "tcp", "forward")] execute[flowtap:tap("web", "ids2", "ip", "forward")]`,
		"wide.json":   `{"port": [["web", 1]]}`, "ragged.json": `{"port": [["web"], ["a", 1]]}`, "true.json": `{"port": [[true]]}`,
		"notjson.json": `{"port": [[`, "more.json": `{} {}`, "list.json": `[]`, "twice.json": `{"port": [], "port": []}`, "big.json": `{"port": [[9223372036854775808]]}`,
		"schema.json": `{"a:b": ["x", "x"]}`, "empty.csv": "", "ragged.csv": "a,b\n1\n", "twice.csv": "a,a\n1,2\n", "my-hosts.csv": "a\n1\n",
	}
	for line, want := range map[string]struct {
		code int
		says string
	}{
		"":                 {0, "Usage:"},
		"check good.ftc":   {0, "warning: no rule and no fact is about port"},
		"check bad.ftc":    {1, "bad.ftc:1:8: error"},
		"check nofile.ftc": {2, "nofile.ftc"},
		"check":            {2, "requires at least 1 arg"},
		"frobnicate":       {2, `there is no command "frobnicate"`},
		"check --nope x":   {2, "unknown flag"},
		"eval --policy good.ftc --facts facts.json --query port(p)": {0, `["web"]`},
		"eval --policy good.ftc --facts facts.json":                 {2, "what is asked?"},
		"eval --query p(x)": {2, "which policy?"},
		"eval --policy good.ftc --facts facts.json --query port(":      {2, "query:1:6: error"},
		"eval --policy good.ftc --facts facts.json --query port(p,q)":  {2, "query:1:1: error: port has 2 columns here"},
		"eval --policy good.ftc --facts facts.json --query !port(p)":   {2, "a query is not negated"},
		"eval --policy good.ftc --facts facts.json --query lt(x,y)":    {2, "lt is a builtin"},
		"eval --policy good.ftc --facts facts.json --query flowtap:x":  {2, "no table flowtap:x"},
		"eval --policy bad.ftc --facts facts.json --query !p(x)":       {1, "bad.ftc:1:8: error"},
		"eval --policy bad.ftc --facts facts.json --query p(x)":        {1, "bad.ftc:1:8: error"},
		"eval --policy good.ftc --facts wide.json --query port(p)":     {2, "rows of 2 columns"},
		"eval --policy good.ftc --facts ragged.json --query port(p)":   {2, "ragged.json: table port, row 2: it has 2 columns"},
		"eval --policy good.ftc --facts true.json --query port(p)":     {2, "table port, row 1: column 0: true is neither"},
		"eval --policy good.ftc --facts notjson.json --query port(p)":  {2, "notjson.json"},
		"eval --policy good.ftc --facts more.json --query port(p)":     {2, "more behind"},
		"eval --policy good.ftc --facts list.json --query port(p)":     {2, "want an object"},
		"eval --policy good.ftc --facts twice.json --query port(p)":    {2, "there twice"},
		"eval --policy good.ftc --facts big.json --query port(p)":      {2, "64 bits"},
		"eval --policy good.ftc --schemas schema.json --query port(p)": {2, "column x twice"},
		"eval --policy good.ftc --facts empty.csv --query port(p)":     {2, "empty.csv: the first line"},
		"eval --policy good.ftc --facts ragged.csv --query port(p)":    {2, "ragged.csv"},
		"eval --policy good.ftc --facts twice.csv --query port(p)":     {2, "twice.csv: table file:twice has the column a twice"},
		"eval --policy good.ftc --facts my-hosts.csv --query port(p)":  {2, "no policy can name the table file:my-hosts"},
		"compile --policy good.ftc --facts facts.json":                 {0, "ids1"},
		"compile --policy good.ftc --facts facts.json -o yaml":         {2, "table or json"},
		"compile --policy overlap.ftc":                                 {1, "two taps of port web overlap"},
		"explain good- --policy good.ftc --facts facts.json":           {0, `port("web")   is given`},
		"explain nope --policy good.ftc --facts facts.json":            {2, "wants no tap"},
		"fmt bad.ftc":  {1, "bad.ftc:1:8: error"},
		"fmt good.ftc": {0, `execute[flowtap:tap(p, "ids1", "", "forward")] :- port(p)`},
	} {
		code, out, errs := command(t, files, strings.Fields(line)...)
		assert.Equal(t, want.code, code, "%s\n%s", line, errs)
		assert.Contains(t, out+errs, want.says, line)
	}
}

func TestFmtWrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.ftc")
	require.NoError(t, os.WriteFile(path, []byte("p( x):-q(x) ; // why"), 0o600))
	code, out, _ := command(t, nil, "fmt", "-w", "-l", path)
	assert.Zero(t, code)
	assert.Equal(t, path+"\n", out)
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, "p(x) :- q(x)  // why\n", string(b))

	code, out, _ = command(t, map[string]string{"-": "p( 1)"}, "fmt", "-w", "-")
	assert.Zero(t, code)
	assert.Equal(t, "p(1)\n", out, "what came by the standard input goes to the standard output")
}
