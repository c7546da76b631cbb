package replica

import (
	"context"
	"maps"
	"slices"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/flowtap/flowtap/openflow"
)

// calm is how long nothing must have come or gone before masters are moved to make loads even.
const calm = time.Second

// assignAtOnce keeps a transaction below the 128 operations that etcd allows by default.
const assignAtOnce = 100

// everybody gives the switches of each replica that is registered and that this one reaches, itself included.
func (r *Replica) everybody() map[string][]Switch {
	all := map[string][]Switch{}
	if r.registered() {
		all[r.d.Name] = r.board.switches()
	}
	for name, l := range r.links {
		if l.up {
			all[name] = l.switches
		}
	}
	return all
}

// keepMasters has every connected switch have a master, where this replica leads.
func (r *Replica) keepMasters() {
	if !r.leads() || r.view.revision < r.wrote || r.busy[namingMasters] {
		return
	}
	able := map[openflow.DPID][]string{}
	for name, switches := range r.everybody() {
		for _, s := range switches {
			able[s.DPID] = append(able[s.DPID], name)
		}
	}
	for _, names := range able {
		slices.Sort(names)
	}
	if !maps.EqualFunc(able, r.term.able, slices.Equal) {
		r.term.able, r.unrest = able, time.Now()
		r.settle.Reset(calm)
	}
	masters := map[openflow.DPID]string{}
	for d, m := range r.view.masters {
		masters[d] = m.Replica
	}
	puts := map[openflow.DPID]string{}
	for d, name := range Assign(able, masters, time.Since(r.unrest) < calm) {
		if masters[d] != name && len(puts) < assignAtOnce {
			puts[d] = name
		}
	}
	if len(puts) > 0 {
		r.assign(puts)
	}
}

const namingMasters = "name masters"

// assign names masters, in one write that only the leader can make.
func (r *Replica) assign(to map[openflow.DPID]string) {
	cmps := []clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(LeaderKey), "=", r.term.Epoch)}
	var ops []clientv3.Op
	for d, name := range to {
		r.log.Info("a switch's master", "dpid", d, "is", name, "was", r.view.masters[d].Replica)
		next := mastership{Replica: name, Base: r.view.masters[d].Base}
		ops = append(ops, clientv3.OpPut(masterKey(d), encode(next), clientv3.WithLease(r.view.members[name].lease)))
	}
	r.once(namingMasters, func(ctx context.Context) error { return r.commit(ctx, cmps, ops...) })
}
