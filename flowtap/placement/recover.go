package placement

import (
	"time"

	"github.com/flowtap/flowtap/flowtap"
)

// Recover gives the state in which the contracts of some wants are, as Place made them: for who begins anew, and has nothing
// else. By choice nothing of it moves within Dwell.
func Recover(wants []Want, stored []flowtap.Tap, now time.Time) State {
	s := State{Flows: map[string][]Held{}}
	index := map[level]map[flowtap.Match]string{}
	for _, t := range stored {
		l := level{t.Src, t.Direction, t.Priority}
		if index[l] == nil {
			index[l] = map[flowtap.Match]string{}
		}
		index[l][t.Match] = t.Dst
	}
	for _, w := range wants {
		l := level{w.Tap.Src, w.Tap.Direction, w.Tap.Priority}
		whole := index[l][w.Tap.Match]
		if whole == "" {
			continue
		}
		s.Flows[w.ID] = []Held{{whole, now}}
		if !Splittable(w.Tap) {
			continue
		}
		above := func(by int) map[flowtap.Match]string {
			return index[level{l.src, l.direction, l.priority + by}]
		}
		if len(above(1))+len(above(2)) > 0 {
			s.Flows[w.ID] = recovered(w.Tap, whole, above, now)
		}
	}
	return s
}

// A level is where contracts of one port do not overlap.
type level struct {
	src       string
	direction flowtap.Direction
	priority  int
}

// recovered finds the exceptions of a flow among the contracts so many priorities above it.
func recovered(tap flowtap.Tap, whole string, above func(by int) map[flowtap.Match]string, now time.Time) []Held {
	views := views(tap)
	monitors := make([]string, MaxParts)
	deepest := 0
	for bits := 1; 1<<bits <= MaxParts; bits++ {
		for value := range 1 << bits {
			p := part{value: value, bits: bits}
			dst := p.among(views, above)
			if dst == "" {
				continue
			}
			deepest = bits
			for i := value; i < MaxParts; i += 1 << bits {
				monitors[i] = dst
			}
		}
	}
	held := make([]Held, 1<<deepest)
	for i := range held {
		if held[i] = (Held{monitors[i], now}); monitors[i] == "" {
			held[i].Monitor = whole
		}
	}
	return held
}

// among finds the monitor of a part: all the contracts that it would have are there, with the same.
func (p part) among(views []view, above func(by int) map[flowtap.Match]string) (dst string) {
	for _, v := range views {
		for _, remote := range p.matches(v.remoteIsDst) {
			m, ok := flowtap.And(v.match, remote)
			if !ok {
				continue
			}
			to := above(v.level)[m]
			if to == "" || dst != "" && to != dst {
				return ""
			}
			dst = to
		}
	}
	return dst
}
