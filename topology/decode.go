package topology

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
)

const unknownField = "unknown field"

// Unknown reports whether the error is that the object has no such field, as opposed to a field
// with a value that cannot be.
func (e *FieldError) Unknown() bool { return e.Detail == unknownField }

// DecodeObject reads a JSON object strictly: each member goes to the pointer of its exact name;
// a name that is not in fields, a name given twice and a value of the wrong type are a *FieldError
// with prefix before the name. A null leaves the pointer's value as it is. given holds the names
// that were there and not null.
//
// Pointers may be to strings, booleans, numbers, slices and maps of strings, json.RawMessage, and
// whatever implements json.Unmarshaler or encoding.TextUnmarshaler; their errors become details.
func DecodeObject(data []byte, prefix string, fields map[string]any) (given map[string]bool, err error) {
	given = map[string]bool{}
	err = EachMember(data, prefix, func(name string, value json.RawMessage) error {
		target, ok := fields[name]
		if !ok {
			return &FieldError{prefix + name, unknownField}
		}
		if string(value) == "null" {
			return nil
		}
		given[name] = true
		return decodeValue(prefix+name, value, target)
	})
	return given, err
}

// EachMember calls f for each member of a JSON object in its order. The error is f's, or a
// *FieldError for a name given twice or for data that is no object; prefix is put before names.
func EachMember(data []byte, prefix string, f func(name string, value json.RawMessage) error) error {
	whole := prefix
	if n := len(whole); n > 0 && whole[n-1] == '.' {
		whole = whole[:n-1]
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return &FieldError{whole, "want an object"}
	}
	seen := map[string]bool{}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return &FieldError{whole, "want an object"}
		}
		name := t.(string) // the decoder accepts nothing else here
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return &FieldError{prefix + name, "not JSON"}
		}
		if seen[name] {
			return &FieldError{prefix + name, "is given twice"}
		}
		seen[name] = true
		if err := f(name, value); err != nil {
			return err
		}
	}
	return nil
}

func decodeValue(name string, value json.RawMessage, target any) error {
	_, own := target.(json.Unmarshaler)
	if text, ok := target.(encoding.TextUnmarshaler); ok && !own {
		var s string
		if json.Unmarshal(value, &s) != nil {
			return &FieldError{name, "want a string"}
		}
		err := text.UnmarshalText([]byte(s))
		if _, ip := target.(*netip.Addr); ip && err != nil {
			err = fmt.Errorf("%q is not an IP address", s)
		}
		return asFieldError(name, err)
	}
	err := json.Unmarshal(value, target)
	if err != nil && !own {
		return &FieldError{name, "want " + wanted(reflect.TypeOf(target).Elem())}
	}
	return asFieldError(name, err)
}

func asFieldError(name string, err error) error {
	var field *FieldError
	if err == nil || errors.As(err, &field) {
		return err
	}
	return &FieldError{name, err.Error()}
}

// wanted names a type in JSON's words.
func wanted(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Float64:
		return "a number"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "a list of strings"
	case reflect.Map:
		return "an object of strings"
	case reflect.Struct:
		return "an object"
	}
	return "a whole number"
}
