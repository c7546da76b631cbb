package access

// Principal is who makes a request. The zero value is nobody.
type Principal struct {
	// Name is for people: a token's name, or a certificate's common name.
	Name string `json:"name"`
	// Token is the id of the token that it logged in with, or of a certificate's first grant; empty with no login.
	Token string `json:"token,omitempty"`
	// Provider has every role in every project.
	Provider bool `json:"provider,omitempty"`
	// Roles are by project.
	Roles map[string]Role `json:"roles,omitempty"`
}

// In gives the role in a project.
func (p Principal) In(project string) Role {
	if p.Provider {
		return Provider
	}
	return p.Roles[project]
}

// Most gives the greatest role that the principal has anywhere.
func (p Principal) Most() Role {
	if p.Provider {
		return Provider
	}
	most := Nobody
	for _, r := range p.Roles {
		if r.Least(most) {
			most = r
		}
	}
	return most
}

// Project gives the project that is meant where a request names none: the only one where the principal has a
// role, else otherwise.
func (p Principal) Project(otherwise string) string {
	if len(p.Roles) == 1 && !p.Provider {
		for project := range p.Roles {
			return project
		}
	}
	return otherwise
}
