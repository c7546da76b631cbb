package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/ofconn"
	"github.com/flowtap/flowtap/store"
)

// Config tunes a controller. Zero fields mean their defaults.
type Config struct {
	// NoEpochs leaves out the flows that cure the megaflow fault of Open vSwitch 3.1.0 (see
	// pipeline.Epoch): for switches known to be free of it, and to show that it is there.
	NoEpochs bool
	// AuditInterval is how often each switch is read back, and the counters of taps with it. Default 4 s:
	// they are promised every 5 s, and reading takes time.
	AuditInterval time.Duration
	// SettleTime is how long a change is waited for where no sentinel can prove it: the longest
	// revalidation seen, with a margin. Default 100 ms.
	SettleTime time.Duration
	// Grace is how long after the start a node may be missing before its taps say so. Default 10 s.
	Grace time.Duration
	// CommitTimeout bounds one phase of a change on one switch; a switch that takes longer loses
	// its connection and is read back when it returns. Default 5 s.
	CommitTimeout time.Duration
	// Conn tunes the connections to switches.
	Conn ofconn.Config
}

func (c Config) withDefaults() Config {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&c.AuditInterval, 4*time.Second)
	def(&c.SettleTime, 100*time.Millisecond)
	def(&c.Grace, 10*time.Second)
	def(&c.CommitTimeout, 5*time.Second)
	return c
}

// Deps is what a controller works with. Store, Listener and Logger are needed.
type Deps struct {
	Config   Config
	Store    *store.Store
	Listener net.Listener // connections to switches, direct or by a relay; Run closes it
	Logger   *slog.Logger
	// Metrics may serve one controller after another; nil shows none.
	Metrics *Metrics
	// Elsewhere returns when a switch whose connection ended by itself is not connected to any replica, has
	// had time to come back by another one, or ctx has ended. Nil: it is gone.
	Elsewhere func(ctx context.Context, d openflow.DPID)
	// Place names a switch's master, and the replicas that it is connected to. Nil: there are no replicas.
	Place func(d openflow.DPID) (master string, replicas []string)
	// Counted is told what the interfaces of a node's switch have counted, by their names. It does not block. Nil: nobody asks.
	Counted func(node string, at time.Time, ports map[string]openflow.PortStats)
}

// A Controller serves switches while Run runs, which is one replica's time as the leader: the next has a new
// one, that reads switches before it changes them. Its methods may be called from any goroutine.
type Controller struct {
	config   Config
	store    *store.Store
	listener net.Listener
	log      *slog.Logger
	metrics  *Metrics
	place    func(openflow.DPID) (string, []string)
	wait     func(context.Context, openflow.DPID)
	counted  func(string, time.Time, map[string]openflow.PortStats)

	sessions *sessions
	tunnels  *tunnels
	statuses *statusWriter
	counts   *counts // the planner's
	observer *observer
	planner  *planner

	sentinels    atomic.Uint32 // the last sentinel's number
	longestProof atomic.Int64  // nanoseconds
}

// New makes a controller; Run starts it.
func New(d Deps) *Controller {
	c := &Controller{config: d.Config.withDefaults(), store: d.Store, listener: d.Listener, log: d.Logger}
	c.metrics, c.place, c.wait, c.counted = d.Metrics, d.Place, d.Elsewhere, d.Counted
	if c.metrics == nil {
		c.metrics = NewMetrics(nil)
	}
	c.metrics.begin()
	c.sessions = newSessions(c.log)
	c.tunnels = newTunnels(c.metrics)
	c.statuses = newStatusWriter(d.Store, c.log)
	c.counts = newCounts()
	c.observer = newObserver(c)
	c.planner = newPlanner(c)
	return c
}

// Run serves switches until ctx ends or the listener fails, and returns when everything it
// started has ended.
func (c *Controller) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for _, run := range []func(context.Context){c.planner.run, c.observer.run, c.tunnels.run, c.statuses.run} {
		wg.Go(func() { run(ctx) })
	}
	defer c.metrics.end()
	conn := c.config.Conn
	conn.Logger, conn.Relayed = c.log, true
	err := ofconn.Serve(ctx, c.listener, conn, func(alive context.Context, conn *ofconn.Conn) { c.serveSwitch(ctx, alive, conn) })
	if err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("serve switches on %s: %w", c.listener.Addr(), err)
	}
	return nil
}
