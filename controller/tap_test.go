package controller

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/flowtap/pipeline"
	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/flowset"
	"github.com/flowtap/flowtap/openflow/ofsim"
	"github.com/flowtap/flowtap/openflow/ofsim/simswitch"
	"github.com/flowtap/flowtap/topology"
)

// shop is two VMs on two nodes and a monitor on a third.
func shop(t testing.TB, config Config) *lab {
	l := newLab(t, 3, config)
	l.nodes()
	l.network("shop")
	l.vm("web", "shop", 1)
	l.vm("db", "shop", 2)
	l.monitor("ids")
	l.sws[0].AddPort(1, "web")
	l.sws[1].AddPort(1, "db")
	l.sws[2].AddPort(1, "ids")
	l.quiet()
	return l
}

func frame(from, to int) []byte {
	return ofsim.Frame{Src: macOf(from), Dst: macOf(to), EtherType: 0x1234, Payload: make([]byte, 50)}.Bytes()
}

// seen counts the copies of a frame that leave a switch by a port.
func seen(r ofsim.Result, sw *simswitch.Switch, port openflow.PortNo) (n int) {
	for _, d := range r.Deliveries {
		if d.DPID == sw.DPID() && d.Port == port {
			n++
		}
	}
	return n
}

func TestTapBecomesActiveWithItsFlowsInPlace(t *testing.T) {
	t.Parallel()
	l := shop(t, quick())
	revision := l.tap("t1", copyTap("web", "ids", flowtap.Both))
	st := l.becomes("t1", flowtap.TapActive, "")
	then := []*flowset.Set{l.sws[0].Set(), l.sws[1].Set(), l.sws[2].Set()}
	l.quiet()
	for i, sw := range l.sws {
		require.True(t, then[i].Equal(sw.Set()), "when it was said to be active, everything was in place on %v", sw.DPID())
	}
	require.Equal(t, fmt.Sprint(revision), st.Revision)
	require.Equal(t, "n1", st.SrcNode)
	require.Equal(t, "n3", st.DstNode)
	r, err := l.sws[0].Inject(1, frame(1, 2))
	require.NoError(t, err)
	require.Equal(t, 1, seen(r, l.sws[1], 1), "the peer has the frame once")
	require.Equal(t, 1, seen(r, l.sws[2], 1), "the monitor has its copy once")
}

func TestTapSaysWhatItWaitsFor(t *testing.T) {
	t.Parallel()
	l := newLab(t, 2, quick())
	l.network("shop")
	l.vm("web", "shop", 1)
	l.monitor("ids")
	for _, sw := range l.sws {
		l.node(sw)
	}
	l.tap("t1", copyTap("web", "ids", flowtap.Both))
	l.becomes("t1", flowtap.TapPending, "port web is on no switch")
	l.sws[0].AddPort(1, "web")
	l.connect(l.sws[0])
	l.becomes("t1", flowtap.TapPending, "monitor ids is on no switch")
	l.sws[1].AddPort(1, "ids")
	l.fabric.Cut(1, 2, true)
	l.connect(l.sws[1])
	l.becomes("t1", flowtap.TapPending, "the tunnel from n1 to n2 does not answer")
	l.fabric.Cut(1, 2, false)
	l.becomes("t1", flowtap.TapActive, "")

	l.sws[1].RemovePort(1)
	l.becomes("t1", flowtap.TapDegraded, "monitor ids is on no switch")
	l.sws[1].AddPort(1, "ids")
	l.becomes("t1", flowtap.TapActive, "")
	l.sws[1].Disconnect()
	l.becomes("t1", flowtap.TapDegraded, "node n2 is not connected")
	l.connect(l.sws[1])
	l.becomes("t1", flowtap.TapActive, "")
	off := copyTap("web", "ids", flowtap.Both)
	off.Enabled = false
	_, err := l.store.Taps().Replace(l.ctx(), "t1", off, 0)
	require.NoError(t, err)
	l.becomes("t1", flowtap.TapDisabled, "")
	l.quiet()
	l.tap("t2", copyTap("web", "ids", flowtap.Out))
	l.becomes("t2", flowtap.TapActive, "")
}

func TestATunnelThatStopsAnsweringDegradesItsTaps(t *testing.T) {
	t.Parallel()
	l := shop(t, quick())
	l.tap("t1", copyTap("web", "ids", flowtap.Out))
	l.becomes("t1", flowtap.TapActive, "")
	l.fabric.Cut(1, 3, true)
	l.becomes("t1", flowtap.TapDegraded, "the tunnel from n1 to n3 does not answer")
	l.fabric.Cut(1, 3, false)
	l.becomes("t1", flowtap.TapActive, "")
}

