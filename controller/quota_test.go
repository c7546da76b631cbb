package controller

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A port that floods is heard at its rate, and takes nothing from another.
func TestAPortThatFloodsIsHeardAtItsRate(t *testing.T) {
	var q quotas
	now, taken := time.Unix(0, 0), 0
	for range 10000 { // ten seconds of 1,000 frames a second
		now = now.Add(time.Millisecond)
		if q.take(1, now) {
			taken++
		}
	}
	require.InDelta(t, portBurst+10*portRate, taken, 1)
	for range portBurst {
		require.True(t, q.take(2, now), "another port has all of its own")
	}
	require.False(t, q.take(2, now))
	require.True(t, q.take(1, now.Add(time.Second)))
	require.True(t, q.take(2, now.Add(time.Second)))
	for i := range uint32(3 * maxPortQuotas) {
		q.take(i, now)
	}
	require.LessOrEqual(t, len(q.ports), maxPortQuotas)
}
