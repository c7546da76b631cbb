package store

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// proxy is a way to etcd that can be cut, and that can lose what etcd answers.
type proxy struct {
	url, target string
	mu          sync.Mutex // guards all below
	conns       map[net.Conn]bool
	down        bool
	deaf        bool // what etcd answers is lost
}

func startProxy(t testing.TB, url string) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	scheme, target, _ := strings.Cut(url, "://")
	p := &proxy{
		url: scheme + "://" + l.Addr().String(), target: target,
		conns: map[net.Conn]bool{},
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { p.carry(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		p.set(true, false)
		all.Wait()
	})
	return p
}

// set cuts the way, or opens it, and says whether answers are lost.
func (p *proxy) set(down, deaf bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down, p.deaf = down, deaf
	if down {
		for c := range p.conns {
			_ = c.Close()
		}
	}
}

func (p *proxy) carry(client net.Conn) {
	defer client.Close()
	p.mu.Lock()
	if p.down {
		p.mu.Unlock()
		return
	}
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		p.mu.Unlock()
		return
	}
	defer server.Close()
	p.conns[client], p.conns[server] = true, true
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.conns, client)
		delete(p.conns, server)
		p.mu.Unlock()
	}()
	var up sync.WaitGroup
	up.Go(func() {
		_, _ = io.Copy(server, client)
		_ = server.Close()
	})
	buf := make([]byte, 32<<10)
	for {
		n, err := server.Read(buf)
		p.mu.Lock()
		deaf := p.deaf
		p.mu.Unlock()
		if n > 0 && !deaf {
			if _, err := client.Write(buf[:n]); err != nil {
				break
			}
		}
		if err != nil {
			break
		}
	}
	_ = client.Close()
	_ = server.Close()
	up.Wait()
}
