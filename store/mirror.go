package store

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/flowtap/flowtap/access"
	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/topology"
)

// mirror is a copy of the store in memory, fed by the one watch that everything shares. It is
// complete up to its revision and may be behind etcd; whoever needs to know compares revisions.
type mirror struct {
	s   *Store
	log *slog.Logger
	// lastWrite is the latest revision at which this process changed the taps of a port.
	lastWrite atomic.Int64

	// mu guards all below. Nothing that may block is done under it.
	mu sync.Mutex
	// rev is the revision up to which every change has been applied; 0 before the first list.
	rev int64
	// heard is when the copy was last known to be complete.
	heard time.Time
	// cluster is the etcd cluster that rev is of.
	cluster  uint64
	nodes    *table[topology.Node, topology.NodeStatus]
	networks *table[topology.Network, topology.NetworkStatus]
	ports    *table[topology.Port, topology.PortStatus]
	pools    *table[topology.Pool, topology.PoolStatus]
	policies *table[flowtap.Policy, flowtap.PolicyStatus]
	taps     *table[flowtap.Tap, flowtap.TapStatus]
	projects *table[access.Project, access.ProjectStatus]
	tokens   *table[access.Token, access.TokenStatus]
	tables   map[string]anyTable
	labels   map[string]uint32
	plans    map[string]Plan
	siblings siblings
	// redirects counts the taps in taps.
	redirects redirects
	// moved is closed when rev has changed, and replaced. nil: nobody waits.
	moved     chan struct{}
	followers map[*follower]struct{}
}

func newMirror(s *Store) *mirror {
	m := &mirror{
		s: s, log: s.log,
		nodes:     newTable[topology.Node, topology.NodeStatus](),
		networks:  newTable[topology.Network, topology.NetworkStatus](),
		ports:     newTable[topology.Port, topology.PortStatus](),
		pools:     newTable[topology.Pool, topology.PoolStatus](),
		policies:  newTable[flowtap.Policy, flowtap.PolicyStatus](),
		taps:      newTable[flowtap.Tap, flowtap.TapStatus](),
		projects:  newTable[access.Project, access.ProjectStatus](),
		tokens:    newTable[access.Token, access.TokenStatus](),
		labels:    map[string]uint32{},
		plans:     map[string]Plan{},
		followers: map[*follower]struct{}{},
	}
	m.tables = map[string]anyTable{
		CollectionNodes: m.nodes, CollectionNetworks: m.networks,
		CollectionPorts: m.ports, CollectionPools: m.pools, CollectionPolicies: m.policies, CollectionTaps: m.taps,
		CollectionProjects: m.projects, CollectionTokens: m.tokens,
	}
	m.siblings.clear()
	m.redirects.clear()
	m.taps.changed = func(was, is *Tap) {
		m.siblings.changed(was, is)
		m.redirects.changed(was, is)
	}
	return m
}

