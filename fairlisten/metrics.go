package fairlisten

import "github.com/prometheus/client_golang/prometheus"

// Export shows the listener's counts as metrics under a name, until it is taken back.
func (l *Listener) Export(registry prometheus.Registerer, name string) (takeBack func()) {
	var all []prometheus.Collector
	for state, n := range map[string]func(Counts) int{
		"waiting": func(c Counts) int { return c.Waiting }, "new": func(c Counts) int { return c.New }, "settled": func(c Counts) int { return c.Settled },
	} {
		all = append(all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "flowtap_connections",
			Help: "Connections of a listener: those that wait for room, are new, and have shown that they mean well.", ConstLabels: prometheus.Labels{"listener": name, "state": state}},
			func() float64 { return float64(n(l.Counts())) }))
	}
	for outcome, n := range map[string]func(Counts) uint64{
		"accepted": func(c Counts) uint64 { return c.Accepted }, "evicted": func(c Counts) uint64 { return c.Evicted }, "full": func(c Counts) uint64 { return c.Full },
	} {
		all = append(all, prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "flowtap_connections_total",
			Help: "Connections of a listener that were accepted, that were closed to make room for others, and for which there was none.", ConstLabels: prometheus.Labels{"listener": name, "outcome": outcome}},
			func() float64 { return float64(n(l.Counts())) }))
	}
	registry.MustRegister(all...)
	return func() {
		for _, c := range all {
			registry.Unregister(c)
		}
	}
}
