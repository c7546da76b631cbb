package access

import (
	"fmt"
	"math"
	"slices"

	"github.com/flowtap/flowtap/topology"
)

// Project is what owns networks, ports, pools, taps and policies.
type Project struct {
	Quotas Quotas            `json:"quotas"`
	Labels map[string]string `json:"labels,omitempty"`
}

// ProjectStatus is what is observed of a project: nothing yet.
type ProjectStatus struct{}

// Quotas bound how many objects of a collection a project has; one that is left out or 0 is the usual one.
type Quotas map[string]int

// usual are the quotas of a project of which nothing else is said. The project default has none: it is the
// provider's own, and what was there before there were projects is in it.
var usual = Quotas{"networks": 100, "ports": 1000, "pools": 100, "taps": 1000, "policies": 100, "tokens": 100}

// Counted gives the collections that have quotas, sorted.
func Counted() []string {
	var names []string
	for n := range usual {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// Limit gives how many objects of a collection a project may have; 0 is no bound.
func (q Quotas) Limit(project, collection string) int {
	if n := q[collection]; n != 0 || project == topology.DefaultProject {
		return n
	}
	return usual[collection]
}

// UnmarshalJSON reads a project strictly.
func (p *Project) UnmarshalJSON(b []byte) error {
	v := Project{Quotas: Quotas{}}
	_, err := topology.DecodeObject(b, "", map[string]any{"quotas": &v.Quotas, "labels": &v.Labels})
	if err == nil {
		*p = v
	}
	return err
}

// UnmarshalJSON reads quotas strictly.
func (q *Quotas) UnmarshalJSON(b []byte) error {
	fields, numbers := map[string]any{}, map[string]*int{}
	for name := range usual {
		numbers[name] = new(int)
		fields[name] = numbers[name]
	}
	given, err := topology.DecodeObject(b, "quotas.", fields)
	if err != nil {
		return err
	}
	v := Quotas{}
	for name := range given {
		if n := *numbers[name]; n != 0 {
			v[name] = n
		}
	}
	*q = v
	return nil
}

// Validate gives a *topology.FieldError for the first field that cannot be.
func (p Project) Validate() error {
	for _, name := range Counted() {
		if n := p.Quotas[name]; n < 0 || n > math.MaxInt32 {
			return &topology.FieldError{Field: "quotas." + name, Detail: fmt.Sprintf("%d: want 0, which is the usual quota, to %d", n, math.MaxInt32)}
		}
	}
	return topology.Network{Labels: p.Labels}.Validate()
}
