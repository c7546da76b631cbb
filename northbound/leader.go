package northbound

import (
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"time"

	"github.com/flowtap/flowtap/topology"
)

// Elsewhere is the REST interface of the replica that leads.
type Elsewhere struct {
	URL       *url.URL
	Transport http.RoundTripper
}

// byLeader has a request answered by the replica that leads: handle, where that is this one.
func (s *Server) byLeader(handle handler) handler {
	if s.deps.Leader == nil {
		return handle
	}
	return func(w http.ResponseWriter, r *http.Request) error {
		there, err := s.deps.Leader(r.Context())
		switch {
		case err != nil:
			return unavailable("%v; it will not be long", err)
		case there == nil:
			return handle(w, r)
		}
		var failed error
		proxy := httputil.ReverseProxy{Transport: there.Transport, FlushInterval: -1,
			Rewrite: func(p *httputil.ProxyRequest) {
				p.SetURL(there.URL)
				p.SetXForwarded()
				passOn(p.Out, scopeOf(r.Context()))
			},
			ErrorHandler: func(_ http.ResponseWriter, _ *http.Request, err error) { failed = err },
		}
		proxy.ServeHTTP(w, r)
		if failed != nil {
			return unavailable("the replica that leads cannot be asked: %v", failed)
		}
		return nil
	}
}

// What only the leader can answer.

func always(*http.Request) bool { return true }

func asks(parameter string) func(*http.Request) bool {
	return func(r *http.Request) bool { return r.URL.Query().Get(parameter) == "true" }
}

func asksStrangers(r *http.Request) bool {
	return slices.Equal(r.URL.Query()["state"], []string{topology.NodeUnregistered})
}

// A Replica is one flowtapd of several.
type Replica struct {
	Name, Peer, Version string
	Since               time.Time
	Leader              bool
	// Reached says that the replica that was asked has a connection to it, or is it.
	Reached bool
	// Switches counts those connected to it, Masters those whose master it is.
	Switches, Masters int
}

type replicaAnswer struct {
	Name     string    `json:"name"`
	Leader   bool      `json:"leader"`
	Reached  bool      `json:"reached"`
	Peer     string    `json:"peer_address"`
	Version  string    `json:"version"`
	Since    time.Time `json:"since"`
	Switches int       `json:"switches"`
	Masters  int       `json:"masters"`
}

// replicas answers GET /v1/replicas.
func (s *Server) replicas(w http.ResponseWriter, r *http.Request) error {
	if _, err := parseQuery(r, noParameters...); err != nil {
		return err
	}
	items := []replicaAnswer{}
	if s.deps.Replicas != nil {
		for _, x := range s.deps.Replicas() {
			items = append(items, replicaAnswer{Name: x.Name, Leader: x.Leader, Reached: x.Reached, Peer: x.Peer, Version: x.Version,
				Since: x.Since, Switches: x.Switches, Masters: x.Masters})
		}
	}
	return writeJSON(w, http.StatusOK, map[string]any{"items": items})
}
