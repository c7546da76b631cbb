package controller

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/flowtap/pipeline"
	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/topology"
)

// cost is what a node is sent.
type cost struct{ groups, flows int }

// TestAMovedMonitorCostsOneGroupModANode whatever the number of contracts. A redirect's monitor takes
// along what says which frames it may give back; other nodes pay one group-mod.
func TestAMovedMonitorCostsOneGroupModANode(t *testing.T) {
	t.Parallel()
	for action, taps := range map[flowtap.Action]int{flowtap.Forward: 1000, flowtap.Redirect: 100} {
		t.Run(string(action), func(t *testing.T) {
			few, many := moveCost(t, action, 1), moveCost(t, action, taps)
			t.Logf("1 contract: %v; %d: %v", few, taps, many)
			require.Equal(t, few["n1"], many["n1"], "messages to the targets' node")
			for _, n := range []map[string]cost{few, many} {
				require.Equal(t, 1, n["n1"].groups)
				if action == flowtap.Forward {
					require.Equal(t, few, n, "messages to any node")
				}
			}
		})
	}
}

// moveCost moves the monitor of contracts of one port from n3 to n4, and gives what each node was sent.
func moveCost(t *testing.T, action flowtap.Action, taps int) map[string]cost {
	l := newLab(t, 4, seldom())
	l.network("shop")
	l.vm("web", "shop", 1)
	l.vm("db", "shop", 2)
	l.monitor("ids")
	var wg sync.WaitGroup
	for worker := range 16 {
		wg.Go(func() {
			for i := worker; i < taps; i += 16 {
				c := copyTap("web", "ids", flowtap.Out)
				c.Action = action
				var err error
				if c.Match, err = flowtap.ParseMatch(fmt.Sprintf("udp,tp_dst=%d", 1000+i)); err != nil {
					t.Error(err)
				}
				l.tap(fmt.Sprint("t", i), c)
			}
		})
	}
	wg.Wait()
	l.sws[0].AddPort(1, "web")
	l.sws[1].AddPort(1, "db")
	l.sws[2].AddPort(1, "ids")
	l.nodes() // once all is there: one round
	for i := range taps {
		l.becomes(fmt.Sprint("t", i), flowtap.TapActive, "")
	}
	l.quiet()

	l.fabric.Forget()
	l.sws[3].AddPort(1, "ids")
	l.eventually(func() error { return expect(l.portStatus("ids").State, topology.PortMigrating) })
	l.sws[2].RemovePort(1)
	l.portBecomes("ids", at("n4", 1))
	l.becomes(fmt.Sprint("t", taps-1), flowtap.TapActive, "")
	l.quiet()
	costs := map[string]cost{}
	for _, c := range l.fabric.Commits() {
		n := costs[fmt.Sprintf("n%d", uint64(c.DPID))]
		for _, m := range c.Messages {
			switch m := m.(type) {
			case *openflow.GroupMod:
				n.groups++
			case *openflow.FlowMod:
				if kind, _, _ := pipeline.Ours(m.Flow.Cookie); kind != pipeline.KindSentinel && kind != pipeline.KindEpoch {
					n.flows++
				}
			}
		}
		costs[fmt.Sprintf("n%d", uint64(c.DPID))] = n
	}
	return costs
}
