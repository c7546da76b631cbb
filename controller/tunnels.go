package controller

import (
	"cmp"
	"context"
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flowtap/flowtap/flowtap/pipeline"
	"github.com/flowtap/flowtap/openflow"
)

const (
	probeEvery   = time.Second           // on a tunnel that answers
	probeFirst   = 10 * time.Millisecond // on one that does not yet, then ever slower
	probeMissing = 4 * time.Second       // without an answer a tunnel counts as dead
	probeTick    = 5 * time.Millisecond
	probeNew     = 500 * time.Millisecond // how long a change waits for a tunnel that came into use to answer
)

// tunnels keeps the tunnels in use warm and knows which answer: a frame out of one switch's
// tunnel port, a packet-in at the other's. The userspace datapath of Open vSwitch drops frames
// for a far end whose MAC it does not know, so the first probes of a tunnel may be lost.
type tunnels struct {
	metrics *Metrics
	changed chan pipeline.Tunnel // one that answered first, or stopped; read by the planner
	untold  atomic.Bool          // changed was full

	mu   sync.Mutex // guards all
	all  map[[2]openflow.DPID]*tunnel
	ends map[*session]*pipeline.Node
	wait time.Duration // probeNew, but for tests
}

// A tunnel is one direction between two connected switches.
type tunnel struct {
	name    pipeline.Tunnel
	from    *session
	actions []openflow.Action
	since   time.Time // when it came into use
	pause   time.Duration
	sent    time.Time
	heard   time.Time
	warm    bool
}

func newTunnels(m *Metrics) *tunnels {
	return &tunnels{metrics: m, changed: make(chan pipeline.Tunnel, 1024), all: map[[2]openflow.DPID]*tunnel{}, wait: probeNew}
}

// An endpoint is a connected switch and its node.
type endpoint struct {
	session *session
	node    *pipeline.Node
}

// use says which tunnels to keep warm. What is known of those that stay is kept, also when their switch is
// spoken to by another connection, unless it was away or their address changed. Others stay too, where both ends are as they were,
// unless alone is set: a change that ends the use of a tunnel is best proven through it.
func (t *tunnels) use(in map[pipeline.Tunnel]bool, ends map[string]endpoint, alone bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ends = map[*session]*pipeline.Node{}
	for _, e := range ends {
		t.ends[e.session] = e.node
	}
	keep := map[[2]openflow.DPID]bool{}
	for name := range in {
		from, to := ends[name.From], ends[name.To]
		if from.session == nil || to.session == nil || from.node.TunnelPort == 0 || to.node.TunnelPort == 0 {
			continue
		}
		key := [2]openflow.DPID{from.session.dpid, to.session.dpid}
		keep[key] = true
		actions := pipeline.SendTunnelled(from.node, to.node, pipeline.LabelProbe)
		if have := t.all[key]; have != nil && have.name == name && sameActions(have.actions, actions) {
			have.from = from.session
			continue
		}
		t.all[key] = &tunnel{name: name, from: from.session, actions: actions, since: time.Now(), pause: probeFirst}
	}
	for key, x := range t.all {
		if !keep[key] && (alone || ends[x.name.From].session != x.from || ends[x.name.To].session == nil) {
			delete(t.all, key)
		}
	}
}

func sameActions(a, b []openflow.Action) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return len(a) == len(b)
}

// warm reports whether a tunnel answers.
func (t *tunnels) warm(from, to openflow.DPID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	x := t.all[[2]openflow.DPID{from, to}]
	return x != nil && x.warm
}

// warmUp waits for the tunnels that came into use with a change, or just before. One that does not
// answer in time is not waited for again: its far end may be dead.
func (t *tunnels) warmUp(ctx context.Context) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for t.cold(time.Now()) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// cold reports whether a tunnel that came into use not long ago has not answered yet.
func (t *tunnels) cold(now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, x := range t.all {
		if x.heard.IsZero() && now.Sub(x.since) < t.wait {
			return true
		}
	}
	return false
}

// stopped reports whether a tunnel has answered and does not any more.
func (t *tunnels) stopped(name pipeline.Tunnel) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, x := range t.all {
		if x.name == name {
			return !x.warm && !x.heard.IsZero()
		}
	}
	return false
}

// A helper is a switch whose tunnel to another answers.
type helper struct {
	session *session
	node    *pipeline.Node
}

// maxHelpers bounds the switches that prove a change of one. More than one, because a switch that
// hangs is not known to for some time.
const maxHelpers = 3

// helpers gives switches whose tunnels to another answer.
func (t *tunnels) helpers(to openflow.DPID) (all []helper) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for key, x := range t.all {
		if n := t.ends[x.from]; key[1] == to && x.warm && n != nil {
			all = append(all, helper{x.from, n})
		}
	}
	slices.SortFunc(all, func(a, b helper) int { return cmp.Compare(a.session.dpid, b.session.dpid) })
	return all[:min(len(all), maxHelpers)]
}

func (t *tunnels) run(ctx context.Context) {
	tick := time.NewTicker(probeTick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			t.probe(ctx, now)
		}
	}
}

// probe sends what is due.
func (t *tunnels) probe(ctx context.Context, now time.Time) {
	type due struct {
		conn *session
		out  *openflow.PacketOut
	}
	var send []due
	t.mu.Lock()
	for key, x := range t.all {
		if x.warm && now.Sub(x.heard) > probeMissing {
			x.warm, x.pause = false, probeFirst
			t.tell(x.name)
		}
		pause := probeEvery
		if !x.warm {
			pause = x.pause
		}
		if now.Sub(x.sent) < pause {
			continue
		}
		x.sent = now
		x.pause = min(x.pause*5/4, probeEvery)
		send = append(send, due{x.from, &openflow.PacketOut{Actions: x.actions, Data: probeFrame(key[0], key[1])}})
	}
	t.mu.Unlock()
	for _, d := range send {
		ctx, cancel := context.WithTimeout(ctx, time.Millisecond)
		_ = d.conn.conn.Send(ctx, d.out) // a probe that cannot be sent is one that is not answered
		cancel()
	}
}

// received takes a probe that arrived.
func (t *tunnels) received(frame []byte, at openflow.DPID, now time.Time) {
	from, to, ok := readProbe(frame)
	if !ok || to != at {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	x := t.all[[2]openflow.DPID{from, to}]
	if x == nil {
		return
	}
	x.heard = now
	if !x.warm {
		x.warm = true
		t.tell(x.name)
	}
}

// tell reports a change; one that finds no room is found by the planner's regular look.
func (t *tunnels) tell(name pipeline.Tunnel) {
	select {
	case t.changed <- name:
	default:
		t.untold.Store(true)
	}
}

// probeType is an Ethertype for local experiments (IEEE 802, "local experimental ethertype 1").
const probeType = 0x88b5

// probeFrame is a frame of 60 bytes that names both ends.
func probeFrame(from, to openflow.DPID) []byte {
	b := make([]byte, 60)
	copy(b, []byte{0x02, 0, 0, 0, 0, 2, 0x02, 0, 0, 0, 0, 1})
	binary.BigEndian.PutUint16(b[12:], probeType)
	binary.BigEndian.PutUint64(b[14:], uint64(from))
	binary.BigEndian.PutUint64(b[22:], uint64(to))
	return b
}

func readProbe(b []byte) (from, to openflow.DPID, ok bool) {
	if len(b) < 30 || binary.BigEndian.Uint16(b[12:]) != probeType {
		return 0, 0, false
	}
	return openflow.DPID(binary.BigEndian.Uint64(b[14:])), openflow.DPID(binary.BigEndian.Uint64(b[22:])), true
}
