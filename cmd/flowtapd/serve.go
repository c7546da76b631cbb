package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/flowtap/flowtap/controller"
	"github.com/flowtap/flowtap/northbound"
	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/replica"
	"github.com/flowtap/flowtap/store"
)

// serve runs the controller until ctx ends or a part of it fails.
func serve(ctx context.Context, o options, log *slog.Logger) error {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	certs, err := o.certs.load(log, registry)
	if err != nil {
		return err
	}
	// Listening comes first: a taken port is found before a data directory is made.
	forSwitches, err := listen("--openflow-addr", o.openflowAddr)
	if err != nil {
		return err
	}
	defer forSwitches.Close()
	forUsers, err := listen("--http-addr", o.httpAddr)
	if err != nil {
		return err
	}
	defer forUsers.Close()
	forPeers, err := listen("--peer-addr", o.peerAddr)
	if err != nil {
		return err
	}
	defer forPeers.Close()
	st, err := openStore(ctx, store.Config{Endpoints: o.etcdEndpoints, DataDir: o.dataDir, Logger: log, TLS: certs.forEtcd()})
	if err != nil && ctx.Err() != nil {
		return nil // told to end while it waited
	}
	if err != nil {
		return err
	}
	defer func() {
		if err := st.Close(); err != nil {
			log.Error("cannot close the store", "error", err)
		}
	}()

	if !o.insecure {
		if err := firstToken(ctx, st, o.dataDir, log); err != nil {
			return err
		}
	}
	var api *northbound.Server
	c := newCluster(o, st, certs, forSwitches, forPeers, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { api.ServeHTTP(w, r) }), log, registry)
	api, err = northbound.New(northbound.Deps{
		Store: st, Logger: log, Registry: registry, Ready: c.ready, TLS: certs.forUsers(),
		Planner: planner{c}, Settled: c.settled, ReadCounters: c.readCounters, Trace: c.trace, Loads: loads{c}, Unregistered: c.unregistered,
		Leader: c.leader, Replicas: c.replicas, Rehearse: c.rehearse,
		Insecure: o.insecure, AuditRetention: o.auditRetention, AuditMax: o.auditMax, Forwarded: replica.Forwarded,
	})
	if err != nil {
		return err
	}
	log.Info("flowtapd is ready", "openflow", forSwitches.Addr(), "http", forUsers.Addr(), "peers", forPeers.Addr(), "version", version)
	defer log.Info("flowtapd ends")
	return together(ctx, st.Outdated, c.Run, c.runGate, func(ctx context.Context) error { return api.Serve(ctx, forUsers) })
}

// together runs all until ctx ends or one of them does, waits for the others, and gives the
// first error.
func together(ctx context.Context, all ...func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	for i, f := range all {
		wg.Go(func() {
			defer cancel()
			errs[i] = f(ctx)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func listen(flag, addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s %s is in use by another program: stop it, or choose another port", flag, addr)
	case err != nil:
		return nil, fmt.Errorf("cannot listen on %s %s: %w", flag, addr, err)
	}
	return l, nil
}

// planner answers dry runs with the controller's suppositions.
type planner struct{ c *cluster }

func (p planner) DryRun(ctx context.Context, changes []northbound.Change) ([]northbound.SwitchChange, error) {
	var supposed []controller.Supposition
	for _, c := range changes {
		if c.Op == northbound.OpDelete {
			c.Spec = nil
		}
		supposed = append(supposed, controller.Supposition{Collection: c.Collection, ID: c.ID, Spec: c.Spec})
	}
	var found []controller.Consequence
	if err := p.c.ours(ctx, func(ctx context.Context, ctl *controller.Controller) (err error) {
		found, err = ctl.Suppose(ctx, supposed...)
		return err
	}); err != nil {
		return nil, err
	}
	out := make([]northbound.SwitchChange, 0, len(found))
	for _, f := range found {
		ch := f.Changes
		out = append(out, northbound.SwitchChange{
			Node: f.Node, DatapathID: f.DPID,
			FlowsAdded:   texts(ch.FlowAdd),
			FlowsChanged: append(texts(ch.FlowModify), texts(ch.FlowReplace)...),
			FlowsRemoved: texts(ch.FlowDelete),
			GroupsAdded:  texts(ch.GroupAdd), GroupsChanged: texts(ch.GroupModify), GroupsRemoved: ids("group_id", ch.GroupDelete),
			MetersAdded: meters(ch.MeterAdd), MetersChanged: meters(ch.MeterModify), MetersRemoved: ids("meter", ch.MeterDelete),
		})
	}
	return out, nil
}

func texts[T fmt.Stringer](all []T) []string {
	out := make([]string, 0, len(all))
	for _, x := range all {
		out = append(out, x.String())
	}
	return out
}

func ids[T ~uint32](name string, all []T) []string {
	out := make([]string, 0, len(all))
	for _, id := range all {
		out = append(out, fmt.Sprintf("%s=%d", name, id))
	}
	return out
}

// meters spells meters as `ovs-ofctl add-meter` reads them.
func meters(all []openflow.Meter) []string {
	out := make([]string, 0, len(all))
	for _, m := range all {
		text := fmt.Sprintf("meter=%d", m.ID)
		for _, flag := range []struct {
			bit  uint16
			name string
		}{{openflow.MeterKBPS, "kbps"}, {openflow.MeterPKTPS, "pktps"}, {openflow.MeterBurst, "burst"}, {openflow.MeterStat, "stats"}} {
			if m.Flags&flag.bit != 0 {
				text += "," + flag.name
			}
		}
		for _, b := range m.Bands {
			text += fmt.Sprintf(",band=type=drop,rate=%d", b.Rate)
			if m.Flags&openflow.MeterBurst != 0 {
				text += fmt.Sprintf(",burst_size=%d", b.Burst)
			}
		}
		out = append(out, text)
	}
	return out
}

func unregistered(ctl *controller.Controller) []northbound.UnregisteredNode {
	var out []northbound.UnregisteredNode
	for _, s := range ctl.Unregistered() {
		out = append(out, northbound.UnregisteredNode{DatapathID: s.DPID, Version: s.Version, Since: s.Since})
	}
	return out
}

// openStore opens the store. An external etcd that is away is waited for: nobody has to start flowtapd again when
// it is back, also where both went at once.
func openStore(ctx context.Context, c store.Config) (*store.Store, error) {
	for {
		st, err := store.Open(ctx, c)
		if err == nil || len(c.Endpoints) == 0 || !errors.Is(err, store.ErrUnavailable) || ctx.Err() != nil {
			return st, err
		}
		c.Logger.Warn("waiting for etcd", "error", err)
	}
}
