package northbound

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/flowtap/flowtap/access"
	"github.com/flowtap/flowtap/store"
	"github.com/flowtap/flowtap/topology"
)

// scope is one request's: who asks, from where, and of which project.
type scope struct {
	principal access.Principal
	rule      access.Rule
	// from is the client's address, request the id of the request: for the audit log.
	from, request string
	// query is the request's as it came.
	query string
	// project is the one whose objects are meant; empty is all of them. named: the request says so itself.
	project string
	named   bool
	// hidden: the project is not there for the principal, who may still look at what is offered by it.
	hidden bool
}

type scopeKey struct{}

// scopeOf gives the request's scope, which admit made.
func scopeOf(ctx context.Context) *scope {
	if sc, ok := ctx.Value(scopeKey{}).(*scope); ok {
		return sc
	}
	return &scope{project: topology.DefaultProject}
}

// names gives the project that names are relative to.
func (sc *scope) names() string {
	if sc.project == "" {
		return topology.DefaultProject
	}
	return sc.project
}

// choose takes the project that a body names.
func (sc *scope) choose(project string) error {
	switch {
	case topology.ValidID(project) != nil:
		return invalid("project", "%q is not the id of a project", clip(project))
	case sc.named && sc.project != project:
		return invalid("project", "is %q, but the request is of project %q", project, sc.project)
	}
	sc.project, sc.named = project, true
	switch sc.rule.Decide(sc.principal, project) {
	case access.NotThere:
		return noProject(project)
	case access.Forbid:
		return forbidden(sc.rule.Least)
	}
	return nil
}

// noProject is what is said of a project that is not there, and of one that is not the principal's.
func noProject(project string) error {
	return &store.ReferenceError{Field: "project", Collection: store.CollectionProjects, ID: project}
}

func forbidden(least access.Role) error {
	return problem(http.StatusForbidden, "", "this needs the role %s", least)
}

// sees reports whether the principal may know of an object, by its inside id.
func (sc *scope) sees(id string) bool {
	return sc.principal.Provider || sc.principal.In(topology.ProjectOf(id)) != access.Nobody
}

// problem says what an error means to the client: with the names that it knows, and none of what it may not
// know of.
func (sc *scope) problem(err error) *Problem {
	var unique *store.UniqueError
	if errors.As(err, &unique) && !sc.sees(unique.Owner) {
		p := conflict("", "%s %s is taken", unique.Field, unique.Value)
		p.Field = unique.Field
		return p
	}
	p := *problemOf(err)
	if n := len(p.Users); n > 0 {
		p.Users = slices.DeleteFunc(slices.Clone(p.Users), func(id string) bool { return !sc.sees(id) })
		if len(p.Users) < n {
			p.Detail = "it is in use, also by what is of other projects: ask the provider"
		}
	}
	for i, id := range p.Users {
		p.Users[i] = topology.Relative(sc.names(), id)
	}
	if p.ConflictsWith != "" {
		p.ConflictsWith = topology.Relative(sc.names(), p.ConflictsWith)
	}
	if p.Diagnostics == nil { // which quote a policy, where colons are in the names of tables
		p.Detail, p.Witness = relativeText(sc.names(), p.Detail), relativeText(sc.names(), p.Witness)
	}
	return &p
}

// insideID finds inside ids in texts. A MAC or IPv6 address has more colons than one.
var insideID = regexp.MustCompile(`(^|[\s"'(=])([a-z0-9][a-z0-9-]*:[a-z0-9][a-z0-9-]*)($|[\s"');,'])`)

// relativeText spells the inside ids of a text as users of a project do.
func relativeText(project, text string) string {
	if !strings.Contains(text, ":") {
		return text
	}
	replace := func(s string) string {
		m := insideID.FindStringSubmatch(s)
		return m[1] + topology.Relative(project, m[2]) + m[3]
	}
	text = insideID.ReplaceAllStringFunc(text, replace)
	return insideID.ReplaceAllStringFunc(text, replace) // those whose blank the one before took
}

// record begins the audit log's record of what the request changes.
func (sc *scope) record() store.WriteOption {
	return store.Recorded(access.Record{Principal: sc.principal.Name, Token: sc.principal.Token, From: sc.from, Request: sc.request})
}

// changed logs one change.
func (s *Server) changed(sc *scope, verb access.Verb, collection, id string, revision int64) {
	project, own := topology.SplitID(id)
	s.deps.Logger.Info("changed", "verb", verb, "collection", collection, "project", project, "id", own, "revision", revision,
		"principal", sc.principal.Name, "token", sc.principal.Token, "from", sc.from, "request", sc.request)
}
