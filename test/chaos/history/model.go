package main

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/anishathalye/porcupine"
)

// A group's state: what there is of its four objects. A zero token is an absent object.
type state struct {
	Network, A, B, Tap value
	Over               bool // opEnd has been
}

func (s *state) object(group, id string) *value {
	switch id {
	case portA(group):
		return &s.A
	case portB(group):
		return &s.B
	case tapOf(group):
		return &s.Tap
	}
	return &s.Network
}

// groups is the model that porcupine orders histories by: inputs are operations, with their answers.
var groups = porcupine.Model{
	Partition: func(all []porcupine.Operation) [][]porcupine.Operation {
		by := map[string][]porcupine.Operation{}
		for _, o := range all {
			g := o.Input.(operation).Group
			by[g] = append(by[g], o)
		}
		var out [][]porcupine.Operation
		for _, g := range slices.Sorted(maps.Keys(by)) {
			out = append(out, by[g])
		}
		return out
	},
	Init: func() any { return state{} },
	Step: func(s, in, _ any) (bool, any) {
		next, ok := step(s.(state), in.(operation))
		return ok, next
	},
	DescribeOperation: func(in, _ any) string { return describe(in.(operation)) },
	DescribeState: func(s any) string {
		g := s.(state)
		return fmt.Sprintf("network %s, a %s, b %s, tap %s", g.Network, g.A, g.B, g.Tap)
	},
}

func (v value) String() string {
	if v.Token == 0 {
		return "-"
	}
	return strings.TrimSpace(fmt.Sprintf("%d %s", v.Token, v.Tie))
}

func describe(o operation) string {
	text := o.Kind + " " + o.ID
	if o.Value.Token != 0 {
		text += " = " + o.Value.String()
	}
	if o.If != 0 {
		text += fmt.Sprintf(" if %d", o.If)
	}
	if o.Outcome != outcomeAnswered {
		return text + ": " + o.Outcome
	}
	text += fmt.Sprintf(": %d", o.Status)
	for _, id := range slices.Sorted(maps.Keys(o.Found)) {
		text += fmt.Sprintf(" %s=%s", id, o.Found[id])
	}
	return text
}

// step says whether the operation, taking place in this state, can have had its answer, and what the
// state is then. A refusal needs a reason that holds; a success needs that none does. A write without
// an answer does something, or comes after the end: were it also ordered where it does nothing, there would
// be an order for each set of such writes, and the search among all of them would not end.
func step(s state, o operation) (state, bool) {
	if o.Kind == opEnd {
		s.Over = true
		return s, true
	}
	if !o.writes() {
		return s, maps.Equal(reading(s, o), o.Found) && (o.Kind == opList || (o.Status == http.StatusOK) == (len(o.Found) == 1))
	}
	reasons := refusals(s, o)
	target := s.object(o.Group, o.ID)
	if o.Outcome == outcomeUnknown {
		if s.Over {
			return s, true
		}
		write(&s, o)
		return s, len(reasons) == 0
	}
	if o.Status >= http.StatusBadRequest {
		return s, slices.Contains(reasons, o.Status)
	}
	switch {
	case o.Kind == opCreate && o.Status == http.StatusOK: // it was there already
		return s, *target == o.Value
	case len(reasons) > 0:
		return s, false
	case o.Kind == opCreate && o.Status != http.StatusCreated:
		return s, false
	}
	write(&s, o)
	return s, true
}

func write(s *state, o operation) {
	is := o.Value
	if o.Kind == opDelete {
		is = value{}
	}
	*s.object(o.Group, o.ID) = is
}

// reading is what a GET finds.
func reading(s state, o operation) map[string]value {
	ids := []string{o.ID}
	if o.Kind == opList && o.ID == networkOf(o.Group) {
		ids = []string{portA(o.Group), portB(o.Group)}
	} else if o.Kind == opList {
		if s.Tap.Tie != o.ID {
			return nil
		}
		ids = []string{tapOf(o.Group)}
	}
	found := map[string]value{}
	for _, id := range ids {
		if v := *s.object(o.Group, id); v.Token != 0 {
			found[id] = v
		}
	}
	return found
}

// refusals are the answers that there is a reason for.
func refusals(s state, o operation) (statuses []int) {
	refuse := func(status int, when bool) {
		if when {
			statuses = append(statuses, status)
		}
	}
	is := *s.object(o.Group, o.ID)
	present := is.Token != 0
	if o.Kind == opCreate {
		refuse(http.StatusConflict, present)
	} else {
		refuse(http.StatusNotFound, !present)
		refuse(http.StatusPreconditionFailed, present && o.If != 0 && o.If != is.Token)
	}
	switch {
	case o.Kind == opDelete:
		inUse := o.ID == networkOf(o.Group) && (s.A.Token != 0 || s.B.Token != 0) || s.Tap.Token != 0 && s.Tap.Tie == o.ID
		refuse(http.StatusConflict, inUse)
	case o.ID == portA(o.Group), o.ID == portB(o.Group):
		other := s.A
		if o.ID == portA(o.Group) {
			other = s.B
		}
		refuse(http.StatusUnprocessableEntity, s.Network.Token == 0)
		refuse(http.StatusConflict, other.Token != 0 && other.Tie == o.Value.Tie)
	case o.ID == tapOf(o.Group):
		refuse(http.StatusUnprocessableEntity, s.object(o.Group, o.Value.Tie).Token == 0)
	}
	return statuses
}
