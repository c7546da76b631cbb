package flowtap

// Match is a flow in canonical form: the zero value is every frame. Values are comparable with ==.
type Match struct{ text string }

// MarshalText gives the canonical spelling.
func (m Match) MarshalText() ([]byte, error) { return []byte(m.text), nil }

// UnmarshalText reads any spelling.
func (m *Match) UnmarshalText(b []byte) error { m.text = string(b); return nil }
