package main

import (
	"io"
	"log/slog"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/server/v3/embed"

	"github.com/flowtap/flowtap/store"
)

// An etcd that is away when flowtapd starts is waited for.
func TestEtcdIsWaitedFor(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	etcd := make(chan string, 1) // where it is, once it is
	var all sync.WaitGroup
	all.Go(func() { carry(ln, etcd) })
	defer all.Wait()
	defer ln.Close()

	said, write := io.Pipe()
	defer said.Close()
	type opened struct {
		st  *store.Store
		err error
	}
	done := make(chan opened, 1)
	go func() {
		st, err := openStore(t.Context(), store.Config{Endpoints: []string{"http://" + ln.Addr().String()}, DialTimeout: time.Second,
			Logger: slog.New(slog.NewTextHandler(write, nil))})
		_ = write.Close()
		done <- opened{st, err}
	}()
	line := make([]byte, 4096)
	n, err := said.Read(line)
	require.NoError(t, err)
	require.Contains(t, string(line[:n]), "waiting for etcd")
	go func() { _, _ = io.Copy(io.Discard, said) }()

	c := embed.NewConfig()
	c.Dir, c.LogLevel = t.TempDir(), "fatal"
	c.ListenClientUrls = []url.URL{{Scheme: "http", Host: "127.0.0.1:0"}}
	c.AdvertiseClientUrls, c.ListenPeerUrls = c.ListenClientUrls, nil
	c.InitialCluster = c.Name + "=" + c.AdvertisePeerUrls[0].String()
	e, err := embed.StartEtcd(c)
	require.NoError(t, err)
	defer e.Close()
	<-e.Server.ReadyNotify()
	etcd <- e.Clients[0].Addr().String()
	is := <-done
	require.NoError(t, is.err)
	require.NoError(t, is.st.Close())
}

// carry takes connections, and says nothing before it knows where they lead.
func carry(ln net.Listener, to <-chan string) {
	var target string
	var held []net.Conn
	var all sync.WaitGroup
	defer all.Wait()
	conns := make(chan net.Conn)
	go func() {
		defer close(conns)
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			conns <- nc
		}
	}()
	for {
		select {
		case target = <-to:
			for _, nc := range held {
				_ = nc.Close()
			}
		case nc, open := <-conns:
			if !open {
				return
			}
			if target == "" {
				held = append(held, nc)
				continue
			}
			far, err := net.Dial("tcp", target)
			if err != nil {
				_ = nc.Close()
				continue
			}
			all.Go(func() { _, _ = io.Copy(far, nc); _ = far.Close() })
			all.Go(func() { _, _ = io.Copy(nc, far); _ = nc.Close() })
		}
	}
}
