package northbound

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/flowtap/flowtap/access"
)

// doc is a JSON object of the OpenAPI document.
type doc = map[string]any

// openapi serves the description of every route, made of the table that the router is made of.
func (s *Server) openapi(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, http.StatusOK, s.document())
}

func (s *Server) document() doc {
	paths := doc{}
	for _, rt := range s.routes {
		item, _ := paths[rt.path].(doc)
		if item == nil {
			item = doc{}
			paths[rt.path] = item
		}
		item[strings.ToLower(rt.method)] = rt.operation()
	}
	return doc{
		"openapi": "3.0.3",
		"info": doc{
			"title": "FlowTap", "version": "1",
			"description": "Contracts that deliver a port's traffic to a monitor. Errors are RFC 9457 problem documents.",
		},
		"paths": paths,
		"components": doc{"schemas": schemas(), "securitySchemes": doc{
			"token":       doc{"type": "http", "scheme": "bearer"},
			"certificate": doc{"type": "http", "scheme": "mutual", "description": "A client certificate (TLS), in place of a token."},
		}},
	}
}

func (rt route) operation() doc {
	var params []doc
	if pathID(rt.path) {
		params = append(params, doc{"name": "id", "in": "path", "required": true, "schema": textSchema("")})
	}
	for _, name := range rt.params {
		params = append(params, parameter(name))
	}
	answers := doc{}
	for status, a := range rt.answers {
		answers[strconv.Itoa(status)] = a.document(status)
	}
	op := doc{"summary": rt.summary, "operationId": operationID(rt), "responses": answers}
	if len(params) > 0 {
		op["parameters"] = params
	}
	if rt.rule.Least == access.Nobody {
		op["security"] = []doc{}
	} else {
		op["security"] = []doc{{"token": []string{}}, {"certificate": []string{}}}
		op["x-role"] = string(rt.rule.Least)
	}
	if rt.body != "" {
		op["requestBody"] = doc{"required": true, "content": doc{mediaJSON: doc{"schema": schemaRef(rt.body + "Wanted")}}}
	}
	return op
}

// operationID is for example "putPortsId".
func operationID(rt route) string {
	id := strings.ToLower(rt.method)
	for _, word := range strings.FieldsFunc(rt.path, func(r rune) bool { return strings.ContainsRune("/{}.", r) }) {
		id += strings.ToUpper(word[:1]) + word[1:]
	}
	return id
}

func (a answer) document(status int) doc {
	d := doc{"description": http.StatusText(status)}
	switch {
	case status == http.StatusNoContent:
	case status >= 400:
		d["content"] = doc{ProblemType: doc{"schema": schemaRef("Problem")}}
		switch status {
		case http.StatusServiceUnavailable, http.StatusTooManyRequests:
			d["headers"] = doc{"Retry-After": doc{"description": "Seconds.", "schema": doc{"type": "integer"}}}
		case http.StatusUnauthorized:
			d["headers"] = doc{"WWW-Authenticate": doc{"description": "Bearer.", "schema": doc{"type": "string"}}}
		}
	case a.schema == "":
		d["content"] = doc{a.media: doc{"schema": doc{"type": "string"}}}
	default:
		content := doc{a.media: doc{"schema": schemaRef(a.schema)}}
		if strings.HasSuffix(a.schema, "List") {
			media := mediaEvents
			if a.schema == "AuditList" {
				media = mediaLines
			}
			content[media] = doc{"schema": doc{"type": "string"}}
		}
		d["content"] = content
	}
	return d
}

func schemaRef(name string) doc { return doc{"$ref": "#/components/schemas/" + name} }

// parameterDocs are the parameters that are not filters.
var parameterDocs = map[string]doc{
	"limit":    {"description": "At most so many items; without it all.", "schema": doc{"type": "integer", "minimum": 1, "maximum": maxLimit}},
	"page":     {"description": "The next of the last answer.", "schema": doc{"type": "string"}},
	"watch":    {"description": "Stream events instead: ADDED for all there is, SYNCED, then ADDED, MODIFIED, DELETED.", "schema": doc{"type": "boolean"}},
	"dry_run":  {"description": "Validate, answer what would change on each switch, change nothing.", "schema": doc{"type": "boolean"}},
	"wait":     {"description": "Hold the answer until the change is on every switch concerned, at most so many seconds.", "schema": doc{"type": "number", "minimum": 0, "maximum": maxWait.Seconds()}},
	"fresh":    {"description": "Read the counters from the switches first.", "schema": doc{"type": "boolean"}},
	"project":  {"description": "The project that is meant, and that names in the request are of; by default the principal's only one, else default. A provider may say * to read all.", "schema": doc{"type": "string"}},
	"shared":   {"description": "Instead what other projects share with this one.", "schema": doc{"type": "boolean"}},
	"since":    {"description": "Only changes from this time on.", "schema": doc{"type": "string", "format": "date-time"}},
	"until":    {"description": "Only changes before this time.", "schema": doc{"type": "string", "format": "date-time"}},
	"newest":   {"description": "The newest first.", "schema": doc{"type": "boolean"}},
	"If-Match": {"description": "The revision, quoted, that the change is meant for.", "schema": doc{"type": "string"}},
}

func parameter(name string) doc {
	p := doc{"name": name, "in": "query"}
	if name == "If-Match" {
		p["in"] = "header"
	}
	d, ok := parameterDocs[name]
	if !ok {
		d = doc{"description": "Only objects whose " + name + " is this.", "schema": doc{"type": "string"}}
	}
	for k, v := range d {
		p[k] = v
	}
	return p
}

// field is one property of an object's schema. in and out say whether it is required in a request
// and in an answer.
type field struct {
	name    string
	in, out bool
	schema  doc
	request doc // the schema in a request where it is wider
}

// objectSchemas gives the request's and the answer's schema of one collection. A request may hold what
// the server owns, so that a client can send back what it read.
func objectSchemas(fields []field, status doc) (wanted, whole doc) {
	id := doc{"type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,62}$"}
	server := doc{"revision": doc{"type": "string"}, "created_at": doc{"type": "string", "format": "date-time"},
		"updated_at": doc{"type": "string", "format": "date-time"}}
	in, out := doc{"id": id, "status": doc{"type": "object"}}, doc{"id": id, "status": status}
	for k, v := range server {
		in[k], out[k] = v, v
	}
	needIn, needOut := []string{}, []string{"id", "revision", "created_at", "updated_at", "status"}
	for _, f := range fields {
		in[f.name], out[f.name] = f.schema, f.schema
		if f.request != nil {
			in[f.name] = f.request
		}
		if f.in {
			needIn = append(needIn, f.name)
		}
		if f.out {
			needOut = append(needOut, f.name)
		}
	}
	wanted, whole = closed(in), closed(out, needOut...)
	if len(needIn) > 0 {
		wanted["required"] = needIn
	}
	return wanted, whole
}

// closed is an object with these properties and no others.
func closed(properties doc, required ...string) doc {
	d := doc{"type": "object", "additionalProperties": false, "properties": properties}
	if len(required) > 0 {
		slices.Sort(required)
		d["required"] = required
	}
	return d
}

func textSchema(description string, values ...string) doc {
	d := doc{"type": "string"}
	if description != "" {
		d["description"] = description
	}
	if len(values) > 0 {
		d["enum"] = values
	}
	return d
}

func numberSchema(minimum, maximum int) doc {
	d := doc{"type": "integer", "minimum": minimum}
	if maximum > 0 {
		d["maximum"] = maximum
	}
	return d
}

func listOf(items doc) doc { return doc{"type": "array", "items": items} }
