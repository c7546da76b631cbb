// Package seldom keeps a log readable that strangers can write to: of many events alike it says which
// are worth a line.
package seldom

import (
	"sync"
	"time"
)

// A Gate lets the first few events pass at once and from then on one a second. The zero value is
// ready; its methods may be called from any goroutine.
type Gate struct {
	mu      sync.Mutex // guards all
	credit  float64
	last    time.Time
	skipped uint64
}

const (
	burst  = 10
	second = 1 // lines a second
)

// Pass says whether an event that happens now is worth a line, and how many were not since the last
// that was.
func (g *Gate) Pass(now time.Time) (skipped uint64, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.last.IsZero() {
		g.credit = burst
	} else if passed := now.Sub(g.last); passed > 0 {
		g.credit = min(burst, g.credit+second*passed.Seconds())
	}
	g.last = now
	if g.credit < 1 {
		g.skipped++
		return 0, false
	}
	g.credit--
	skipped, g.skipped = g.skipped, 0
	return skipped, true
}
