package access

import "slices"

// Role is what somebody may do, in one project or, for Provider, everywhere. Each may do what those before it may.
type Role string

// Roles. Nobody is the role of who has not logged in, and of who has no role in a project.
const (
	Nobody   Role = ""
	Reader   Role = "reader"   // sees the project's objects
	Member   Role = "member"   // changes them
	Admin    Role = "admin"    // gives out its tokens, and reads its audit log
	Provider Role = "provider" // runs the cloud: nodes, projects, what is shared; in every project
)

var order = []Role{Nobody, Reader, Member, Admin, Provider}

// Roles are those that can be given out, the least first.
func Roles() []Role { return slices.Clone(order[1:]) }

// Valid reports whether the role can be given out.
func (r Role) Valid() bool { return r != Nobody && slices.Contains(order, r) }

// Least reports whether the role is as much as another or more. A role that does not exist is as much as none.
func (r Role) Least(as Role) bool {
	return slices.Index(order, r) >= slices.Index(order, as) && (r == Nobody || r.Valid())
}
