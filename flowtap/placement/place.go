package placement

import (
	"math"
	"slices"
	"time"

	"github.com/flowtap/flowtap/flowtap"
)

// A Want is a contract that some policy wants, without its monitor.
type Want struct {
	// ID is unique among all wants.
	ID string
	// Tap says everything but Dst and DstPool.
	Tap flowtap.Tap
	// Node is where the target runs, empty where it is nowhere.
	Node     string
	Strategy Strategy
	// Monitors are those that may have it; nil is the provider's, for PerNode and Hybrid.
	Monitors []string
	// Whole says that it is not to be divided: exceptions above it would overlap contracts of others.
	Whole bool
}

// Placed is what becomes of wants.
type Placed struct {
	// Contracts are the taps that make each want true, by Want.ID; a want that nobody can watch has none, and Notes
	// say why. They belong to Placed: nobody changes them.
	Contracts map[string][]flowtap.Tap
	Result
	taps map[string]flowtap.Tap // of the wants, of which Contracts are
}

// Place decides where wants are watched, who were placed before: the zero Placed is that nothing was, and one with a State
// alone that nothing else is known, see Recover. A flow is divided into slices as its rate asks for; Rates says what
// loads have of them. What is not wanted any more is forgotten.
func Place(wants []Want, loads Loads, before Placed, now time.Time, c Config) (Placed, error) {
	c = c.withDefaults()
	in := loads.Input(now, c)
	in.Flows = make([]Flow, 0, len(wants))
	least := leastCapacities(in.Monitors, c)
	for _, w := range wants {
		in.Flows = append(in.Flows, w.flow(loads.flows[w.ID], before.State.Flows[w.ID], c.Slice*least(w.Monitors)))
	}
	r, err := Next(in, before.State)
	if err != nil {
		return Placed{}, err
	}
	out := Placed{Contracts: make(map[string][]flowtap.Tap, len(wants)), Result: r, taps: make(map[string]flowtap.Tap, len(wants))}
	for _, w := range wants {
		monitors := r.State.Monitors(w.ID)
		if monitors == nil {
			continue
		}
		out.taps[w.ID] = w.Tap
		if had := before.Contracts[w.ID]; had != nil && before.taps[w.ID] == w.Tap && alike(before.State.Flows[w.ID], monitors) {
			out.Contracts[w.ID] = had
			continue
		}
		taps, err := Contracts(w.Tap, monitors)
		if err != nil {
			return Placed{}, err
		}
		out.Contracts[w.ID] = taps
	}
	return out, nil
}

// flow makes a want a flow with as many slices as its rate asks for. A flow that is divided stays so while its parts are at
// different monitors, or its rate still asks for half as many.
func (w Want) flow(known Flow, held []Held, grain float64) Flow {
	f := Flow{ID: w.ID, Node: w.Node, Strategy: w.Strategy, Monitors: w.Monitors, Rates: known.Rates, At: known.At}
	if len(f.Rates) == 0 {
		f.Rates = make([]float64, max(1, len(held)))
	}
	rate := 0.0
	for _, r := range f.Rates {
		rate += r
	}
	n, want, splittable := max(1, len(held)), 1, Splittable(w.Tap) && !w.Whole
	if splittable {
		for want < MaxParts && rate > grain*float64(want) {
			want *= 2
		}
	}
	if apart := slices.ContainsFunc(held, func(h Held) bool { return h.Monitor != held[0].Monitor }); want > n || !apart && want < n/2 || !splittable {
		n = want
	}
	f.Rates = resliced(f.Rates, n)
	return f
}

// alike reports whether slices are where they were, or so divided that they are at the same monitors.
func alike(before []Held, monitors []string) bool {
	for i := range max(len(before), len(monitors)) {
		if len(before) == 0 || before[i%len(before)].Monitor != monitors[i%len(monitors)] {
			return false
		}
	}
	return true
}