func TestATapStaysActiveWhileSwitchesComeBackAndNotLonger(t *testing.T) {
	t.Parallel()
	config := quick()
	l := shop(t, config)
	l.tap("t1", copyTap("web", "ids", flowtap.Out))
	l.becomes("t1", flowtap.TapActive, "")
	l.stop()
	l.eventually(func() error { return disconnected(l.sws...) })
	l.config.Grace = 300 * time.Millisecond
	began := time.Now()
	l.start()
	l.connect(l.sws[0], l.sws[1])
	l.becomes("t1", flowtap.TapDegraded, "node n3 is not connected")
	require.Greater(t, time.Since(began), 200*time.Millisecond, "within the grace it stays as it was")
	l.connect(l.sws[2])
	l.becomes("t1", flowtap.TapActive, "")
}

func disconnected(sws ...*simswitch.Switch) error {
	for _, sw := range sws {
		if sw.Connected() {
			return fmt.Errorf("switch %v is still connected", sw.DPID())
		}
	}
	return nil
}

func TestReconnectAndRestartOfTheControllerChangeNothing(t *testing.T) {
	t.Parallel()
	l := shop(t, quick())
	l.tap("t1", copyTap("web", "ids", flowtap.Both))
	l.becomes("t1", flowtap.TapActive, "")
	l.quiet()
	since := l.sws[0].Since()
	l.fabric.Forget()
	for range 3 {
		l.sws[0].Disconnect()
		l.becomes("t1", flowtap.TapDegraded, "n1 is not connected")
		l.connect(l.sws[0])
		l.becomes("t1", flowtap.TapActive, "")
	}
	l.stop()
	l.start()
	l.eventually(func() error { return disconnected(l.sws...) })
	l.connect()
	l.quiet()
	settle(l)
	require.Empty(t, flowMods(l.fabric.Commits()), "no switch was told anything")
	require.Equal(t, since, l.sws[0].Since())
}

// settle waits until everything written so far has been carried out.
func settle(l *lab) {
	l.t.Helper()
	_, revision, err := l.store.Taps().List(l.ctx())
	require.NoError(l.t, err)
	require.NoError(l.t, l.ctl.Settled(l.ctx(), revision))
}

// flowMods leaves the messages of commits.
func flowMods(cs []simswitch.Commit) (all []string) {
	for _, c := range cs {
		for _, m := range c.Messages {
			all = append(all, fmt.Sprintf("switch %v: %+v", c.DPID, m))
		}
	}
	return all
}

func TestDriftIsRepairedAndWhatIsNotOursIsLeftAlone(t *testing.T) {
	t.Parallel()
	l := shop(t, quick())
	l.tap("t1", copyTap("web", "ids", flowtap.Both))
	l.becomes("t1", flowtap.TapActive, "")
	l.quiet()
	sw := l.sws[0]
	foreign := openflow.Flow{Table: 0, Priority: 1, Cookie: 0xabc, Match: openflow.Match{openflow.Uint(openflow.FieldInPort, 77)}}
	require.NoError(t, sw.Tamper(
		&openflow.FlowMod{Flow: foreign},
		&openflow.GroupMod{Group: openflow.Group{ID: 5}},
		// Leftovers of ours: an epoch, a sentinel, a flow of a contract that is no more.
		&openflow.FlowMod{Flow: openflow.Flow{Priority: 2, Cookie: pipeline.Cookie(pipeline.KindEpoch, 0)}},
		&openflow.FlowMod{Flow: openflow.Flow{Priority: 3, Cookie: pipeline.Cookie(pipeline.KindSentinel, 7)}},
		&openflow.FlowMod{Flow: openflow.Flow{Table: 30, Priority: 4, Cookie: pipeline.Cookie(pipeline.KindTap, 4711)}},
		&openflow.GroupMod{Group: openflow.Group{ID: 0xf1777777}},
		// And a flow that somebody took away.
		&openflow.FlowMod{Command: openflow.FlowDeleteStrict, Flow: tapFlows(sw)[0]},
	))
	l.quiet()
	l.eventually(func() error {
		st := l.nodeStatus("n1")
		if st.DriftRepaired != 5 || st.ForeignFlows != 1 {
			return fmt.Errorf("node says %+v", st)
		}
		return nil
	})
	ours, _ := own(sw.Set()).Len()
	all, groups := sw.Set().Len()
	require.Equal(t, 1, all-ours, "the foreign flow is there")
	_, there := sw.Set().Group(5)
	require.True(t, there, "the foreign group is there, among %d", groups)

	require.NoError(t, sw.Tamper(&openflow.FlowMod{Command: openflow.FlowDelete, Flow: openflow.Flow{Table: openflow.TableAll}}))
	l.quiet()
	sw.Disconnect()
	l.becomes("t1", flowtap.TapDegraded, "not connected")
	l.connect(sw)
	l.quiet()
	require.GreaterOrEqual(t, l.nodeStatus("n1").DriftRepaired, uint64(5), "a reconnect forgets nothing")
	sw.Restart()
	l.connect(sw)
	l.quiet()
}

