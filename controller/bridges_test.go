package controller

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/flowtap/pipeline"
	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/flowset"
	"github.com/flowtap/flowtap/openflow/ofsim/simswitch"
	"github.com/flowtap/flowtap/store"
	"github.com/flowtap/flowtap/topology"
)

// twoBridges is shop with two bridges on the nodes of web and of the monitor: web's number is that of its
// tunnel bridge's patch port, the monitor's that of the tunnel port.
func twoBridges(t testing.TB, config Config) *lab {
	l := newLab(t, 3, config)
	l.split(l.sws[0])
	l.split(l.sws[2])
	l.nodes()
	l.network("shop")
	l.vm("web", "shop", 1)
	l.vm("near", "shop", 3)
	l.vm("db", "shop", 2)
	l.monitor("ids")
	l.sws[0].AddPort(patchOnTunnels, "web")
	l.sws[0].AddPort(5, "near")
	l.sws[1].AddPort(1, "db")
	l.sws[2].AddPort(simswitch.TunnelPort+1, "ids")
	l.quiet()
	return l
}

// sends has web send a frame to another port, and counts how often the port and the monitor get it.
func (l *lab) sends(to int, at *simswitch.Switch, port openflow.PortNo) (got, copies int) {
	l.t.Helper()
	r, err := l.sws[0].Inject(patchOnTunnels, frame(1, to))
	require.NoError(l.t, err)
	return seen(r, at, port), seen(r, l.sws[2], simswitch.TunnelPort+1)
}

func (l *lab) taps(what string) {
	l.t.Helper()
	for name, to := range map[string]func() (int, int){
		"to another node": func() (int, int) { return l.sends(2, l.sws[1], 1) },
		"to its own node": func() (int, int) { return l.sends(3, l.sws[0], 5) },
	} {
		if got, copies := to(); got != 1 || copies != 1 {
			l.t.Fatalf("%s, %s: delivered %d times, copied %d times", what, name, got, copies)
		}
	}
}

func TestANodeOfTwoBridgesTaps(t *testing.T) {
	t.Parallel()
	l := twoBridges(t, quick())
	l.tap("t1", copyTap("web", "ids", flowtap.Out))
	l.becomes("t1", flowtap.TapActive, "")
	l.quiet()
	l.taps("tapped")
	require.Empty(t, tapFlows(l.sws[0]), "the port bridge knows no contracts")
	require.NotEmpty(t, tapFlows(l.tuns[1]))
	require.Equal(t, at("n1", patchOnTunnels), l.portStatus("web"))
	// Counters are the tunnel bridge's.
	require.NoError(t, l.ctl.ReadCounters(l.ctx(), "t1"))
	require.EqualValues(t, 2, l.state("t1").Counters.MatchedPackets)
	flows, groups := 0, 0
	for _, sw := range []*simswitch.Switch{l.sws[0], l.tuns[1]} {
		f, g := sw.Set().Len()
		flows, groups = flows+f, groups+g
	}
	want := topology.NodeStatus{State: topology.NodeConnected, Role: "master", Version: "3.1.0", TunnelPort: simswitch.TunnelPort, Flows: flows, Groups: groups}
	l.eventually(func() error { // a status is written after the change
		if st := l.nodeStatus("n1"); !reflect.DeepEqual(st, want) {
			return fmt.Errorf("status %+v instead of %+v", st, want)
		}
		return nil
	})
	require.Empty(t, l.ctl.Unregistered())
	// Ports come, go and lose their link on the port bridge.
	l.sws[0].SetPortDown(5, true)
	l.eventually(func() error { return expect(l.portStatus("near").State, topology.PortDown) })
	l.sws[0].RemovePort(5)
	l.eventually(func() error { return expect(l.portStatus("near"), topology.PortStatus{State: topology.PortDown}) })
	l.sws[0].AddPort(6, "near")
	l.portBecomes("near", at("n1", 6))
	l.quiet()
}

