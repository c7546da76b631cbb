package flowtap

import "github.com/flowtap/flowtap/topology"

// A feature is something that an object can say and the switches do not carry out yet.
type feature struct {
	field, detail string
	used          func(spec any) bool
}

// notYet is every such feature, in the order in which a refusal names them.
var notYet []feature

// NotYet gives a *topology.FieldError, whose detail begins with "not yet: ", for a Tap, topology.Port
// or topology.Node that is valid and asks for what the switches do not carry out yet.
func NotYet(spec any) error {
	for _, f := range notYet {
		if f.used(spec) {
			return &topology.FieldError{Field: f.field, Detail: "not yet: " + f.detail}
		}
	}
	return nil
}
