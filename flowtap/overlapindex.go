package flowtap

import (
	"math/bits"
	"slices"
)

// An OverlapIndex answers Overlap for one contract against many of the same target, in a time that
// hardly depends on how many there are. The zero value is empty. It is for one caller at a time.
//
// The flows of a priority and direction are grouped by the fields in which they have one value each,
// such as nw_proto and tp_dst. Two flows that both have one value in a field can only overlap where
// it is the same; so of each group only those are compared that have it, in the field that leaves
// the fewest. A group without such a field in common is compared whole: field by field, and stopped at
// the first overlap, which is near unless prefixes, masks or ranges keep the flows apart.
type OverlapIndex struct {
	sets map[stageKey]*flowSet
}

type stageKey struct {
	priority int
	stage    Direction
}

// flowSet is all flows of one priority and direction.
type flowSet struct{ groups []*flowGroup }

// flowGroup is the flows of a set that have one value in the same fields.
type flowGroup struct {
	exact uint64 // a bit for the tag of each such field
	flows []*indexedFlow
	// by finds flows by the value of one of those fields. Small groups have none.
	by map[fieldValue][]*indexedFlow
}

// smallGroup is how many flows are compared one by one.
const smallGroup = 32

// indexedFlow is one flow of a contract at one stage, as form.encode writes it.
type indexedFlow struct{ tap, code string }

// Put adds a contract. Those of one index have the same target and different ids; a contract that
// changes is removed as it was and put as it is.
func (x *OverlapIndex) Put(id string, t Tap) {
	if x.sets == nil {
		x.sets = map[stageKey]*flowSet{}
	}
	for _, d := range stages {
		for _, f := range t.forms(d) {
			key := stageKey{t.Priority, d}
			s := x.sets[key]
			if s == nil {
				s = &flowSet{}
				x.sets[key] = s
			}
			flow := &indexedFlow{id, f.encode()}
			s.group(exactFields(flow.code)).put(flow)
		}
	}
}

// Remove takes out a contract that was Put with the same values; any other is no error.
func (x *OverlapIndex) Remove(id string, t Tap) {
	for _, d := range stages {
		key := stageKey{t.Priority, d}
		s := x.sets[key]
		for _, f := range t.forms(d) {
			if s == nil {
				break
			}
			code := f.encode()
			g := s.group(exactFields(code))
			g.remove(id, code)
			if len(g.flows) == 0 {
				s.drop(g)
			}
		}
		if s != nil && len(s.groups) == 0 {
			delete(x.sets, key)
		}
	}
}

// Overlap finds a contract other than except that cannot stand together with t, as the function
// Overlap defines it: its id, the direction and a frame. Where there are several it is any of them.
func (x *OverlapIndex) Overlap(t Tap, except string) (id string, d Direction, w Witness, ok bool) {
	for _, d := range stages {
		s := x.sets[stageKey{t.Priority, d}]
		if s == nil {
			continue
		}
		for _, f := range t.forms(d) {
			code := f.encode()
			for _, g := range s.groups {
				for _, flow := range g.candidates(code) {
					if flow.tap == except || !f.mayMeet(flow.code) {
						continue
					}
					if w, ok := intersect(f, decodeForm(flow.code)); ok {
						return flow.tap, d, w, true
					}
				}
			}
		}
	}
	return "", "", Witness{}, false
}

func (s *flowSet) group(exact uint64) *flowGroup {
	if i := slices.IndexFunc(s.groups, func(g *flowGroup) bool { return g.exact == exact }); i >= 0 {
		return s.groups[i]
	}
	g := &flowGroup{exact: exact}
	s.groups = append(s.groups, g)
	return g
}

func (s *flowSet) drop(g *flowGroup) {
	s.groups = slices.DeleteFunc(s.groups, func(o *flowGroup) bool { return o == g })
}

