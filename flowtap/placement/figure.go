package placement

import (
	"math"
	"time"
)

// Figure is something measured, smoothed, and when it was last measured. The zero value was never
// measured. Values are not negative; what they count is said where they are used.
type Figure struct {
	Value float64   `json:"value"`
	At    time.Time `json:"at"`
}

// Known reports whether the figure was ever measured.
func (f Figure) Known() bool { return !f.At.IsZero() }

// Stale reports whether the figure was measured, and longer ago than age. One of a clock that is ahead is
// not stale.
func (f Figure) Stale(now time.Time, age time.Duration) bool { return f.Known() && now.Sub(f.At) > age }

// Add gives the figure with one more sample: the mean of what was measured since the last one. It is the
// exponential average with time constant tau,
//
//	new = old + (1 - exp(-dt/tau)) (sample - old)
//
// which does not depend on how often is measured: two samples of one value after dt each are as good as
// one after 2 dt. The first sample is taken as it is, and so is each one with a tau of zero. A sample that is not
// younger than the figure, is negative or is not a number is left out: who sends such gets stale.
func (f Figure) Add(sample float64, at time.Time, tau time.Duration) Figure {
	if !(sample >= 0) || math.IsInf(sample, 0) || at.IsZero() || f.Known() && !at.After(f.At) {
		return f
	}
	part := 1.0
	if f.Known() && tau > 0 {
		part = -math.Expm1(-at.Sub(f.At).Seconds() / tau.Seconds())
	}
	return Figure{f.Value + part*(sample-f.Value), at}
}
