package controller

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/ofsim/simswitch"
	"github.com/flowtap/flowtap/topology"
)

// BenchmarkFirstBundle measures from a contract's creation until its target's switch has its
// first flows, with others present, in both directions and in networks of more or fewer ports.
// What it shows besides is the time until the store has acknowledged.
func BenchmarkFirstBundle(b *testing.B) {
	for _, c := range []struct{ networks, ports, taps int }{{1, 1000, 10}, {1, 1000, 1000}, {100, 1000, 2000}} {
		b.Run(fmt.Sprintf("networks=%d/ports=%d/taps=%d", c.networks, c.ports, c.taps), func(b *testing.B) { benchmarkFirstBundle(b, c.networks, c.ports, c.taps) })
	}
}

func benchmarkFirstBundle(b *testing.B, networks, ports, taps int) {
	l := newLab(b, 3, Config{})
	l.nodes()
	for i := range networks {
		l.network(fmt.Sprint("net", i))
	}
	l.monitor("ids")
	l.sws[2].AddPort(5000, "ids")
	each(ports, func(i int) {
		id := fmt.Sprintf("vm%d", i)
		sw := l.sws[i%3]
		no := openflow.PortNo(200 + i)
		_, _, err := l.store.Ports().Create(b.Context(), id, topology.Port{Network: fmt.Sprint("net", i%networks), Kind: topology.KindVM, Interface: id, MAC: macOf(i + 1), PortSecurity: true})
		require.NoError(b, err)
		sw.AddPort(no, id)
	})
	match := func(i int) flowtap.Match {
		m, err := flowtap.ParseMatch(fmt.Sprintf("tcp,tp_dst=%d", 1+i))
		require.NoError(b, err)
		return m
	}
	each(taps, func(i int) {
		t := copyTap(fmt.Sprintf("vm%d", i%ports), "ids", flowtap.Both)
		t.Match = match(i / ports)
		_, _, err := l.store.Taps().Create(b.Context(), fmt.Sprintf("present%d", i), t)
		require.NoError(b, err)
	})
	_, last, err := l.store.Taps().List(b.Context())
	require.NoError(b, err)
	require.NoError(b, l.ctl.Settled(b.Context(), last))
	first := make(chan time.Time, 1)
	l.fabric.OnCommit(func(c simswitch.Commit) {
		if c.DPID == 1 {
			select {
			case first <- time.Now():
			default:
			}
		}
	})
	var acknowledged, seen []time.Duration
	b.ResetTimer()
	for n := range b.N {
		t := copyTap("vm0", "ids", flowtap.Both)
		t.Match = match(50_000 + n%1000)
		for len(first) > 0 {
			<-first
		}
		began := time.Now()
		o, _, err := l.store.Taps().Create(b.Context(), "new", t)
		require.NoError(b, err)
		acknowledged = append(acknowledged, time.Since(began))
		seen = append(seen, (<-first).Sub(began))
		b.StopTimer()
		require.NoError(b, l.ctl.Settled(b.Context(), o.Revision))
		require.NoError(b, l.store.Taps().Delete(b.Context(), "new", o.Revision))
		_, revision, err := l.store.Taps().List(b.Context())
		require.NoError(b, err)
		require.NoError(b, l.ctl.Settled(b.Context(), revision))
		b.StartTimer()
	}
	b.ReportMetric(0, "ns/op")
	report(b, acknowledged, "acknowledged")
	report(b, seen, "first-bundle")
}

// each calls f for every number below n, several at once.
func each(n int, f func(int)) {
	var wg sync.WaitGroup
	next := make(chan int)
	for range 32 {
		wg.Go(func() {
			for i := range next {
				f(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
}

func report(b *testing.B, ds []time.Duration, name string) {
	slices.Sort(ds)
	b.ReportMetric(float64(ds[len(ds)/2].Microseconds())/1000, name+"-p50-ms")
	b.ReportMetric(float64(ds[len(ds)*99/100].Microseconds())/1000, name+"-p99-ms")
}
