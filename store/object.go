package store

import (
	"time"

	"github.com/flowtap/flowtap/access"
	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/topology"
)

// Meta is what the store adds to every object.
type Meta struct {
	ID string
	// Revision is the etcd revision that last changed what the user wants. Status does not count.
	Revision             int64
	CreatedAt, UpdatedAt time.Time
	// Num is the object's number: unique within its collection, never zero, never used for another
	// object, kept by Replace.
	Num uint32
}

// Object is one object: what the user wants and what the controller last observed of it. The status
// is the zero value until there is one. Objects are shared between readers and must not be modified.
type Object[S, T any] struct {
	Meta
	Spec   S
	Status T
}

// The objects of the cloud.
type (
	Node    = Object[topology.Node, topology.NodeStatus]
	Network = Object[topology.Network, topology.NetworkStatus]
	Port    = Object[topology.Port, topology.PortStatus]
	Pool    = Object[topology.Pool, topology.PoolStatus]
	Policy  = Object[flowtap.Policy, flowtap.PolicyStatus]
	Tap     = Object[flowtap.Tap, flowtap.TapStatus]
)

// The objects that access is made of.
type (
	Project = Object[access.Project, access.ProjectStatus]
	Token   = Object[access.Token, access.TokenStatus]
)

// Collection is all objects of one type. Its methods may be called concurrently.
type Collection[S, T any] struct {
	s     *Store
	name  string
	links func(id string, spec *S) links
	table *table[S, T]
}

// Nodes are the cloud nodes.
func (s *Store) Nodes() *Collection[topology.Node, topology.NodeStatus] { return s.nodes }

// Networks are the tenant networks.
func (s *Store) Networks() *Collection[topology.Network, topology.NetworkStatus] { return s.networks }

// Ports are the ports of VMs, gateways and monitors.
func (s *Store) Ports() *Collection[topology.Port, topology.PortStatus] { return s.ports }

// Pools are the groups of monitors.
func (s *Store) Pools() *Collection[topology.Pool, topology.PoolStatus] { return s.pools }

// Policies are what taps follow from that nobody made by hand.
func (s *Store) Policies() *Collection[flowtap.Policy, flowtap.PolicyStatus] { return s.policies }

// Taps are the contracts.
func (s *Store) Taps() *Collection[flowtap.Tap, flowtap.TapStatus] { return s.taps }

// Projects are what owns networks, ports, pools and taps. The project default is there without an object.
func (s *Store) Projects() *Collection[access.Project, access.ProjectStatus] { return s.projects }

// Tokens are who may do what.
func (s *Store) Tokens() *Collection[access.Token, access.TokenStatus] { return s.tokens }
