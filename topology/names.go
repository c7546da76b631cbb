package topology

import (
	"fmt"
	"strings"
)

// DefaultProject is the project that always exists, and that objects are in of which nothing else is
// said.
const DefaultProject = "default"

// Ids are per project. Inside, in the store and in everything that the controller makes of it, the id of an
// object is that of its project and its own with a colon between, which no user's id has: "blue:web".
// Objects of the project default have their own id alone, as they had before there were projects.
// Users write their own project's ids bare, and those of others with a slash: "blue/web".

// Qualify gives the inside id of an object of a project.
func Qualify(project, id string) string {
	if project == DefaultProject || project == "" {
		return id
	}
	return project + ":" + id
}

// SplitID takes an inside id apart.
func SplitID(id string) (project, own string) {
	if project, own, ok := strings.Cut(id, ":"); ok {
		return project, own
	}
	return DefaultProject, id
}

// ProjectOf gives the project of an inside id.
func ProjectOf(id string) string {
	project, _ := SplitID(id)
	return project
}

// Relative gives an inside id as users of a project write it.
func Relative(project, id string) string {
	p, own := SplitID(id)
	if p == project {
		return own
	}
	return p + "/" + own
}

// Absolute gives the inside id of what a user of a project wrote.
func Absolute(project, written string) string {
	if p, own, ok := strings.Cut(written, "/"); ok {
		return Qualify(p, own)
	}
	return Qualify(project, written)
}

// ValidRef says whether s can name an object: an id, or the id of another project and one, with a slash
// between. The error is a sentence without the name.
func ValidRef(s string) error {
	project, own, qualified := strings.Cut(s, "/")
	if !qualified {
		return ValidID(s)
	}
	if ValidID(project) != nil || ValidID(own) != nil {
		return fmt.Errorf("an object of another project is written project/id: %w", errID)
	}
	return nil
}
