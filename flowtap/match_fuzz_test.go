package flowtap

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/flowtap/flowtap/topology"
)

// holds checks what every match that was read must hold.
func holds(t *testing.T, m Match, err error) {
	var field *topology.FieldError
	if err != nil {
		if !errors.As(err, &field) || !strings.HasPrefix(field.Field, "match") {
			t.Fatalf("error without a field: %v", err)
		}
		return
	}
	again, err := ParseMatch(m.String())
	if err != nil || again != m {
		t.Fatalf("%q reads back as %q, %v", m, again, err)
	}
	if m.Reverse().Reverse() != m {
		t.Fatalf("%q is not its double reverse", m)
	}
	for _, c := range m.Cubes() {
		for _, f := range c.Fields {
			if !f.Field.Known() {
				t.Fatalf("%q has unknown field %x", m, f.Field)
			}
		}
	}
	if _, ok := Intersect(m, m); !ok {
		t.Fatalf("%q has no frame", m)
	}
}

// caseInputs gives the inputs of the case file.
func caseInputs(f *testing.F) []string {
	raw, err := os.ReadFile("testdata/match.txt")
	if err != nil {
		f.Fatal(err)
	}
	var out []string
	for _, block := range strings.Split(string(raw), "\n\n") {
		in, _, _ := strings.Cut(block, "\n----")
		out = append(out, in)
	}
	return out
}

func FuzzParseMatch(f *testing.F) {
	for _, in := range caseInputs(f) {
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, in string) {
		m, err := ParseMatch(in)
		holds(t, m, err)
	})
}

func FuzzMatchJSON(f *testing.F) {
	for _, in := range caseInputs(f) {
		if !strings.HasPrefix(in, "{") {
			raw, err := json.Marshal(in)
			if err != nil {
				f.Fatal(err)
			}
			in = string(raw)
		}
		f.Add([]byte(in))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if !json.Valid(in) {
			return
		}
		var m Match
		err := json.Unmarshal(in, &m)
		holds(t, m, err)
	})
}
