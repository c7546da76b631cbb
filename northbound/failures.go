package northbound

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// An address may fail so often at once, and then so often a second. So many addresses are remembered.
const (
	failuresAtOnce  = 20
	failuresASecond = 1
	failuresKept    = 4096
)

// failures bounds the guesses at tokens by address. A client whose token this replica knows is never held up.
type failures struct {
	mu   sync.Mutex // guards from
	from map[netip.Prefix]*rate.Limiter
}

// network is what one client can send from: an IPv4 address, or 64 bits of an IPv6 address.
func network(host string) netip.Prefix {
	a, _ := netip.ParseAddr(host) // the zero address stands for what is none
	a = a.Unmap().WithZone("")
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits)
	return p
}

func (f *failures) blocked(host string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := f.from[network(host)]
	return l != nil && l.Tokens() < 1
}

func (f *failures) add(host string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.from == nil {
		f.from = map[netip.Prefix]*rate.Limiter{}
	}
	at := network(host)
	l := f.from[at]
	if l == nil {
		f.lockedMakeRoom()
		l = rate.NewLimiter(failuresASecond, failuresAtOnce)
		f.from[at] = l
	}
	l.AllowN(time.Now(), 1)
}

// lockedMakeRoom forgets those who have waited long enough, and if all are busy, anyone.
func (f *failures) lockedMakeRoom() {
	if len(f.from) < failuresKept {
		return
	}
	for at, l := range f.from {
		if l.Tokens() >= failuresAtOnce {
			delete(f.from, at)
		}
	}
	for at := range f.from {
		if len(f.from) < failuresKept {
			return
		}
		delete(f.from, at)
	}
}
