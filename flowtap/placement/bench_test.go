package placement

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var t0 = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// A cloud of some nodes, one provider monitor each, and flows with slices whose rates are far from equal
// (log-normal, the largest some hundred times the smallest), so that monitors would be used that much on average.
func cloud(seed uint64, nodes, flows, slices int, used float64) Input {
	r := rand.New(rand.NewPCG(seed, 1))
	in := Input{Now: t0}
	for i := range nodes {
		in.Nodes = append(in.Nodes, Node{ID: fmt.Sprint("h", i)})
		in.Monitors = append(in.Monitors, Monitor{ID: fmt.Sprint("ids", i), Node: fmt.Sprint("h", i), Provider: true, Capacity: 100e6})
	}
	total := 0.0
	for i := range flows {
		f := Flow{ID: fmt.Sprint("f", i), Node: fmt.Sprint("h", r.IntN(nodes)), Strategy: Hybrid, At: t0}
		for range slices {
			f.Rates = append(f.Rates, math.Exp(r.NormFloat64()))
			total += f.Rates[len(f.Rates)-1]
		}
		in.Flows = append(in.Flows, f)
	}
	for _, f := range in.Flows {
		for i := range f.Rates {
			f.Rates[i] *= used * float64(nodes) * 100e6 / total
		}
	}
	return in
}

// later gives the input some time later, with rates changed by what change says.
func later(in Input, after time.Duration, change func(flow, slice int) float64) Input {
	in.Now = in.Now.Add(after)
	flows := in.Flows
	in.Flows = nil
	for i, f := range flows {
		rates := make([]float64, len(f.Rates))
		for j := range rates {
			rates[j] = f.Rates[j] * change(i, j)
		}
		f.Rates, f.At = rates, in.Now
		in.Flows = append(in.Flows, f)
	}
	return in
}

func must(t require.TestingT, in Input, before State) Result {
	r, err := Next(in, before)
	require.NoError(t, err)
	return r
}

func most(r Result) (m float64) {
	for _, u := range r.Used {
		if u.Kind == OfMonitor {
			m = max(m, u.Used)
		}
	}
	return m
}

func choices(r Result) (n int) {
	for _, m := range r.Moves {
		if m.Cause == Hot || m.Cause == Home {
			n++
		}
	}
	return n
}

// BenchmarkNext is one call for 24,000 slices on 20 monitors: the first, which places all of them, and one after
// rates drifted, which moves a few.
func BenchmarkNext(b *testing.B) {
	in := cloud(1, 20, 1500, 16, 0.72)
	first := must(b, in, State{})
	r := rand.New(rand.NewPCG(2, 2))
	drifted := later(in, time.Minute, func(int, int) float64 { return 0.8 + 0.4*r.Float64() })
	hot := later(in, time.Minute, func(f, s int) float64 {
		if m := first.State.Flows[in.Flows[f].ID][s].Monitor; m == "ids1" || m == "ids2" {
			return 1.7
		}
		return 1
	})
	for _, c := range []struct {
		name   string
		in     Input
		before State
	}{{"first", in, State{}}, {"drifted", drifted, first.State}, {"hot", hot, first.State}} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				must(b, c.in, c.before)
			}
			out := must(b, c.in, c.before)
			b.ReportMetric(float64(len(out.Moves)), "moves")
			b.ReportMetric(most(out)/out.Best, "of-best")
		})
	}
}
