package store

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/topology"
)

// FuzzStored: whatever is found in etcd, restored or written by another program, is read or refused with an
// error that names the key; what is read is written again as the same.
func FuzzStored(f *testing.F) {
	for _, value := range []string{
		`{"v":1,"num":7,"created_at":"2026-01-02T03:04:05.6Z","updated_at":"2026-01-02T03:04:05Z","spec":{"network":"shop","mac":"02:00:00:00:00:01","ips":["10.0.0.1"]}}`,
		`{"v":1,"spec":{"datapath_id":"0000000000000001","tunnel_ip":"172.16.0.1"}}`,
		`{"v":1,"spec":{"src":"web","dst":"ids1","match":"nw_proto=TCP; tp_dst=80","action":"forward","direction":"in","rate_limit":{"kbps":5}}}`,
		`{"v":1,"spec":{"mode":"copy","members":[{"port":"a","weight":2}]}}`, `{"v":1,"spec":{"labels":{"a":"b"}}}`,
		`{"v":1,"status":{"state":"active","reason":"","counters":{"matched_packets":12}}}`, `{"v":2}`, `{"version":1}`, `null`, ``, `[`,
	} {
		f.Add([]byte(value))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		kv := &mvccpb.KeyValue{Key: []byte("/flowtap/v1/objects/x"), Value: value, ModRevision: 9}
		storedComesBack[topology.Node, topology.NodeStatus](t, kv)
		storedComesBack[topology.Network, topology.NetworkStatus](t, kv)
		storedComesBack[topology.Port, topology.PortStatus](t, kv)
		storedComesBack[topology.Pool, topology.PoolStatus](t, kv)
		storedComesBack[flowtap.Tap, flowtap.TapStatus](t, kv)
	})
}

func storedComesBack[S, T any](t *testing.T, kv *mvccpb.KeyValue) {
	if o, err := decodeObject[S, T]("x", kv); err != nil {
		require.ErrorContains(t, err, "/flowtap/v1/objects/x")
	} else if again, err := encodeObject(o.Meta, o.Spec); err == nil && valid(&o.Spec) { // only what is valid is written
		o2, err := decodeObject[S, T]("x", &mvccpb.KeyValue{Key: kv.Key, Value: []byte(again), ModRevision: 9})
		require.NoError(t, err, again)
		require.True(t, same(o.Spec, o2.Spec), "%s", again)
		require.True(t, o.CreatedAt.Equal(o2.CreatedAt) && o.Num == o2.Num)
	}
	if s, err := decodeStatus[T](kv); err != nil {
		require.ErrorContains(t, err, "/flowtap/v1/objects/x")
	} else if again, err := encodeStatus(s); err == nil {
		s2, err := decodeStatus[T](&mvccpb.KeyValue{Key: kv.Key, Value: []byte(again)})
		require.NoError(t, err, again)
		require.True(t, same(s, s2), "%s", again)
	}
}

func valid(spec any) bool {
	v, ok := spec.(interface{ Validate() error })
	return ok && v.Validate() == nil
}
