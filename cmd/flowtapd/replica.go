package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/flowtap/flowtap/controller"
	"github.com/flowtap/flowtap/fairlisten"
	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/flowtap/trace"
	"github.com/flowtap/flowtap/gate"
	"github.com/flowtap/flowtap/load"
	"github.com/flowtap/flowtap/northbound"
	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/ofconn"
	"github.com/flowtap/flowtap/policy"
	"github.com/flowtap/flowtap/replica"
	"github.com/flowtap/flowtap/store"
	"github.com/flowtap/flowtap/topology"
)

// cluster is this process among its like: a replica always, and a controller while it leads.
type cluster struct {
	*replica.Replica
	store   *store.Store
	config  controller.Config
	metrics *controller.Metrics
	log     *slog.Logger
	gate    *gate.Gate
	now     atomic.Pointer[term] // nil: another leads, or none
}

// A term is this replica's time as the leader.
type term struct {
	ctl      *controller.Controller
	policies *policy.Runner
	board    *load.Board
	ctx      context.Context
}

func newCluster(o options, st *store.Store, certs *sources, forSwitches, forPeers net.Listener, api http.Handler, log *slog.Logger, registry prometheus.Registerer) *cluster {
	c := &cluster{store: st, log: log, gate: gate.New(log, registry, gate.MaxStrangers), metrics: controller.NewMetrics(registry),
		config: controller.Config{NoEpochs: o.epoch == "never", AuditInterval: o.auditInterval}}
	c.Replica = replica.New(replica.Deps{
		Client: st.EtcdClient(), Name: o.replicaName(forSwitches), Version: version, Switches: forSwitches, Peers: forPeers,
		Advertise: o.peerAdvertise, LeaseTTL: o.leaseTTL, Conn: ofconn.Config{TLS: certs.forSwitches(), Listening: func(l *fairlisten.Listener) { l.Export(registry, "openflow") }},
		Enter: c.gate.Enter, Lead: c.lead, Settled: c.settledHere, API: api, PeerServer: certs.forPeers(), PeerClient: certs.toPeers(), Logger: log,
	})
	return c
}

// replicaName is --name, or what differs between two flowtapd that can run at the same time.
func (o *options) replicaName(forSwitches net.Listener) string {
	if o.name != "" {
		return o.name
	}
	host, err := os.Hostname()
	if err != nil {
		host = "flowtapd"
	}
	_, port, err := net.SplitHostPort(forSwitches.Addr().String())
	if err != nil {
		return host
	}
	return host + "-" + port
}

// lead serves switches until ctx, or the term, ends.
func (c *cluster) lead(ctx context.Context, t *replica.Term) error {
	ctx = store.Fenced(ctx, store.Fence{Key: replica.LeaderKey, Revision: t.Epoch, Lost: t.End})
	board := load.New(c.store, c.log)
	ctl := controller.New(controller.Deps{Config: c.config, Store: c.store, Listener: t.Switches, Logger: c.log, Metrics: c.metrics,
		Elsewhere: t.Elsewhere, Place: c.Place, Counted: func(node string, at time.Time, ports map[string]openflow.PortStats) {
			counts := make(map[string]load.Count, len(ports))
			for name, p := range ports {
				counts[name] = load.Count{Received: p.RxBytes, Sent: p.TxBytes}
			}
			board.Counted(node, at, counts)
		}})
	policies := policy.New(c.store, c.log)
	c.now.Store(&term{ctl, policies, board, ctx})
	defer c.now.Store(nil)
	return together(ctx, ctl.Run, policies.Run, board.Run, func(ctx context.Context) error {
		for ctx.Err() == nil {
			changed := c.Changed()
			ctl.Placed(ctx)
			select {
			case <-changed:
			case <-ctx.Done():
			}
		}
		return nil
	})
}

// ours calls f with the controller, for as long as this replica leads.
func (c *cluster) ours(ctx context.Context, f func(context.Context, *controller.Controller) error) error {
	t := c.now.Load()
	if t == nil {
		return fmt.Errorf("%w: %w", replica.ErrNoLeader, context.Canceled)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(t.ctx, cancel)()
	return f(ctx, t.ctl)
}

func (c *cluster) settledHere(ctx context.Context, revision int64) error {
	return c.ours(ctx, func(ctx context.Context, ctl *controller.Controller) error { return ctl.Settled(ctx, revision) })
}

// settled asks whoever leads, again where that changes meanwhile.
func (c *cluster) settled(ctx context.Context, revision int64) error {
	for {
		err := c.settledHere(ctx, revision)
		if c.now.Load() == nil {
			err = c.Settled(ctx, revision)
		}
		if err == nil || ctx.Err() != nil {
			return err
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// runGate tells the gate of the nodes until ctx ends.
func (c *cluster) runGate(ctx context.Context) error {
	c.gate.Run(c.store.Follow(ctx))
	return nil
}

// ready says whether there is somebody to serve switches.
func (c *cluster) ready(context.Context) error {
	here, _, err := c.Leader()
	if here && c.now.Load() == nil {
		return replica.ErrNoLeader
	}
	return err
}

func (c *cluster) readCounters(ctx context.Context, tap string) error {
	return c.ours(ctx, func(ctx context.Context, ctl *controller.Controller) error { return ctl.ReadCounters(ctx, tap) })
}

func (c *cluster) trace(ctx context.Context, r northbound.TraceRequest) (out *trace.Trace, err error) {
	err = c.ours(ctx, func(ctx context.Context, ctl *controller.Controller) error {
		out, err = ctl.Trace(ctx, controller.TraceRequest(r))
		return err
	})
	return out, err
}

// rehearse says what a policy would do to its taps.
func (c *cluster) rehearse(ctx context.Context, id string, p *flowtap.Policy) (northbound.Rehearsal, error) {
	t := c.now.Load()
	if t == nil {
		return northbound.Rehearsal{}, replica.ErrNoLeader
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(t.ctx, cancel)()
	r, err := t.policies.Rehearse(ctx, id, p)
	return northbound.Rehearsal(r), err
}

func (c *cluster) unregistered() []northbound.UnregisteredNode {
	t := c.now.Load()
	if t == nil {
		return nil
	}
	return unregistered(t.ctl)
}

// leader is for requests that only the leader can answer.
func (c *cluster) leader(ctx context.Context) (*northbound.Elsewhere, error) {
	here, there, err := c.Leader()
	switch {
	case here:
		return nil, nil
	case err == nil && replica.Forwarded(ctx):
		return nil, replica.ErrNoLeader // who sent it here was wrong, and will know soon
	case err != nil:
		return nil, err
	}
	return &northbound.Elsewhere{URL: there, Transport: c.Transport()}, nil
}

func (c *cluster) replicas() []northbound.Replica {
	var out []northbound.Replica
	for _, i := range c.Replicas() {
		out = append(out, northbound.Replica(i))
	}
	return out
}

// loads takes reports where this replica leads.
type loads struct{ c *cluster }

func (l loads) board() (*load.Board, error) {
	if t := l.c.now.Load(); t != nil {
		return t.board, nil
	}
	return nil, replica.ErrNoLeader
}

func (l loads) Node(ctx context.Context, id string, r topology.NodeReport) error {
	b, err := l.board()
	if err != nil {
		return err
	}
	return b.Node(ctx, id, r)
}

func (l loads) Heartbeat(ctx context.Context, id string, h topology.Heartbeat) error {
	b, err := l.board()
	if err != nil {
		return err
	}
	return b.Heartbeat(ctx, id, h)
}
