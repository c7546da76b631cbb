package northbound

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/mux"

	"github.com/flowtap/flowtap/access"
	"github.com/flowtap/flowtap/fairlisten"
	"github.com/flowtap/flowtap/store"
)

// shutdownTimeout bounds how long requests in progress may take to end.
const shutdownTimeout = 5 * time.Second

// Server is the REST interface. It is safe for concurrent use. Make one with New.
type Server struct {
	deps    Deps
	metrics *metrics
	// failures are the logins that failed.
	failures failures
	hub      *hub
	routes   []route
	router   *mux.Router

	watchers watchers
	stopOnce sync.Once
	stopping chan struct{} // closed when Run ends: watches and waits end
}

// New builds the routes; it starts nothing. The error says which of the Deps is missing.
func New(deps Deps) (*Server, error) {
	if err := deps.validate(); err != nil {
		return nil, err
	}
	s := &Server{
		deps:     deps,
		metrics:  newMetrics(deps.Registry),
		hub:      newHub(),
		stopping: make(chan struct{}),
	}
	s.routes = s.table()
	s.router = mux.NewRouter().SkipClean(true)
	for _, rt := range s.routes {
		s.router.Handle(rt.path, s.endpoint(rt)).Methods(rt.method)
	}
	s.router.NotFoundHandler = s.endpoint(route{path: "unmatched", handle: func(_ http.ResponseWriter, r *http.Request) error {
		return problem(http.StatusNotFound, "", "there is nothing at %s", r.URL.Path)
	}})
	s.router.MethodNotAllowedHandler = s.endpoint(route{path: "unmatched", handle: s.methodNotAllowed})
	return s, nil
}

// A handler answers, or returns the error that becomes the problem document; not both.
type handler func(http.ResponseWriter, *http.Request) error

// endpoint turns a route's handler into an http.Handler.
func (s *Server) endpoint(rt route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if rec, ok := w.(*recorder); ok {
			rec.route = rt.path
		}
		if r.Method == http.MethodGet {
			ctx, staleness := store.AllowStale(r.Context())
			r = r.WithContext(ctx)
			if rec, ok := w.(*recorder); ok {
				rec.staleness = staleness
			}
		}
		r, err := s.admit(w, r, rt)
		if err == nil {
			if rt.rule.Least != access.Nobody {
				settle(w, r)
			}
			handle := rt.handle
			if rt.leads != nil && rt.leads(r) {
				handle = s.byLeader(rt.handle)
			}
			err = handle(w, r)
		}
		if err != nil {
			s.fail(w, r, err)
		}
	})
}

func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	var overlap *store.OverlapError
	if errors.As(err, &overlap) {
		err = overlapProblem(overlap, s.spell(r.Context(), overlap.Witness))
	}
	p := scopeOf(r.Context()).problem(err)
	if p.Status == http.StatusInternalServerError {
		s.deps.Logger.Error("request failed", "method", r.Method, "path", r.URL.Path, "err", err)
	}
	p.write(w)
}

// methodNotAllowed names the methods that the path has (RFC 9110 §15.5.6).
func (s *Server) methodNotAllowed(w http.ResponseWriter, r *http.Request) error {
	var allowed []string
	for _, rt := range s.routes {
		var m mux.RouteMatch
		probe := r.Clone(r.Context())
		probe.Method = rt.method
		if s.router.Match(probe, &m) && m.MatchErr == nil && !slices.Contains(allowed, rt.method) {
			allowed = append(allowed, rt.method)
		}
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	return problem(http.StatusMethodNotAllowed, "", "%s is not possible here; possible are: %s", r.Method, strings.Join(allowed, ", "))
}

// ServeHTTP implements http.Handler: it counts, and turns a panic into a 500 without details.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rec := &recorder{ResponseWriter: w, route: "unmatched"}
	start := time.Now()
	method := r.Method
	defer func() {
		if v := recover(); v != nil {
			if v == http.ErrAbortHandler {
				panic(v)
			}
			s.deps.Logger.Error("request panicked", "method", method, "path", r.URL.Path, "panic", v, "stack", string(debug.Stack()))
			if rec.status == 0 {
				problemOf(errors.New("panic")).write(rec)
			}
		}
		if rec.status == 0 {
			rec.status = http.StatusOK
		}
		s.metrics.observe(rec, method, time.Since(start))
	}()
	if method == http.MethodHead { // a GET whose body net/http leaves out
		if r.URL.Query().Has("watch") {
			badRequest("watch", "a watch needs GET").write(rec)
			return
		}
		r = r.Clone(r.Context())
		r.Method = http.MethodGet
	}
	s.router.ServeHTTP(rec, r)
}

// Run feeds the cache behind ?watch and ?wait, and sweeps the audit log, until ctx ends, then ends all watches
// and waits.
// Call it once.
func (s *Server) Run(ctx context.Context) {
	defer s.stopOnce.Do(func() { close(s.stopping) })
	var sweeping sync.WaitGroup
	defer sweeping.Wait()
	sweeping.Go(func() { s.sweep(ctx) })
	s.hub.run(ctx, s.deps.Store)
}

// Serve answers on l until ctx ends: then watches end, requests in progress have a few seconds, and
// nil is returned when nothing was left. It closes l.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler:           prompt(s),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       headerTimeout + bodyTimeout, // of what nobody reads, see prompt
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: 32, MaxReadFrameSize: 16 << 10, SendPingTimeout: time.Minute, PingTimeout: 15 * time.Second, WriteByteTimeout: writeTimeout},
		ConnContext:       func(ctx context.Context, nc net.Conn) context.Context { return context.WithValue(ctx, connKey{}, nc) },
		ErrorLog:          slog.NewLogLogger(s.deps.Logger.Handler(), slog.LevelDebug), // anybody can fail to shake hands
		// No WriteTimeout: watches and waits are long. Watches set a deadline for each write.
	}
	run, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() { s.Run(run) })
	down := make(chan error, 1) // holds the one result of Shutdown
	wg.Go(func() {
		<-run.Done()
		grace, stop := context.WithTimeout(context.Background(), shutdownTimeout)
		defer stop()
		err := srv.Shutdown(grace)
		if err != nil {
			_ = srv.Close() // reports what Shutdown did
		}
		down <- err
	})
	fair := fairlisten.New(l, s.deps.Limits)
	defer fair.Close()
	defer fair.Export(s.deps.Registry, "http")()
	var serving net.Listener = fair
	if s.deps.TLS != nil {
		serving = tls.NewListener(fair, s.deps.TLS)
	}
	err := srv.Serve(serving)
	cancel()
	wg.Wait()
	if !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve HTTP on %s: %w", l.Addr(), err)
	}
	if err := <-down; err != nil {
		return fmt.Errorf("shut down HTTP on %s: %w", l.Addr(), err)
	}
	return nil
}

// writeJSON answers with a JSON document.
func writeJSON(w http.ResponseWriter, status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // a client that went away cannot be told
	return nil
}
