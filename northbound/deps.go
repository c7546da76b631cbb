package northbound

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/flowtap/flowtap/fairlisten"
	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/flowtap/trace"
	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/store"
)

// Deps is what a Server stands on. Store and Logger are required. The functions are what only the
// controller knows; the main program wires them, and each may be nil.
type Deps struct {
	Store  *store.Store
	Logger *slog.Logger
	// Registry gets the HTTP metrics and is what /metrics serves; nil is a new one.
	Registry *prometheus.Registry
	// Ready says why the server as a whole is not ready, for example that the OpenFlow listener is
	// not up. The store is asked as well, so nil is ready when the store is.
	Ready func(context.Context) error
	// Insecure takes everybody for the provider, without a login.
	Insecure bool
	// Forwarded reports whether a request came from another replica, which let it in. Nil: none does.
	Forwarded func(context.Context) bool
	// AuditRetention and AuditMax bound the audit log, by age and by number. Zero is 90 days and 100,000.
	AuditRetention time.Duration
	AuditMax       int
	// Planner answers ?dry_run=true; nil answers 503.
	Planner Planner
	// Rehearse says what would become of a policy's taps if it was p; nil: if it was deleted. Its errors become 503.
	// Nil answers 503.
	Rehearse func(ctx context.Context, id string, p *flowtap.Policy) (Rehearsal, error)
	// Settled returns nil when the controller has carried out everything up to a store revision on
	// every connected switch, as far as it can be carried out, and has written the statuses. It
	// returns early with ctx's error. It is what ?wait on a port, and on DELETE, waits for. With nil
	// those wait until their time is over.
	Settled func(ctx context.Context, revision int64) error
	// Final says whether a pending tap's reason is one that waiting does not cure, such as a port
	// that is on no switch. Nil takes a reason for final unless it begins with "applying", and an
	// empty one for not final.
	Final func(reason string) bool
	// ReadCounters has the counters of one tap read from the switches now, and returns when they are in
	// its status: what ?fresh=true waits for. It returns early with ctx's error; any other error says
	// which switch could not be asked. Nil answers 503.
	ReadCounters func(ctx context.Context, tap string) error
	// Trace answers POST /v1/trace. The port exists. Errors may be *topology.FieldError, of the fields
	// "port" and "frame"; one that is a context's becomes a 503. Nil answers 503.
	Trace func(context.Context, TraceRequest) (*trace.Trace, error)
	// Loads takes reports of nodes and heartbeats of monitors; nil answers 503.
	Loads Loads
	// Unregistered lists the switches that are connected and that no node names; nil is none.
	Unregistered func() []UnregisteredNode
	// TLS is what Serve speaks; nil is plain TCP. Client certificates that it verified are in each request's
	// TLS.VerifiedChains.
	TLS *tls.Config
	// Leader says where requests go that only the leader of several replicas can answer: nil is here. Its error
	// becomes a 503. A nil function is always here.
	Leader func(context.Context) (*Elsewhere, error)
	// Replicas lists the replicas; nil is none.
	Replicas func() []Replica
	// Limits bound the connections that Serve has; zero fields are package fairlisten's defaults.
	Limits fairlisten.Limits
	// MaxWatchers bounds the streams of ?watch=true; one more is answered 503. Zero is 512.
	MaxWatchers int
	// MaxWatchersPerSource bounds those of one login, or of one address without a login. Zero is 64.
	MaxWatchersPerSource int
	// Heartbeat is the time between two comments on an idle stream. Zero is 15 s.
	Heartbeat time.Duration
	// StoreTimeout bounds one request's work in the store, ?wait apart. Zero is 15 s: a disk that stalls
	// for seconds is better waited for than answered with "outcome unknown".
	StoreTimeout time.Duration
}

// UnregisteredNode is a switch that connected and that nobody registered.
type UnregisteredNode struct {
	DatapathID openflow.DPID
	// Version is the switch's software version, as it describes itself; may be empty.
	Version string
	// Since is when it connected.
	Since time.Time
}

// A Planner knows what a change would do to the switches.
type Planner interface {
	// DryRun gives, in the order of the nodes' ids, each switch that would change if all changes were made. They have
	// been validated. An error that is a context's or the store's becomes a 503.
	DryRun(ctx context.Context, changes []Change) ([]SwitchChange, error)
}

// Op is what a Change does to its object.
type Op string

// The three operations.
const (
	OpCreate  Op = "create"
	OpReplace Op = "replace"
	OpDelete  Op = "delete"
)

// Change is one write that has not happened.
type Change struct {
	Op         Op
	Collection string // "nodes", "networks", "ports", "pools", "policies" or "taps"
	ID         string
	// Spec is what the object would be: topology.Node, topology.Network, topology.Port, topology.Pool,
	// flowtap.Policy or flowtap.Tap, defaults filled in; nil for OpDelete.
	Spec any
}

// SwitchChange is what a change would do to one switch. Flows, groups and meters are in ovs-ofctl's
// spelling and sorted; a changed one is spelled as it would become.
type SwitchChange struct {
	Node          string        `json:"node"`
	DatapathID    openflow.DPID `json:"datapath_id"`
	FlowsAdded    []string      `json:"flows_added"`
	FlowsChanged  []string      `json:"flows_changed"`
	FlowsRemoved  []string      `json:"flows_removed"`
	GroupsAdded   []string      `json:"groups_added"`
	GroupsChanged []string      `json:"groups_changed"`
	GroupsRemoved []string      `json:"groups_removed"`
	MetersAdded   []string      `json:"meters_added"`
	MetersChanged []string      `json:"meters_changed"`
	MetersRemoved []string      `json:"meters_removed"`
}

func (d *Deps) validate() error {
	switch {
	case d.Store == nil:
		return errors.New("northbound: Deps.Store is nil")
	case d.Logger == nil:
		return errors.New("northbound: Deps.Logger is nil")
	}
	if d.Registry == nil {
		d.Registry = prometheus.NewRegistry()
	}
	if d.MaxWatchers == 0 {
		d.MaxWatchers = 512
	}
	if d.MaxWatchersPerSource == 0 {
		d.MaxWatchersPerSource = 64
	}
	if d.Heartbeat == 0 {
		d.Heartbeat = 15 * time.Second
	}
	if d.StoreTimeout == 0 {
		d.StoreTimeout = 15 * time.Second
	}
	if d.AuditRetention == 0 {
		d.AuditRetention = 90 * 24 * time.Hour
	}
	if d.AuditMax == 0 {
		d.AuditMax = 100_000
	}
	if d.Final == nil {
		d.Final = finalReason
	}
	return nil
}
