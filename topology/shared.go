package topology

import (
	"fmt"
	"slices"
)

// Everyone, in a list of projects, is every project that there is or will be.
const Everyone = "*"

// Shared are the projects that an object is offered to: their ids, or Everyone alone.
type Shared []string

// With reports whether a project may use what is shared.
func (s Shared) With(project string) bool {
	return slices.Contains(s, project) || slices.Contains(s, Everyone)
}

func validShared(s Shared) error {
	if len(s) > maxShared {
		return &FieldError{"shared_with", fmt.Sprintf("more than %d projects: write %q for all", maxShared, Everyone)}
	}
	for i, p := range s {
		switch {
		case p == Everyone && len(s) > 1:
			return &FieldError{"shared_with", fmt.Sprintf("%q stands alone", Everyone)}
		case p != Everyone && ValidID(p) != nil:
			return &FieldError{"shared_with", fmt.Sprintf("%q is not the id of a project", short(p))}
		case slices.Contains(s[:i], p):
			return &FieldError{"shared_with", fmt.Sprintf("%s is there twice", p)}
		}
	}
	return nil
}
