package ftc

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/flowtap/ftc/eval"
	"github.com/flowtap/flowtap/flowtap/ftc/lang"
)

// FuzzCompile: no policy makes the compiler panic, and what is not refused can be evaluated, twice to
// the same taps.
func FuzzCompile(f *testing.F) {
	cases, _ := filepath.Glob("testdata/conformance/*.txt")
	for _, file := range cases {
		b, err := os.ReadFile(file)
		require.NoError(f, err)
		for i, text := range regexp.MustCompile(`(?m)^(===|%).*$`).Split(string(b), -1) {
			if i%6 == 0 {
				f.Add(text)
			}
		}
	}
	rows := facts(f, `{"q": [[1], ["web"], [2.5]], "r": [["web"]], "service": [["web", 80]],
		"flowtap:labels": [["web", "tier", "public"], ["db", "tier", "internal"]], "flowtap:ports": [["web", "n", "vm", "web", "m", "active"]]}`)
	f.Fuzz(func(t *testing.T, text string) {
		p, ds := Load([]*lang.File{lang.NewFile("policy", text)}, Options{})
		require.Equal(t, p == nil, ds.Errors(), ds.String())
		if p == nil {
			return
		}
		var fitting []eval.Change
		for _, r := range rows {
			if n := p.Table(r.Table); n >= 0 && p.Tables[n].Arity == len(r.Row) {
				fitting = append(fitting, r)
			}
		}
		limits := eval.Limits{Work: 100_000}
		once, ds := Compile("fuzz", p, fitting, limits)
		_ = ds.String()
		if once == nil {
			return
		}
		again, _ := Compile("fuzz", p, fitting, limits)
		require.Equal(t, plain(once), plain(again))
	})
}
