package pipeline

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/openflow/flowset"
	"github.com/flowtap/flowtap/topology"
)

// crowd is a world of one network whose ports are all on one node, with taps spread over them in
// both directions towards ten monitors.
func crowd(b *testing.B, ports, taps int) *lab {
	l := newLab(3)
	l.w.PutNetwork(Network{"red"})
	for i := range ports {
		l.put(fmt.Sprintf("vm%d", i), topology.Port{Network: "red", Kind: topology.KindVM, MAC: topology.MAC{2, 1, 0, 0, byte(i >> 8), byte(i)},
			IPs: []netip.Addr{netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})}, PortSecurity: true}, status(10+i, 1))
	}
	for i := range 10 {
		l.put(fmt.Sprintf("ids%d", i), topology.Port{Kind: topology.KindMonitor}, status(1+i, 2))
	}
	for i := range taps {
		l.tap(fmt.Sprintf("t%d", i), crowdTap(b, i, ports))
	}
	l.number()
	return l
}

// crowdTap is the contract number i: each port's have different TCP ports.
func crowdTap(b *testing.B, i, ports int) flowtap.Tap {
	m, err := flowtap.ParseMatch(fmt.Sprintf("tcp,ip,tp_dst=%d", 1000+i/ports))
	if err != nil {
		b.Fatal(err)
	}
	return flowtap.Tap{Src: fmt.Sprintf("vm%d", i%ports), Dst: fmt.Sprintf("ids%d", i%10), Match: m,
		Direction: flowtap.Both, Action: flowtap.Forward, Priority: 100, Enabled: true}
}

// BenchmarkDesired computes a whole switch: 1,000 ports and 1,000 taps.
func BenchmarkDesired(b *testing.B) {
	l := crowd(b, 1000, 1000)
	b.ReportAllocs()
	for b.Loop() {
		flows, _, _ := Desired(l.w, nodeName(1))
		b.ReportMetric(float64(len(flows)), "flows")
	}
}

// BenchmarkOneTap changes one tap and recomputes its units on one switch, with other taps present.
func BenchmarkOneTap(b *testing.B) {
	for _, taps := range []int{10, 10000} {
		b.Run(fmt.Sprint(taps), func(b *testing.B) {
			l := crowd(b, 1000, taps)
			var s Shares
			s.Update(l.w, nodeName(1), []Unit{{Kind: UnitEverything}})
			t := crowdTap(b, 5, 1000)
			b.ReportAllocs()
			for b.Loop() {
				t.Priority = 100 + (t.Priority+1)%2
				keys, groups, _ := s.Update(l.w, nodeName(1), l.tap("t5", t))
				_ = flowset.DiffKeys(s.Want(), s.Want(), keys, groups)
			}
		})
	}
}
