package placement

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// MaxSamples is how many samples one replay may have.
const MaxSamples = 100_000

// ReadSamples reads one sample a line, as JSON; empty lines are none. What a sample does not have is an error, with
// its line.
func ReadSamples(b []byte) ([]Sample, error) {
	var out []Sample
	for i, line := range bytes.Split(b, []byte("\n")) {
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		d := json.NewDecoder(bytes.NewReader(line))
		d.DisallowUnknownFields()
		var s Sample
		if err := d.Decode(&s); err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		if _, err := d.Token(); !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("line %d: there is more behind the sample", i+1)
		}
		if s.At.IsZero() {
			return nil, fmt.Errorf(`line %d: a sample needs "at", when it was measured`, i+1)
		}
		if len(out) == MaxSamples {
			return nil, fmt.Errorf("line %d: at most %d samples are read", i+1, MaxSamples)
		}
		out = append(out, s)
	}
	if len(out) == 0 {
		return nil, errors.New("there is no sample: want one JSON object a line")
	}
	return out, nil
}
