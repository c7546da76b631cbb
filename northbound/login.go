package northbound

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/flowtap/flowtap/access"
	"github.com/flowtap/flowtap/store"
	"github.com/flowtap/flowtap/topology"
)

// admit finds out who makes a request and of which project it is, and whether the route is for them. It gives the
// request with its scope.
func (s *Server) admit(w http.ResponseWriter, r *http.Request, rt route) (*http.Request, error) {
	sc := &scope{rule: rt.rule, from: r.RemoteAddr, request: requestID(r), query: r.URL.RawQuery, project: topology.DefaultProject}
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		sc.from = host
	}
	w.Header().Set("X-Request-Id", sc.request)
	r = r.WithContext(context.WithValue(r.Context(), scopeKey{}, sc))
	if rt.path == "unmatched" {
		return r, nil
	}
	if !rt.ruled {
		return r, problem(http.StatusForbidden, "", "nobody may do this: the route has no rule")
	}
	if rt.rule.Least == access.Nobody {
		return r, nil
	}
	var err error
	if sc.principal, err = s.login(r, sc.from); err != nil {
		return r, err
	}
	if rt.rule.OfProject {
		if r, err = s.projectOf(r, sc); err != nil {
			return r, err
		}
	}
	switch rt.rule.Decide(sc.principal, sc.project) {
	case access.Login:
		s.metrics.refused.WithLabelValues("role").Inc()
		return r, unauthorized("the token, or the certificate, gives no role")
	case access.Forbid:
		s.metrics.refused.WithLabelValues("role").Inc()
		return r, forbidden(rt.rule.Least)
	case access.NotThere:
		sc.hidden = true
	}
	return r, nil
}

// projectOf takes ?project from the request: what is left in the query is the route's own.
func (s *Server) projectOf(r *http.Request, sc *scope) (*http.Request, error) {
	q, err := parseQuery(r)
	if err != nil {
		return r, err
	}
	project, named, err := q.take("project")
	switch {
	case err != nil:
		return r, err
	case !named && sc.rule.All && sc.principal.Provider:
		sc.project = ""
		return r, nil
	case !named:
		sc.project = sc.principal.Project(topology.DefaultProject)
		return r, nil
	case project == topology.Everyone && sc.principal.Provider && r.Method == http.MethodGet:
		sc.project = ""
	case topology.ValidID(project) != nil:
		return r, badRequest("project", "%q is not the id of a project", clip(project))
	default:
		sc.project, sc.named = project, true
	}
	r = r.Clone(r.Context())
	r.URL.RawQuery = q.values.Encode()
	return r, nil
}

// requestID is what the client calls its request, or a new name for it.
func requestID(r *http.Request) string {
	id := r.Header.Get("X-Request-Id")
	ok := len(id) >= 1 && len(id) <= 64
	for i := 0; i < len(id) && ok; i++ {
		c := id[i]
		ok = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.'
	}
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	own := hex.EncodeToString(b[:])
	if !ok {
		return own
	}
	return id + "." + own[:8] // two requests of one name are two
}

// passedOn is the header in which a replica tells the one that leads who makes a request, which was let in where it came
// from. It means nothing in requests of others.
const passedOn = "X-Flowtap-Principal" // #nosec G101 -- a header's name

// passOn makes a request that another replica answers.
func passOn(r *http.Request, sc *scope) {
	r.URL.RawQuery = sc.query
	r.Header.Del("Authorization")
	r.Header.Set(passedOn, base64.StdEncoding.EncodeToString(mustJSON(sc.principal)))
}

