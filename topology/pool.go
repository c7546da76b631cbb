package topology

import (
	"encoding/json"
	"fmt"
)

// Limits of a pool: so many members, each of so much weight.
const (
	MaxMembers = 64
	MaxWeight  = 1000
)

// Pool is several monitors behind one name.
type Pool struct {
	Mode    PoolMode          `json:"mode"`
	Members []PoolMember      `json:"members"`
	Labels  map[string]string `json:"labels,omitempty"`
	// SharedWith are the projects whose taps may lead here, besides the pool's own.
	SharedWith Shared `json:"shared_with,omitempty"`
}

// PoolMode is what a pool does with a frame.
type PoolMode string

// Modes of a pool: every member gets every frame, or both directions of a connection go to one
// member, by weight.
const (
	PoolCopy   PoolMode = "copy"
	PoolSpread PoolMode = "spread"
)

// PoolMember is one monitor of a pool.
type PoolMember struct {
	// Port is the id of a port of kind monitor.
	Port string `json:"port"`
	// Weight is the member's share of a spread pool against the others' weights, 1 by default.
	Weight int `json:"weight"`
}

// PoolStatus is what the controller made of a pool.
type PoolStatus struct {
	// Slices says how many of a spread pool's slices each member has; members that have none, because
	// they are down, are left out. Empty for a copy pool.
	Slices map[string]int `json:"slices,omitempty"`
}

// UnmarshalJSON reads a pool strictly. A member's weight is 1 where it is left out.
func (p *Pool) UnmarshalJSON(b []byte) error {
	var v Pool
	_, err := DecodeObject(b, "", map[string]any{"mode": &v.Mode, "members": (*members)(&v.Members), "labels": &v.Labels, "shared_with": &v.SharedWith})
	if err == nil {
		*p = v
	}
	return err
}

// members reads a list of members; fields of a member are named "members.<index>.<field>".
type members []PoolMember

// UnmarshalJSON implements json.Unmarshaler.
func (ms *members) UnmarshalJSON(b []byte) error {
	var raw []json.RawMessage
	if json.Unmarshal(b, &raw) != nil {
		return &FieldError{"members", `want a list of objects such as {"port": "ids1", "weight": 1}`}
	}
	if len(raw) > MaxMembers { // before each costs what reading an object costs
		return tooManyMembers()
	}
	for i, r := range raw {
		m := PoolMember{Weight: 1}
		if _, err := DecodeObject(r, memberField(i, ""), map[string]any{"port": &m.Port, "weight": &m.Weight}); err != nil {
			return err
		}
		*ms = append(*ms, m)
	}
	return nil
}

func tooManyMembers() error {
	return &FieldError{"members", fmt.Sprintf("more than %d members", MaxMembers)}
}

// MemberField names the field port of a pool's member.
func MemberField(i int) string { return memberField(i, "port") }

func memberField(i int, name string) string { return fmt.Sprintf("members.%d.%s", i, name) }

// Validate gives a *FieldError for the first field that cannot be. Whether the members exist and are
// monitors is for the caller to find out.
func (p Pool) Validate() error {
	switch {
	case p.Mode == "":
		return &FieldError{"mode", "is required: copy or spread"}
	case p.Mode != PoolCopy && p.Mode != PoolSpread:
		return &FieldError{"mode", fmt.Sprintf("%q: want copy or spread", short(string(p.Mode)))}
	case len(p.Members) == 0:
		return &FieldError{"members", "is required: a pool without members would lose every frame"}
	case len(p.Members) > MaxMembers:
		return tooManyMembers()
	}
	seen := map[string]bool{}
	for i, m := range p.Members {
		switch {
		case m.Port == "":
			return &FieldError{MemberField(i), "is required: the id of a monitor's port"}
		case seen[m.Port]:
			return &FieldError{MemberField(i), fmt.Sprintf("%s is there twice: give it more weight instead", short(m.Port))}
		case m.Weight < 1 || m.Weight > MaxWeight:
			return &FieldError{memberField(i, "weight"), fmt.Sprintf("%d: want 1 to %d", m.Weight, MaxWeight)}
		}
		if err := validRef(MemberField(i), m.Port); err != nil {
			return err
		}
		seen[m.Port] = true
	}
	if err := validShared(p.SharedWith); err != nil {
		return err
	}
	return validLabels(p.Labels)
}
