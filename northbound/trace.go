package northbound

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"strings"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/store"
	"github.com/flowtap/flowtap/topology"
)

// A TraceRequest asks what becomes of a frame that enters by a port.
type TraceRequest struct {
	Port string
	// Frame describes the frame; what it leaves open is the port's own, or something usual.
	Frame flowtap.Match
	// GiveBack says that monitors to which frames are redirected give them back.
	GiveBack bool
}

// trace answers POST /v1/trace.
func (s *Server) trace(w http.ResponseWriter, r *http.Request) error {
	if _, err := parseQuery(r, noParameters...); err != nil {
		return err
	}
	body, err := readBody(w, r)
	if err != nil {
		return err
	}
	req, err := traceRequest(body)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.deps.StoreTimeout)
	defer cancel()
	missing := problem(http.StatusNotFound, "port", "there is no port %q", clip(req.Port))
	if topology.ValidRef(req.Port) != nil {
		return missing
	}
	req.Port = topology.Absolute(topology.DefaultProject, req.Port)
	_, err = s.deps.Store.Ports().Get(ctx, req.Port)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return missing
	case err != nil:
		return err
	case s.deps.Trace == nil:
		return unavailable("the controller, which knows what switches should hold, is not running")
	}
	t, err := s.deps.Trace(ctx, req)
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return unavailable("the trace took too long")
	case err != nil:
		return err
	}
	return writeJSON(w, http.StatusOK, json.RawMessage(relativeNames(mustJSON(t))))
}

// insideName is a member of a trace that has the inside id of an object of another project than default.
var insideName = regexp.MustCompile(`"(port|monitor|tap|id|given_back_by)":"([a-z0-9][a-z0-9-]*):([a-z0-9][a-z0-9-]*)"`)

func relativeNames(b []byte) []byte { return insideName.ReplaceAll(b, []byte(`"$1":"$2/$3"`)) }

// noParameters are those of a route that has none; nil would let any pass.
var noParameters = []string{}

func traceRequest(body []byte) (req TraceRequest, err error) {
	members, err := scanObject(body)
	if err != nil {
		return req, err
	}
	for _, m := range members {
		switch m.name {
		case "port":
			if json.Unmarshal(m.value, &req.Port) != nil {
				return req, invalid("port", "must be a string, the id of a port")
			}
		case "frame":
			if err := json.Unmarshal(m.value, &req.Frame); err != nil {
				return req, frameProblem(err)
			}
		case "give_back":
			if json.Unmarshal(m.value, &req.GiveBack) != nil {
				return req, invalid("give_back", "must be true or false")
			}
		default:
			return req, badRequest(clip(m.name), "there is no field %q; there are: port, frame, give_back", clip(m.name))
		}
	}
	if req.Port == "" {
		return req, invalid("port", "is required: the id of the port by which the frame enters")
	}
	return req, nil
}

// frameProblem says what is wrong with the description of a frame, which is spelled like a match.
func frameProblem(err error) error {
	var field *topology.FieldError
	if !errors.As(err, &field) {
		return invalid("frame", "%v", err)
	}
	switch name := strings.TrimPrefix(strings.TrimPrefix(field.Field, "match"), "."); {
	case name == "":
		return invalid("frame", "%s", field.Detail)
	case field.Unknown():
		return invalid("frame", "there is no field %q", name)
	default:
		return invalid("frame", "%s: %s", name, field.Detail)
	}
}
