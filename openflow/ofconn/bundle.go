package ofconn

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/flowtap/flowtap/openflow"
)

// Commit makes all changes of ms at once or none (ONF EXT-230: an atomic, ordered bundle), in the
// order given, and returns nil when the switch has answered the commit and a barrier after it.
// An empty list is nil at once. ms may hold what the switch accepts in a bundle: flow-mods,
// group-mods and packet-outs on Open vSwitch, no meters.
//
// Everything up to the request to close the bundle goes out without waiting; the commit goes
// out when the switch has taken all of it. That round trip is needed: Open vSwitch answers a message
// that it cannot decode with an error, leaves it out, and would then commit the rest.
//
// When the switch refuses, the error is a *CommitError and the switch is as before. When the
// commit request was handed to the writer and its answer did not come, the error wraps
// ErrOutcomeUnknown. After any other error (ctx, connection) the switch is as before, too. No
// other goroutine's messages are in the bundle, but they may take effect between.
func (c *Conn) Commit(ctx context.Context, ms []openflow.Message) error {
	if len(ms) == 0 {
		return nil
	}
	b := &bundle{c: c, ms: ms, id: c.bundles.Add(1), changed: make(chan struct{}, 1)}
	b.run = c.x.add(len(ms)+bundleExtra, b)
	if err := b.commit(ctx); err != nil {
		c.x.leave(b.run)
		return fmt.Errorf("commit of %d messages: %w", len(ms), err)
	}
	c.x.drop(b.run)
	return nil
}

// A bundle is one Commit under way. Its xids are, from run.first: the open request, each message,
// and the requests to close, commit, barrier and discard.
type bundle struct {
	c   *Conn
	ms  []openflow.Message
	id  uint32
	run *run

	mu      sync.Mutex    // guards got
	got     bundleAnswers // so far
	changed chan struct{} // holds at most one note that got has changed
}

type bundleAnswers struct {
	refused           *CommitError // why it is refused; the first reason
	closed, committed bool         // answered with success
	barred, discarded bool         // answered, be it by an error
}

const bundleExtra = 5

func (b *bundle) closeAt() int   { return len(b.ms) + 1 }
func (b *bundle) commitAt() int  { return len(b.ms) + 2 }
func (b *bundle) barrierAt() int { return len(b.ms) + 3 }
func (b *bundle) discardAt() int { return len(b.ms) + 4 }

// take implements sink; it runs in the reader.
func (b *bundle) take(index int, a answer, _ bool) (last bool) {
	b.mu.Lock()
	b.got.add(b, index, a)
	b.mu.Unlock()
	select {
	case b.changed <- struct{}{}:
	default:
	}
	return index >= b.barrierAt()
}

func (g *bundleAnswers) add(b *bundle, index int, a answer) {
	err := a.err
	if e, ok := a.m.(*openflow.Error); ok {
		err = e
	}
	reply, _ := a.m.(*openflow.BundleControl)
	switch index {
	case b.barrierAt():
		g.barred = true
		return
	case b.discardAt():
		g.discarded = true
		return
	case b.closeAt():
		g.closed = reply != nil && reply.Ctrl == openflow.BundleCloseReply
		if err == nil && !g.closed {
			err = unexpected(a.m)
		}
	case b.commitAt():
		g.committed = reply != nil && reply.Ctrl == openflow.BundleCommitReply
		if _, refused := err.(*openflow.Error); !refused {
			return // it may have been done, whatever this is
		}
	}
	if err == nil || g.refused != nil {
		return
	}
	g.refused = &CommitError{Index: -1, Err: err}
	if index >= 1 && index <= len(b.ms) {
		g.refused.Index, g.refused.Message = index-1, b.ms[index-1]
	}
}

func (b *bundle) answers() bundleAnswers {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.got
}

