package replica

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/ofconn"
	"github.com/flowtap/flowtap/store"
)

// master gives the replica that is a switch's master, by the switch itself.
func master(d openflow.DPID, nodes ...*node) (is *node) {
	for _, n := range nodes {
		for _, s := range n.r.board.switches() {
			if s.DPID == d && s.Master {
				is = n
			}
		}
	}
	return is
}

// TestEachDies kills replica after replica: another is the master of its switches, with a newer generation,
// and somebody leads.
func TestEachDies(t *testing.T) {
	t.Parallel()
	etcd := startEtcd(t)
	nodes := []*node{start(t, etcd, "a"), start(t, etcd, "b"), start(t, etcd, "c")}
	o, dpids := ovs(t, 3, nodes...)
	if o == nil {
		return
	}
	leader(t, dpids, nodes...)
	eventually(t, "each is the master of one", func() bool {
		masters := map[*node]int{}
		for _, d := range dpids {
			masters[master(d, nodes...)]++
		}
		return masters[nodes[0]] == 1 && masters[nodes[1]] == 1 && masters[nodes[2]] == 1
	})
	for len(nodes) > 1 {
		nodes[0].kill()
		began := time.Now()
		nodes = nodes[1:]
		is := leader(t, dpids, nodes...)
		for i, d := range dpids {
			eventually(t, "a change", func() bool {
				c := is.session(d)
				return c != nil && c.Commit(testContext(t), flow(uint64(100*len(nodes)+i))) == nil
			})
		}
		t.Logf("%s is gone; %s has changed all switches after %v", "one", is.name, time.Since(began))
	}
}

// TestADeposedLeaderIsRefused takes etcd away from a leader that is a master, too. It goes on, and is refused by
// everyone: by the switch, by its relays' masters, by etcd.
func TestADeposedLeaderIsRefused(t *testing.T) {
	t.Parallel()
	etcd := startEtcd(t)
	old := start(t, etcd, "a")
	eventually(t, "a leads", func() bool { return old.lastTerm() != nil })
	next := start(t, etcd, "b")
	o, dpids := ovs(t, 2, old, next)
	if o == nil {
		return
	}
	require.Same(t, old, leader(t, dpids, old, next))
	eventually(t, "both are masters", func() bool {
		a, b := master(dpids[0], old, next), master(dpids[1], old, next)
		return a != nil && b != nil && a != b
	})
	d, other := dpids[0], dpids[1]
	if master(d, old, next) != old {
		d, other = other, d
	}
	eventually(t, "a has both", func() bool { return old.session(d) != nil && old.session(other) != nil })
	own, relayed := old.session(d), old.session(other)
	require.NoError(t, own.Commit(testContext(t), flow(1)))
	require.NoError(t, relayed.Commit(testContext(t), flow(1)))

	epoch := old.lastTerm().Epoch
	lease := old.r.leaseNow()
	require.NoError(t, old.client.Close()) // it hears nothing any more
	_, err := next.client.Revoke(testContext(t), lease)
	require.NoError(t, err)
	require.Same(t, next, leader(t, dpids, next))
	require.Greater(t, next.lastTerm().Epoch, epoch)

	ctx := testContext(t)
	select { // b, through which a spoke to the other switch, has cut it
	case <-relayed.Done():
	case <-ctx.Done():
		t.Fatal("the relay of the old leader is still there")
	}
	near, _ := net.Pipe()
	require.ErrorIs(t, next.r.board.relay(ctx, other, epoch, near), errNotMaster)

	var refused *openflow.Error // the switch knows another master
	require.ErrorAs(t, own.SendAll(ctx, flow(2)), &refused)
	require.Equal(t, [2]uint16{1, 10}, [2]uint16{refused.ErrType, refused.Code}, "OFPBRC_IS_SLAVE")

	st, err := store.Open(ctx, store.Config{Endpoints: []string{etcd}})
	require.NoError(t, err)
	defer func() { require.NoError(t, st.Close()) }()
	lost := make(chan struct{}, 1)
	fenced := store.Fenced(ctx, store.Fence{Key: LeaderKey, Revision: epoch, Lost: func() { lost <- struct{}{} }})
	_, err = st.EnsureLabels(fenced, []string{"x"})
	require.ErrorIs(t, err, store.ErrFenced)
	<-lost
	_, err = st.EnsureLabels(store.Fenced(ctx, store.Fence{Key: LeaderKey, Revision: next.lastTerm().Epoch}), []string{"x"})
	require.NoError(t, err)
}

// TestARevokedReplicaRegistersAgain has a lease revoked by somebody who was wrong.
func TestARevokedReplicaRegistersAgain(t *testing.T) {
	t.Parallel()
	n := start(t, startEtcd(t), "a")
	eventually(t, "a leads", func() bool { return n.lastTerm() != nil })
	first := n.lastTerm()
	_, err := n.client.Revoke(testContext(t), n.r.leaseNow())
	require.NoError(t, err)
	eventually(t, "a leads again", func() bool { return n.lastTerm() != first })
	require.Greater(t, n.lastTerm().Epoch, first.Epoch)
	require.Error(t, first.ctx.Err())
}

// TestARestoredEtcd has generations that the switch takes for old ones.
func TestARestoredEtcd(t *testing.T) {
	t.Parallel()
	const before = 1 << 40
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	o, dpids := ovs(t, 1, &node{addr: "tcp:" + ln.Addr().String()})
	if o == nil {
		return
	}
	role := make(chan error, 1)
	require.NoError(t, ofconn.Serve(ctx, ln, ofconn.Config{}, func(ctx context.Context, c *ofconn.Conn) {
		role <- c.SetRole(ctx, openflow.RoleMaster, before)
		cancel()
	}))
	require.NoError(t, <-role)

	n := start(t, startEtcd(t), "a")
	dial(o, "br0", n)
	require.Same(t, n, leader(t, dpids, n))
	s := n.r.board.switches()[0]
	require.True(t, s.Master)
	require.Greater(t, s.Generation, uint64(before))
}
