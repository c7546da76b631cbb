package access

import (
	"encoding/json"
	"time"
)

// Verb is what a change did to its object.
type Verb string

// Verbs.
const (
	Create  Verb = "create"
	Replace Verb = "replace"
	Delete  Verb = "delete"
)

// Record is one change, as the audit log has it. It is written in the transaction of the change itself.
type Record struct {
	ID   string    `json:"id"`
	Time time.Time `json:"time"`
	// Principal, Token, From and Request say who, with which token, from which address, and in which request.
	Principal string `json:"principal"`
	Token     string `json:"token,omitempty"`
	From      string `json:"from"`
	Request   string `json:"request"`

	Verb       Verb   `json:"verb"`
	Collection string `json:"collection"`
	// Project is empty for what is of none.
	Project string `json:"project,omitempty"`
	// Object is the id of what was changed, within its project.
	Object string `json:"object"`
	// Before and After are what was wanted of the object; null where it was not there, or is no more.
	Before json.RawMessage `json:"before"`
	After  json.RawMessage `json:"after"`
	// Revision is the store's at the change, and the object's after it, where it is still there.
	Revision int64 `json:"revision,string"`
}

// Filter selects records; what is empty selects all.
type Filter struct {
	Project, Collection, Object, Principal string
	// Since and Until bound the time, the first included, the last not.
	Since, Until time.Time
}

// Match reports whether a record is selected.
func (f Filter) Match(r Record) bool {
	is := func(want, have string) bool { return want == "" || want == have }
	return is(f.Project, r.Project) && is(f.Collection, r.Collection) && is(f.Object, r.Object) && is(f.Principal, r.Principal) &&
		(f.Since.IsZero() || !r.Time.Before(f.Since)) && (f.Until.IsZero() || r.Time.Before(f.Until))
}
