package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/flowtap/flowtap/flowtap"
)

var (
	// ErrNotFound says that the object does not exist.
	ErrNotFound = errors.New("not found")
	// ErrUnavailable says that etcd could not serve and that nothing was written. Try again later.
	ErrUnavailable = errors.New("store unavailable")
	// ErrOutcomeUnknown says that a write was sent and its answer never came: it may or may not
	// have happened, or may still happen. Read the object before deciding what to do.
	ErrOutcomeUnknown = errors.New("outcome unknown")
	// ErrFull goes with ErrUnavailable: etcd has reached its quota and takes no writes. The embedded one
	// makes room by itself; an external one's operator has to.
	ErrFull = errors.New("etcd is out of space: compact and defragment it, or raise its quota, and disarm its alarm NOSPACE; the embedded etcd does so by itself")
	// ErrClosed says that the store was closed.
	ErrClosed = errors.New("store closed")
)

// An ExistsError says that another object has the id already.
type ExistsError struct{ Collection, ID string }

func (e *ExistsError) Error() string {
	return fmt.Sprintf("%s %s exists already and is different", singular(e.Collection), e.ID)
}

// A RevisionError says that the object changed since the caller read it. Have is its revision now.
type RevisionError struct{ Want, Have int64 }

func (e *RevisionError) Error() string {
	return fmt.Sprintf("the revision is %d, not %d", e.Have, e.Want)
}

// A ReferenceError says that Field names the object ID of Collection, which does not exist.
type ReferenceError struct{ Field, Collection, ID string }

func (e *ReferenceError) Error() string {
	return fmt.Sprintf("%s: there is no %s %q", e.Field, singular(e.Collection), e.ID)
}

// An InUseError says that the object cannot be deleted because others refer to it. Users are their
// ids, sorted, at most 100 of them; the ids may be of different collections.
type InUseError struct {
	Collection, ID string
	Users          []string
}

func (e *InUseError) Error() string {
	const most = 10
	users, more := e.Users, ""
	if len(users) > most {
		users, more = users[:most], " and others"
	}
	return fmt.Sprintf("%s %s is in use by %s%s", singular(e.Collection), e.ID, strings.Join(users, ", "), more)
}

// A UniqueError says that the object Owner of the same collection has this value in Field already.
type UniqueError struct{ Field, Value, Owner string }

func (e *UniqueError) Error() string {
	return fmt.Sprintf("%s: %s belongs to %s", e.Field, e.Value, e.Owner)
}

// An OverlapError says that two contracts of one target cannot stand together: With is the other
// one's id, Witness a frame that both are after in Direction at Priority.
type OverlapError struct {
	With      string
	Direction flowtap.Direction
	Priority  int
	Witness   flowtap.Witness
}

func (e *OverlapError) Error() string {
	return fmt.Sprintf("overlaps tap %s in direction %s at priority %d: both have the frame %s", e.With, e.Direction, e.Priority, e.Witness)
}

// readError says what the failure of a read means, or of anything that wrote nothing: it is worth
// another try, unless the caller gave up.
func readError(err error) error {
	return fmt.Errorf("%w: %w", ErrUnavailable, oneLine(err))
}

// writeError says what a failed write means. Only where it is certain that nothing was proposed to
// the cluster it is ErrUnavailable; whatever else happened, the write may have been done. again
// says that the same request may be repeated and may succeed a moment later.
func writeError(err error, sent bool) (_ error, again bool) {
	switch {
	case errors.Is(err, rpctypes.ErrRequestTooLarge), errors.Is(err, rpctypes.ErrTooManyOps):
		return fmt.Errorf("too large for one transaction: %w", err), false
	case !sent, errors.Is(err, rpctypes.ErrNoLeader), errors.Is(err, rpctypes.ErrTooManyRequests):
		return readError(err), interrupted(err)
	case errors.Is(err, rpctypes.ErrNoSpace):
		return fmt.Errorf("%w: %w", ErrUnavailable, ErrFull), false
	case errors.Is(err, rpctypes.ErrCorrupt), errors.Is(err, rpctypes.ErrNotCapable),
		errors.Is(err, rpctypes.ErrPermissionDenied), errors.Is(err, rpctypes.ErrUserEmpty), errors.Is(err, rpctypes.ErrInvalidAuthToken):
		return readError(err), false // etcd refused it
	}
	return fmt.Errorf("%w: %w", ErrOutcomeUnknown, oneLine(err)), false
}

func compacted(err error) bool { return errors.Is(err, rpctypes.ErrCompacted) }

// oneLine keeps what errors.Is can find and makes the text fit on a line.
func oneLine(err error) error {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no answer in time (%w)", context.DeadlineExceeded)
	case strings.ContainsAny(err.Error(), "\n\r"):
		return &flatError{err}
	}
	return err
}

type flatError struct{ err error }

func (e *flatError) Error() string { return strings.Join(strings.Fields(e.err.Error()), " ") }
func (e *flatError) Unwrap() error { return e.err }

// isUnavailable reports grpc's own "Unavailable", in whatever it is wrapped.
func isUnavailable(err error) bool {
	var e rpctypes.EtcdError
	if errors.As(err, &e) {
		return e.Code() == codes.Unavailable
	}
	return status.Code(err) == codes.Unavailable
}
