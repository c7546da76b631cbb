package placement

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestSmoothingDoesNotDependOnHowOftenIsMeasured(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tau := 10 * time.Second
		start := Figure{}.Add(float64(rapid.IntRange(0, 9).Draw(t, "start")), t0, tau)
		sample := float64(rapid.IntRange(0, 9).Draw(t, "sample"))
		many, end := start, t0
		for _, s := range rapid.SliceOfN(rapid.IntRange(1, 20), 1, 8).Draw(t, "intervals") {
			end = end.Add(time.Duration(s) * time.Second)
			many = many.Add(sample, end, tau)
		}
		once := start.Add(sample, end, tau)
		require.InDelta(t, once.Value, many.Value, 1e-9)
		require.InDelta(t, sample+(start.Value-sample)*math.Exp(-end.Sub(t0).Seconds()/10), once.Value, 1e-9)
	})
}

func TestSamplesThatSayNothingAreLeftOut(t *testing.T) {
	f := Figure{}.Add(5, t0, time.Second)
	require.Equal(t, Figure{5, t0}, f)
	for _, bad := range []float64{-1, math.NaN(), math.Inf(1)} {
		require.Equal(t, f, f.Add(bad, t0.Add(time.Second), time.Second))
	}
	require.Equal(t, f, f.Add(7, t0, time.Second), "not younger")
	require.Equal(t, f, f.Add(7, time.Time{}, time.Second), "never")
	require.False(t, Figure{}.Stale(t0, 0), "never measured is not stale")
	require.False(t, f.Stale(t0.Add(15*time.Second), 15*time.Second))
	require.True(t, f.Stale(t0.Add(16*time.Second), 15*time.Second))
	require.False(t, f.Stale(t0.Add(-time.Hour), time.Second))
}
