package policy

import (
	"github.com/flowtap/flowtap/store"
	"github.com/flowtap/flowtap/topology"
)

// World is the store's objects by their inside ids. Nobody but its owner changes it.
type World struct {
	Revision int64
	Nodes    map[string]*store.Node
	Networks map[string]*store.Network
	Ports    map[string]*store.Port
	Pools    map[string]*store.Pool
	Policies map[string]*store.Policy
	Projects map[string]*store.Project
	Taps     map[string]*store.Tap

	byPolicy map[string]map[string]*store.Tap // taps by Policy and id, those without one left out
	bySrc    map[string]map[string]*store.Tap
	owned    map[string]int // how many taps a project has
}

func newWorld() *World {
	return &World{Nodes: map[string]*store.Node{}, Networks: map[string]*store.Network{}, Ports: map[string]*store.Port{},
		Pools: map[string]*store.Pool{}, Policies: map[string]*store.Policy{}, Projects: map[string]*store.Project{}, owned: map[string]int{}, Taps: map[string]*store.Tap{},
		byPolicy: map[string]map[string]*store.Tap{}, bySrc: map[string]map[string]*store.Tap{}}
}

// apply takes an event and gives the object as it was, nil where there was none.
func (w *World) apply(e store.Event) (was any) {
	switch e.Collection {
	case store.CollectionNodes:
		return put(w.Nodes, e)
	case store.CollectionNetworks:
		return put(w.Networks, e)
	case store.CollectionPorts:
		return put(w.Ports, e)
	case store.CollectionPools:
		return put(w.Pools, e)
	case store.CollectionPolicies:
		return put(w.Policies, e)
	case store.CollectionProjects:
		return put(w.Projects, e)
	case store.CollectionTaps:
		project := topology.ProjectOf(e.ID)
		if t := w.Taps[e.ID]; t != nil {
			drop(w.bySrc, t.Spec.Src, e.ID)
			drop(w.byPolicy, t.Spec.Policy, e.ID)
			w.owned[project]--
		}
		if t, ok := e.Object.(*store.Tap); ok {
			add(w.bySrc, t.Spec.Src, t)
			w.owned[project]++
			if t.Spec.Policy != "" {
				add(w.byPolicy, t.Spec.Policy, t)
			}
		}
		return put(w.Taps, e)
	}
	return nil
}

// tappable reports whether there is a port, and taps can be of it.
func (w *World) tappable(port string) bool {
	p := w.Ports[port]
	return p != nil && p.Spec.Kind != topology.KindMonitor
}

func put[O any](all map[string]*O, e store.Event) any {
	was, there := all[e.ID]
	if o, ok := e.Object.(*O); ok {
		all[e.ID] = o
	} else {
		delete(all, e.ID)
	}
	if !there {
		return nil
	}
	return was
}

func add(sets map[string]map[string]*store.Tap, key string, t *store.Tap) {
	if sets[key] == nil {
		sets[key] = map[string]*store.Tap{}
	}
	sets[key][t.ID] = t
}

func drop(sets map[string]map[string]*store.Tap, key, id string) {
	if delete(sets[key], id); len(sets[key]) == 0 {
		delete(sets, key)
	}
}

// each calls f for every object of a collection that facts are made of.
func (w *World) each(f func(collection, id string, o any)) {
	eachOf(w.Nodes, store.CollectionNodes, f)
	eachOf(w.Networks, store.CollectionNetworks, f)
	eachOf(w.Ports, store.CollectionPorts, f)
	eachOf(w.Taps, store.CollectionTaps, f)
}

func eachOf[O any](all map[string]*O, collection string, f func(string, string, any)) {
	for id, o := range all {
		f(collection, id, o)
	}
}
