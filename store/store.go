package store

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"github.com/flowtap/flowtap/access"
	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/topology"
)

// Config says which etcd to use.
type Config struct {
	// Endpoints are the client URLs of an external cluster. Empty means an embedded etcd in DataDir.
	Endpoints []string
	// DataDir belongs to one process at a time. It is made if it does not exist.
	DataDir string
	// Logger gets what the store and etcd have to say; nil discards it. What etcd calls information
	// and warnings is logged at debug level.
	Logger *slog.Logger
	// DialTimeout bounds how long Open waits for etcd to serve; zero means 5 s.
	DialTimeout time.Duration
	// TLS gives what a connection to an https endpoint that is made now uses; nil: the system's authorities,
	// and no certificate of ours.
	TLS func() *tls.Config

	migrations []migration // nil: all that there are
	quota      int64       // bytes of the embedded etcd's database; zero is the default
	txnOps     int         // of a change of taps; zero is what etcd allows
}

func (c *Config) validate() error {
	switch {
	case len(c.Endpoints) == 0 && c.DataDir == "":
		return errors.New("store: either Endpoints or DataDir must be given")
	case c.DialTimeout < 0:
		return fmt.Errorf("store: DialTimeout is negative (%s)", c.DialTimeout)
	}
	for _, e := range c.Endpoints {
		if strings.TrimSpace(e) == "" {
			return errors.New("store: Endpoints has an empty entry")
		}
	}
	return nil
}

// Store is one connection to etcd. Its methods may be called concurrently.
type Store struct {
	client  *clientv3.Client
	member  *member // nil with an external cluster
	log     *slog.Logger
	where   string // which etcd, for messages
	layout  *layout
	trouble trouble
	numbers *numbers
	txnOps  int // of one transaction on taps
	mirror  *mirror

	nodes    *Collection[topology.Node, topology.NodeStatus]
	networks *Collection[topology.Network, topology.NetworkStatus]
	ports    *Collection[topology.Port, topology.PortStatus]
	pools    *Collection[topology.Pool, topology.PoolStatus]
	policies *Collection[flowtap.Policy, flowtap.PolicyStatus]
	taps     *Collection[flowtap.Tap, flowtap.TapStatus]
	projects *Collection[access.Project, access.ProjectStatus]
	tokens   *Collection[access.Token, access.TokenStatus]
	// creating lets one creation at a time count the objects that a quota bounds.
	creating turns

	// done ends every goroutine of the store; children counts them.
	done     context.Context
	stop     context.CancelFunc
	children sync.WaitGroup
	// closing guards closed and each children.Add against Close.
	closing sync.Mutex
	closed  bool
}

// Open connects to etcd, or starts the embedded one, and returns when it has answered a linearizable
// read. Its errors are one line and say what to look at; of an etcd that is away they are ErrUnavailable.
func Open(ctx context.Context, c Config) (*Store, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.DialTimeout == 0 {
		c.DialTimeout = 5 * time.Second
	}
	if c.migrations == nil {
		c.migrations = migrations
	}
	where := "etcd at " + strings.Join(c.Endpoints, ",")
	if len(c.Endpoints) == 0 {
		where = "the embedded etcd in " + c.DataDir
	}
	s := &Store{log: c.Logger, where: where, layout: newLayout(c.migrations)}
	var err error
	if len(c.Endpoints) == 0 {
		if s.member, err = startMember(ctx, c); err != nil {
			return nil, fmt.Errorf("%s: %w", where, err)
		}
		s.client = s.member.client
	} else if s.client, err = dial(c); err != nil {
		return nil, fmt.Errorf("%s: %w", where, oneLine(err))
	}
	s.done, s.stop = context.WithCancel(context.Background())
	s.numbers = newNumbers(s)
	s.txnOps = c.txnOps
	if s.txnOps == 0 {
		s.txnOps = fewOps
		if s.member != nil {
			s.txnOps = manyOps
		}
	}
	s.mirror = newMirror(s)
	s.nodes = newCollection(s, CollectionNodes, nodeLinks, s.mirror.nodes)
	s.networks = newCollection(s, CollectionNetworks, networkLinks, s.mirror.networks)
	s.ports = newCollection(s, CollectionPorts, portLinks, s.mirror.ports)
	s.pools = newCollection(s, CollectionPools, poolLinks, s.mirror.pools)
	s.policies = newCollection(s, CollectionPolicies, policyLinks, s.mirror.policies)
	s.taps = newCollection(s, CollectionTaps, tapLinks, s.mirror.taps)
	s.projects = newCollection(s, CollectionProjects, projectLinks, s.mirror.projects)
	s.tokens = newCollection(s, CollectionTokens, tokenLinks, s.mirror.tokens)

	ready, cancel := context.WithTimeout(ctx, c.DialTimeout)
	defer cancel()
	if err := s.Ready(ready); err != nil {
		if hint := probe(c); hint != nil {
			err = hint
		}
		_ = s.Close()
		return nil, fmt.Errorf("%s cannot be reached: %w", where, err)
	}
	if err := s.checkSchema(ctx); err != nil {
		_ = s.Close()
		return nil, fmt.Errorf("%s: %w", where, err)
	}
	s.start(s.mirror.run)
	if s.member != nil {
		s.start(func(ctx context.Context) { s.member.tend(ctx, s.log) })
	}
	return s, nil
}

