package gate

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/flowtap/flowtap/openflow/ofconn"
)

// dropped counts what switches said and nobody looked at. The gate's mutex guards it.
type dropped struct {
	in            map[*ofconn.Conn]bool
	flooded, full uint64 // of connections that have left
}

func (d *dropped) add(c *ofconn.Conn) {
	if d.in == nil {
		d.in = map[*ofconn.Conn]bool{}
	}
	d.in[c] = true
}

func (d *dropped) remove(c *ofconn.Conn) {
	if d.in[c] {
		delete(d.in, c)
		d.count(c.Stats())
	}
}

func (d *dropped) count(s ofconn.Stats) {
	d.flooded += s.Flooded
	d.full += s.DroppedPacketIns + s.DroppedEvents
}

// export shows the sums over all connections that there are and were.
func (g *Gate) export(registry prometheus.Registerer) {
	for reason, of := range map[string]func(dropped) uint64{
		"rate": func(d dropped) uint64 { return d.flooded }, "queue": func(d dropped) uint64 { return d.full },
	} {
		registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "flowtap_switch_messages_dropped_total",
			Help:        "Messages of switches that were not looked at: beyond the rate that a switch may have, or while nobody read the queue.",
			ConstLabels: prometheus.Labels{"reason": reason}},
			func() float64 {
				g.mu.Lock()
				defer g.mu.Unlock()
				sum := dropped{flooded: g.flooded, full: g.full}
				for c := range g.in {
					sum.count(c.Stats())
				}
				return float64(of(sum))
			}))
	}
}
