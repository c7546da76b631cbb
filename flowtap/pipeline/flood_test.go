package pipeline

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/topology"
)

// TestSharedFloodFlow: what many contracts' flooded frames are decided by together is their oldest's,
// whatever order they are met in, so that it stays as it is when another one comes or goes.
func TestSharedFloodFlow(t *testing.T) {
	l := newLab(2)
	l.w.PutNetwork(Network{"red"})
	l.put("ids", topology.Port{Kind: topology.KindMonitor}, status(1, 2))
	match, err := flowtap.ParseMatch("udp,tp_dst=5353")
	require.NoError(t, err)
	const targets = 9
	for i := range targets {
		id := fmt.Sprintf("vm%d", i)
		l.put(id, topology.Port{Network: "red", Kind: topology.KindVM, MAC: topology.MAC{2, 1, 0, 0, 0, byte(i)}}, status(10+i, 1))
		l.tap("t"+id, flowtap.Tap{Src: id, Dst: "ids", Match: match, Direction: flowtap.In, Action: flowtap.Forward, Priority: 100, Enabled: true})
	}
	l.number()
	for i := range targets - 1 { // a last one would not be decided together with another
		oldest := l.w.Tap(fmt.Sprintf("tvm%d", i))
		for range 20 {
			flows, _, _ := Desired(l.w, nodeName(1))
			shared := 0
			for _, f := range flows {
				if kind, num, _ := Ours(f.Cookie); f.Table == TableFlood && kind == KindTap {
					require.Equal(t, oldest.Num, num, "%d targets", targets-i)
					shared++
				}
			}
			require.NotZero(t, shared)
		}
		l.w.DeleteTap(oldest.ID)
	}
}
