package placement

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// aDay is a replay on two nodes: a flow grows beyond its node's monitor and shrinks again, and one monitor fails.
func aDay() (out []Sample) {
	num := func(v float64) *float64 { return &v }
	for i := range 60 {
		grown := 1 + 0.9*math.Sin(float64(i)/60*math.Pi)
		s := Sample{At: t0.Add(time.Duration(i) * 10 * time.Second), Monitors: []MonitorSample{
			{ID: "p1", Node: "h1", Provider: true, Capacity: 100, Share: 0.5, CPU: num(0.4), Received: num(40)},
			{ID: "p2<&", Node: "h2", Provider: true, Capacity: 100, Down: i == 50}},
			Nodes: []NodeSample{{ID: "h1", CPU: num(0.3), Link: 200}, {ID: "h2", Link: 200}}}
		for _, f := range []string{"a", "b"} {
			s.Flows = append(s.Flows, FlowSample{ID: f, Node: "h1", Strategy: Hybrid, Rates: rates(3.5*grown, 8)})
		}
		out = append(out, s)
	}
	return out
}

func TestSimulateFollowsTheLoad(t *testing.T) {
	raw, err := json.Marshal(aDay())
	require.NoError(t, err)
	var samples []Sample
	require.NoError(t, json.Unmarshal(raw, &samples))
	steps, err := Simulate(samples, State{}, Config{}, 10*time.Second)
	require.NoError(t, err)
	away, back, lost := 0, 0, 0
	for i, s := range steps {
		for _, m := range s.Moves {
			switch {
			case m.Cause == Hot:
				away++
			case m.Cause == Home:
				back++
			case m.Cause == Lost:
				lost++
				require.Equal(t, 50, i)
			}
		}
		require.Less(t, s.Max, 0.85)
	}
	require.Equal(t, 16, len(steps[0].Moves))
	require.NotZero(t, away)
	require.NotZero(t, back)
	require.NotZero(t, lost)
	require.Zero(t, steps[len(steps)-1].Copied, "all is home in the end")
	again, err := Simulate(aDay(), State{}, Config{}, 10*time.Second)
	require.NoError(t, err)
	require.Equal(t, steps, again)
}

func TestSamplesThatCannotBe(t *testing.T) {
	late := aDay()[:2]
	late[0], late[1] = late[1], late[0]
	_, err := Simulate(late, State{}, Config{}, 0)
	require.ErrorContains(t, err, "sample 2: sample of 2026-01-01T00:00:00Z comes after")
	_, err = Simulate([]Sample{{At: t0, Flows: []FlowSample{{ID: "a", Slices: 4, Rates: rates(1, 2)}}}}, State{}, Config{}, 0)
	require.ErrorContains(t, err, "sample 1: flow a: 4 slices and 2 rates")
	_, err = Simulate([]Sample{{At: t0, Flows: []FlowSample{{ID: "a", Slices: 4}}}}, State{}, Config{}, 0)
	require.ErrorContains(t, err, `sample 1: flow a: strategy ""`)
}

func TestWhatASampleDoesNotNameIsAsItWas(t *testing.T) {
	one := aDay()[0]
	l, err := Loads{}.Add(one, 0)
	require.NoError(t, err)
	later, err := l.Add(Sample{At: t0.Add(time.Minute), Gone: []string{"a"}}, 0)
	require.NoError(t, err)
	in := later.Input(t0.Add(time.Minute), Config{}).sorted()
	require.Equal(t, []Flow{{ID: "b", Node: "h1", Strategy: Hybrid, Rates: rates(3.5, 8), At: t0}}, in.Flows)
	require.Equal(t, Figure{0.4, t0}, in.Monitors[0].CPU)
	require.Len(t, l.Input(t0, Config{}).Flows, 2, "the earlier loads are as they were")
}

// The plot is XML, has a line for each resource in use, and a bar where something moved.
func TestPlot(t *testing.T) {
	steps, err := Simulate(aDay(), State{}, Config{}, 10*time.Second)
	require.NoError(t, err)
	for _, some := range [][]Step{nil, steps[:1], steps} {
		svg := Plot(some, Config{})
		for d := xml.NewDecoder(strings.NewReader(svg)); ; {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err)
		}
		require.NotContains(t, svg, "NaN")
		require.NotContains(t, svg, "Inf")
	}
	svg := Plot(steps, Config{})
	for _, name := range []string{"monitor p1", "monitor p2&lt;&amp;", "CPU of node h1", "link of node h1, sent", ">high<", "slices moved"} {
		require.Contains(t, svg, name)
	}
	require.NotContains(t, svg, "CPU of node h2", "never measured")
	require.Equal(t, svg, Plot(steps, Config{}))
}
