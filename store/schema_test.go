package store

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/topology"
)

// record writes testdata/schema1.json anew. It is to be used by a program of version 1 only: what is
// there was written by the one that first had a version.
var record = flag.Bool("record-schema1", false, "write the fixture of a store of version 1")

const schema1 = "testdata/schema1.json"

// cloud1 is what the fixture holds.
func cloud1(t *testing.T, s *Store) {
	ctx := testContext(t)
	shop(t, s)
	create(t, s.Nodes(), "n1", nodeSpec(1))
	create(t, s.Pools(), "sensors", topology.Pool{Members: []topology.PoolMember{{Port: "ids1"}}, Mode: "copy"})
	create(t, s.Taps(), "t1", tapSpec("web", "ids1"))
	require.NoError(t, s.Nodes().PutStatus(ctx, "n1", topology.NodeStatus{State: topology.NodeConnected, Flows: 7}))
	require.NoError(t, s.Taps().PutStatus(ctx, "t1", flowtap.TapStatus{State: flowtap.TapActive}))
	_, err := s.EnsureLabels(ctx, []string{"net/shop"})
	require.NoError(t, err)
}

func TestRecordSchema1(t *testing.T) {
	if !*record {
		t.Log("records nothing unless asked to")
		return
	}
	s := openStore(t, Config{DataDir: t.TempDir()})
	cloud1(t, s)
	r, err := s.EtcdClient().Get(testContext(t), prefix, clientv3.WithPrefix())
	require.NoError(t, err)
	all := map[string]string{}
	for _, kv := range r.Kvs {
		all[string(kv.Key)] = string(kv.Value)
	}
	b, err := json.MarshalIndent(all, "", "\t")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(schema1, append(b, '\n'), 0o600))
}

// old1 puts the fixture into an etcd.
func old1(t *testing.T, c *clientv3.Client, without ...string) {
	b, err := os.ReadFile(schema1)
	require.NoError(t, err)
	all := map[string]string{}
	require.NoError(t, json.Unmarshal(b, &all))
	for _, k := range without {
		delete(all, k)
	}
	for k, v := range all {
		_, err := c.Put(testContext(t), k, v)
		require.NoError(t, err)
	}
}

// bare is a client of an etcd without a store.
func bare(t *testing.T, e *etcd) *clientv3.Client {
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{e.url}})
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// greet is a migration to version 2: every network gets a label.
func greet(done *atomic.Int64) []migration {
	return []migration{{what: "greets networks", prefix: objectsPrefix + "networks/", rewrite: func(_ string, value []byte) ([]byte, bool, error) {
		var v map[string]any
		if err := json.Unmarshal(value, &v); err != nil {
			return nil, false, err
		}
		spec := v["spec"].(map[string]any)
		if spec["labels"] != nil {
			return nil, false, nil
		}
		if done != nil && done.Add(1) == 3 {
			return nil, false, fmt.Errorf("interrupted")
		}
		spec["labels"] = map[string]string{"hello": "you"}
		b, err := json.Marshal(v)
		return b, true, err
	}}}
}

func marked(t *testing.T, c *clientv3.Client) string {
	r, err := c.Get(testContext(t), schemaKey)
	require.NoError(t, err)
	require.Len(t, r.Kvs, 1)
	return string(r.Kvs[0].Value)
}

func TestAStoreOfVersion1IsRead(t *testing.T) {
	t.Parallel()
	for name, without := range map[string][]string{"marked": nil, "without a mark": {schemaKey}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := startEtcd(t, t.TempDir(), 0)
			c := bare(t, e)
			old1(t, c, without...)
			s, ctx := openStore(t, Config{Endpoints: []string{e.url}}), testContext(t)
			assert.Equal(t, `{"version":1}`, marked(t, c))
			n, err := s.Nodes().Get(ctx, "n1")
			require.NoError(t, err)
			assert.Equal(t, nodeSpec(1), n.Spec)
			assert.Equal(t, 7, n.Status.Flows)
			tap, err := s.Taps().Get(ctx, "t1")
			require.NoError(t, err)
			assert.Equal(t, tapSpec("web", "ids1"), tap.Spec)
			ports, _, err := s.Ports().List(ctx)
			require.NoError(t, err)
			assert.Len(t, ports, 3)
			err = s.Ports().Delete(ctx, "ids1", 0)
			require.ErrorAs(t, err, new(*InUseError), "references are understood")
			_, created, err := s.Taps().Create(ctx, "t1", tapSpec("web", "ids1"))
			require.NoError(t, err)
			assert.False(t, created)
		})
	}
}

func TestAStoreIsMigratedOnce(t *testing.T) {
	t.Parallel()
	for name, without := range map[string][]string{"marked": nil, "without a mark": {schemaKey}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, ctx := startEtcd(t, t.TempDir(), 0), testContext(t)
			c := bare(t, e)
			old1(t, c, without...)
			old := openStore(t, Config{Endpoints: []string{e.url}})
			for i := range 250 { // more than one transaction's worth
				create(t, old.Networks(), fmt.Sprintf("net-%d", i), topology.Network{})
			}
			interrupted := atomic.Int64{}
			_, err := Open(ctx, Config{Endpoints: []string{e.url}, migrations: greet(&interrupted)})
			require.ErrorContains(t, err, "interrupted")
			require.Equal(t, `{"version":2,"from":1}`, marked(t, c))
			t.Run("and the older program", func(t *testing.T) {
				err := old.Outdated(ctx)
				require.ErrorIs(t, err, ErrNewerStore)
				assert.Equal(t, "etcd at "+e.url+": written by a newer FlowTap (schema 2, this program knows 1): use the newer program", err.Error())
				_, _, err = old.Networks().Create(ctx, "late", topology.Network{})
				require.ErrorIs(t, err, ErrUnavailable)
				require.ErrorIs(t, err, ErrNewerStore)
			})

			var all sync.WaitGroup
			for range 3 {
				all.Go(func() {
					s, err := Open(ctx, Config{Endpoints: []string{e.url}, migrations: greet(nil)})
					if assert.NoError(t, err) {
						defer s.Close()
						nets, _, err := s.Networks().List(ctx)
						assert.NoError(t, err)
						nets = slices.DeleteFunc(nets, func(n *Network) bool { return n.ID == "by-all" })
						assert.True(t, len(nets) == 251, "%d networks: nothing that the older program was too late with", len(nets))
						for _, n := range nets {
							assert.Equal(t, map[string]string{"hello": "you"}, n.Spec.Labels)
						}
						_, _, err = s.Networks().Create(ctx, "by-all", topology.Network{})
						assert.NoError(t, err)
					}
				})
			}
			all.Wait()
			r, err := c.Get(ctx, objectsPrefix+"networks/", clientv3.WithPrefix())
			require.NoError(t, err)
			for _, kv := range r.Kvs {
				if !strings.HasSuffix(string(kv.Key), "/by-all") {
					assert.EqualValues(t, 2, kv.Version, "%s was rewritten once", kv.Key)
				}
			}
			assert.Equal(t, `{"version":2}`, marked(t, c))
		})
	}
}

func TestAWriteMeetsAStoreThatWasEmptied(t *testing.T) {
	t.Parallel()
	s := openStore(t, Config{DataDir: t.TempDir()})
	_, err := s.EtcdClient().Delete(testContext(t), prefix, clientv3.WithPrefix())
	require.NoError(t, err)
	create(t, s.Networks(), "new", topology.Network{})
	assert.Equal(t, `{"version":1}`, marked(t, s.EtcdClient()))
}
