package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/flowtap/placement"
)

// TestSimulateReplaysTheExample runs the command of docs/PLACEMENT.md.
func TestSimulateReplaysTheExample(t *testing.T) {
	plot := filepath.Join(t.TempDir(), "load.svg")
	code, out, errs := command(t, nil, "simulate", examples+"load.jsonl", "--plot", plot)
	require.Zero(t, code, errs)
	assert.Empty(t, errs)
	golden := examples + "expected/load.txt"
	if *update {
		require.NoError(t, os.WriteFile(golden, []byte(out), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	assert.Equal(t, string(want), out)
	svg, err := os.ReadFile(plot)
	require.NoError(t, err)
	assert.Contains(t, string(svg), "monitor ids1")

	doc, err := os.ReadFile("../../docs/PLACEMENT.md")
	require.NoError(t, err)
	moves, _, _ := strings.Cut(out, "\n\n")
	assert.Contains(t, string(doc), moves, "what the document shows")

	code, out, errs = command(t, nil, "simulate", examples+"load.jsonl", "-o", "json", "--least-moves", "1")
	require.Zero(t, code, errs)
	var steps []placement.Step
	require.NoError(t, json.Unmarshal([]byte(out), &steps))
	require.Len(t, steps, 24)
	for _, s := range steps {
		chosen := 0
		for _, m := range s.Moves {
			if m.Cause == placement.Hot || m.Cause == placement.Home {
				chosen++
			}
		}
		assert.LessOrEqual(t, chosen, 1, "the budget")
	}
}

func TestSimulateRefusesWhatIsNoSample(t *testing.T) {
	files := map[string]string{
		"empty": "\n", "word": "hello", "field": "\n{\"at\": \"2026-01-01T00:00:00Z\", \"cpu\": 1}", "two": "{\"at\": \"2026-01-01T00:00:00Z\"} {}",
		"when": "{}", "back": "{\"at\": \"2026-01-01T00:00:01Z\"}\n{\"at\": \"2026-01-01T00:00:00Z\"}", "good": "{\"at\": \"2026-01-01T00:00:00Z\"}",
	}
	for line, says := range map[string]string{
		"simulate empty": "empty: there is no sample", "simulate word": "word: line 1: invalid character", "simulate field": `line 2: json: unknown field "cpu"`,
		"simulate two": "line 1: there is more behind", "simulate when": `line 1: a sample needs "at"`, "simulate back": "back: sample 2: sample of",
		"simulate": "accepts 1 arg", "simulate nofile": "nofile", "simulate good -o yaml": "table or json", "simulate good --low 0.9": "want 0 < low < high",
		"simulate good --plot /dev/null/x": "/dev/null/x",
	} {
		code, out, errs := command(t, files, strings.Fields(line)...)
		assert.Equal(t, exitUsage, code, line)
		assert.Empty(t, out, line)
		assert.Contains(t, errs, says, line)
	}
}

func TestRanges(t *testing.T) {
	assert.Equal(t, "0-2,5,7-8", ranges([]int{8, 0, 1, 2, 5, 7}))
}
