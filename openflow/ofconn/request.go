package ofconn

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/flowtap/flowtap/openflow"
)

// Request sends m and waits for its answer: the message with m's xid. An error message comes back
// as an error that wraps the *openflow.Error. A multipart answer comes back whole, its parts
// joined in order, as one message. m must be of a type that has an answer.
//
// It fails with ErrNoAnswer after Config.RequestTimeout without one (or, multipart, without
// a further part), with ErrReplyTooLong, with ctx's error, or with the connection's. A request
// that changes the switch may then have been done or not.
func (c *Conn) Request(ctx context.Context, m openflow.Message) (openflow.Message, error) {
	a, err := c.request(ctx, m)
	if err != nil {
		return nil, fmt.Errorf("%v: %w", m.Type(), err)
	}
	return a, nil
}

func (c *Conn) request(ctx context.Context, m openflow.Message) (openflow.Message, error) {
	s := &single{limit: c.c.MaxReply, result: make(chan answer, 1), progress: make(chan struct{}, 1)}
	r := c.x.add(1, s)
	b, err := openflow.Append(nil, r.first, m)
	if err == nil {
		err = c.enqueue(ctx, outgoing{b, 1})
	}
	if err != nil {
		c.x.drop(r) // never sent
		return nil, err
	}
	timer := time.NewTimer(c.c.RequestTimeout)
	defer timer.Stop()
	for {
		select {
		case a := <-s.result:
			return a.got()
		case <-s.progress:
			timer.Reset(c.c.RequestTimeout)
			continue
		case <-timer.C:
			err = ErrNoAnswer
		case <-ctx.Done():
			err = context.Cause(ctx)
		case <-c.done:
			err = c.reason
		}
		c.x.leave(r)
		select { // an answer that came at the same time is the better news
		case a := <-s.result:
			return a.got()
		default:
			return nil, err
		}
	}
}

// single is the sink of one request. Its fields beside the channels belong to the reader.
type single struct {
	limit    int
	size     int
	parts    []*openflow.MultipartReply
	failed   bool
	result   chan answer   // gets one answer
	progress chan struct{} // holds at most one note that a part came
}

func (s *single) take(_ int, a answer, left bool) bool {
	part, multi := a.m.(*openflow.MultipartReply)
	last := !multi || !part.More
	if left || s.failed {
		s.parts = nil
		return last
	}
	switch m := a.m.(type) {
	case *openflow.Error:
		a.m, a.err = nil, m
	case *openflow.MultipartReply:
		if s.size += a.size; s.size > s.limit {
			a.m, a.err = nil, fmt.Errorf("%w: more than %d bytes", ErrReplyTooLong, s.limit)
			break
		}
		s.parts = append(s.parts, m)
		if !last {
			select {
			case s.progress <- struct{}{}:
			default:
			}
			return false
		}
		if len(s.parts) > 1 {
			body, err := openflow.JoinReplies(s.parts)
			a.m, a.err = &openflow.MultipartReply{Body: body}, err
		}
	}
	s.failed, s.parts = a.err != nil, nil
	s.result <- a
	return last
}

// Barrier returns when the switch has processed everything that was queued on this connection
// before the call.
//
// It also tells of refusals: an error that the switch answers to a message of Send is
// reported, once, by the first Barrier answered after it, beside going to Events. So when
// one goroutine does Send, Send, Barrier and no other uses Send, an error of the Barrier is of those
// messages; when several do, it may be of another's. Errors to requests and bundles are not
// reported here. The *openflow.Error can be reached with errors.As; beyond 16 errors
// only their number is told.
func (c *Conn) Barrier(ctx context.Context) error {
	if _, err := c.Request(ctx, &openflow.BarrierRequest{}); err != nil {
		return err
	}
	return c.refused.collect()
}

// SetRole asks for a role (OpenFlow 1.3.5 §7.3.9). The switch refuses a generation older than the
// newest it has seen with ErrStale.
func (c *Conn) SetRole(ctx context.Context, role openflow.Role, generation uint64) error {
	got, err := c.role(ctx, role, generation)
	if refused := (*openflow.Error)(nil); errors.As(err, &refused) && refused.ErrType == errRoleRequestFailed && refused.Code == stale {
		return fmt.Errorf("%v with generation %d: %w: %w", role, generation, ErrStale, refused)
	}
	if err == nil && got.Role != role {
		return fmt.Errorf("asked for role %v, switch says %v", role, got.Role)
	}
	return err
}

// Generation asks for the newest generation that the switch has seen.
func (c *Conn) Generation(ctx context.Context) (uint64, error) {
	got, err := c.role(ctx, openflow.RoleNoChange, 0)
	if err != nil {
		return 0, err
	}
	return got.GenerationID, nil
}

func (c *Conn) role(ctx context.Context, role openflow.Role, generation uint64) (*openflow.RoleReply, error) {
	m, err := c.Request(ctx, &openflow.RoleRequest{Role: role, GenerationID: generation})
	if err != nil {
		return nil, err
	}
	got, ok := m.(*openflow.RoleReply)
	if !ok {
		return nil, unexpected(m)
	}
	return got, nil
}

func unexpected(m openflow.Message) error {
	return fmt.Errorf("%w: answered by %v", ErrProtocol, m.Type())
}

// refusals collects errors between barriers.
type refusals struct {
	mu    sync.Mutex // guards the rest
	errs  []error
	total int
}

const maxRefusals = 16

func (r *refusals) add(e *openflow.Error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.total++
	if len(r.errs) < maxRefusals {
		r.errs = append(r.errs, e)
	}
}

func (r *refusals) collect() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.total == 0 {
		return nil
	}
	err := fmt.Errorf("%d messages refused before the barrier: %w", r.total, errors.Join(r.errs...))
	r.errs, r.total = nil, 0
	return err
}