// list reads everything as of one revision and replaces the copy with it.
func (m *mirror) list(ctx context.Context) (clusterID uint64, err error) {
	r, err := m.s.read(ctx, clientv3.OpGet(schemaKey))
	if err != nil {
		return 0, err
	}
	rev := r.Header.Revision
	if kv := first(r, 0); kv != nil {
		if _, err := m.s.layout.check(kv.Value); err != nil {
			return 0, err
		}
	}
	var all [5][]*mvccpb.KeyValue
	for i, p := range []string{objectsPrefix, statusPrefix, labelsPrefix, guardPrefix, plansPrefix} {
		if all[i], _, err = m.s.scan(ctx, p, rev); err != nil {
			return 0, err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range m.tables {
		t.clear()
	}
	clear(m.labels)
	clear(m.plans)
	m.siblings.clear()
	m.redirects.clear()
	for _, kvs := range all {
		for _, kv := range kvs {
			m.lockedApply(&clientv3.Event{Type: mvccpb.PUT, Kv: kv})
		}
	}
	m.siblings.listed(m.taps)
	m.rev, m.cluster, m.heard = rev, r.Header.ClusterId, time.Now()
	m.lastWrite.Store(0) // it may be of a history that is no more
	for f := range m.followers {
		f.lockedReset()
	}
	m.lockedMoved()
	return r.Header.ClusterId, nil
}

// apply takes what the watch brought, which is whole revisions in order.
func (m *mirror) apply(events []*clientv3.Event, rev int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []Event
	for len(events) > 0 {
		n, at := 1, events[0].Kv.ModRevision
		for n < len(events) && events[n].Kv.ModRevision == at {
			n++
		}
		out = append(out, m.lockedRevision(events[:n])...)
		events = events[n:]
	}
	m.rev, m.heard = max(m.rev, rev), time.Now()
	for f := range m.followers {
		f.lockedAdd(out, m.rev)
	}
	m.lockedMoved()
}

// change is what one revision did to one object.
type change struct {
	collection, id string
	object         bool // not its status alone
}

// lockedRevision applies one revision and gives one event for each object that it touched.
func (m *mirror) lockedRevision(events []*clientv3.Event) []Event {
	var changes []change
	for _, e := range events {
		c, ok := m.lockedApply(e)
		if !ok {
			continue
		}
		known := false
		for i := range changes {
			if changes[i].collection == c.collection && changes[i].id == c.id {
				changes[i].object = changes[i].object || c.object
				known = true
			}
		}
		if !known {
			changes = append(changes, c)
		}
	}
	out := make([]Event, 0, len(changes))
	for _, c := range changes {
		e := Event{Collection: c.collection, ID: c.id}
		if c.collection == CollectionLabels {
			if n, ok := m.labels[c.id]; ok {
				e.Object = n
			}
		} else if c.collection == CollectionPlans {
			if p, ok := m.plans[c.id]; ok {
				e.Object = p
			}
		} else if o, ok := m.tables[c.collection].get(c.id); ok {
			e.Object, e.StatusOnly = o, !c.object
		} else if !c.object {
			continue // the status of something that is not there
		}
		out = append(out, e)
	}
	return out
}

// lockedApply applies one key. It reports false where the key means nothing to a follower.
func (m *mirror) lockedApply(e *clientv3.Event) (change, bool) {
	key, gone := string(e.Kv.Key), e.Type == mvccpb.DELETE
	switch {
	case key == schemaKey && !gone:
		_, _ = m.s.layout.check(e.Kv.Value) // which remembers a newer one
	case strings.HasPrefix(key, objectsPrefix):
		collection, id, _ := splitKey(key, objectsPrefix)
		t := m.tables[collection]
		if t == nil {
			return change{}, false
		}
		if gone {
			t.removeObject(id)
		} else if err := t.putObject(id, e.Kv); err != nil {
			m.log.Error("object left out", "collection", collection, "id", id, "error", err)
		}
		return change{collection, id, true}, true
	case strings.HasPrefix(key, statusPrefix):
		collection, id, _ := splitKey(key, statusPrefix)
		t := m.tables[collection]
		if t == nil {
			return change{}, false
		}
		if gone {
			t.removeStatus(id)
		} else if err := t.putStatus(id, e.Kv); err != nil {
			m.log.Error("status left out", "collection", collection, "id", id, "error", err)
		}
		return change{collection, id, false}, true
	case strings.HasPrefix(key, labelsPrefix):
		id := strings.TrimPrefix(key, labelsPrefix)
		if gone {
			delete(m.labels, id)
		} else if n, err := strconv.ParseUint(string(e.Kv.Value), 10, 24); err != nil {
			m.log.Error("label left out", "key", id, "error", err)
		} else {
			m.labels[id] = uint32(n)
		}
		return change{CollectionLabels, id, true}, true
	case strings.HasPrefix(key, plansPrefix):
		id := strings.TrimPrefix(key, plansPrefix)
		if gone {
			delete(m.plans, id)
		} else if p, err := decodePlan(e.Kv); err != nil {
			m.log.Error("plan left out", "key", id, "error", err)
		} else {
			m.plans[id] = p
		}
		return change{CollectionPlans, id, true}, true
	case strings.HasPrefix(key, guardPrefix):
		m.siblings.guard(strings.TrimPrefix(key, guardPrefix), e.Kv.ModRevision, gone)
	}
	return change{}, false
}

func (m *mirror) lockedMoved() {
	if m.moved != nil {
		close(m.moved)
		m.moved = nil
	}
}

// catchUp reports whether the copy has everything that etcd had when it answered with this header.
// It waits a moment for it, no longer: where others write to the same etcd, the revision may be
// theirs and never be seen here.
func (m *mirror) catchUp(ctx context.Context, h *pb.ResponseHeader) bool {
	deadline := time.NewTimer(20 * time.Millisecond)
	defer deadline.Stop()
	for {
		m.mu.Lock()
		if m.cluster != h.ClusterId || m.rev >= h.Revision {
			defer m.mu.Unlock()
			if m.cluster == h.ClusterId {
				m.heard = time.Now()
			}
			return m.cluster == h.ClusterId
		}
		moved := m.lockedWait()
		m.mu.Unlock()
		select {
		case <-moved:
		case <-deadline.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// lockedWait gives a channel that is closed when the copy has changed.
func (m *mirror) lockedWait() <-chan struct{} {
	if m.moved == nil {
		m.moved = make(chan struct{})
	}
	return m.moved
}
