package controller

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/flowtap/flowtap/flowtap/pipeline"
)

// Metrics is what controllers tell Prometheus.
type Metrics struct {
	switches  prometheus.Gauge
	passing   prometheus.Gauge
	packetIns *prometheus.CounterVec
	commits   *prometheus.CounterVec
	changes   prometheus.Counter
	round     prometheus.Histogram
	proof     prometheus.Histogram
	drift     *prometheus.CounterVec
	spoofed   *prometheus.CounterVec
	injected  *prometheus.CounterVec
	shown     map[prometheus.Counter]uint64 // what count added so far
}

// NewMetrics makes metrics and registers them; nil: nowhere.
func NewMetrics(r prometheus.Registerer) *Metrics {
	seconds := prometheus.ExponentialBuckets(0.001, 2, 13)
	m := &Metrics{
		shown:     map[prometheus.Counter]uint64{},
		switches:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "flowtap_switches", Help: "Connected switches, registered or not."}),
		passing:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "flowtap_taps_unmonitored", Help: "Redirects with fail_mode open whose flow passes unmonitored, because their monitor cannot be reached."}),
		packetIns: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "flowtap_packet_ins_total", Help: "Frames that reached the controller, by what sent them."}, []string{"kind"}),
		commits:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "flowtap_commits_total", Help: "Changes of one switch in one round, by outcome."}, []string{"outcome"}),
		changes:   prometheus.NewCounter(prometheus.CounterOpts{Name: "flowtap_changes_total", Help: "Flows and groups added, changed or deleted."}),
		round:     prometheus.NewHistogram(prometheus.HistogramOpts{Name: "flowtap_round_seconds", Help: "From the decision to change switches until all datapaths are proven to act on it.", Buckets: seconds}),
		proof:     prometheus.NewHistogram(prometheus.HistogramOpts{Name: "flowtap_proof_seconds", Help: "From a switch's barrier until its datapath is proven to act on the change.", Buckets: seconds}),
		drift:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: "flowtap_drift_repaired_total", Help: "Flows and groups found other than they were left."}, []string{"node"}),
		spoofed:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "flowtap_spoofed_packets_total", Help: "Frames dropped because their sender used an address that is not its own. For a port without declared addresses: those that tried to use this port's."}, []string{"port"}),
		injected:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "flowtap_monitor_dropped_packets_total", Help: "Frames that a monitor sent and that no contract allows."}, []string{"port"}),
	}
	if r != nil {
		r.MustRegister(m.switches, m.passing, m.packetIns, m.commits, m.changes, m.round, m.proof, m.drift, m.spoofed, m.injected)
	}
	return m
}

// begin has what flows counted shown from the start, as after a restart: a controller that begins reads all of it.
func (m *Metrics) begin() {
	clear(m.shown)
	m.spoofed.Reset()
	m.injected.Reset()
}

// end shows that nothing is served any more.
func (m *Metrics) end() {
	m.switches.Set(0)
	m.passing.Set(0)
}

// count shows what flows counted, by port. The planner alone calls it.
func (m *Metrics) count(c *counts, w *pipeline.World) {
	show := func(v *prometheus.CounterVec, port string, total uint64) {
		counter := v.WithLabelValues(port)
		counter.Add(float64(total - m.shown[counter]))
		m.shown[counter] = total
	}
	for _, id := range w.Ports() {
		num := w.Port(id).Num
		if n := c.spoof[num]; n > 0 {
			show(m.spoofed, id, n)
		}
		if n := c.inject[num]; n > 0 {
			show(m.injected, id, n)
		}
	}
}
