package controller

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/ofsim"
	"github.com/flowtap/flowtap/openflow/ofsim/ovstest"
	"github.com/flowtap/flowtap/topology"
)

// real is a lab with one node that is an Open vSwitch, with the ports p1 (web), p2 (db) and p3 (ids).
func real(t *testing.T, config Config) (*lab, *ovstest.OVS) {
	ovs := ovstest.Start(t, 3)
	if ovs == nil {
		return nil, nil
	}
	l := newLab(t, 0, config)
	dpid, err := openflow.ParseDPID(strings.Trim(strings.TrimSpace(ovs.Vsctl("get", "bridge", "br0", "datapath_id")), `"`))
	require.NoError(t, err)
	_, _, err = l.store.Nodes().Create(l.ctx(), "n1", topology.Node{DatapathID: dpid, TunnelIP: netip.MustParseAddr("172.16.0.1"), TunnelInterface: "tun0"})
	require.NoError(t, err)
	l.network("shop")
	for i, id := range []string{"web", "db"} {
		l.port(id, topology.Port{Network: "shop", Kind: topology.KindVM, Interface: fmt.Sprintf("p%d", i+1), MAC: macOf(i + 1), PortSecurity: true})
	}
	l.port("ids", topology.Port{Kind: topology.KindMonitor, Interface: "p3"})
	ovs.Vsctl("set-controller", "br0", "tcp:"+l.addr)
	return l, ovs
}

// captured counts the frames in a capture.
func captured(t *testing.T, file string, size int) int {
	st, err := os.Stat(file)
	require.NoError(t, err)
	return int(st.Size()-24) / (16 + size)
}

// TestFreshCountersOfOpenVSwitch are what left by then, though it adds up what its datapath counted only
// every half second; and what was counted before a contract's flows are replaced is not lost.
func TestFreshCountersOfOpenVSwitch(t *testing.T) {
	config := seldom()
	config.SettleTime = 300 * time.Millisecond // on a machine that does other things besides
	l, ovs := real(t, config)
	if l == nil {
		return
	}
	l.tap("t1", copyTap("web", "ids", flowtap.Out))
	l.becomes("t1", flowtap.TapActive, "")
	f := ofsim.Frame{Src: macOf(1), Dst: macOf(2), EtherType: 0x1234, Payload: make([]byte, 50)}.Bytes()
	sent := 0
	send := func(n int) {
		t.Helper()
		for range n {
			ovs.Receive(1, f)
		}
		sent += n
		ovs.Until("all copies left", func() bool { return captured(t, ovs.Pcap(3), len(f)) == sent })
	}
	worst := time.Duration(0)
	for range 5 {
		send(37)
		began := time.Now()
		require.NoError(t, l.ctl.ReadCounters(l.ctx(), "t1"))
		worst = max(worst, time.Since(began))
		require.EqualValues(t, sent, l.state("t1").Counters.DeliveredPackets)
		require.EqualValues(t, sent*len(f), l.state("t1").Counters.DeliveredBytes)
	}
	t.Logf("fresh counters within %v", worst)

	changed := copyTap("web", "ids", flowtap.Out)
	for i := range 5 {
		send(41)
		changed.Priority = 200 + i
		o, err := l.store.Taps().Replace(l.ctx(), "t1", changed, 0)
		require.NoError(t, err)
		require.NoError(t, l.ctl.Settled(l.ctx(), o.Revision))
		require.NoError(t, l.ctl.ReadCounters(l.ctx(), "t1"))
		require.EqualValues(t, sent, l.state("t1").Counters.DeliveredPackets, "change %d", i)
	}
}
