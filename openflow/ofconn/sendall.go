package ofconn

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/flowtap/flowtap/openflow"
)

// SendAll sends messages that have no answer and cannot be in a bundle, meter-mods above all, and
// a barrier after them, and returns when the switch has answered the barrier: then each message has been
// carried out or refused. An empty list is nil at once.
//
// Unlike Commit it is not atomic: what the switch refused is missing and all else was done. The
// error then joins a *MessageError for each message refused. When messages were handed to the
// writer and the barrier's answer did not come, the error wraps ErrOutcomeUnknown. Unlike those of Send,
// refusals go neither to Events nor to Barrier.
func (c *Conn) SendAll(ctx context.Context, ms []openflow.Message) error {
	if len(ms) == 0 {
		return nil
	}
	q := &sequence{ms: ms, done: make(chan struct{})}
	r := c.x.add(len(ms)+1, q)
	if err := q.send(ctx, c, r.first); err != nil {
		c.x.leave(r)
		return fmt.Errorf("send %d messages: %w", len(ms), err)
	}
	c.x.drop(r)
	if err := q.outcome(); err != nil {
		return fmt.Errorf("send %d messages: %w", len(ms), err)
	}
	return nil
}

// A MessageError says that the switch refused one message of several. The others were carried out
// unless they have a MessageError of their own.
type MessageError struct {
	Index   int // in the list
	Message openflow.Message
	Err     error // an *openflow.Error when the switch gave one that could be read
}

// Error implements error.
func (e *MessageError) Error() string {
	return fmt.Sprintf("message %d (%v) refused: %v", e.Index, e.Message.Type(), e.Err)
}

// Unwrap gives Err.
func (e *MessageError) Unwrap() error { return e.Err }

// A sequence is one SendAll under way: the sink of its messages and its barrier.
type sequence struct {
	ms   []openflow.Message
	done chan struct{} // closed by take when the barrier is answered

	mu     sync.Mutex // guards what follows
	errs   []error
	barred bool
}

// take implements sink; it runs in the reader.
func (q *sequence) take(index int, a answer, left bool) (last bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	err := a.err
	if e, ok := a.m.(*openflow.Error); ok {
		err = e
	}
	if index < len(q.ms) {
		if err == nil {
			err = unexpected(a.m)
		}
		q.errs = append(q.errs, &MessageError{index, q.ms[index], err})
		return false
	}
	if err != nil {
		q.errs = append(q.errs, err)
	}
	if !q.barred {
		q.barred = true
		close(q.done)
	}
	return true
}

func (q *sequence) outcome() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return errors.Join(q.errs...)
}

// send sends everything and waits for the barrier.
func (q *sequence) send(ctx context.Context, c *Conn, first uint32) error {
	p := pieces{c: c, ctx: ctx}
	for i, m := range q.ms {
		if err := p.encode(first+uint32(i), m); err != nil { // before anything is sent
			return &MessageError{i, m, err}
		}
	}
	if err := p.encode(first+uint32(len(q.ms)), &openflow.BarrierRequest{}); err != nil {
		return err
	}
	if err := p.flush(); err != nil {
		return err
	}
	timer := time.NewTimer(c.c.RequestTimeout)
	defer timer.Stop()
	var err error
	select {
	case <-q.done:
		return nil
	case <-timer.C:
		err = ErrNoAnswer
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-c.done:
		err = c.reason
	}
	select { // an answer that came at the same time is the better news
	case <-q.done:
		return nil
	default:
		return fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
	}
}
