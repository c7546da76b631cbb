package gate

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/flowtap/flowtap/openflow"
)

// claims are those of others who say that they are a connected switch. However many come, the switch is
// asked one thing at a time, and no more than once a second whether it lives.
type claims struct {
	mu       sync.Mutex    // guards all
	answered time.Time     // when the switch last did
	asking   chan struct{} // closed when the question under way is answered; nil: there is none
	dead     bool          // it was not
	waiting  int
}

const (
	claimPatience = 5 * time.Second // for which a switch may be silent before another takes its place
	maxClaimants  = 4               // that wait for one switch
)

// lives gives an error that refuses a claimant, whose context ctx is: that the switch answers, or that
// too many ask. Nil says that the switch is silent. The claimant's own end is no sign of that.
func (s *holder) lives(ctx context.Context) error {
	c := &s.claims
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case time.Since(c.answered) < time.Second:
		return s.taken()
	case c.dead:
		return nil
	case c.waiting >= maxClaimants:
		return fmt.Errorf("%w, and whether it lives is being asked", s.taken())
	case c.asking != nil:
		asking := c.asking
		c.waiting++
		c.mu.Unlock()
		select {
		case <-asking:
		case <-ctx.Done():
		}
		c.mu.Lock()
		c.waiting--
	default:
		asking := make(chan struct{})
		c.asking = asking
		c.mu.Unlock()
		ask, cancel := context.WithTimeout(context.WithoutCancel(ctx), claimPatience)
		_, err := s.conn.Request(ask, &openflow.EchoRequest{}) // not a barrier: that would tell of others' refused messages
		cancel()
		c.mu.Lock()
		if err == nil {
			c.answered = time.Now()
		}
		c.dead, c.asking = err != nil, nil
		close(asking)
	}
	if err := ctx.Err(); err != nil {
		return errors.New("the connection ended")
	}
	if c.dead {
		return nil
	}
	return s.taken()
}

func (s *holder) taken() error {
	return fmt.Errorf("a switch with this datapath id is connected, from %v", s.conn.RemoteAddr())
}
