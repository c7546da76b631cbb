package ofconn

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/flowtap/flowtap/fairlisten"
	"github.com/flowtap/flowtap/seldom"
)

// Serve accepts switches on ln until ctx ends, does the handshake with each and calls handler, in
// a goroutine of its own, with every one that succeeds. The handler has the Conn for as long as
// it runs; when it returns, or panics, its connection is closed. The context it gets ends
// with ctx and with the connection.
//
// Serve closes ln. It returns when all handlers have returned and all connections are
// closed: nil when ctx ended, else the listener's error. Lack of file descriptors or memory
// and aborted connections are waited out.
func Serve(ctx context.Context, ln net.Listener, c Config, handler func(context.Context, *Conn)) error {
	c, err := c.withDefaults()
	if err != nil {
		_ = ln.Close()
		return err
	}
	limits := fairlisten.Limits{New: c.MaxHandshakes, Settled: c.MaxConns, Hold: c.HandshakeTimeout / 2}
	if c.Relayed { // they come from other replicas, which have looked at them
		limits.New, limits.NewPerSource = c.MaxConns, c.MaxConns
	}
	fair := fairlisten.New(ln, limits)
	if c.Listening != nil {
		c.Listening(fair)
	}
	ln = fair
	s := server{c: c, handler: handler}
	ctx, cancel := context.WithCancel(ctx)
	defer s.wg.Wait()
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = ln.Close() })
	defer func() {
		if stop() {
			_ = ln.Close()
		}
	}()
	return s.accept(ctx, ln)
}

type server struct {
	c       Config
	handler func(context.Context, *Conn)
	failed  seldom.Gate // handshakes that are logged
	wg      sync.WaitGroup
}

func (s *server) accept(ctx context.Context, ln net.Listener) error {
	const longest = time.Second
	pause := 5 * time.Millisecond
	for {
		nc, err := ln.Accept()
		if err == nil {
			pause = 5 * time.Millisecond
			s.wg.Add(1)
			go s.serve(ctx, nc)
			continue
		}
		if ctx.Err() != nil {
			return nil
		}
		if !temporary(err) {
			return fmt.Errorf("accept switches on %v: %w", ln.Addr(), err)
		}
		s.c.Logger.Warn("accept failed, trying again", "err", err, "pause", pause)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
		pause = min(2*pause, longest)
	}
}

// temporary lists what accept(2) may return without the listener being broken.
func temporary(err error) bool {
	for _, e := range []error{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM,
		syscall.ECONNABORTED, syscall.ECONNRESET, syscall.EINTR, syscall.EPROTO, syscall.ETIMEDOUT,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

func (s *server) serve(ctx context.Context, nc net.Conn) {
	defer s.wg.Done()
	log := s.c.Logger.With("switch", addrString(nc))
	conn, err := s.handshake(ctx, nc)
	if err != nil {
		if skipped, ok := s.failed.Pass(time.Now()); ok && ctx.Err() == nil {
			log.Warn("handshake failed", "err", err, "not_logged_before", skipped)
		}
		return
	}
	defer conn.Close()
	defer func() {
		if p := recover(); p != nil {
			log.Error("panic in the handler of a connection", "panic", p, "stack", string(debug.Stack()))
		}
	}()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.wg.Add(1)
	go func() {
		defer s.wg.Done()
		select {
		case <-conn.Done():
			cancel()
		case <-ctx.Done():
		}
	}()
	s.handler(ctx, conn)
}

func (s *server) handshake(ctx context.Context, nc net.Conn) (*Conn, error) {
	if s.c.TLS != nil {
		nc = tls.Server(nc, s.c.TLS)
	}
	conn, err := Handshake(ctx, nc, s.c)
	if err == nil && !fairlisten.Settle(nc) {
		_ = conn.Close()
		return nil, fmt.Errorf("%s: %d switches are connected, which is the limit", addrString(nc), s.c.MaxConns)
	}
	return conn, err
}
