package replica

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/ofconn"
)

// A board is the switches connected to this replica: it has each in the role that the masterships say, and
// lets the leader speak to those whose master this replica is.
type board struct {
	name    string
	log     *slog.Logger
	changed func()                                                      // called after every change; must not wait
	enter   func(context.Context, *ofconn.Conn) (leave func(), ok bool) // nil: all may

	mu      sync.Mutex // guards what follows
	wires   map[openflow.DPID]*wire
	masters map[openflow.DPID]mastership // as etcd says
	epoch   int64                        // the newest leader's known
	last    int                          // wire
}

// A wire is one switch's connection.
type wire struct {
	conn   *ofconn.Conn
	number int
	since  time.Time
	kick   chan struct{} // holds one: look at the role again

	// The fields below are the board's mutex's.
	role       openflow.Role
	generation uint64 // of role
	refused    uint64 // generation for which the switch refused us as stale, and what it has
	has        uint64
	epoch      int64              // of the relay
	cut        context.CancelFunc // ends the relay; nil: there is none
	ended      chan struct{}      // closed when the relay has ended
}

func newBoard(name string, log *slog.Logger, changed func()) *board {
	return &board{name: name, log: log, changed: changed, wires: map[openflow.DPID]*wire{}}
}

// serve takes switches until ctx ends.
func (b *board) serve(ctx context.Context, ln net.Listener, c ofconn.Config) error {
	c.Logger = b.log
	return ofconn.Serve(ctx, ln, c, func(alive context.Context, conn *ofconn.Conn) {
		stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // ends Events
		defer stop()
		b.serveSwitch(alive, conn)
	})
}

func (b *board) serveSwitch(ctx context.Context, conn *ofconn.Conn) {
	if b.enter != nil {
		leave, ok := b.enter(ctx, conn)
		if !ok {
			return
		}
		defer leave()
	}
	d := conn.Features().DPID
	w := &wire{conn: conn, since: time.Now().UTC(), kick: make(chan struct{}, 1), role: openflow.RoleEqual}
	w.look() // before others know it, and find that there is something to look at
	if !b.add(ctx, d, w) {
		return
	}
	log := b.log.With("dpid", d)
	log.Info("switch connected here", "from", conn.RemoteAddr())
	b.changed()
	for open := true; open; {
		select {
		case m, more := <-conn.Events():
			if e, ok := m.(*openflow.Error); ok {
				log.Warn("the switch reports an error that answers no request", "error", e)
			}
			open = more
		case <-w.kick:
			if err := b.takeRole(ctx, d, w); err != nil && ctx.Err() == nil {
				log.Warn("the switch gives us no role; hanging up", "error", err)
				_ = conn.Close()
			}
		}
	}
	b.mu.Lock()
	if b.wires[d] == w {
		delete(b.wires, d)
	}
	b.mu.Unlock()
	b.changed()
	log.Info("switch disconnected here", "reason", conn.Err())
}

// answerIn is how long a connected switch may take to say that it lives, when another claims its datapath id.
const answerIn = 5 * time.Second

// add takes a connection in. A second switch with a connected datapath id is refused as long as the first
// one answers.
func (b *board) add(ctx context.Context, d openflow.DPID, w *wire) bool {
	for range 2 {
		b.mu.Lock()
		old := b.wires[d]
		if old == nil {
			b.last++
			w.number = b.last
			b.wires[d] = w
			b.mu.Unlock()
			return true
		}
		b.mu.Unlock()
		ctx, cancel := context.WithTimeout(ctx, answerIn)
		err := old.conn.Barrier(ctx)
		cancel()
		if err == nil {
			b.log.Warn("a second switch claims a connected datapath id; refused", "dpid", d,
				"connected", old.conn.RemoteAddr(), "refused", w.conn.RemoteAddr())
			return false
		}
		_ = old.conn.Close()
		b.mu.Lock()
		if b.wires[d] == old {
			delete(b.wires, d)
		}
		b.mu.Unlock()
	}
	return false
}

// know takes what etcd says. Relays of an older leader are cut.
func (b *board) know(epoch int64, masters map[openflow.DPID]mastership) {
	b.mu.Lock()
	defer b.mu.Unlock()
	was := b.masters
	b.masters = maps.Clone(masters)
	b.lockedEpoch(epoch)
	for d, w := range b.wires {
		if was[d] != b.masters[d] {
			w.look()
		}
	}
}

// lockedEpoch takes note of a leader, and cuts the relays of those before.
func (b *board) lockedEpoch(epoch int64) {
	b.epoch = max(b.epoch, epoch)
	for _, w := range b.wires {
		if w.cut != nil && w.epoch < b.epoch {
			w.cut()
		}
	}
}

