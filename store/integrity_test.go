package store

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/topology"
)

func TestReferencesMustExist(t *testing.T) {
	eachStore(t, func(t *testing.T, open func() *Store) {
		ctx, s := testContext(t), open()
		var missing *ReferenceError
		_, _, err := s.Ports().Create(ctx, "web", vmSpec("shop", 1))
		require.ErrorAs(t, err, &missing)
		assert.Equal(t, ReferenceError{"network", CollectionNetworks, "shop"}, *missing)
		assert.Equal(t, `create port web: network: there is no network "shop"`, err.Error())

		shop(t, s)
		_, _, err = s.Taps().Create(ctx, "t1", tapSpec("nobody", "ids1"))
		require.ErrorAs(t, err, &missing)
		assert.Equal(t, "src", missing.Field)
		_, _, err = s.Taps().Create(ctx, "t1", tapSpec("web", "nobody"))
		require.ErrorAs(t, err, &missing)
		assert.Equal(t, ReferenceError{"dst", CollectionPorts, "nobody"}, *missing)
		_, err = s.Taps().Get(ctx, "t1")
		require.ErrorIs(t, err, ErrNotFound)

		create(t, s.Taps(), "t1", tapSpec("web", "ids1"))
		_, err = s.Taps().Replace(ctx, "t1", tapSpec("web", "nobody"), 0)
		require.ErrorAs(t, err, &missing)
		assert.Equal(t, "dst", missing.Field)
	})
}

func TestWhatIsReferredToCannotBeDeleted(t *testing.T) {
	eachStore(t, func(t *testing.T, open func() *Store) {
		ctx, s := testContext(t), open()
		shop(t, s)
		create(t, s.Taps(), "t2", tapSpec("web", "ids1"))
		create(t, s.Taps(), "t1", tapSpec("db", "ids1"))
		var used *InUseError
		require.ErrorAs(t, s.Networks().Delete(ctx, "shop", 0), &used)
		assert.Equal(t, []string{"db", "web"}, used.Users)
		err := s.Ports().Delete(ctx, "ids1", 0)
		require.ErrorAs(t, err, &used)
		assert.Equal(t, []string{"t1", "t2"}, used.Users)
		assert.Equal(t, "delete port ids1: port ids1 is in use by t1, t2", err.Error())

		_, err = s.Taps().Replace(ctx, "t2", tapSpec("db", "ids1"), 0)
		require.NoError(t, err)
		require.NoError(t, s.Ports().Delete(ctx, "web", 0), "a replaced reference no longer holds its object")
		require.NoError(t, s.Taps().Delete(ctx, "t1", 0))
		require.NoError(t, s.Taps().Delete(ctx, "t2", 0))
		require.NoError(t, s.Ports().Delete(ctx, "ids1", 0))
		require.NoError(t, s.Ports().Delete(ctx, "db", 0))
		require.NoError(t, s.Networks().Delete(ctx, "shop", 0))
		assertNothingLeft(t, s)
	})
}

// assertNothingLeft finds keys that belong to objects that are gone.
func assertNothingLeft(t *testing.T, s *Store) {
	t.Helper()
	for _, p := range []string{objectsPrefix, statusPrefix, refsPrefix, uniquePrefix, guardPrefix} {
		kvs, _, err := s.scan(testContext(t), p, 0)
		require.NoError(t, err)
		for _, kv := range kvs {
			assert.Fail(t, "left behind", "%s = %s", kv.Key, kv.Value)
		}
	}
}

func TestAValueHasOneOwner(t *testing.T) {
	eachStore(t, func(t *testing.T, open func() *Store) {
		ctx, s := testContext(t), open()
		shop(t, s)
		create(t, s.Networks(), "other", topology.Network{})
		create(t, s.Nodes(), "n1", nodeSpec(1))

		var taken *UniqueError
		n := nodeSpec(2)
		n.DatapathID = 1
		_, _, err := s.Nodes().Create(ctx, "n2", n)
		require.ErrorAs(t, err, &taken)
		assert.Equal(t, UniqueError{"datapath_id", "0000000000000001", "n1"}, *taken)
		n = nodeSpec(2)
		n.TunnelIP = netip.MustParseAddr("::ffff:172.16.0.1")
		_, _, err = s.Nodes().Create(ctx, "n2", n)
		require.ErrorAs(t, err, &taken)
		assert.Equal(t, UniqueError{"tunnel_ip", "172.16.0.1", "n1"}, *taken)

		p := vmSpec("other", 9)
		p.Interface = "shop-vm1"
		_, _, err = s.Ports().Create(ctx, "x", p)
		require.ErrorAs(t, err, &taken)
		assert.Equal(t, UniqueError{"interface", "shop-vm1", "web"}, *taken)
		p = vmSpec("shop", 9)
		p.MAC = vmSpec("shop", 1).MAC
		_, _, err = s.Ports().Create(ctx, "x", p)
		require.ErrorAs(t, err, &taken)
		assert.Equal(t, UniqueError{"mac", "02:00:00:00:00:01", "web"}, *taken)
		p = vmSpec("shop", 9)
		p.IPs = append(p.IPs, netip.MustParseAddr("10.0.0.1"), p.IPs[0])
		_, _, err = s.Ports().Create(ctx, "x", p)
		require.ErrorAs(t, err, &taken)
		assert.Equal(t, UniqueError{"ips", "10.0.0.1", "web"}, *taken)

		same := vmSpec("shop", 1)
		same.Network, same.Interface = "other", "elsewhere"
		create(t, s.Ports(), "x", same) // two networks share no addresses

		// A replaced value is free at once, and one's own value is no conflict.
		p = vmSpec("shop", 1)
		p.MAC = topology.MAC{2, 0, 0, 0, 9, 9}
		_, err = s.Ports().Replace(ctx, "web", p, 0)
		require.NoError(t, err)
		p = vmSpec("shop", 3)
		p.MAC = vmSpec("shop", 1).MAC
		create(t, s.Ports(), "y", p)
	})
}
