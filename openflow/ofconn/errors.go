package ofconn

import (
	"errors"
	"fmt"

	"github.com/flowtap/flowtap/openflow"
)

var (
	// ErrClosed says that this side ended the connection: Close, or the end of Serve.
	ErrClosed = errors.New("connection closed")
	// ErrDead says that the switch answered no echo request in time, or accepted no bytes.
	ErrDead = errors.New("switch does not answer")
	// ErrVersion says that the switch does not speak OpenFlow 1.3.
	ErrVersion = errors.New("no common OpenFlow version")
	// ErrProtocol says that the switch sent bytes that cannot be followed any further.
	ErrProtocol = errors.New("OpenFlow protocol violated")
	// ErrOutcomeUnknown says that a change may or may not have happened: read the switch back.
	ErrOutcomeUnknown = errors.New("outcome unknown")
	// ErrNoAnswer says that a request got no answer within Config.RequestTimeout.
	ErrNoAnswer = errors.New("no answer in time")
	// ErrStale says that the switch has seen a newer generation of masters.
	ErrStale = errors.New("stale generation")
	// ErrReplyTooLong says that a multipart answer exceeded Config.MaxReply.
	ErrReplyTooLong = errors.New("multipart answer too long")
)

// A CommitError says that the switch refused a bundle. Nothing of it was done.
type CommitError struct {
	// Index is the place in the list of the first message refused, -1 when the switch refused
	// the bundle as such.
	Index int
	// Message is the message refused, nil when Index is -1.
	Message openflow.Message
	// Err is the reason: an *openflow.Error when the switch gave one.
	Err error
}

// Error implements error.
func (e *CommitError) Error() string {
	if e.Index < 0 {
		return fmt.Sprintf("bundle refused: %v", e.Err)
	}
	return fmt.Sprintf("bundle refused: message %d (%v): %v", e.Index, e.Message.Type(), e.Err)
}

// Unwrap gives Err.
func (e *CommitError) Unwrap() error { return e.Err }
