package pipeline

import (
	"fmt"
	"testing"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/topology"
)

// benchLab is ports VMs in networks of 100 on one of two nodes, the last VM of each network on the
// other, and taps spread over the VMs, in and out by turns, towards ten monitors.
func benchLab(b *testing.B, ports, taps int) *lab {
	l := newLab(2)
	for i := range ports {
		network := fmt.Sprintf("net%d", i/100)
		l.w.PutNetwork(Network{ID: network})
		node := 1
		if i%100 == 99 {
			node = 2
		}
		st := topology.Attach(topology.PortStatus{}, nodeName(node), openflow.PortNo(1000+i), func(string) bool { return true })
		l.put(fmt.Sprintf("p%d", i), topology.Port{Network: network, Kind: topology.KindVM, Interface: fmt.Sprintf("p%d", i),
			MAC: topology.MAC{2, 0, 0, 0, byte(i >> 8), byte(i)}, PortSecurity: true}, st)
	}
	for i := range 10 {
		st := topology.Attach(topology.PortStatus{}, nodeName(1+i%2), openflow.PortNo(300+i), func(string) bool { return true })
		l.put(fmt.Sprintf("ids%d", i), topology.Port{Kind: topology.KindMonitor, Interface: fmt.Sprintf("ids%d", i)}, st)
	}
	for i := range taps {
		l.tap(fmt.Sprintf("t%d", i), benchTap(b, i, fmt.Sprintf("p%d", i%ports), 1+i/ports))
	}
	l.number()
	return l
}

func benchTap(b *testing.B, i int, src string, tcpPort int) flowtap.Tap {
	m, err := flowtap.ParseMatch(fmt.Sprintf("nw_proto=TCP; tp_dst=%d", tcpPort))
	if err != nil {
		b.Fatal(err)
	}
	return flowtap.Tap{Src: src, Dst: fmt.Sprintf("ids%d", i%10), Match: m, Direction: []flowtap.Direction{flowtap.In, flowtap.Out}[i%2],
		Action: flowtap.Forward, Priority: 100, Enabled: true}
}

// Everything that one switch should hold, from nothing.
func BenchmarkDesired1000Ports1000Taps(b *testing.B) {
	l := benchLab(b, 1000, 1000)
	b.ReportAllocs()
	var flows int
	for b.Loop() {
		f, _ := Desired(l.w, "n1")
		flows = len(f)
	}
	b.ReportMetric(float64(flows), "flows")
}

// One more contract: its units alone, on one switch, with more and more contracts in its network.
func BenchmarkAddTap(b *testing.B) {
	for _, present := range []int{10, 1000, 10_000} {
		b.Run(fmt.Sprintf("present=%d", present), func(b *testing.B) {
			l := benchLab(b, 100, present)
			t := benchTap(b, 1, "p0", 60000)
			t.Direction = flowtap.Both
			b.ReportAllocs()
			for b.Loop() {
				us := append(l.tap("one-more", t), l.number()...)
				for _, u := range us {
					Part(l.w, "n1", u)
				}
				l.w.DeleteTap("one-more")
			}
		})
	}
}

// What is asked of the world after every change: which tunnels are in use.
func BenchmarkTunnels(b *testing.B) {
	for _, present := range []int{10, 10_000} {
		b.Run(fmt.Sprintf("present=%d", present), func(b *testing.B) {
			l := benchLab(b, 100, present)
			b.ReportAllocs()
			for b.Loop() {
				Tunnels(l.w)
			}
		})
	}
}
