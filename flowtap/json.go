package flowtap

import (
	"encoding/json"
	"strings"

	"github.com/flowtap/flowtap/topology"
)

// MarshalJSON gives the canonical spelling as a string.
func (m Match) MarshalJSON() ([]byte, error) { return json.Marshal(m.String()) }

// UnmarshalJSON reads a string as ParseMatch does, or an object whose members are fields with
// strings or whole numbers as values: {"nw_proto": "TCP", "tp_dst": 80}. A shorthand has the value
// true. Null is every frame.
func (m *Match) UnmarshalJSON(b []byte) error {
	var text string
	if json.Unmarshal(b, &text) == nil { // null too
		v, err := ParseMatch(text)
		if err == nil {
			*m = v
		}
		return err
	}
	if len(b) == 0 || b[0] != '{' {
		return &topology.FieldError{Field: "match", Detail: "want a string or an object"}
	}
	p := newParser()
	if err := topology.EachMember(b, "match.", p.member); err != nil {
		return err
	}
	f, err := p.finish()
	if err == nil {
		*m = f.match()
	}
	return err
}

// member adds one member of a JSON object.
func (p *parser) member(name string, value json.RawMessage) error {
	var text string
	if string(value) == "true" {
		return p.item(name, "", false)
	}
	if value[0] == '"' {
		if err := json.Unmarshal(value, &text); err != nil {
			return fieldErr(clip(name), "is not JSON")
		}
		return p.item(name, strings.TrimSpace(text), true)
	}
	var number json.Number
	if json.Unmarshal(value, &number) != nil || number == "" {
		return fieldErr(clip(name), "want a string or a whole number")
	}
	return p.item(name, number.String(), true)
}

// MarshalText gives the canonical spelling.
func (m Match) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads any spelling that ParseMatch reads.
func (m *Match) UnmarshalText(b []byte) error {
	v, err := ParseMatch(string(b))
	if err == nil {
		*m = v
	}
	return err
}
