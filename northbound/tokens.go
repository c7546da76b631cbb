package northbound

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/flowtap/flowtap/access"
	"github.com/flowtap/flowtap/store"
	"github.com/flowtap/flowtap/topology"
)

func (s *Server) tokens() *resource[access.Token, access.TokenStatus] {
	return &resource[access.Token, access.TokenStatus]{
		server: s, name: store.CollectionTokens, singular: "token", objects: s.deps.Store.Tokens(),
		owned: true, unplanned: true,
		inProject: func(o *store.Token) string { return o.Spec.Project },
		observed:  func(o *store.Token) access.TokenStatus { return o.Status },
		status:    func(_ string, _ bool, o *store.Token) { o.Spec.Hash = "" },
		rehearse:  func(context.Context, Change) error { return nil },
	}
}

func (s *Server) tokenRoutes() []route {
	res := s.tokens()
	all, one := "/v1/tokens", "/v1/tokens/{id}"
	rs := collectionRoutes(res, "Token")
	rs = slices.DeleteFunc(rs, func(rt route) bool { return rt.method == http.MethodPut })
	for i := range rs {
		switch {
		case rs[i].path == all && rs[i].method == http.MethodPost:
			rs[i] = route{method: http.MethodPost, path: all, summary: "Create a token; its secret is in this answer alone.",
				params: []string{}, body: "Token", handle: s.createToken(res),
				answers: map[int]answer{200: {mediaJSON, "Token"}, 201: {mediaJSON, "TokenWithSecret"}, 400: {}, 413: {}, 415: {}, 409: {}, 422: {}, 503: {}}}
		case rs[i].path == all:
			rs[i].params = slices.DeleteFunc(rs[i].params, func(p string) bool { return p == "hash" })
		case rs[i].path == one && rs[i].method == http.MethodDelete:
			rs[i].summary = "Revoke a token, at once and everywhere."
		}
	}
	return rs
}

// maxExpiry bounds expires_in, in seconds: a hundred years.
const maxExpiry = 100 * 365 * 24 * 3600

// tokenWanted is the body of POST /v1/tokens.
type tokenWanted struct {
	access.Token
	Project *string
	// ExpiresIn is in seconds, and excludes ExpiresAt.
	ExpiresIn int64
}

// UnmarshalJSON reads what is wanted of a token strictly.
func (t *tokenWanted) UnmarshalJSON(b []byte) error {
	var role string
	given, err := topology.DecodeObject(b, "", map[string]any{
		"project": &t.Project, "role": &role, "name": &t.Name, "certificate": &t.Certificate, "expires_in": &t.ExpiresIn, "expires_at": &t.ExpiresAt,
	})
	t.Role = access.Role(role)
	switch {
	case err != nil:
		return err
	case given["expires_in"] && given["expires_at"]:
		return &topology.FieldError{Field: "expires_in", Detail: "give this or expires_at, not both"}
	case given["expires_in"] && (t.ExpiresIn < 1 || t.ExpiresIn > maxExpiry):
		return &topology.FieldError{Field: "expires_in", Detail: "want seconds, from 1 to a hundred years of them"}
	}
	return nil
}

// decodeToken reads a body; the project is the request's where the body says none.
func (sc *scope) decodeToken(body []byte, now time.Time) (access.Token, error) {
	var want tokenWanted
	members, err := scanObject(body)
	if err != nil {
		return want.Token, err
	}
	members = slices.DeleteFunc(members, func(m member) bool { return slices.Contains(serverFields, m.name) })
	if err := json.Unmarshal(joinMembers(members), &want); err != nil {
		return want.Token, decodeProblem(err, structFields(reflect.TypeFor[access.Token]()))
	}
	t := want.Token
	switch provider := sc.principal.Provider; {
	case t.Role == access.Provider && !provider:
		return t, forbidden(access.Provider)
	case t.Certificate != "" && !provider: // else anybody could change whom a certificate belongs to
		return t, forbidden(access.Provider)
	case t.Role == access.Provider && want.Project != nil:
		t.Project = *want.Project // which Validate refuses
	case t.Role == access.Provider:
	case want.Project != nil:
		if sc.project == "" {
			sc.project, sc.named = *want.Project, true
		}
		if err := sc.choose(*want.Project); err != nil {
			return t, err
		}
		t.Project = *want.Project
	case sc.hidden:
		return t, noProject(sc.project)
	default:
		t.Project = sc.names()
	}
	if want.ExpiresIn > 0 {
		t.ExpiresAt = now.Add(time.Duration(want.ExpiresIn) * time.Second)
	}
	if t.ExpiresAt = t.ExpiresAt.UTC().Truncate(time.Second); t.ExpiresAt.IsZero() {
		t.ExpiresAt = time.Time{}
	}
	if t.Expired(now) {
		return t, invalid("expires_at", "is in the past")
	}
	if !t.Role.Valid() || sc.principal.Provider || sc.principal.In(t.Project).Least(t.Role) {
		return t, t.Validate()
	}
	return t, forbidden(t.Role)
}

// createToken answers POST /v1/tokens. A secret is 256 random bits, and only its hash is kept.
func (s *Server) createToken(res *resource[access.Token, access.TokenStatus]) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if _, err := parseQuery(r, noParameters...); err != nil {
			return err
		}
		body, err := readBody(w, r)
		if err != nil {
			return err
		}
		sc := scopeOf(r.Context())
		t, err := sc.decodeToken(body, time.Now())
		if err != nil {
			return err
		}
		var secret, id string
		if t.Certificate != "" {
			id = access.CertificateID(t.Certificate, t.Project)
		} else {
			var random [access.SecretBytes]byte
			_, _ = rand.Read(random[:]) // never fails (crypto/rand)
			secret = access.Secret(random)
			id, t.Hash = access.SecretID(secret), access.HashOf(secret)
		}
		ctx, cancel := context.WithTimeout(r.Context(), s.deps.StoreTimeout)
		defer cancel()
		obj, created, err := s.deps.Store.Tokens().Create(ctx, id, t, sc.record())
		if err != nil {
			return err
		}
		w.Header().Set("Location", "/v1/tokens/"+id)
		if !created {
			return res.write(sc, w, http.StatusOK, obj)
		}
		s.changed(sc, access.Create, res.name, id, obj.Revision)
		b, err := res.render(t.Project, res.view(sc, obj))
		if err != nil {
			return err
		}
		if secret != "" {
			b = append([]byte(`{"secret":`+string(mustJSON(secret))+","), b[1:]...)
		}
		return writeJSON(w, http.StatusCreated, json.RawMessage(b))
	}
}

// FirstToken makes the first token of a provider, unless the store ever had one. keep is called with the secret before the
// store has it, and gives the one to use: another where one was kept before. kept reports whether it is good.
func FirstToken(ctx context.Context, st *store.Store, keep func(secret string) (string, error)) (kept bool, err error) {
	if had, err := st.HadFirstToken(ctx); err != nil || had {
		return false, err
	}
	var random [access.SecretBytes]byte
	_, _ = rand.Read(random[:]) // never fails (crypto/rand)
	secret, err := keep(access.Secret(random))
	if err != nil {
		return false, err
	}
	if secret = strings.TrimSpace(secret); !access.IsSecret(secret) {
		return false, errors.New("what was kept is no token")
	}
	return st.CreateFirstToken(ctx, access.SecretID(secret),
		access.Token{Name: "first", Role: access.Provider, Hash: access.HashOf(secret)})
}