func (b *bundle) commit(ctx context.Context) error {
	if err := b.fill(ctx); err != nil {
		b.giveUp()
		return err
	}
	g, err := b.wait(ctx, func(g bundleAnswers) bool { return g.closed || g.refused != nil })
	if err != nil {
		b.giveUp()
		return err
	}
	if g.refused != nil {
		b.discard(ctx)
		return g.refused
	}
	p := pieces{c: b.c, ctx: ctx}
	err = p.add(b.xid(b.commitAt()), b.control(openflow.BundleCommitRequest))
	if err == nil {
		err = p.add(b.xid(b.barrierAt()), &openflow.BarrierRequest{})
	}
	if err == nil {
		err = p.flush()
	}
	if err != nil { // not sent
		b.giveUp()
		return err
	}
	g, err = b.wait(ctx, func(g bundleAnswers) bool { return g.barred })
	switch {
	case g.refused != nil && !g.committed:
		return g.refused
	case err != nil:
		return fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
	case !g.committed:
		return fmt.Errorf("%w: %w: barrier answered, commit not", ErrOutcomeUnknown, ErrProtocol)
	}
	return nil
}

// fill queues everything up to the close request. It stops without an error when the switch has
// refused something already.
func (b *bundle) fill(ctx context.Context) error {
	p := pieces{c: b.c, ctx: ctx}
	for _, id := range b.c.discards.takeAll() {
		r := b.c.x.add(1, nobody{})
		b.c.x.leave(r)
		if err := p.add(r.first, bundleControl(id, openflow.BundleDiscardRequest)); err != nil {
			return err
		}
	}
	if err := p.add(b.xid(0), b.control(openflow.BundleOpenRequest)); err != nil {
		return err
	}
	add := openflow.BundleAdd{BundleID: b.id, Flags: bundleFlags}
	for i, m := range b.ms {
		add.Message = m
		if err := p.encode(b.xid(i+1), &add); err != nil {
			return &CommitError{Index: i, Message: m, Err: err}
		}
		if len(p.out.b) < pieceSize {
			continue
		}
		if err := p.flush(); err != nil {
			return err
		}
		if b.answers().refused != nil {
			return nil
		}
	}
	if err := p.add(b.xid(b.closeAt()), b.control(openflow.BundleCloseRequest)); err != nil {
		return err
	}
	return p.flush()
}

// wait returns when the answers are as wanted, or ctx, the time or the connection ends.
func (b *bundle) wait(ctx context.Context, enough func(bundleAnswers) bool) (bundleAnswers, error) {
	timer := time.NewTimer(b.c.c.RequestTimeout)
	defer timer.Stop()
	for {
		if g := b.answers(); enough(g) {
			return g, nil
		}
		var err error
		select {
		case <-b.changed:
			continue
		case <-timer.C:
			err = ErrNoAnswer
		case <-ctx.Done():
			err = context.Cause(ctx)
		case <-b.c.done:
			err = b.c.reason
		}
		g := b.answers()
		if enough(g) { // came at the same time
			err = nil
		}
		return g, err
	}
}

// discard tells the switch to forget the bundle and waits until it has.
func (b *bundle) discard(ctx context.Context) {
	p := pieces{c: b.c, ctx: ctx}
	if p.add(b.xid(b.discardAt()), b.control(openflow.BundleDiscardRequest)) != nil || p.flush() != nil {
		b.giveUp()
		return
	}
	_, _ = b.wait(ctx, func(g bundleAnswers) bool { return g.discarded })
}

// giveUp tells the switch to forget the bundle, now if the queue has room, else with the next
// Commit.
func (b *bundle) giveUp() {
	out, err := openflow.Append(nil, b.xid(b.discardAt()), b.control(openflow.BundleDiscardRequest))
	if err != nil {
		return
	}
	select {
	case b.c.queue <- outgoing{out, 1}:
	default:
		b.c.discards.add(b.id)
	}
}

func (b *bundle) xid(at int) uint32 { return b.run.first + uint32(at) }

func (b *bundle) control(t openflow.BundleCtrl) openflow.Message { return bundleControl(b.id, t) }

const bundleFlags = openflow.BundleAtomic | openflow.BundleOrdered

func bundleControl(id uint32, t openflow.BundleCtrl) openflow.Message {
	return &openflow.BundleControl{BundleID: id, Ctrl: t, Flags: bundleFlags}
}

// nobody is the sink of what interests nobody.
type nobody struct{}

func (nobody) take(int, answer, bool) bool { return true }

// discards are bundle ids to be discarded when there is an occasion.
type discards struct {
	mu  sync.Mutex // guards ids
	ids []uint32
}

func (d *discards) add(id uint32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ids = append(d.ids, id)
}

func (d *discards) takeAll() []uint32 {
	d.mu.Lock()
	defer d.mu.Unlock()
	ids := d.ids
	d.ids = nil
	return ids
}
