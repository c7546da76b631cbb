package pipeline

import (
	"strings"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/openflow"
)

// A flood is what a network's contracts on received frames come to, kept up to date contract by
// contract because one more of them must not cost a look at all others. It is the same for all nodes.
type flood struct {
	stages map[string]*stage // by destination, those of limited contracts apart (copy.go)
	alone  int               // targets that may have a look-up of their own, over all stages
}

// A stage is one destination's part of a flood program.
type stage struct {
	cubes map[string]*sharedCube // contracts that may be decided together, by match
	multi int                    // cubes of several targets
	// pools counts the cubes of each spread pool that the monitor is in.
	pools map[string]int
	// single counts, by target, the cubes that are that target's alone; forced the contracts that
	// must be decided one target at a time.
	single, forced map[string]int
}

// A sharedCube is one match and the contracts that have it, by target: those towards one spread pool, or
// all others.
type sharedCube struct {
	match openflow.Match
	pool  string
	taps  map[string]*Tap
}

// A cubeRef names a shared cube.
type cubeRef struct{ network, stage, key string } // key: spread pool, or nothing, "/" and match

// A hold is what one target's contracts have put into the indices.
type hold struct {
	network string
	cubes   map[cubeRef]*Tap
	forced  []string // stages, once a contract
	tapped  []string // monitors of enabled contracts, once a contract
	forms   []formOf // of copies that are not simply all frames, once a contract
	seen    []string // destinations of those that surely copy sent frames
	diverts []string // monitors of redirects, once a contract
	opens   []string // monitors of those that fail open
}

// A formOf is copies of a form to a monitor.
type formOf struct {
	monitor string
	at      formAt
}

// index enters a port's contracts.
func (w *World) index(p *Port) {
	if p == nil || p.Network == "" || len(w.tapsBySrc[p.ID]) == 0 {
		return
	}
	h := &hold{network: p.Network, cubes: map[cubeRef]*Tap{}}
	top := w.topPriority(p.ID)
	for _, t := range w.tapsBySrc[p.ID] {
		if !t.Enabled {
			continue
		}
		monitors := w.monitorsOf(t)
		h.tapped = append(h.tapped, monitors...)
		if t.DstPool != "" {
			h.tapped = append(h.tapped, t.leadsTo())
		}
		if w.redirects(t) {
			h.diverts = append(h.diverts, monitors...)
			if t.FailMode == flowtap.FailOpen {
				h.opens = append(h.opens, monitors...)
			}
		} else if t.Action != flowtap.Redirect && len(t.out) > 0 {
			h.seen = append(h.seen, w.marks(t)...)
		}
		for _, m := range monitors {
			if t.optioned() {
				h.forms = append(h.forms, formOf{m, formAt{t.form(), t.limited(), p.Network}})
			}
		}
		if len(t.in) == 0 || p.Status.Node == "" {
			continue
		}
		stages := w.stagesOf(t)
		if special(t) || t.limited() || t.Priority < top && w.shadowed(t) {
			h.forced = append(h.forced, stages...)
			continue
		}
		for _, c := range t.in {
			key := matchKey(c.Fields)
			if spread := w.spreadOf(t); spread != nil {
				key = spread.ID + "/" + key
			} else {
				key = "/" + key
			}
			for _, s := range stages {
				ref := cubeRef{p.Network, s, key}
				if old := h.cubes[ref]; old == nil || t.Num < old.Num {
					h.cubes[ref] = t
				}
			}
		}
	}
	w.holds[p.ID] = h
	w.enter(p.ID, h, 1)
}

// unindex takes a port's contracts out.
func (w *World) unindex(id string) {
	if h := w.holds[id]; h != nil {
		w.enter(id, h, -1)
		delete(w.holds, id)
	}
}

// enter adds a hold to the indices, or with -1 takes it out.
func (w *World) enter(port string, h *hold, by int) {
	for _, m := range h.tapped {
		count(w.tapped, m, h.network, by)
	}
	for _, f := range h.forms {
		count(w.forms, f.monitor, f.at, by)
	}
	for _, m := range h.seen {
		count(w.seen, h.network, m, by)
	}
	for _, m := range h.opens {
		count(w.opens, m, h.network, by)
	}
	for _, m := range h.diverts {
		count(w.divertedTo, m, h.network, by)
		if w.diverted[h.network] == nil {
			w.diverted[h.network] = map[string]map[string]int{}
		}
		if count(w.diverted[h.network], m, port, by); len(w.diverted[h.network]) == 0 {
			delete(w.diverted, h.network)
		}
	}
	f := w.floods[h.network]
	if f == nil {
		f = &flood{stages: map[string]*stage{}}
		w.floods[h.network] = f
	}
	at := func(name string) *stage {
		if f.stages[name] == nil {
			f.stages[name] = &stage{cubes: map[string]*sharedCube{}, pools: map[string]int{}, single: map[string]int{}, forced: map[string]int{}}
		}
		return f.stages[name]
	}
	for _, name := range h.forced {
		s := at(name)
		f.alone -= len(s.forced)
		add(s.forced, port, by)
		f.alone += len(s.forced)
	}
	for ref, t := range h.cubes {
		s := at(ref.stage)
		f.alone -= len(s.single)
		c := s.cubes[ref.key]
		if c == nil {
			c = &sharedCube{taps: map[string]*Tap{}}
			var key string
			c.pool, key, _ = strings.Cut(ref.key, "/")
			for _, cube := range t.in {
				if matchKey(cube.Fields) == key {
					c.match = cube.Fields
				}
			}
			s.cubes[ref.key] = c
			if c.pool != "" {
				s.pools[c.pool]++
			}
		}
		s.tally(c, -1)
		if by > 0 {
			c.taps[port] = t
		} else {
			delete(c.taps, port)
		}
		s.tally(c, 1)
		if len(c.taps) == 0 {
			delete(s.cubes, ref.key)
			if c.pool != "" {
				add(s.pools, c.pool, -1)
			}
		}
		f.alone += len(s.single)
	}
	for name, s := range f.stages {
		if len(s.cubes)+len(s.forced) == 0 {
			delete(f.stages, name)
		}
	}
}

