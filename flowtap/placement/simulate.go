package placement

import (
	"fmt"
	"time"
)

// Step is one decision of a replay. Its result's utilisations are those of the smoothed loads, after the moves.
type Step struct {
	At time.Time `json:"at"`
	Result
}

// Simulate replays samples, in the order of time, and decides after each, from the state given (the zero State is
// nothing placed). Loads are those that were measured: they do not follow the moves of the replay.
func Simulate(samples []Sample, before State, c Config, tau time.Duration) ([]Step, error) {
	var loads Loads
	out := make([]Step, 0, len(samples))
	for i, s := range samples {
		var err error
		if loads, err = loads.Add(s, tau); err != nil {
			return nil, fmt.Errorf("sample %d: %w", i+1, err)
		}
		r, err := Next(loads.Input(s.At, c), before)
		if err != nil {
			return nil, fmt.Errorf("sample %d: %w", i+1, err)
		}
		before = r.State
		out = append(out, Step{s.At, r})
	}
	return out, nil
}
