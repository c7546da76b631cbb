package replica

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/flowtap/flowtap/openflow"
)

// The keys, beside those of package store. All but the secret go with a lease.
const (
	replicasPrefix = "/flowtap/v1/replicas/"      // <name>: a Record
	mastersPrefix  = "/flowtap/v1/masters/"       // <datapath id>: a mastership
	secretKey      = "/flowtap/v1/cluster/secret" // #nosec G101 -- where the secret is, not the secret
	// LeaderKey holds the leader's name. Its create revision is the leader's epoch.
	LeaderKey = "/flowtap/v1/leader"
)

// A Record is what a replica says of itself.
type Record struct {
	Peer     string    `json:"peer"` // host:port where other replicas reach it
	Version  string    `json:"version"`
	Since    time.Time `json:"since"`
	Instance string    `json:"instance"` // differs between two processes of one name
}

// A member is a registered replica.
type member struct {
	Record
	lease   clientv3.LeaseID
	created int64 // revision
}

// leadership is who leads; the zero value is nobody.
type leadership struct {
	name  string
	epoch int64
	lease clientv3.LeaseID
}

// A mastership is who is a switch's master. Its lease is the master's.
type mastership struct {
	Replica string `json:"replica"`
	// Base is added to the key's modification revision, where a switch knows a generation that etcd,
	// restored from a backup, has not reached again.
	Base uint64 `json:"base,omitempty"`

	revision int64
}

// generation is the OpenFlow generation id (1.3.5 §6.3.6) of a mastership.
func (m mastership) generation() uint64 { return m.Base + uint64(m.revision) } // #nosec G115 -- revisions of etcd are positive

func masterKey(d openflow.DPID) string { return mastersPrefix + d.String() }

func readMember(kv *mvccpb.KeyValue) (name string, m member, err error) {
	name = strings.TrimPrefix(string(kv.Key), replicasPrefix)
	m.lease, m.created = clientv3.LeaseID(kv.Lease), kv.CreateRevision
	if err = json.Unmarshal(kv.Value, &m.Record); err != nil {
		err = fmt.Errorf("stored replica %s: %w", name, err)
	}
	return name, m, err
}

func readMastership(kv *mvccpb.KeyValue) (d openflow.DPID, m mastership, err error) {
	if d, err = dpidOf(kv); err == nil {
		err = json.Unmarshal(kv.Value, &m)
	}
	if err != nil {
		err = fmt.Errorf("stored master %s: %w", kv.Key, err)
	}
	m.revision = kv.ModRevision
	return d, m, err
}

func dpidOf(kv *mvccpb.KeyValue) (openflow.DPID, error) {
	return openflow.ParseDPID(strings.TrimPrefix(string(kv.Key), mastersPrefix))
}

// encode is for values that always can be encoded.
func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // a value of ours
	}
	return string(b)
}