// login finds out who makes a request. A bearer token counts before a client certificate.
//
// Every request reads its token from etcd, linearizably: one that was revoked by whichever replica is refused from
// then on by all, which no cache could promise. Only while etcd is away the last that was seen of it does, for
// reading.
func (s *Server) login(r *http.Request, from string) (access.Principal, error) {
	if s.deps.Forwarded != nil && s.deps.Forwarded(r.Context()) {
		var p access.Principal
		b, err := base64.StdEncoding.DecodeString(r.Header.Get(passedOn))
		if err != nil || json.Unmarshal(b, &p) != nil {
			return access.Principal{}, unauthorized("the replica that passed this on did not say who asks")
		}
		return p, nil
	}
	if s.deps.Insecure {
		return access.Principal{Name: "insecure", Provider: true}, nil
	}
	if auth := r.Header.Get("Authorization"); auth != "" {
		return s.bearer(r, from, auth)
	}
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		name := r.TLS.VerifiedChains[0][0].Subject.CommonName
		tokens, err := s.tokensUnder(r, access.CertificateIDs(name))
		if err != nil {
			return access.Principal{}, err
		}
		tokens = slices.DeleteFunc(tokens, func(t *store.Token) bool { return t.Spec.Certificate != name })
		return s.principal(name, tokens)
	}
	s.metrics.refused.WithLabelValues("none").Inc()
	return access.Principal{}, unauthorized("log in: send Authorization: Bearer and a token")
}

func (s *Server) bearer(r *http.Request, from, auth string) (access.Principal, error) {
	scheme, secret, _ := strings.Cut(auth, " ")
	secret = strings.TrimSpace(secret)
	good := strings.EqualFold(scheme, "Bearer") && access.IsSecret(secret)
	id := access.SecretID(secret)
	if s.failures.blocked(from) && !(good && len(s.deps.Store.KnownTokens(id)) > 0) {
		s.metrics.refused.WithLabelValues("limited").Inc()
		p := problem(http.StatusTooManyRequests, "", "too many logins from %s have failed", from)
		p.retryAfter = 1
		return access.Principal{}, p
	}
	var tokens []*store.Token
	if good {
		var err error
		if tokens, err = s.tokensUnder(r, id); err != nil {
			return access.Principal{}, err
		}
		hash := []byte(access.HashOf(secret))
		tokens = slices.DeleteFunc(tokens, func(t *store.Token) bool {
			return subtle.ConstantTimeCompare([]byte(t.Spec.Hash), hash) == 0
		})
	}
	if len(tokens) == 0 {
		s.failures.add(from)
		s.metrics.refused.WithLabelValues("unknown").Inc()
		s.deps.Logger.Warn("login refused", "from", from)
		return access.Principal{}, badToken()
	}
	return s.principal(tokens[0].Spec.Name, tokens)
}

func (s *Server) tokensUnder(r *http.Request, prefix string) ([]*store.Token, error) {
	ctx, cancel := context.WithTimeout(r.Context(), s.deps.StoreTimeout)
	defer cancel()
	return s.deps.Store.TokensUnder(ctx, prefix)
}

func (s *Server) principal(name string, tokens []*store.Token) (access.Principal, error) {
	p := principalOf(name, tokens)
	if p.Most() == access.Nobody {
		s.metrics.refused.WithLabelValues("expired").Inc()
		return p, badToken()
	}
	return p, nil
}

func principalOf(name string, tokens []*store.Token) access.Principal {
	var ids []string
	var specs []access.Token
	for _, t := range tokens {
		ids, specs = append(ids, t.ID), append(specs, t.Spec)
	}
	return access.PrincipalOf(time.Now(), name, ids, specs)
}

// badToken is one answer for what is unknown, expired and revoked.
func badToken() *Problem {
	return unauthorized("the token, or the certificate, is unknown, expired or revoked")
}

func unauthorized(format string) *Problem {
	p := problem(http.StatusUnauthorized, "", "%s", format)
	p.challenge = true
	return p
}

// stillAllowed reports whether the login of a long answer still holds, by what the mirror knows.
func (s *Server) stillAllowed(sc *scope) bool {
	if s.deps.Insecure || sc.principal.Token == "" {
		return true
	}
	prefix := sc.principal.Token
	if strings.HasPrefix(prefix, "cert-") {
		prefix = access.CertificateIDs(sc.principal.Name)
	}
	p := principalOf(sc.principal.Name, s.deps.Store.KnownTokens(prefix))
	return p.Provider || sc.project != "" && sc.rule.Decide(p, sc.project) == access.Allow
}

// withProject is a path with the project that it is of, where that is not the usual one.
func withProject(path, project string) string {
	if project == topology.DefaultProject {
		return path
	}
	return path + "?project=" + url.QueryEscape(project)
}