func (w *wire) look() {
	select {
	case w.kick <- struct{}{}:
	default:
	}
}

// takeRole asks the switch for the role that the mastership says, until that is so. A switch that knows a
// newer master refuses; then this is not the master.
func (b *board) takeRole(ctx context.Context, d openflow.DPID, w *wire) error {
	for {
		b.mu.Lock()
		m := b.masters[d]
		role := openflow.RoleSlave
		if m.Replica == b.name {
			role = openflow.RoleMaster
		}
		generation := m.generation()
		done := m.Replica == "" || w.generation == generation && w.role == role || w.refused == generation
		if role == openflow.RoleSlave && w.cut != nil && !done {
			w.cut()
		}
		b.mu.Unlock()
		if done {
			return nil
		}
		err := w.conn.SetRole(ctx, role, generation)
		stale := errors.Is(err, ofconn.ErrStale)
		var has uint64
		if stale {
			has, err = w.conn.Generation(ctx)
			b.log.Warn("the switch knows a newer master", "dpid", d, "generation", generation, "switch", has)
		}
		if err != nil {
			return err
		}
		b.mu.Lock()
		if stale {
			w.role, w.refused, w.has = openflow.RoleSlave, generation, has
		} else {
			w.role, w.generation, w.refused = role, generation, 0
		}
		if w.role == openflow.RoleSlave && w.cut != nil {
			w.cut()
		}
		b.mu.Unlock()
		b.changed()
	}
}

// A Switch is what a replica says of a switch connected to it.
type Switch struct {
	DPID   openflow.DPID `json:"dpid"`
	Number int           `json:"number"` // of the connection, this replica's
	From   string        `json:"from"`
	Since  time.Time     `json:"since"`
	Master bool          `json:"master,omitempty"`
	// Generation is of the role that the switch has confirmed.
	Generation uint64 `json:"generation,omitempty"`
}

// switches gives the connected ones, by datapath id.
func (b *board) switches() []Switch {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make([]Switch, 0, len(b.wires))
	for _, d := range slices.Sorted(maps.Keys(b.wires)) {
		w := b.wires[d]
		all = append(all, Switch{DPID: d, Number: w.number, From: w.conn.RemoteAddr().String(), Since: w.since,
			Master: w.role == openflow.RoleMaster, Generation: w.generation})
	}
	return all
}

// stale gives the masterships for which switches refused this replica.
func (b *board) stale() (all []want) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for d, w := range b.wires {
		if m := b.masters[d]; m.Replica == b.name && w.refused == m.generation() && w.refused != 0 {
			all = append(all, want{d, m, w.has})
		}
	}
	return all
}

// errNotMaster says that a relay cannot be had here.
var errNotMaster = errors.New("no relay")

// mayRelay reserves nothing: it says early what relay would.
func (b *board) mayRelay(d openflow.DPID, epoch int64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lockedMayRelay(d, epoch)
}

func (b *board) lockedMayRelay(d openflow.DPID, epoch int64) error {
	w := b.wires[d]
	switch {
	case epoch < b.epoch:
		return fmt.Errorf("%w: epoch %d is over, it is %d", errNotMaster, epoch, b.epoch)
	case w == nil:
		return fmt.Errorf("%w: switch %v is not connected to %s", errNotMaster, d, b.name)
	case w.role != openflow.RoleMaster:
		return fmt.Errorf("%w: %s is not the master of switch %v", errNotMaster, b.name, d)
	}
	return nil
}

// relay lets the leader of an epoch speak to a switch by nc, which it takes, until one of them ends, another
// is master, or there is a newer leader. It takes the place of the relay before, of this leader or an older one.
func (b *board) relay(ctx context.Context, d openflow.DPID, epoch int64, nc net.Conn) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan struct{})
	defer close(ended)
	b.mu.Lock()
	if epoch > b.epoch {
		b.lockedEpoch(epoch)
	}
	if err := b.lockedMayRelay(d, epoch); err != nil {
		b.mu.Unlock()
		_ = nc.Close()
		return err
	}
	w := b.wires[d]
	before := w.ended
	if w.cut != nil {
		w.cut()
	}
	w.epoch, w.cut, w.ended = epoch, cancel, ended
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if w.ended == ended {
			w.cut, w.ended = nil, nil
		}
	}()
	if before != nil {
		<-before
	}
	b.log.Info("a relay begins", "dpid", d, "epoch", epoch)
	err := w.conn.Relay(ctx, nc)
	b.log.Info("a relay ends", "dpid", d, "epoch", epoch, "reason", err)
	return err
}
