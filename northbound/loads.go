package northbound

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"

	"github.com/gorilla/mux"

	"github.com/flowtap/flowtap/topology"
)

// Loads takes what is measured elsewhere, where this replica leads.
type Loads interface {
	// Node takes what the agent of a node reports, Heartbeat what a monitor says of itself. Ids are inside ids of objects
	// that are there.
	Node(ctx context.Context, id string, r topology.NodeReport) error
	Heartbeat(ctx context.Context, id string, h topology.Heartbeat) error
}

// loadRoutes are those by which nodes and monitors say how busy they are.
func (s *Server) loadRoutes() []route {
	answers := func() map[int]answer {
		return map[int]answer{204: {}, 400: {}, 404: {}, 413: {}, 415: {}, 422: {}, 503: {}}
	}
	return []route{
		{method: http.MethodPut, path: "/v1/nodes/{id}/load", summary: "Say how busy a node is, every few seconds.",
			params: noParameters, body: "NodeReport", answers: answers(), handle: takes(s, s.nodes(), Loads.Node), leads: always},
		{method: http.MethodPut, path: "/v1/ports/{id}/heartbeat", summary: "Say how a monitor fares, every few seconds.",
			params: noParameters, body: "Heartbeat", answers: answers(), handle: takes(s, s.ports(), Loads.Heartbeat), leads: always},
	}
}

// takes answers a report about an object.
func takes[S, T, R any](s *Server, res *resource[S, T], take func(Loads, context.Context, string, R) error) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if _, err := parseQuery(r, noParameters...); err != nil {
			return err
		}
		body, err := readBody(w, r)
		if err != nil {
			return err
		}
		var report R
		if _, err := scanObject(body); err != nil {
			return err
		}
		if err := json.Unmarshal(body, &report); err != nil {
			return decodeProblem(err, structFields(reflect.TypeFor[R]()))
		}
		ctx, cancel := context.WithTimeout(r.Context(), s.deps.StoreTimeout)
		defer cancel()
		obj, err := res.get(ctx, scopeOf(ctx), mux.Vars(r)["id"])
		switch {
		case err != nil:
			return err
		case s.deps.Loads == nil:
			return unavailable("the controller, which gathers loads, is not running")
		}
		if port, ok := any(obj.Spec).(topology.Port); ok && port.Kind != topology.KindMonitor {
			return invalid("id", "is no monitor: only monitors have heartbeats")
		}
		if err := take(s.deps.Loads, ctx, obj.ID, report); err != nil {
			return unavailable("not taken: %v", err)
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
}

// loadSchemas are the components of loadRoutes.
func loadSchemas() doc {
	part, rate := doc{"type": "number", "minimum": 0, "maximum": 1}, doc{"type": "number", "minimum": 0}
	return doc{
		"NodeReportWanted": closed(doc{"cpu": part, "memory": part, "link": rate}, "cpu", "memory"),
		"HeartbeatWanted": closed(doc{"cpu": part, "memory": part, "share": part, "capacity": rate, "received_frames": countSchema,
			"received_bytes": countSchema, "dropped_frames": countSchema, "dropped_bytes": countSchema}, "cpu"),
	}
}

func nodeLoadSchema() doc {
	part, rate, when := doc{"type": "number"}, doc{"type": "number", "minimum": 0}, doc{"type": "string", "format": "date-time"}
	return closed(doc{"at": when, "cpu": part, "memory": part, "link_at": when, "sent": rate, "received": rate, "link": rate}, "cpu", "memory", "sent", "received")
}

func portLoadSchema() doc {
	rate := doc{"type": "number", "minimum": 0}
	return closed(doc{"at": doc{"type": "string", "format": "date-time"}, "sent": rate, "received": rate}, "at", "sent", "received")
}

func monitorLoadSchema() doc {
	rate := doc{"type": "number", "minimum": 0}
	return closed(doc{"at": doc{"type": "string", "format": "date-time"}, "cpu": rate, "memory": rate, "share": rate, "capacity": rate, "received": rate, "idle": rate, "bears": rate,
		"received_frames": countSchema, "dropped_frames": countSchema}, "at", "cpu", "memory", "received", "received_frames", "dropped_frames")
}
