package load

import (
	"context"
	"errors"
	"time"

	"github.com/flowtap/flowtap/flowtap/placement"
	"github.com/flowtap/flowtap/store"
	"github.com/flowtap/flowtap/topology"
)

// Run follows which nodes and ports there are, and writes statuses, until ctx ends.
func (b *Board) Run(ctx context.Context) error {
	changes := b.store.Follow(ctx)
	tick := time.NewTicker(Every / 6)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case batch, ok := <-changes:
			if !ok {
				return nil
			}
			b.follow(batch)
		case <-tick.C:
			b.write(ctx)
		}
	}
}

func (b *Board) follow(batch store.Batch) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if batch.Reset {
		there := map[string]bool{}
		for _, e := range batch.Events {
			there[e.Collection+"/"+e.ID] = true
		}
		for id := range b.nodes {
			if !there[store.CollectionNodes+"/"+id] {
				delete(b.nodes, id)
			}
		}
		for id := range b.ports {
			if !there[store.CollectionPorts+"/"+id] {
				b.forget(id)
			}
		}
	}
	for _, e := range batch.Events {
		switch o := e.Object.(type) {
		case *store.Node:
			n := b.nodes[e.ID]
			if n == nil {
				n = &node{}
				b.nodes[e.ID] = n
			}
			n.tunnel = o.Spec.TunnelInterface
		case *store.Port:
			p := b.ports[e.ID]
			if p == nil {
				p = &port{}
			} else {
				b.forget(e.ID)
			}
			p.monitor, p.name = o.Spec.Kind == topology.KindMonitor, o.Spec.Interface
			if p.node != o.Status.Node {
				p.node, p.counter = o.Status.Node, counter{}
			}
			if m := o.Status.Monitor; m != nil && p.learned == (placement.Learned{}) {
				p.learned = placement.Learned{Idle: m.Idle, Bears: m.Bears} // by whoever led before
			}
			b.ports[e.ID], b.names[p.name] = p, e.ID
		case nil:
			switch e.Collection {
			case store.CollectionNodes:
				delete(b.nodes, e.ID)
			case store.CollectionPorts:
				b.forget(e.ID)
			}
		}
	}
}

// forget drops a port and its name.
func (b *Board) forget(id string) {
	if p := b.ports[id]; p != nil && b.names[p.name] == id {
		delete(b.names, p.name)
	}
	delete(b.ports, id)
}

// write tells the store what is new, of each object at most every Every.
func (b *Board) write(ctx context.Context) {
	now := b.clock()
	nodes, ports := map[string]node{}, map[string]port{}
	b.mu.Lock()
	for id, n := range b.nodes {
		if n.due.now(now) {
			nodes[id] = *n
		}
	}
	for id, p := range b.ports {
		if p.due.now(now) {
			ports[id] = *p
		}
	}
	b.mu.Unlock()
	for id, n := range nodes {
		b.said("node", id, b.store.Nodes().UpdateStatus(ctx, id, func(st topology.NodeStatus) (topology.NodeStatus, bool) {
			st.Load = n.into(st.Load)
			return st, st.State != "" // before that nobody has seen the node
		}))
	}
	for id, p := range ports {
		b.said("port", id, b.store.Ports().UpdateStatus(ctx, id, func(st topology.PortStatus) (topology.PortStatus, bool) {
			p.into(&st)
			return st, st.State != ""
		}))
	}
}

// now reports whether there is something to write, and takes it for written.
func (d *due) now(at time.Time) bool {
	if !d.news || at.Sub(d.written) < Every {
		return false
	}
	*d = due{written: at}
	return true
}

// said logs what the store did not take: the next figures come soon.
func (b *Board) said(kind, id string, err error) {
	if err != nil && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, context.Canceled) {
		b.log.Warn("cannot store how busy something is", kind, id, "error", err)
	}
}