func (g *flowGroup) put(flow *indexedFlow) {
	g.flows = append(g.flows, flow)
	if g.by != nil {
		g.file(flow)
	} else if len(g.flows) > smallGroup {
		g.by = map[fieldValue][]*indexedFlow{}
		for _, f := range g.flows {
			g.file(f)
		}
	}
}

func (g *flowGroup) file(flow *indexedFlow) {
	for rest := flow.code; rest != ""; {
		var v fieldValue
		if v, rest = nextItem(rest); v.exact() {
			g.by[v] = append(g.by[v], flow)
		}
	}
}

func (g *flowGroup) remove(tap, code string) {
	same := g.candidates(code)
	i := slices.IndexFunc(same, func(f *indexedFlow) bool { return f.tap == tap && f.code == code })
	if i < 0 {
		return
	}
	flow := same[i]
	g.flows = without(g.flows, flow)
	if g.by == nil {
		return
	}
	for rest := code; rest != ""; {
		var v fieldValue
		if v, rest = nextItem(rest); v.exact() {
			if g.by[v] = without(g.by[v], flow); len(g.by[v]) == 0 {
				delete(g.by, v)
			}
		}
	}
}

// without takes one flow out of a list whose order does not matter.
func without(flows []*indexedFlow, flow *indexedFlow) []*indexedFlow {
	i, last := slices.Index(flows, flow), len(flows)-1
	flows[i], flows[last] = flows[last], nil
	return flows[:last]
}

// candidates gives the flows that have the same values as an encoded form, in one field at least of
// those in which both have one value.
func (g *flowGroup) candidates(code string) []*indexedFlow {
	fewest := g.flows
	if g.by == nil {
		return fewest
	}
	for rest := code; rest != ""; {
		var v fieldValue
		if v, rest = nextItem(rest); g.exact&(1<<v.tag) == 0 || !v.exact() {
			continue
		}
		if same := g.by[v]; len(same) < len(fewest) {
			fewest = same
		}
	}
	return fewest
}

// exactFields gives a bit for the tag of each item that leaves its field one value.
func exactFields(code string) (tags uint64) {
	for code != "" {
		var v fieldValue
		if v, code = nextItem(code); v.exact() {
			tags |= 1 << v.tag
		}
	}
	return tags
}

var _ [64 - tagEnd]struct{} // tags fit into the bits of exactFields

// exact reports whether the item leaves its field one value.
func (v fieldValue) exact() bool {
	switch {
	case v.tag < tagPorts:
		n := len(v.payload) / 2
		ones := 0
		for i := range n {
			ones += bits.OnesCount8(v.payload[n+i])
		}
		return ones == fieldTable[v.tag].bits
	case v.tag < tagFrags:
		return v.payload[:2] == v.payload[2:]
	}
	return v.tag != tagFrags
}

// mayMeet reports whether no single field keeps the form and an encoded one apart. Where it says yes,
// merge may still find no frame.
func (f *form) mayMeet(code string) bool {
	for code != "" {
		var v fieldValue
		v, code = nextItem(code)
		p := v.payload
		switch {
		case v.tag < tagPorts:
			n := len(p) / 2
			c := &f.cons[v.tag]
			if c.mask.zero() {
				continue
			}
			both := wordOfString(p[n:]).and(c.mask)
			if wordOfString(p[:n]).and(both) != c.value.and(both) {
				return false
			}
		case v.tag < tagFrags:
			s := f.ports[v.tag-tagPorts]
			if first, last := uint16(p[0])<<8|uint16(p[1]), uint16(p[2])<<8|uint16(p[3]); first > s.last || last < s.first {
				return false
			}
		case v.tag == tagFrags:
			if f.frags&fragSet(p[0]) == 0 {
				return false
			}
		case v.tag == tagInPort:
			if f.inPort != "" && f.inPort != p[1:] {
				return false
			}
		case v.tag == tagToPort:
			if f.toPort != "" && f.toPort != p[1:] {
				return false
			}
		}
	}
	return true
}
