package northbound

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/flowtap/flowtap/access"
	"github.com/flowtap/flowtap/store"
)

const (
	mediaLines = "application/x-ndjson"
	// auditLimit is how many records an answer has where the request does not say.
	auditLimit = 1000
	// sweepEvery is how often the audit log is looked at for what is too old or too much.
	sweepEvery = time.Minute
)

func (s *Server) auditRoute() route {
	return route{method: http.MethodGet, path: "/v1/audit", summary: "Read who changed what, the oldest first; as JSON lines for Accept: " + mediaLines + ".",
		params:  []string{"limit", "page", "collection", "id", "principal", "since", "until", "newest"},
		answers: map[int]answer{200: {mediaJSON, "AuditList"}, 400: {}, 404: {}, 503: {}}, handle: s.audit}
}

type auditPage struct {
	Items []access.Record `json:"items"`
	Next  string          `json:"next"`
}

// audit answers GET /v1/audit.
func (s *Server) audit(w http.ResponseWriter, r *http.Request) error {
	q, err := parseQuery(r, "limit", "page", "collection", "id", "principal", "since", "until", "newest")
	if err != nil {
		return err
	}
	sc := scopeOf(r.Context())
	if sc.hidden {
		return problem(http.StatusNotFound, "project", "there is no project %q", clip(sc.project))
	}
	f, err := auditFilter(q)
	if err != nil {
		return err
	}
	f.Project = sc.project
	limit, err := q.limit()
	if err != nil {
		return err
	}
	after, err := q.page()
	if err != nil {
		return err
	}
	if after != "" && !store.IsAuditID(after) {
		return badRequest("page", "page must be the next of the last answer")
	}
	newest, err := q.bool("newest")
	if err != nil {
		return err
	}
	if strings.Contains(r.Header.Get("Accept"), mediaLines) {
		return s.auditLines(w, r, f, after, newest, limit)
	}
	if limit == 0 {
		limit = auditLimit
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.deps.StoreTimeout)
	defer cancel()
	found, next, err := s.deps.Store.Audit(ctx, f, after, newest, limit)
	if err != nil {
		return err
	}
	page := auditPage{Items: append([]access.Record{}, found...)}
	if next != "" {
		page.Next = pageToken(next)
	}
	return writeJSON(w, http.StatusOK, page)
}

// auditLines writes one record a line, all that there are where limit is zero.
func (s *Server) auditLines(w http.ResponseWriter, r *http.Request, f access.Filter, after string, newest bool, limit int) error {
	out := &stream{w: w, rc: http.NewResponseController(w)}
	for sent := 0; ; {
		n := auditLimit
		if limit > 0 {
			n = min(n, limit-sent)
		}
		ctx, cancel := context.WithTimeout(r.Context(), s.deps.StoreTimeout)
		found, next, err := s.deps.Store.Audit(ctx, f, after, newest, n)
		cancel()
		switch {
		case err != nil && sent == 0:
			return err
		case err != nil:
			s.deps.Logger.Error("the audit log was sent in part", "err", err)
			panic(http.ErrAbortHandler) // the client must not take it for the whole
		}
		if sent == 0 {
			w.Header().Set("Content-Type", mediaLines)
			w.Header().Set("Cache-Control", "no-store")
			w.WriteHeader(http.StatusOK)
		}
		var lines []byte
		for _, rec := range found {
			lines = append(append(lines, mustJSON(rec)...), '\n')
		}
		sent += len(found)
		if !out.write(lines) || next == "" || sent == limit {
			return nil
		}
		after = next
	}
}

func auditFilter(q query) (f access.Filter, err error) {
	for name, to := range map[string]*string{"collection": &f.Collection, "id": &f.Object, "principal": &f.Principal} {
		if *to, _, err = q.take(name); err != nil {
			return f, err
		}
	}
	for name, to := range map[string]*time.Time{"since": &f.Since, "until": &f.Until} {
		text, ok, err := q.take(name)
		if err != nil {
			return f, err
		}
		if !ok {
			continue
		}
		if *to, err = time.Parse(time.RFC3339Nano, text); err != nil || to.Year() < 1970 || to.Year() > 9999 {
			return f, badRequest(name, "%s must be a time such as 2026-01-31T08:00:00Z, not %q", name, clip(text))
		}
	}
	return f, nil
}

// sweep keeps the audit log within its bounds until ctx ends.
func (s *Server) sweep(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		n, err := s.deps.Store.SweepAudit(ctx, time.Now().Add(-s.deps.AuditRetention), s.deps.AuditMax)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			s.deps.Logger.Warn("the audit log could not be swept", "err", err)
		case n > 0:
			s.deps.Logger.Info("audit log swept", "records", n)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
