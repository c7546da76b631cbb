package pipeline

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/topology"
)

// TestAPoolThatFailsOpen: slices of a member that no other node reaches are the others', on all nodes; what one node alone
// cannot reach passes there, and the tap says how much.
func TestAPoolThatFailsOpen(t *testing.T) {
	l := newLab(4)
	l.w.PutNetwork(Network{"red"})
	for i, node := range map[int]int{1: 1, 2: 4} {
		id, ordinal := portName(0, i)
		l.put(id, topology.Port{Network: "red", Kind: topology.KindVM, MAC: macOf(i), PortSecurity: true}, status(ordinal, node))
	}
	p := Pool{ID: "some", Pool: topology.Pool{Mode: topology.PoolSpread}}
	for i, id := range []string{"ids1", "ids2"} {
		l.put(id, topology.Port{Kind: topology.KindMonitor}, status(ordinalOf(id), 2+i))
		p.Members = append(p.Members, topology.PoolMember{Port: id, Weight: 1})
	}
	l.w.PutPool(p)
	m, err := flowtap.ParseMatch("")
	require.NoError(t, err)
	l.tap("t", flowtap.Tap{Src: "r1", DstPool: "some", Match: m, Direction: flowtap.Both, Action: flowtap.Redirect, Enabled: true, FailMode: flowtap.FailOpen})
	l.number()

	all := map[string]int{"ids1": PoolStatus(l.w, "some").Slices["ids1"], "ids2": PoolStatus(l.w, "some").Slices["ids2"]}
	require.Equal(t, SlicesOfPool, all["ids1"]+all["ids2"])
	expect := func(slices map[string]int, why string) {
		t.Helper()
		require.Equal(t, slices, PoolStatus(l.w, "some").Slices)
		require.Regexp(t, "^"+why+"$", passesUnmonitored(l.w, l.w.taps["t"]))
	}
	dead := func(from, to string, is bool) {
		t.Helper()
		require.Contains(t, l.w.PutTunnel(Tunnel{from, to}, is), Unit{UnitPool, "some"})
	}
	expect(all, "")
	dead("n1", "n2", true)
	expect(all, "monitor ids1 cannot be reached from node n1; .* of 256 slices .* unmonitored.*")
	dead("n2", "n4", true) // the way back counts
	expect(map[string]int{"ids2": 256}, "")
	dead("n1", "n3", true)
	expect(map[string]int{"ids2": 256}, "no member of pool some .*")
	dead("n4", "n3", true) // none is reached from anywhere: all have their slices, for whoever is on their nodes
	expect(all, "no member of pool some .*")
	dead("n1", "n2", false)
	expect(map[string]int{"ids1": 256}, "")
}