func newCollection[S, T any](s *Store, name string, links func(string, *S) links, t *table[S, T]) *Collection[S, T] {
	return &Collection[S, T]{s: s, name: name, links: links, table: t}
}

// dial makes a client; it does not wait for a connection.
func dial(c Config) (*clientv3.Client, error) {
	options := []grpc.DialOption{grpc.WithStatsHandler(sending{}), grpc.WithConnectParams(redial)}
	if c.TLS != nil {
		options = append(options, grpc.WithTransportCredentials(credential(c.TLS)))
	}
	return clientv3.New(clientv3.Config{
		Endpoints:   c.Endpoints,
		DialTimeout: c.DialTimeout,
		Logger:      zapTo(c.Logger, nil),
		DialOptions: options,
		// A member that vanished without a word is noticed after 13 s at most. etcd refuses pings that are
		// less than 5 s apart.
		DialKeepAliveTime:    10 * time.Second,
		DialKeepAliveTimeout: 3 * time.Second,
	})
}

// redial finds an etcd that is back within 2 s, however long it was away; gRPC alone waits up to two
// minutes.
var redial = grpc.ConnectParams{
	Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
	MinConnectTimeout: 5 * time.Second,
}

// probe says why no endpoint can be reached, which a time-out does not. It gives nil when one can.
func probe(c Config) error {
	var last error
	for _, e := range c.Endpoints {
		host := e
		if u, err := url.Parse(e); err == nil && u.Host != "" {
			host = u.Host
		}
		conn, err := net.DialTimeout("tcp", host, time.Second)
		if err != nil {
			last = readError(err)
			continue
		}
		if last = c.greet(e, conn); last == nil {
			return nil
		}
	}
	return last
}

// Ready answers nil when etcd serves linearizable reads, and with them writes.
func (s *Store) Ready(ctx context.Context) error {
	_, err := s.read(ctx, clientv3.OpGet(schemaKey, clientv3.WithKeysOnly()))
	return err
}

// EtcdClient is the client that the store uses; it is closed with the store.
func (s *Store) EtcdClient() *clientv3.Client { return s.client }

// ReturnsFor gives the monitor whose return port a port is; empty where it is nobody's.
func (s *Store) ReturnsFor(ctx context.Context, port string) (monitor string, err error) {
	r, err := s.read(ctx, clientv3.OpGet(uniqueKey(returnPort(port))))
	if err != nil {
		return "", fmt.Errorf("find whose return port %s is: %w", port, err)
	}
	if kv := first(r, 0); kv != nil {
		monitor = string(kv.Value)
	}
	return monitor, nil
}

// Close ends every follower, waits for everything that the store started and stops the embedded
// etcd. Calls that are under way fail. A second Close does nothing.
func (s *Store) Close() error {
	s.closing.Lock()
	if s.closed {
		s.closing.Unlock()
		return nil
	}
	s.closed = true
	s.closing.Unlock()
	s.stop()
	s.children.Wait()
	if s.member != nil {
		return s.member.close()
	}
	return s.client.Close()
}

// start runs f, which must end with the store's context, unless the store is closed.
func (s *Store) start(f func(context.Context)) bool {
	s.closing.Lock()
	defer s.closing.Unlock()
	if s.closed {
		return false
	}
	s.children.Go(func() { f(s.done) })
	return true
}
