package access

// Rule says who may use one route of the API.
type Rule struct {
	// Least is the role that it takes: in the project of the request, or, for Provider, at all. Nobody needs no login.
	Least Role
	// OfProject says that a request is of one project. Others have no parameter of that name.
	OfProject bool
	// All says that a provider who names no project means all of them.
	All bool
}

var (
	open     = Rule{}
	provider = Rule{Least: Provider}
)

// rules is the one table of who may do what, by route and method. A route that is not here is nobody's.
var rules = map[string]map[string]Rule{
	"/healthz":      {"GET": open},
	"/readyz":       {"GET": open},
	"/openapi.json": {"GET": open},
	"/metrics":      {"GET": provider},

	"/v1/nodes":                {"GET": provider, "POST": provider},
	"/v1/nodes/{id}":           {"GET": provider, "PUT": provider, "DELETE": provider},
	"/v1/nodes/{id}/load":      {"PUT": provider},
	"/v1/ports/{id}/heartbeat": {"PUT": {Least: Member, OfProject: true}},

	"/v1/projects":      {"GET": provider, "POST": provider},
	"/v1/projects/{id}": {"GET": provider, "PUT": provider, "DELETE": provider},
	"/v1/replicas":      {"GET": provider},
	"/v1/trace":         {"POST": provider},

	"/v1/networks":      objects,
	"/v1/networks/{id}": object,
	"/v1/ports":         objects,
	"/v1/ports/{id}":    object,
	"/v1/pools":         objects,
	"/v1/pools/{id}":    object,
	"/v1/taps":          objects,
	"/v1/taps/{id}":     object,
	"/v1/policies":      objects,
	"/v1/policies/{id}": object,

	"/v1/tokens":      {"GET": administered, "POST": {Least: Admin, OfProject: true}},
	"/v1/tokens/{id}": {"GET": administered, "DELETE": administered},
	"/v1/audit":       {"GET": administered},
}

var (
	objects      = map[string]Rule{"GET": {Least: Reader, OfProject: true}, "POST": {Least: Member, OfProject: true}}
	object       = map[string]Rule{"GET": {Least: Reader, OfProject: true}, "PUT": {Least: Member, OfProject: true}, "DELETE": {Least: Member, OfProject: true}}
	administered = Rule{Least: Admin, OfProject: true, All: true}
)

// RuleOf gives the rule of a route, whose path has {id} where an id is; ok is false where there is none, and
// then nobody may use the route.
func RuleOf(method, path string) (r Rule, ok bool) {
	r, ok = rules[path][method]
	return r, ok
}

// Decision is what a request meets before any object is looked at.
type Decision int

// Decisions.
const (
	Allow    Decision = iota
	Login             // nobody, where somebody is needed: 401
	Forbid            // the route is not for this role: 403
	NotThere          // the project is not there, or not for the principal, which is the same: 404
)

// Decide says what a request of a principal to a route meets; project counts for routes of a project, and is
// empty where the request means all projects. Forbid says nothing about any object: it depends on the
// route and on the roles that the principal knows to have.
func (r Rule) Decide(p Principal, project string) Decision {
	switch {
	case r.Least == Nobody || p.Provider:
		return Allow
	case p.Most() == Nobody:
		return Login
	case !p.Most().Least(r.Least):
		return Forbid
	case !r.OfProject:
		return Allow
	case p.In(project) == Nobody:
		return NotThere
	case !p.In(project).Least(r.Least):
		return Forbid
	}
	return Allow
}
