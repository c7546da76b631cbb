package store

import (
	"context"
	"slices"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/topology"
)

// redirects counts the redirecting taps, disabled ones too, by where they lead and by their src. The
// mirror's mutex guards it.
type redirects struct {
	from map[destination]map[string]int
}

// destination is a port or a pool.
type destination struct{ collection, id string }

func (x *redirects) clear() { x.from = map[destination]map[string]int{} }

func (x *redirects) changed(was, is *Tap) {
	x.count(was, -1)
	x.count(is, 1)
}

func (x *redirects) count(t *Tap, n int) {
	if t == nil || t.Spec.Action != flowtap.Redirect {
		return
	}
	d := destination{CollectionPorts, t.Spec.Dst}
	if t.Spec.DstPool != "" {
		d = destination{CollectionPools, t.Spec.DstPool}
	}
	srcs := x.from[d]
	if srcs == nil {
		srcs = map[string]int{}
		x.from[d] = srcs
	}
	if srcs[t.Spec.Src] += n; srcs[t.Spec.Src] == 0 {
		delete(srcs, t.Spec.Src)
	}
	if len(srcs) == 0 {
		delete(x.from, d)
	}
}

// any gives one src of the taps that lead to a destination, if there are any.
func (x *redirects) any(d destination) (src string, found bool) {
	for src := range x.from[d] {
		return src, true
	}
	return "", false
}

// RedirectedFrom gives, for each way by which taps redirect frames to a monitor's port (the port
// itself, and each pool that it is in), one port whose frames they are. It is as new as List, and takes
// as long with 100,000 taps as with 10. known is false where only List can say.
func (s *Store) RedirectedFrom(ctx context.Context, monitor string) (srcs []string, known bool, err error) {
	r, err := s.read(ctx, clientv3.OpGet(schemaKey, clientv3.WithKeysOnly()))
	if err != nil {
		return nil, false, err
	}
	m := s.mirror
	if !m.catchUp(ctx, r.Header) {
		return nil, false, nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if src, ok := m.redirects.any(destination{CollectionPorts, monitor}); ok {
		srcs = append(srcs, src)
	}
	for id, p := range m.pools.objects {
		if slices.ContainsFunc(p.Spec.Members, func(m topology.PoolMember) bool { return m.Port == monitor }) {
			if src, ok := m.redirects.any(destination{CollectionPools, id}); ok {
				srcs = append(srcs, src)
			}
		}
	}
	return srcs, len(m.taps.unreadable)+len(m.pools.unreadable) == 0, nil
}
