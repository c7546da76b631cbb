package flowtap

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

func BenchmarkParseMatch(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseMatch("nw_src = 10.0.0.0/8; nw_proto = TCP; tp_dst = 80"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTapCubes(b *testing.B) {
	m, err := ParseMatch("tcp,tp_dst=80")
	if err != nil {
		b.Fatal(err)
	}
	tap := Tap{Src: "web", Dst: "ids1", Match: m, Direction: Both}
	b.ReportAllocs()
	for b.Loop() {
		if len(tap.Cubes(In)) != 4 {
			b.Fatal("want 4 cubes")
		}
	}
}

func BenchmarkOverlap(b *testing.B) {
	m, err := ParseMatch("tcp,tp_dst=80")
	if err != nil {
		b.Fatal(err)
	}
	n, err := ParseMatch("tcp,tp_dst=443")
	if err != nil {
		b.Fatal(err)
	}
	x := Tap{Src: "web", Dst: "ids1", Match: m, Direction: In}
	y := Tap{Src: "web", Dst: "ids2", Match: n, Direction: In}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, ok := Overlap(x, y); ok {
			b.Fatal("they do not overlap")
		}
	}
}

// BenchmarkOverlapIndex is the check of a new contract that overlaps nothing, against 10,000 of its
// target: told apart by a value, by ranges alone (nothing to look up), and by prefixes; and against the
// 10 that each of 10,000 ports has where there are 100,000. "pairwise" is the same without the index.
func BenchmarkOverlapIndex(b *testing.B) {
	for _, c := range []struct {
		name  string
		taps  int
		match func(i int) string
	}{
		{"10000-values", 10000, func(i int) string { return fmt.Sprintf("tcp,tp_dst=%d", i) }},
		{"10000-ranges", 10000, func(i int) string { return fmt.Sprintf("tcp,tp_dst=%d-%d", 6*i, 6*i+4) }},
		{"10000-prefixes", 10000, func(i int) string { return fmt.Sprintf("nw_src=10.%d.%d.0/24", i/256, i%256) }},
		{"10000-hosts", 10000, func(i int) string {
			return fmt.Sprintf("tcp,nw_src=10.0.%d.%d,tp_dst=%d", i%5000/256, i%5000%256, 80+i/5000)
		}},
		{"10-of-100000", 10, func(i int) string { return fmt.Sprintf("tcp,tp_dst=%d", i) }},
	} {
		tap := func(i int) Tap {
			m, err := ParseMatch(c.match(i))
			require.NoError(b, err)
			return Tap{Src: "web", Match: m, Direction: In}
		}
		var x OverlapIndex
		all := make([]Tap, c.taps)
		for i := range all {
			all[i] = tap(i)
			x.Put(fmt.Sprint(i), all[i])
		}
		fresh := tap(c.taps)
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, _, ok := x.Overlap(fresh, ""); ok {
					b.Fatal("it does not overlap")
				}
			}
		})
		b.Run(c.name+"/pairwise", func(b *testing.B) {
			for b.Loop() {
				for _, o := range all {
					if _, _, ok := Overlap(fresh, o); ok {
						b.Fatal("it does not overlap")
					}
				}
			}
		})
		b.Run(c.name+"/change", func(b *testing.B) {
			for b.Loop() {
				x.Put("new", fresh)
				x.Remove("new", fresh)
			}
		})
	}
}
