package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
)

// member is the embedded etcd: one member, called in process, without a listener.
type member struct {
	etcd   *embed.Etcd
	client *clientv3.Client
	lock   *os.File
	quota  int64 // bytes
}

// memberURL is what the only member is called in its own membership list. Nobody listens there and
// nobody dials it.
var memberURL = url.URL{Scheme: "http", Host: "127.0.0.1:2380"}

// memberQuota bounds the database, in bytes.
const memberQuota = 4 << 30

func memberConfig(dir string) *embed.Config {
	c := embed.NewConfig()
	c.Name = "flowtap"
	c.Dir = filepath.Join(dir, "etcd")
	c.ListenPeerUrls, c.ListenClientUrls, c.AdvertiseClientUrls = nil, nil, nil
	c.AdvertisePeerUrls = []url.URL{memberURL}
	c.InitialCluster = c.Name + "=" + memberURL.String()
	// Alone, a member can lose no election: short ticks only mean a fast start.
	c.TickMs, c.ElectionMs = 10, 100
	// History is of no use to us beyond a follower's lag; status writes make much of it.
	c.AutoCompactionMode = embed.CompactorModePeriodic
	c.AutoCompactionRetention = "10m"
	c.QuotaBackendBytes = memberQuota
	c.BootstrapDefragThresholdMegabytes = 64
	c.MaxTxnOps = 1024
	return c
}

// startMember locks the directory and starts etcd in it. Whatever etcd would end the process for
// while it starts, such as a damaged file, comes back as an error.
func startMember(ctx context.Context, config Config) (m *member, err error) {
	dir, log := config.DataDir, config.Logger
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	m = &member{lock: lock, quota: cmp.Or(config.quota, memberQuota)}
	defer func() {
		if err != nil {
			_ = m.close()
			m = nil
		}
	}()
	if err := checkDatabase(filepath.Join(memberConfig(dir).Dir, "member", "snap", "db")); err != nil {
		return m, err
	}
	var starting atomic.Bool
	starting.Store(true)
	c := memberConfig(dir)
	c.QuotaBackendBytes = m.quota
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zapTo(log, &starting))
	func() {
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("cannot start: %v", p)
			}
		}()
		m.etcd, err = embed.StartEtcd(c)
	}()
	if err != nil {
		m.etcd = nil
		return m, oneLine(err)
	}
	starting.Store(false)
	ctx, cancel := context.WithTimeout(ctx, config.DialTimeout)
	defer cancel()
	select {
	case <-m.etcd.Server.ReadyNotify():
	case <-m.etcd.Server.StopNotify():
		return m, errors.New("stopped while starting")
	case <-ctx.Done():
		return m, fmt.Errorf("not ready in time: %w", ctx.Err())
	}
	m.client = v3client.New(m.etcd.Server)
	return m, nil
}

// checkDatabase opens the database as etcd will. Etcd does it in a goroutine of its own, where a
// file that cannot be opened ends the process with a stack trace.
func checkDatabase(path string) error {
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		return fmt.Errorf("%s is damaged or cannot be read (%w): restore it from a backup", path, err)
	}
	return db.Close()
}

// close stops etcd and then lets go of the directory.
func (m *member) close() error {
	if m.client != nil {
		_ = m.client.Close() // there is no connection whose error could matter
	}
	if m.etcd != nil {
		m.etcd.Close()
	}
	return m.lock.Close()
}
