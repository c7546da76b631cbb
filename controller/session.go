package controller

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flowtap/flowtap/flowtap/pipeline"
	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/ofconn"
)

// A session is one switch's connection, from its handshake to its loss.
type session struct {
	dpid  openflow.DPID
	conn  *ofconn.Conn
	since time.Time
	// sentinel is the cookie of the latest sentinel frame that came back.
	sentinel atomic.Uint64
	// sentinelSeen is signalled after each; it holds one signal at most.
	sentinelSeen chan struct{}
	changes      changes
	quotas       quotas
}

// sessions is every connected switch by datapath id.
type sessions struct {
	log *slog.Logger
	mu  sync.Mutex // guards all
	all map[openflow.DPID]*session
}

func newSessions(log *slog.Logger) *sessions {
	return &sessions{log: log, all: map[openflow.DPID]*session{}}
}

// add takes a connection in. A second switch with a connected datapath id is refused as long as
// the first one answers.
func (s *sessions) add(ctx context.Context, new *session) bool {
	for range 2 {
		s.mu.Lock()
		old := s.all[new.dpid]
		if old == nil {
			s.all[new.dpid] = new
			s.mu.Unlock()
			return true
		}
		s.mu.Unlock()
		asking, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := old.conn.Barrier(asking)
		cancel()
		if ctx.Err() != nil {
			return false // the second one went first, which says nothing of the other
		}
		if err == nil {
			s.log.Warn("a second switch claims a connected datapath id; refused", "dpid", new.dpid,
				"connected", old.conn.RemoteAddr(), "refused", new.conn.RemoteAddr())
			return false
		}
		_ = old.conn.Close()
		s.remove(old)
	}
	return false
}

func (s *sessions) remove(old *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all[old.dpid] == old {
		delete(s.all, old.dpid)
	}
}

// list gives all sessions.
func (s *sessions) list() []*session {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*session, 0, len(s.all))
	for _, x := range s.all {
		all = append(all, x)
	}
	return all
}

// serveSwitch has a switch for as long as it is connected, which is while alive lasts, and as
// long as the controller runs, which ctx says.
func (c *Controller) serveSwitch(ctx, alive context.Context, conn *ofconn.Conn) {
	s := &session{dpid: conn.Features().DPID, conn: conn, since: time.Now(), sentinelSeen: make(chan struct{}, 1)}
	if !c.sessions.add(alive, s) {
		return
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })() // ends Events
	log := c.log.With("dpid", s.dpid)
	log.Info("switch connected", "from", conn.RemoteAddr(), "version", conn.Desc().Software)
	c.observer.switchUp(ctx, s)
	c.planner.post(ctx, func(p *planner) { p.switchUp(s) })
	for m := range conn.Events() {
		switch m := m.(type) {
		case *openflow.PortStatus:
			c.observer.portStatus(ctx, s, m)
		case *openflow.PacketIn:
			c.packetIn(ctx, s, m)
		case *openflow.MultipartReply:
			c.flowsChanged(ctx, s, m)
		case *openflow.Error:
			log.Warn("the switch reports an error that answers no request", "error", m)
		}
	}
	c.sessions.remove(s)
	if err := conn.Err(); c.wait != nil && !errors.Is(err, ofconn.ErrClosed) && !errors.Is(err, ofconn.ErrDead) {
		log.Info("waiting for the switch to come by another replica", "reason", err)
		c.wait(ctx, s.dpid)
	}
	c.observer.switchDown(ctx, s)
	c.planner.post(ctx, func(p *planner) { p.switchDown(s) })
	log.Info("switch disconnected", "reason", conn.Err())
}

// packetIn routes a frame that reached the controller by the kind of flow that sent it.
func (c *Controller) packetIn(ctx context.Context, s *session, m *openflow.PacketIn) {
	kind, object, ours := pipeline.Ours(m.Cookie)
	if !ours {
		return
	}
	c.metrics.packetIns.WithLabelValues(kindName(kind)).Inc()
	switch kind {
	case pipeline.KindLearn, pipeline.KindArrive:
		if !s.quotas.take(object, time.Now()) {
			c.metrics.packetIns.WithLabelValues("ignored").Inc()
			return
		}
	}
	switch kind {
	case pipeline.KindSentinel:
		s.sentinel.Store(m.Cookie)
		select {
		case s.sentinelSeen <- struct{}{}:
		default:
		}
	case pipeline.KindProbe:
		c.tunnels.received(m.Data, s.dpid, time.Now())
	case pipeline.KindLearn:
		c.observer.learn(ctx, s, object, m.Data)
	case pipeline.KindArrive:
		c.observer.arrive(ctx, s, object)
	}
}

func kindName(k pipeline.Kind) string {
	switch k {
	case pipeline.KindSentinel:
		return "sentinel"
	case pipeline.KindProbe:
		return "probe"
	case pipeline.KindLearn:
		return "learn"
	case pipeline.KindArrive:
		return "arrive"
	}
	return "other"
}
