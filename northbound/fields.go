package northbound

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// structField is one JSON member that a struct type has.
type structField struct {
	name  string
	index []int
	typ   reflect.Type
}

// structFields gives the JSON members of a struct type in the order of its declaration.
func structFields(t reflect.Type) []structField {
	var out []structField
	for _, f := range reflect.VisibleFields(t) {
		if !f.IsExported() || f.Anonymous {
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" || name == "" {
			continue
		}
		out = append(out, structField{name, f.Index, f.Type})
	}
	return out
}

func findField(fields []structField, name string) (structField, bool) {
	i := slices.IndexFunc(fields, func(f structField) bool { return f.name == name })
	if i < 0 {
		return structField{}, false
	}
	return fields[i], true
}

// suggestion names the field that was probably meant, if one differs in case or by - and _ only.
func suggestion(fields []structField, name string) string {
	norm := func(s string) string { return strings.ToLower(strings.ReplaceAll(s, "-", "_")) }
	for _, f := range fields {
		if norm(f.name) == norm(name) {
			return fmt.Sprintf(": write %q", f.name)
		}
	}
	return ""
}

// joinMembers is the JSON object of some members.
func joinMembers(members []member) []byte {
	b := []byte{'{'}
	for i, m := range members {
		if i > 0 {
			b = append(b, ',')
		}
		name, err := json.Marshal(m.name)
		if err != nil {
			panic(fmt.Sprintf("a string cannot be encoded: %v", err))
		}
		b = append(append(append(b, name...), ':'), m.value...)
	}
	return append(b, '}')
}