// Bridges connect, and the node is registered, in every order.
func TestTwoBridgesConnectInAnyOrder(t *testing.T) {
	t.Parallel()
	l := newLab(t, 1, quick())
	ports := l.sws[0]
	tunnels := l.split(ports)
	l.network("shop")
	l.vm("web", "shop", 1)
	ports.AddPort(3, "web")
	steps := []func(){func() { l.connect(ports) }, func() { l.connect(tunnels) }, func() { l.node(ports) }}
	for _, order := range [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		for _, i := range order {
			steps[i]()
		}
		l.quiet()
		l.portBecomes("web", at("n1", 3))
		require.NoError(t, l.store.Nodes().Delete(l.ctx(), "n1", 0))
		l.eventually(func() error { return empty(ports, tunnels) })
		ports.Disconnect()
		tunnels.Disconnect()
		l.eventually(func() error { return expect(len(l.ctl.Unregistered()), 0) })
	}
}

func empty(sws ...*simswitch.Switch) error {
	for _, sw := range sws {
		if flows, groups := own(sw.Set()).Len(); flows+groups > 0 {
			return fmt.Errorf("%d flows and %d groups left on switch %v", flows, groups, sw.DPID())
		}
	}
	return nil
}

// Either bridge, or both, or the controller, may go and come back: nothing is sent to any switch.
func TestEitherBridgeReconnectsAndNothingChanges(t *testing.T) {
	t.Parallel()
	l := twoBridges(t, quick())
	l.tap("t1", copyTap("web", "ids", flowtap.Both))
	l.becomes("t1", flowtap.TapActive, "")
	l.quiet()
	ports, tunnels := l.sws[0], l.tuns[1]
	since := []map[flowset.Key]time.Time{ports.Since(), tunnels.Since()}
	l.fabric.Forget()
	for missing, sws := range map[string][]*simswitch.Switch{
		"the bridge with the ports, 0000000000000001, is not connected": {ports},
		"the tunnel bridge, 0000000000000101, is not connected":         {tunnels},
		"": {ports, tunnels},
	} {
		for _, sw := range sws {
			sw.Disconnect()
		}
		l.becomes("t1", flowtap.TapDegraded, "n1 is not connected")
		l.eventually(func() error {
			st := l.nodeStatus("n1")
			return expect([]string{st.State, st.Reason}, []string{topology.NodeDisconnected, missing})
		})
		l.taps("without " + missing)
		l.connect(sws...)
		l.becomes("t1", flowtap.TapActive, "")
		l.quiet()
	}
	l.stop()
	l.eventually(func() error { return disconnected(l.bridges()...) })
	l.taps("without a controller")
	l.start()
	for _, sw := range l.bridges() {
		l.connect(sw)
		settle(l)
	}
	l.quiet()
	settle(l)
	require.Empty(t, flowMods(l.fabric.Commits()), "no switch was told anything")
	require.Equal(t, since, []map[flowset.Key]time.Time{ports.Since(), tunnels.Since()})
}

// Drift of either is repaired, and a switch that comes back empty filled.
func TestBothBridgesAreKept(t *testing.T) {
	t.Parallel()
	l := twoBridges(t, quick())
	l.tap("t1", copyTap("web", "ids", flowtap.Out))
	l.becomes("t1", flowtap.TapActive, "")
	for _, sw := range []*simswitch.Switch{l.sws[0], l.tuns[1]} {
		require.NoError(t, sw.Tamper(&openflow.FlowMod{Command: openflow.FlowDelete, Flow: openflow.Flow{Table: openflow.TableAll}},
			&openflow.FlowMod{Flow: openflow.Flow{Priority: 9, Cookie: pipeline.Cookie(pipeline.KindEpoch, 0)}}))
		l.quiet()
		l.taps("repaired")
		sw.Restart()
		l.connect(sw)
		l.quiet()
		l.becomes("t1", flowtap.TapActive, "")
		l.taps("restarted")
	}
	l.eventually(func() error {
		if st := l.nodeStatus("n1"); st.DriftRepaired < 4 {
			return fmt.Errorf("node says %+v", st)
		}
		return nil
	})
}

// A patch port that is missing is told, and so what it means for contracts.
func TestAPatchPortThatIsMissing(t *testing.T) {
	t.Parallel()
	l := twoBridges(t, quick())
	l.tap("t1", copyTap("web", "ids", flowtap.Out))
	l.becomes("t1", flowtap.TapActive, "")
	for why, broken := range map[string]struct {
		sw *simswitch.Switch
		no openflow.PortNo
	}{"the bridge with the ports, 0000000000000001, has no patch port patch-tun": {l.sws[0], patchOnPorts}, "the tunnel bridge, 0000000000000101, has no patch port patch-int": {l.tuns[1], patchOnTunnels}} {
		broken.sw.RemovePort(broken.no)
		l.becomes("t1", flowtap.TapDegraded, "no patch ports patch-tun and patch-int join the bridges of node n1")
		l.eventually(func() error {
			if st := l.nodeStatus("n1"); !strings.Contains(st.Reason, why) || st.State != topology.NodeConnected {
				return fmt.Errorf("node says %+v", st)
			}
			return nil
		})
		l.fabric.Patch(l.tuns[1], patchOnTunnels, pipeline.PatchToPorts, l.sws[0], patchOnPorts, pipeline.PatchToTunnels)
		l.becomes("t1", flowtap.TapActive, "")
		l.quiet()
		l.taps("joined again")
	}
}

