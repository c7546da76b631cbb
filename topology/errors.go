package topology

// A FieldError says which field of a user's object cannot be and why. Field is the JSON name,
// with dots for nesting ("rate_limit.kbps").
type FieldError struct {
	Field  string
	Detail string
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Detail }
