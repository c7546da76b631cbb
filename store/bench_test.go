package store

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// BenchmarkCreateTap is what a POST of a tap costs the store, fsync included, with others present:
// spread over 100 ports, or all on the very port of the new one.
func BenchmarkCreateTap(b *testing.B) {
	for _, c := range []struct{ present, ports int }{{10, 1}, {10000, 100}, {10000, 1}} {
		b.Run(fmt.Sprintf("present=%d/ports=%d", c.present, c.ports), func(b *testing.B) {
			ctx, s := b.Context(), openStore(b, Config{DataDir: b.TempDir()})
			shop(b, s)
			ports := []string{"web"}
			for i := 1; i < c.ports; i++ {
				ports = append(ports, fmt.Sprint("vm", i))
				create(b, s.Ports(), ports[i], vmSpec("shop", 10+i))
			}
			together(8, func(k int) {
				for i := k; i < c.present; i += 8 {
					_, _, err := s.Taps().Create(ctx, fmt.Sprint("present-", i), tapSpec(ports[i%len(ports)], "ids1"))
					if err != nil {
						b.Error(err)
					}
				}
			})
			none := WithSiblingCheck(func([]*Tap) error { return nil })
			_, _, err := s.Taps().Create(ctx, "warm", tapSpec("web", "ids1"), none)
			require.NoError(b, err)
			before := revision(b, s)
			worst := time.Duration(0)
			b.ResetTimer()
			for i := range b.N {
				start := time.Now()
				_, _, err := s.Taps().Create(ctx, fmt.Sprint("new-", i), tapSpec("web", "ids1"), none)
				worst = max(worst, time.Since(start))
				if err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			b.ReportMetric(float64(revision(b, s)-before)/float64(b.N), "revisions/op")
			b.ReportMetric(float64(worst.Microseconds()), "worst-µs")
		})
	}
}

// BenchmarkList reads 10,000 taps.
func BenchmarkList(b *testing.B) {
	ctx, s := b.Context(), openStore(b, Config{DataDir: b.TempDir()})
	shop(b, s)
	together(8, func(k int) {
		for i := k; i < 10000; i += 8 {
			if _, _, err := s.Taps().Create(ctx, fmt.Sprint("t", i), tapSpec("web", "ids1")); err != nil {
				b.Error(err)
			}
		}
	})
	for b.Loop() {
		_, _, err := s.Taps().List(ctx)
		require.NoError(b, err)
	}
}
