package flowtap

import "testing"

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
