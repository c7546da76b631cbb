package pipeline

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/openflow"
)

// The port bridge is two flows, whatever a node serves, and one more for each length that copies for a
// monitor there are cut to.
func TestThePortBridgeKnowsNoPorts(t *testing.T) {
	split = func(int) bool { return true }
	defer func() { split = nil }()
	c := newCloud(t, "r1@n1 r2@n1 r3@n2 ids1@n1 ids2@n2")
	c.contract("r1 > ids1 both 10 tcp,tp_dst=80")
	flows, groups := portBridge(c.w, "n1").Len()
	require.Equal(t, []int{2, 0}, []int{flows, groups})
	for _, cut := range []int{20, 60} {
		c.tap("cut", flowtap.Tap{Src: "r2", Dst: "ids1", Direction: flowtap.Out, Action: flowtap.Forward, Enabled: true, Truncate: cut})
		c.number()
		flows, _ := portBridge(c.w, "n1").Len()
		require.Equal(t, 3, flows)
	}
	flows, _ = portBridge(c.w, "n2").Len()
	require.Equal(t, 2, flows, "what goes there by tunnel is cut before")
	for _, f := range portBridge(c.w, "n1").Flows() {
		_, _, ours := Ours(f.Cookie)
		require.True(t, ours, f)
	}
	n := *c.w.Node("n1")
	n.PortPatch = 0
	c.w.PutNode(n)
	flows, _ = portBridge(c.w, "n1").Len()
	require.Zero(t, flows)
}

// Copies that the port bridge has no number for are not made, and their contract says why.
func TestACutThatThePortBridgeHasNoNumberFor(t *testing.T) {
	split = func(int) bool { return true }
	defer func() { split = nil }()
	c := newCloud(t, "r1@n1 r2@n1 r3@n2 ids1@n1")
	for _, src := range []string{"r1", "r3"} {
		c.tap("of "+src, flowtap.Tap{Src: src, Dst: "ids1", Direction: flowtap.Out, Action: flowtap.Forward, Enabled: true, Truncate: 20})
	}
	c.number()
	copies := func(from string, f frame) (n int) {
		fab := fabric(c.w)
		require.NoError(t, install(fab, c.w))
		at := c.w.Port(from).Status
		r, err := fab.Inject(c.w.Node(at.Node).DatapathID, at.OFPort, f.bytes)
		require.NoError(t, err)
		for _, d := range r.Deliveries {
			if bytes.Equal(d.Frame, f.bytes[:20]) && d.Port == c.w.Port("ids1").Status.OFPort {
				n++
			}
		}
		return n
	}
	state := func(id string) flowtap.TapStatus {
		st, _ := State(c.w, id, "", Health{Up: func(string) bool { return true }, Warm: func(Tunnel) bool { return true }})
		return st
	}
	require.Equal(t, []int{1, 1}, []int{copies("r1", web(1, 2)), copies("r3", web(3, 2))})
	require.Equal(t, flowtap.TapActive, state("of r1").State)
	c.w.PutLabel(MonitorLabel(destination("ids1", form{cut: 20})), cutLabels)
	require.Equal(t, []int{0, 1}, []int{copies("r1", web(1, 2)), copies("r3", web(3, 2))})
	st := state("of r1")
	require.Equal(t, flowtap.TapPending, st.State)
	require.Contains(t, st.Reason, "has two bridges and cannot cut copies")
	require.Equal(t, flowtap.TapActive, state("of r3").State)
}

// The mark of a port and that of a cut are told apart, and neither has a bit of an epoch.
func TestBitsOfThePacketMark(t *testing.T) {
	bits := func(b openflow.Bits) uint32 { return uint32(1<<b.N-1) << b.Offset }
	epochs := uint32(1 << bitNobody)
	for _, class := range []gateClass{classBridge, classPortBridge} {
		mine := bits(openflow.Bits{Offset: uint8(classBits[class][0]), N: uint8(classBits[class][1])})
		require.Zero(t, epochs&mine, "class %d", class)
		epochs |= mine
	}
	require.Zero(t, epochs&(bits(markedPort)|bits(markedCut)))
	require.EqualValues(t, markedPortMask, bits(markedPort))
	for class, b := range classBits {
		require.LessOrEqual(t, b[0]+b[1], 32, "class %d", class)
		require.Greater(t, b[0], bitNobody, "class %d", class)
		for other, o := range classBits[:classBridge+1] {
			apart := b[0]+b[1] <= o[0] || o[0]+o[1] <= b[0]
			require.True(t, apart || other == class || gateClass(class) > classBridge, "classes %d and %d", class, other)
		}
	}
}