// A node gets a second bridge, and loses it again: nothing is left on a bridge that is not for it.
func TestANodeChangesItsLayout(t *testing.T) {
	t.Parallel()
	l := newLab(t, 1, quick())
	l.connect()
	sw := l.sws[0]
	l.node(sw)
	l.network("shop")
	l.vm("web", "shop", 1)
	l.vm("near", "shop", 3)
	sw.AddPort(1, "web")
	sw.AddPort(5, "near")
	l.quiet()
	tun := l.split(sw)
	l.connect(tun)
	delivered := func(what string) {
		t.Helper()
		l.quiet()
		r, err := sw.Inject(1, frame(1, 3))
		require.NoError(t, err)
		require.Equal(t, 1, seen(r, sw, 5), what)
	}
	one := topology.Node{DatapathID: sw.DPID(), TunnelIP: sw.Tunnel(), TunnelInterface: simswitch.TunnelName}
	for range 2 {
		_, err := l.store.Nodes().Replace(l.ctx(), "n1", l.nodeSpec(sw), 0)
		require.NoError(t, err)
		delivered("of two bridges")
		supposed, err := l.ctl.Suppose(l.ctx(), Supposition{Collection: store.CollectionNodes, ID: "n1", Spec: one})
		require.NoError(t, err)
		require.Len(t, supposed, 2, "one bridge takes over and the other is cleared")
		_, err = l.store.Nodes().Replace(l.ctx(), "n1", one, 0)
		require.NoError(t, err)
		delivered("of one bridge")
		require.NoError(t, empty(tun))
	}
}

// A trace crosses the patch and says where frames come out.
func TestATraceThroughTwoBridges(t *testing.T) {
	t.Parallel()
	l := twoBridges(t, quick())
	cut := copyTap("web", "ids", flowtap.Out)
	cut.Truncate = 20
	l.tap("t1", cut)
	l.becomes("t1", flowtap.TapActive, "")
	got, err := l.ctl.Trace(l.ctx(), TraceRequest{Port: "web", Frame: flow(t, "tcp,nw_dst=10.0.0.3")})
	require.NoError(t, err)
	require.Len(t, got.Outputs, 1)
	require.Equal(t, []any{"near", "n1", openflow.PortNo(5)}, []any{got.Outputs[0].Port, got.Outputs[0].Node, got.Outputs[0].OFPort})
	require.Len(t, got.Copies, 1)
	require.Equal(t, []any{"ids", "t1", "n3", 20}, []any{got.Copies[0].Monitor, got.Copies[0].Tap, got.Copies[0].Node, len(got.Copies[0].Frame)})
	text := got.String()
	t.Log("\n" + text)
	for _, s := range []string{"30 tap-out: ", "[tap t1]", "0 classify: in_port=2,pkt_mark=0x20000/0xffff0000", "-> monitor ids"} {
		require.Contains(t, text, s)
	}
}

// A node that is gone without a word is asked on both bridges, or changes would wait for the other one.
func TestAPortOfASilentNodeOfTwoBridges(t *testing.T) {
	t.Parallel()
	config := quick()
	config.AuditInterval, config.Conn.EchoInterval, config.CommitTimeout = time.Hour, time.Hour, time.Hour
	l := twoBridges(t, config)
	l.tap("t1", copyTap("web", "ids", flowtap.Out))
	l.becomes("t1", flowtap.TapActive, "")
	l.quiet()
	l.sws[0].Hang(true)
	l.tuns[1].Hang(true)
	l.sws[1].AddPort(7, "web")
	l.eventually(func() error { return expect(l.portStatus("web").Node, "n2") })
	l.eventually(func() error { return expect(l.state("t1").SrcNode, "n2") })
	l.becomes("t1", flowtap.TapActive, "")
}
