package controller

import (
	"sync"
	"time"
)

// Frames of one port that reach the controller, to be learned from or to say that the port has arrived,
// are taken at this rate, in frames a second, after a burst. A port that sends more is not heard until
// it sends less; nobody else waits for it. Sentinels and probes, which are not of ports, are not limited.
const (
	portRate  = 20
	portBurst = 40
)

// maxPortQuotas bounds the ports remembered of one switch; the least bit of state is forgotten first, by
// forgetting all: a flood that gets a second burst for it is no harm.
const maxPortQuotas = 1 << 14

// quotas say how many more frames of each port of one switch are taken.
type quotas struct {
	mu    sync.Mutex // guards ports
	ports map[uint32]quota
}

type quota struct {
	left float64
	at   time.Time
}

// take reports whether a frame of a port is taken now.
func (q *quotas) take(port uint32, now time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ports == nil || len(q.ports) >= maxPortQuotas {
		q.ports = map[uint32]quota{}
	}
	is, known := q.ports[port]
	if !known {
		is = quota{portBurst, now}
	}
	is.left = min(portBurst, is.left+max(0, now.Sub(is.at).Seconds())*portRate)
	is.at = now
	taken := is.left >= 1
	if taken {
		is.left--
	}
	q.ports[port] = is
	return taken
}
