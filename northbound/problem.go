package northbound

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/store"
	"github.com/flowtap/flowtap/topology"
)

// A Problem is an RFC 9457 problem document and, inside the package, the error that causes it.
// Type is left out, which RFC 9457 §4.2.1 reads as "about:blank": the title is the status phrase.
type Problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	// Field is the JSON name of the field, or the query parameter, that is at fault.
	Field string `json:"field,omitempty"`
	// ConflictsWith is the id of the object that stands in the way.
	ConflictsWith string `json:"conflicts_with,omitempty"`
	// Witness is a frame that both of two overlapping contracts match.
	Witness string `json:"witness,omitempty"`
	// Users are the ids of the objects that refer to the one that was to be deleted or changed.
	Users []string `json:"users,omitempty"`
	// Diagnostics are all that there is to say of a policy's text.
	Diagnostics []flowtap.Diagnostic `json:"diagnostics,omitempty"`

	retryAfter int  // seconds; zero sends no Retry-After
	challenge  bool // say how to log in (RFC 9110 §11.6.1)
}

// ProblemType is the media type of a Problem.
const ProblemType = "application/problem+json"

func (p *Problem) Error() string {
	if p.Field != "" {
		return fmt.Sprintf("%d %s: %s", p.Status, p.Field, p.Detail)
	}
	return fmt.Sprintf("%d: %s", p.Status, p.Detail)
}

// mostQuoted is how many bytes of a field's name, and of a detail, a problem has: what a client sends does not
// come back, or into a log, in full.
const mostQuoted = 2 << 10

func problem(status int, field, format string, args ...any) *Problem {
	return &Problem{
		Title: http.StatusText(status), Status: status, Field: firstOf(field, mostQuoted),
		Detail: firstOf(fmt.Sprintf(format, args...), mostQuoted),
	}
}

func firstOf(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}

func badRequest(field, format string, args ...any) *Problem {
	return problem(http.StatusBadRequest, field, format, args...)
}

func invalid(field, format string, args ...any) *Problem {
	return problem(http.StatusUnprocessableEntity, field, format, args...)
}

func conflict(with, format string, args ...any) *Problem {
	p := problem(http.StatusConflict, "", format, args...)
	p.ConflictsWith = with
	return p
}

// unavailable tells the client to come back in a second.
func unavailable(format string, args ...any) *Problem {
	p := problem(http.StatusServiceUnavailable, "", format, args...)
	p.retryAfter = 1
	return p
}

// maxUsers bounds how many users a problem lists; the detail says that there are more.
const maxUsers = 100

// problemOf says what an error means to the client. An error that it does not know is the
// server's own fault: the client reads that and no more, the caller logs it.
func problemOf(err error) *Problem {
	var (
		p         *Problem
		field     *topology.FieldError
		exists    *store.ExistsError
		revision  *store.RevisionError
		reference *store.ReferenceError
		inUse     *store.InUseError
		unique    *store.UniqueError
		overlap   *store.OverlapError
		quota     *store.QuotaError
	)
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &field):
		return invalid(field.Field, "%s", field.Detail)
	case errors.As(err, &reference):
		return invalid(reference.Field, "there is no %s %q: create it first", singular(reference.Collection), reference.ID)
	case errors.As(err, &exists):
		return conflict(exists.ID, "%s %q exists with other content: change it with PUT", singular(exists.Collection), exists.ID)
	case errors.As(err, &unique):
		p := conflict(unique.Owner, "%s %s is taken by %q", unique.Field, unique.Value, unique.Owner)
		p.Field = unique.Field
		return p
	case errors.As(err, &quota):
		return invalid("project", "project %q may have %d %s, and has them: delete some, or ask the provider for more (quota %s)",
			quota.Project, quota.Limit, quota.Collection, quota.Collection)
	case errors.Is(err, store.ErrChanged):
		return unavailable("what the change depends on changes all the time: repeat the request")
	case errors.As(err, &overlap):
		return overlapProblem(overlap, overlap.Witness.String())
	case errors.As(err, &revision):
		return problem(http.StatusPreconditionFailed, "", "the object changed: it is at revision %d, not %d; read it again", revision.Have, revision.Want)
	case errors.As(err, &inUse):
		return inUseProblem(inUse)
	case errors.Is(err, store.ErrNotFound):
		return problem(http.StatusNotFound, "", "there is no such object")
	case errors.Is(err, store.ErrOutcomeUnknown):
		return unavailable("the store did not say whether the change was made: repeat the request, it is safe with the same id")
	case errors.Is(err, store.ErrFull):
		return unavailable("nothing was changed: %v", store.ErrFull)
	case errors.Is(err, store.ErrUnavailable), errors.Is(err, store.ErrClosed):
		return unavailable("the store cannot be reached; nothing was changed")
	}
	return problem(http.StatusInternalServerError, "", "the server failed; its log says why")
}

// overlapProblem shows the witness as it is spelled.
func overlapProblem(e *store.OverlapError, witness string) *Problem {
	p := conflict(e.With, "overlaps tap %q: both have the frame %s, direction %s, at priority %d; narrow one match or give one another priority",
		e.With, witness, e.Direction, e.Priority)
	p.Witness = witness
	return p
}

func inUseProblem(e *store.InUseError) *Problem {
	users, more := e.Users, ""
	if len(users) > maxUsers {
		users, more = users[:maxUsers], " and others"
	}
	p := problem(http.StatusConflict, "", "%s %q is in use by %s%s: delete or change those first",
		singular(e.Collection), e.ID, strings.Join(users, ", "), more)
	p.Users = users
	return p
}

// write sends the document. RFC 9457 §3.
func (p *Problem) write(w http.ResponseWriter) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // details quote matches such as tp_dst>=5
	if err := enc.Encode(p); err != nil {
		panic(fmt.Sprintf("a problem cannot be encoded: %v", err))
	}
	w.Header().Set("Content-Type", ProblemType)
	w.Header().Set("Cache-Control", "no-store")
	if p.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(p.retryAfter))
	}
	if p.challenge {
		w.Header().Set("WWW-Authenticate", `Bearer realm="flowtap"`)
	}
	w.WriteHeader(p.Status)
	_, _ = w.Write(b.Bytes()) // a client that went away cannot be told
}
