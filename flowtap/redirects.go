package flowtap

import (
	"maps"
	"slices"

	"github.com/flowtap/flowtap/topology"
)

// Redirects are redirecting taps with all pools and ports, by their ids. What comes back from monitors can be told apart
// while these rules hold:
//
//   - A monitor without tag vlan has redirected frames of one network, else nobody knows the network
//     of a frame that it gives back.
//   - A port that is another monitor's return port has redirected frames of its own only where it has
//     a return port itself, else nobody knows which of the two monitors gave a frame back.
//   - Nothing is redirected to a member of a pool of mode copy, which would give back the copies that it gets with
//     the others.
type Redirects struct {
	Taps  map[string]Tap // those of action redirect
	Pools map[string]topology.Pool
	Ports map[string]topology.Port
}

// BrokenRule is a rule that taps do not keep together.
type BrokenRule struct {
	Taps   []string
	Reason string
}

// Broken gives a rule that the taps of some monitors do not keep; nil: they keep all. Of several it is always the same.
func (r Redirects) Broken(monitors map[string]bool) *BrokenRule {
	taps := slices.Sorted(maps.Keys(r.Taps))
	for _, rule := range []func([]string, map[string]bool) *BrokenRule{r.oneReturn, r.oneNetwork, r.noCopies} {
		if b := rule(taps, monitors); b != nil {
			return b
		}
	}
	return nil
}

// Monitors gives the ports that a tap leads to.
func Monitors(t Tap, pools map[string]topology.Pool) []string {
	if t.DstPool == "" {
		return []string{t.Dst}
	}
	var ids []string
	for _, m := range pools[t.DstPool].Members {
		ids = append(ids, m.Port)
	}
	return ids
}

// CopiesTo reports whether a pool is one that copies to a monitor.
func CopiesTo(p topology.Pool, monitor string) bool {
	return p.Mode == topology.PoolCopy && slices.ContainsFunc(p.Members, func(m topology.PoolMember) bool { return m.Port == monitor })
}

func (r Redirects) oneReturn(taps []string, concerned map[string]bool) *BrokenRule {
	of := map[string]string{} // return port to the monitor that has it
	for id, p := range r.Ports {
		if p.ReturnPort != "" {
			of[p.ReturnPort] = id
		}
	}
	for _, id := range taps {
		for _, m := range Monitors(r.Taps[id], r.Pools) {
			if other := of[m]; concerned[m] && other != "" && r.Ports[m].ReturnPort == "" {
				return &BrokenRule{[]string{id}, "port " + m + " is the return port of " + other + " and has none itself: what comes back by it could be of either; tap " + id + " cannot redirect to it"}
			}
		}
	}
	return nil
}

func (r Redirects) noCopies(taps []string, concerned map[string]bool) *BrokenRule {
	copied := map[string]string{} // monitor to the first pool that copies to it
	for _, pool := range slices.Sorted(maps.Keys(r.Pools)) {
		if r.Pools[pool].Mode != topology.PoolCopy {
			continue
		}
		for _, m := range r.Pools[pool].Members {
			if copied[m.Port] == "" {
				copied[m.Port] = pool
			}
		}
	}
	for _, id := range taps {
		for _, m := range Monitors(r.Taps[id], r.Pools) {
			if pool := copied[m]; concerned[m] && pool != "" {
				return &BrokenRule{[]string{id}, "monitor " + m + " is in pool " + pool + " of mode copy, and would give back what is copied to it; tap " + id + " cannot redirect to it"}
			}
		}
	}
	return nil
}

func (r Redirects) oneNetwork(taps []string, concerned map[string]bool) *BrokenRule {
	type first struct{ tap, network string }
	seen := map[string]first{} // by monitor
	for _, id := range taps {
		t := r.Taps[id]
		network := r.Ports[t.Src].Network
		for _, m := range Monitors(t, r.Pools) {
			if !concerned[m] || r.Ports[m].Tag == topology.TagVLAN {
				continue
			}
			before, ok := seen[m]
			switch {
			case !ok:
				seen[m] = first{id, network}
			case before.network != network:
				return &BrokenRule{[]string{before.tap, id}, "monitor " + m + " has no tag vlan, so it can only have redirected frames of one network: tap " +
					before.tap + " is of network " + before.network + ", tap " + id + " of " + network}
			}
		}
	}
	return nil
}
