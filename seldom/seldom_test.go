package seldom

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAFloodBecomesALineASecond(t *testing.T) {
	var g Gate
	now, lines, said := time.Unix(1e9, 0), 0, uint64(0)
	for range 100_000 { // 100 s
		now = now.Add(time.Millisecond)
		if skipped, ok := g.Pass(now); ok {
			lines++
			said += skipped
		}
	}
	require.InDelta(t, burst+100, lines, 1)
	require.InDelta(t, 100_000-lines, said, 1000, "all but those of the last second are told")
	skipped, ok := g.Pass(now.Add(time.Hour))
	require.True(t, ok)
	require.Equal(t, uint64(100_000-lines), skipped+said)
}
