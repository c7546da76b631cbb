package store

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/flowtap"
)

// BenchmarkCreateTap is what a POST of a tap costs the store, fsync included: with 10 taps present,
// with 10,000 spread over 100 ports, and with 10,000 all on the very port of the new one. The three
// take turns, so that their ratios mean something on a busy machine. ns/op is for one of each.
func BenchmarkCreateTap(b *testing.B) {
	cases := []*struct {
		name           string
		present, ports int
		s              *Store
		took           []time.Duration
	}{{name: "10", present: 10, ports: 1}, {name: "10k", present: 10000, ports: 100}, {name: "10k-one-port", present: 10000, ports: 1}}
	none := WithSiblingCheck(func([]*Tap) error { return nil })
	for _, c := range cases {
		c.s = openStore(b, Config{DataDir: b.TempDir()})
		fill(b, c.s, c.present, c.ports)
		_, _, err := c.s.Taps().Create(b.Context(), "warm", tapSpec("web", "ids1"), none)
		require.NoError(b, err)
	}
	fsyncs := walSyncs(b)
	b.ResetTimer()
	for i := range b.N {
		for _, c := range cases {
			start := time.Now()
			_, _, err := c.s.Taps().Create(b.Context(), fmt.Sprint("new-", i), tapSpec("web", "ids1"), none)
			c.took = append(c.took, time.Since(start))
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(walSyncs(b)-fsyncs)/float64(3*b.N), "fsyncs/create")
	for _, c := range cases {
		slices.Sort(c.took)
		b.ReportMetric(float64(c.took[len(c.took)/2].Microseconds()), c.name+"-p50-µs")
		b.ReportMetric(float64(c.took[len(c.took)*99/100].Microseconds()), c.name+"-p99-µs")
	}
}

// fill makes taps from the first so many ports to one monitor.
func fill(b *testing.B, s *Store, taps, ports int) {
	shop(b, s)
	names := []string{"web"}
	for i := 1; i < ports; i++ {
		names = append(names, fmt.Sprint("vm", i))
		create(b, s.Ports(), names[i], vmSpec("shop", 10+i))
	}
	together(8, func(k int) {
		for i := k; i < taps; i += 8 {
			_, _, err := s.Taps().Create(b.Context(), fmt.Sprint("present-", i), tapSpec(names[i%ports], "ids1"))
			if err != nil {
				b.Error(err)
			}
		}
	})
}

// walSyncs is how often etcd has synced its log in this process, from etcd's own metric.
func walSyncs(b *testing.B) uint64 {
	families, err := prometheus.DefaultGatherer.Gather()
	require.NoError(b, err)
	for _, f := range families {
		if f.GetName() == "etcd_disk_wal_fsync_duration_seconds" {
			return f.GetMetric()[0].GetHistogram().GetSampleCount()
		}
	}
	b.Fatal("etcd does not count its fsyncs")
	return 0
}

// BenchmarkList reads 10,000 taps.
func BenchmarkList(b *testing.B) {
	s := openStore(b, Config{DataDir: b.TempDir()})
	fill(b, s, 10000, 100)
	for b.Loop() {
		_, _, err := s.Taps().List(b.Context())
		require.NoError(b, err)
	}
}

// BenchmarkOverlapCheck is what a POST of a tap spends on its siblings, with 100,000 taps on 10,000
// ports and with 10,000 on one: "first" for the first POST since the store was read, which makes the
// port's index, "later" for every other, "change" for keeping the index when a tap was made.
func BenchmarkOverlapCheck(b *testing.B) {
	for name, c := range map[string]struct{ taps, ports int }{"100000-on-10000": {100_000, 10_000}, "10000-on-1": {10_000, 1}} {
		var x siblings
		x.clear()
		x.listed(newTable[flowtap.Tap, flowtap.TapStatus]())
		tap := func(i int) *Tap {
			n := i/c.ports*2 + 1
			return &Tap{Meta: Meta{ID: fmt.Sprint("t", i)}, Spec: portTap(fmt.Sprint("vm", i%c.ports), n, n)}
		}
		for i := range c.taps {
			x.changed(nil, tap(i))
		}
		fresh := make([]*Tap, c.ports)
		for i := range fresh {
			fresh[i] = tap(c.taps + i)
		}
		check := func(b *testing.B, i int) {
			if o := x.overlap("new", fresh[i%c.ports].Spec); o != nil {
				b.Fatal(o)
			}
		}
		b.Run(name+"/first", func(b *testing.B) {
			for i := range b.N {
				delete(x.indexes, fresh[i%c.ports].Spec.Src)
				check(b, i)
			}
		})
		b.Run(name+"/later", func(b *testing.B) {
			for i := range b.N {
				check(b, i)
			}
		})
		b.Run(name+"/change", func(b *testing.B) {
			for i := range b.N {
				x.changed(nil, fresh[i%c.ports])
				x.changed(fresh[i%c.ports], nil)
			}
		})
	}
}
