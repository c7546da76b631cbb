package placement

import (
	"encoding/xml"
	"fmt"
	"math"
	"strings"
)

// Measures of a plot, in pixels.
const (
	plotWidth, plotLeft, plotRight = 960.0, 70.0, 210.0
	plotGap                        = 42.0
)

// A panel is one diagram of a plot: time to the right, values from 0 to top upward.
type panel struct {
	title       string
	y, height   float64
	top         float64
	first, last float64 // seconds
}

func (p panel) x(at float64) float64 {
	return plotLeft + (at-p.first)/(p.last-p.first)*(plotWidth-plotLeft-plotRight)
}

func (p panel) at(v float64) float64 { return p.y + p.height*(1-v/p.top) }

// Plot draws a replay as an SVG document: utilisation of each monitor, CPU and link with the watermarks, how many
// slices moved (by choice dark, because they must light), and what crosses the fabric.
func Plot(steps []Step, c Config) string {
	c = c.withDefaults()
	var b strings.Builder
	seconds := make([]float64, len(steps))
	busiest, moves, copied := 1.0, 1.0, 1.0
	for i, s := range steps {
		seconds[i] = s.At.Sub(steps[0].At).Seconds()
		busiest, moves, copied = max(busiest, s.Max), max(moves, float64(len(s.Moves))), max(copied, s.Copied)
	}
	last := 1.0
	if len(steps) > 1 {
		last = max(seconds[len(steps)-1], 1e-3)
	}
	used := panel{"utilisation", 30, 260, nice(busiest), 0, last}
	moved := panel{"slices moved", used.y + used.height + plotGap, 90, nice(moves), 0, last}
	crossed := panel{"bytes/s across nodes", moved.y + moved.height + plotGap, 90, nice(copied), 0, last}
	height := crossed.y + crossed.height + 40
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%.0f" viewBox="0 0 %.0f %.0f" font-family="sans-serif" font-size="11">`+"\n",
		plotWidth, height, plotWidth, height)
	fmt.Fprintf(&b, `<rect width="%.0f" height="%.0f" fill="white"/>`+"\n", plotWidth, height)
	for _, p := range []panel{used, moved, crossed} {
		p.axes(&b)
	}
	for _, w := range []struct {
		name string
		at   float64
	}{{"high", c.High}, {"low", c.Low}} {
		y := used.at(w.at)
		fmt.Fprintf(&b, `<path d="M%.1f %.1fH%.1f" stroke="#999" stroke-dasharray="2 3"/>`+"\n", plotLeft, y, plotWidth-plotRight)
		label(&b, plotLeft+3, y-2, "start", w.name)
	}
	used.resources(&b, steps, seconds)
	wide := min(8, max(1, (plotWidth-plotLeft-plotRight)/float64(len(steps)+1)-1))
	for i, s := range steps {
		chosen := 0
		for _, m := range s.Moves {
			if m.Cause == Hot || m.Cause == Home {
				chosen++
			}
		}
		for _, bar := range []struct {
			n     int
			color string
		}{{len(s.Moves), "#bbb"}, {chosen, "#333"}} {
			if bar.n > 0 {
				y := moved.at(float64(bar.n))
				fmt.Fprintf(&b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>`+"\n",
					moved.x(seconds[i])-wide/2, y, wide, moved.y+moved.height-y, bar.color)
			}
		}
	}
	crossed.line(&b, seconds, "#333", false, func(i int) float64 { return steps[i].Copied })
	b.WriteString("</svg>\n")
	return b.String()
}

// resources draws a line for each resource that is ever used, and names it.
func (p panel) resources(b *strings.Builder, steps []Step, seconds []float64) {
	series := map[Resource][]float64{}
	var order []Resource
	for i, s := range steps {
		for _, u := range s.Used {
			if series[u.Resource] == nil {
				series[u.Resource] = make([]float64, len(steps))
				order = append(order, u.Resource)
			}
			series[u.Resource][i] = u.Used
		}
	}
	drawn := 0
	for _, r := range order {
		most := 0.0
		for _, v := range series[r] {
			most = max(most, v)
		}
		if most == 0 {
			continue
		}
		color := fmt.Sprintf("hsl(%.0f,70%%,42%%)", math.Mod(float64(drawn)*137.5, 360)) // the golden angle: neighbours differ
		p.line(b, seconds, color, r.Kind != OfMonitor, func(i int) float64 { return series[r][i] })
		if y := p.y + 8 + 14*float64(drawn); y < p.y+490 {
			fmt.Fprintf(b, `<path d="M%.1f %.1fh16" stroke="%s" stroke-width="2"%s/>`+"\n", plotWidth-plotRight+12, y, color, dashes(r.Kind != OfMonitor))
			label(b, plotWidth-plotRight+33, y+4, "start", r.String())
		}
		drawn++
	}
}

func dashes(yes bool) string {
	if yes {
		return ` stroke-dasharray="6 3"`
	}
	return ""
}

func (p panel) line(b *strings.Builder, seconds []float64, color string, dashed bool, value func(i int) float64) {
	if len(seconds) == 0 {
		return
	}
	b.WriteString(`<path fill="none" d="`)
	for i, at := range seconds {
		fmt.Fprintf(b, "%c%.1f %.1f", "ML"[min(i, 1)], p.x(at), p.at(value(i)))
	}
	fmt.Fprintf(b, `" stroke="%s" stroke-width="1.5"%s/>`+"\n", color, dashes(dashed))
}

func (p panel) axes(b *strings.Builder) {
	label(b, plotLeft, p.y-8, "start", p.title)
	for i := range 5 {
		v := p.top * float64(i) / 4
		fmt.Fprintf(b, `<path d="M%.1f %.1fH%.1f" stroke="#e4e4e4"/>`+"\n", plotLeft, p.at(v), plotWidth-plotRight)
		label(b, plotLeft-6, p.at(v)+4, "end", short(v))
	}
	step := nice(p.last / 6)
	for at := 0.0; at <= p.last; at += step {
		fmt.Fprintf(b, `<path d="M%.1f %.1fv4" stroke="#999"/>`+"\n", p.x(at), p.y+p.height)
		label(b, p.x(at), p.y+p.height+15, "middle", short(at)+" s")
	}
}

func label(b *strings.Builder, x, y float64, anchor, text string) {
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="%s">`, x, y, anchor)
	_ = xml.EscapeText(b, []byte(text)) // a strings.Builder takes everything
	b.WriteString("</text>\n")
}

// nice gives the least of 1, 2, 4, 5 times a power of ten that is not below v.
func nice(v float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, f := range []float64{1, 2, 4, 5} {
		if f*power >= v*(1-1e-9) {
			return f * power
		}
	}
	return 10 * power
}

// short writes a number with a prefix for thousands.
func short(v float64) string {
	for _, p := range []struct {
		of   float64
		name string
	}{{1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if v >= p.of {
			return fmt.Sprintf("%.4g%s", v/p.of, p.name)
		}
	}
	return fmt.Sprintf("%.3g", v)
}