func tapFlows(sw *simswitch.Switch) (fs []openflow.Flow) {
	for _, f := range sw.Set().Flows() {
		if kind, _, ours := pipeline.Ours(f.Cookie); ours && kind == pipeline.KindTap {
			fs = append(fs, f)
		}
	}
	return fs
}

func TestNodesComeAndGo(t *testing.T) {
	t.Parallel()
	l := newLab(t, 1, quick())
	sw := l.sws[0]
	leftover := openflow.Flow{Priority: 3, Cookie: pipeline.Cookie(pipeline.KindTap, 7)}
	require.NoError(t, sw.Tamper(&openflow.FlowMod{Flow: leftover}))
	sw.AddPort(1, "web")
	l.network("shop")
	l.vm("web", "shop", 1)
	l.connect()
	l.eventually(func() error {
		if got := l.ctl.Unregistered(); len(got) != 1 || got[0].DPID != sw.DPID() || got[0].Version != "3.1.0" {
			return fmt.Errorf("unregistered: %+v", got)
		}
		return nil
	})
	settle(l)
	require.Empty(t, l.fabric.Commits(), "nobody told it anything")
	flows, _ := sw.Set().Len()
	require.Equal(t, 1, flows, "it is left as it is")

	for range 3 {
		l.node(sw) // adopted
		l.quiet()
		l.eventually(func() error {
			if got := l.ctl.Unregistered(); len(got) > 0 {
				return fmt.Errorf("unregistered: %+v", got)
			}
			return nil
		})
		require.Equal(t, topology.PortActive, l.portStatus("web").State)
		require.NoError(t, sw.Tamper(&openflow.FlowMod{Flow: openflow.Flow{Priority: 9, Cookie: 0xabc}}))
		require.NoError(t, l.store.Nodes().Delete(l.ctx(), "n1", 0))
		l.eventually(func() error {
			flows, groups := sw.Set().Len()
			if st := l.portStatus("web"); flows != 1 || groups != 0 || st.Node != "" || len(st.Attachments) != 0 || st.State != topology.PortDown {
				return fmt.Errorf("%d flows and %d groups left, port %+v", flows, groups, st)
			}
			return nil
		})
		l.eventually(func() error {
			if got := l.ctl.Unregistered(); len(got) != 1 {
				return fmt.Errorf("unregistered: %+v", got)
			}
			return nil
		})
	}
}

func TestANodeThatGetsAnotherSwitchLeavesNothingOnTheOldOne(t *testing.T) {
	t.Parallel()
	l := newLab(t, 2, quick())
	l.connect()
	l.node(l.sws[0])
	l.quiet()
	_, err := l.store.Nodes().Replace(l.ctx(), "n1", topology.Node{DatapathID: 2, TunnelIP: l.sws[0].Tunnel(), TunnelInterface: "tun0"}, 0)
	require.NoError(t, err)
	l.eventually(func() error {
		old, _ := l.sws[0].Set().Len()
		now, _ := l.sws[1].Set().Len()
		if old > 0 || now == 0 {
			return fmt.Errorf("%d flows on the old switch, %d on the new one", old, now)
		}
		return nil
	})
}

func TestATunnelPortIsNamedWhereItIsMissing(t *testing.T) {
	t.Parallel()
	l := shop(t, quick())
	l.tap("t1", copyTap("web", "ids", flowtap.Out))
	l.becomes("t1", flowtap.TapActive, "")
	l.sws[0].RemovePort(simswitch.TunnelPort)
	l.becomes("t1", flowtap.TapDegraded, "node n1 has no tunnel interface")
	l.eventually(func() error {
		if st := l.nodeStatus("n1"); !strings.Contains(st.Reason, "no port tun0") || st.TunnelPort != 0 {
			return fmt.Errorf("node says %+v", st)
		}
		return nil
	})
}