// resliced gives the rates of n slices of a flow where those of another number are known.
func resliced(rates []float64, n int) []float64 {
	if len(rates) == n {
		return rates
	}
	out := make([]float64, n)
	for i := range max(n, len(rates)) {
		out[i%n] += rates[i%len(rates)] * float64(len(rates)) / float64(max(n, len(rates)))
	}
	return out
}

// leastCapacities gives what the weakest of some monitors can bear, nil being the provider's, in bytes a second. Those that
// cannot have a flow are no matter to it.
func leastCapacities(monitors []Monitor, c Config) func(named []string) float64 {
	bears, provider := make(map[string]float64, len(monitors)), []string{}
	for _, m := range monitors {
		if m.Down {
			continue
		}
		bears[m.ID], _ = capacityOf(m, c.Capacity)
		if m.Provider {
			provider = append(provider, m.ID)
		}
	}
	leastOf := func(ids []string) float64 {
		least := math.Inf(1)
		for _, id := range ids {
			if b, ok := bears[id]; ok {
				least = min(least, b)
			}
		}
		if math.IsInf(least, 1) {
			return c.Capacity
		}
		return least
	}
	type list struct { // many wants have one and the same
		first *string
		n     int
	}
	known, providers := map[list]float64{}, leastOf(provider)
	return func(named []string) float64 {
		if len(named) == 0 {
			return providers
		}
		l := list{&named[0], len(named)}
		least, ok := known[l]
		if !ok {
			least = leastOf(named)
			known[l] = least
		}
		return least
	}
}

// Rates gives what is measured of the slices of each want: bytes counts, by contract, what was seen a second since the
// sample before, and is asked for each contract; contracts of which nothing is known are left out of it. Slices that share a contract have equal parts
// of it.
func Rates(wants []Want, s State, bytes func(flowtap.Tap) (float64, bool)) (out []FlowSample) {
	for _, w := range wants {
		monitors := s.Monitors(w.ID)
		if monitors == nil {
			continue
		}
		f := FlowSample{ID: w.ID, Node: w.Node, Strategy: w.Strategy, Monitors: w.Monitors, Slices: len(monitors), Rates: make([]float64, len(monitors))}
		all, err := contracts(w.Tap, monitors)
		if err != nil {
			continue // it cannot be split, and was not placed so
		}
		known := true
		for _, c := range all {
			v, ok := bytes(c.tap)
			if known = known && ok; !ok {
				continue
			}
			of := c.slices(monitors)
			for _, i := range of {
				f.Rates[i] += v / float64(len(of))
			}
		}
		if !known { // one part that is not known makes the flow unknown
			f.Rates = nil
		}
		out = append(out, f)
	}
	return out
}

// slices gives the numbers of the slices that a contract has.
func (c contract) slices(monitors []string) (out []int) {
	for i, m := range monitors {
		if c.whole && m == monitors[0] || !c.whole && i&(1<<c.of.bits-1) == c.of.value {
			out = append(out, i)
		}
	}
	return out
}

// Rates gives the node of a flow's target and the rates of its slices, as far as they are known.
func (l Loads) Rates(flow string) (node string, rates []float64) {
	f := l.flows[flow]
	return f.Node, f.Rates
}

// With gives the loads with what is known of nodes and monitors, all of them; those of flows are as they were.
func (l Loads) With(nodes []Node, monitors []Monitor) Loads {
	out := Loads{at: l.at, flows: l.flows, nodes: make(map[string]Node, len(nodes)), monitors: make(map[string]Monitor, len(monitors))}
	for _, n := range nodes {
		out.nodes[n.ID] = n
	}
	for _, m := range monitors {
		out.monitors[m.ID] = m
	}
	return out
}

// Without gives the loads without flows that are not wanted any more.
func (l Loads) Without(gone func(id string) bool) Loads {
	out := l
	out.flows = make(map[string]Flow, len(l.flows))
	for id, f := range l.flows {
		if !gone(id) {
			out.flows[id] = f
		}
	}
	return out
}
