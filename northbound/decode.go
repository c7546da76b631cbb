package northbound

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"

	"github.com/google/uuid"

	"github.com/flowtap/flowtap/topology"
)

// serverFields are the fields of a whole object that the server owns: a client may send back what
// it has read, and they are ignored.
var serverFields = []string{"id", "revision", "created_at", "updated_at", "status"}

// decode reads a body into a complete and valid spec. pathID is the id in the path, or "" on POST,
// where the body's id counts and a missing one is made up.
// The names in it are as the user wrote them. old is nil on POST.
func (res *resource[S, T]) decode(sc *scope, body []byte, pathID string, old *S) (id string, spec S, err error) {
	members, err := scanObject(body)
	if err != nil {
		return "", spec, err
	}
	if id, err = objectID(members, pathID); err != nil {
		return "", spec, err
	}
	if res.owned {
		if members, err = sc.takeProject(members); err != nil {
			return "", spec, err
		}
	}
	members = slices.DeleteFunc(members, func(m member) bool { return slices.Contains(serverFields, m.name) })
	if err := json.Unmarshal(joinMembers(members), &spec); err != nil {
		return "", spec, decodeProblem(err, structFields(reflect.TypeFor[S]()))
	}
	if err := res.complete(sc, id, &spec, old); err != nil {
		return "", spec, err
	}
	return id, spec, nil
}

// takeProject takes the project of an object from its members. Without one it is the request's.
func (sc *scope) takeProject(members []member) ([]member, error) {
	i := slices.IndexFunc(members, func(m member) bool { return m.name == "project" })
	if i >= 0 && string(members[i].value) != "null" {
		var project string
		if err := json.Unmarshal(members[i].value, &project); err != nil {
			return nil, invalid("project", "must be a string")
		}
		if err := sc.choose(project); err != nil {
			return nil, err
		}
	} else if sc.hidden {
		return nil, noProject(sc.project)
	}
	if i >= 0 {
		members = slices.Delete(members, i, i+1)
	}
	return members, nil
}

// decodeProblem is 400 for a field that does not exist and 422 for a value that cannot be. All
// specs decode themselves and say which field is at fault.
func decodeProblem(err error, fields []structField) error {
	var field *topology.FieldError
	switch {
	case !errors.As(err, &field):
		return invalid("", "%v", err)
	case field.Unknown():
		return badRequest(field.Field, "there is no field %q%s", field.Field, suggestion(fields, field.Field))
	}
	return field
}

func objectID(members []member, pathID string) (string, error) {
	i := slices.IndexFunc(members, func(m member) bool { return m.name == "id" && string(m.value) != "null" })
	if i < 0 {
		if pathID == "" {
			return uuid.NewString(), nil
		}
		return pathID, nil
	}
	var id string
	if err := json.Unmarshal(members[i].value, &id); err != nil {
		return "", invalid("id", "must be a string")
	}
	if pathID != "" && id != pathID {
		return "", invalid("id", "is %q but the path says %q: an id cannot be changed", id, pathID)
	}
	if err := topology.ValidID(id); err != nil {
		return "", invalid("id", "%q is not an id: %v", clip(id), err)
	}
	return id, nil
}