// tally counts a cube as one target's or as several's.
func (s *stage) tally(c *sharedCube, by int) {
	if len(c.taps) > 1 {
		s.multi += by
	}
	if len(c.taps) == 1 {
		for target := range c.taps {
			add(s.single, target, by)
		}
	}
}

func add[K comparable](m map[K]int, key K, by int) {
	if m[key] += by; m[key] == 0 {
		delete(m, key)
	}
}

func count[K comparable](m map[string]map[K]int, a string, b K, by int) {
	if m[a] == nil {
		m[a] = map[K]int{}
	}
	if add(m[a], b, by); len(m[a]) == 0 {
		delete(m, a)
	}
}

// special reports whether what a contract says depends on the node: names of ports, and tunnels.
func special(t *Tap) bool {
	for _, c := range t.in {
		if c.InPort != "" || c.ToPort != "" {
			return true
		}
		for _, f := range c.Fields {
			switch f.Field {
			case openflow.FieldTunSrc, openflow.FieldTunDst, openflow.FieldTunnelID:
				return true
			}
		}
	}
	return false
}

// crowded reports whether a network has so many targets that matches of one target alone must be
// decided together with others: an action list has 64 KiB. Such a target may be copied its own
// broadcasts.
func (f *flood) crowded() bool { return f.alone > maxAlone }

// alone reports whether a target's contracts towards a stage's destination are decided for it alone on
// a node: where one frees nobody else, its own frames must not be copied to it.
func (w *World) aloneAt(f *flood, s *stage, target, node string) bool {
	return s.forced[target] > 0 || s.single[target] > 0 && !f.crowded() && w.sendsAt(w.ports[target], node)
}

// loneCubes reports whether the matches that only this target of a stage has are decided for it
// alone on a node, and so not together with others'.
func (w *World) loneCubes(f *flood, s *stage, target, node string) bool {
	return w.aloneAt(f, s, target, node) && w.sendsAt(w.ports[target], node)
}

// sendsAt reports whether frames of a port may be flooded from a node: it is there, or a monitor gives
// them back there.
func (w *World) sendsAt(p *Port, node string) bool {
	return w.attachment(p, node) != 0 || w.returnsAt(p, node)
}

// unitsOfFlood gives the parts of flooding that a target's contracts, or its place, have to do with.
func (w *World) unitsOfFlood(p *Port) []Unit {
	us := []Unit{{UnitFlood, p.Network}, {UnitTarget, p.ID}}
	h, f := w.holds[p.ID], w.floods[p.Network]
	if h == nil || f == nil {
		return us
	}
	for ref := range h.cubes {
		us = append(us, unitOfCube(ref))
		// One that gets or loses company is decided otherwise.
		if taps := f.stages[ref.stage].cubes[ref.key].taps; len(taps) <= 2 {
			for id := range taps {
				us = append(us, Unit{UnitTarget, id})
			}
		}
	}
	return us
}

// unitsOfFloods gives all parts of a network's flooding.
func (w *World) unitsOfFloods(network string) []Unit {
	us := []Unit{{UnitFlood, network}}
	for id := range w.members[network] {
		us = append(us, Unit{UnitTarget, id})
	}
	if f := w.floods[network]; f != nil {
		for name, s := range f.stages {
			for key := range s.cubes {
				us = append(us, unitOfCube(cubeRef{network, name, key}))
			}
		}
	}
	return us
}

func unitOfCube(r cubeRef) Unit { return Unit{UnitCube, r.network + "/" + r.stage + "/" + r.key} }

// topPriority is the highest priority of a port's enabled contracts on received frames.
func (w *World) topPriority(port string) int {
	top := -1
	for _, t := range w.tapsBySrc[port] {
		if t.Enabled && len(t.in) > 0 {
			top = max(top, t.Priority)
		}
	}
	return top
}

// shadowed reports whether another contract of the same target may govern frames of t and leads
// elsewhere.
func (w *World) shadowed(t *Tap) bool {
	for _, o := range w.tapsBySrc[t.Src] {
		if o.Priority > t.Priority && o.Enabled && o.stage != t.stage && len(o.in) > 0 {
			if _, meet := flowtap.Intersect(t.Match, o.Match); meet || t.Direction == flowtap.Both || o.Direction == flowtap.Both {
				return true
			}
		}
	}
	return false
}
