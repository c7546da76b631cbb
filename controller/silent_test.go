package controller

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/openflow/flowset"
	"github.com/flowtap/flowtap/topology"
)

// TestAPortOfASilentNodeIsWhereItAppears: its node stops without a word, and before any keepalive
// notices the port is plugged in elsewhere, where it and its contract are active as soon as the
// switch has been asked in vain. When the node returns nothing that it has is touched but the port.
func TestAPortOfASilentNodeIsWhereItAppears(t *testing.T) {
	t.Parallel()
	config := quick()
	config.AuditInterval, config.Conn.EchoInterval = time.Hour, time.Hour
	l := shop(t, config)
	l.vm("near", "shop", 3)
	l.sws[0].AddPort(3, "near")
	l.tap("t1", copyTap("web", "ids", flowtap.Out))
	l.becomes("t1", flowtap.TapActive, "")
	l.quiet()
	held := l.sws[0].Since()

	l.sws[0].Hang(true)
	l.sws[1].AddPort(7, "web")
	want := topology.PortStatus{State: topology.PortActive, Node: "n2", OFPort: 7,
		Attachments: []topology.Attachment{{Node: "n2", OFPort: 7}, {Node: "n1", OFPort: 1, Lost: true}}}
	l.portBecomes("web", want)
	l.eventually(func() error { return expect(l.state("t1").SrcNode, "n2") })
	l.becomes("t1", flowtap.TapActive, "")
	require.Equal(t, topology.NodeDisconnected, l.nodeStatus("n1").State)
	r, err := l.sws[1].Inject(1, frame(2, 1))
	require.NoError(t, err)
	require.Equal(t, 1, seen(r, l.sws[1], 7), "frames go to where it is")
	r, err = l.sws[1].Inject(7, frame(1, 2))
	require.NoError(t, err)
	require.Equal(t, 1, seen(r, l.sws[1], 1))
	require.Equal(t, 1, seen(r, l.sws[2], 1), "its contract is there")

	l.sws[0].Hang(false)
	l.eventually(func() error { return disconnected(l.sws[0]) })
	require.Equal(t, held, l.sws[0].Since(), "nobody touched the silent switch")
	l.connect(l.sws[0])
	want.State, want.Attachments = topology.PortMigrating, []topology.Attachment{{Node: "n2", OFPort: 7}, {Node: "n1", OFPort: 1}}
	l.portBecomes("web", want)
	l.quiet()
	l.undisturbed(held, "near")
	l.sws[0].RemovePort(1)
	l.portBecomes("web", at("n2", 7))
	l.quiet()
	l.undisturbed(held, "near")
}

// undisturbed checks that what the first switch held for a port is what it holds.
func (l *lab) undisturbed(held map[flowset.Key]time.Time, port string) {
	l.t.Helper()
	o, err := l.store.Ports().Get(l.ctx(), port)
	require.NoError(l.t, err)
	n, set := 0, l.sws[0].Set()
	for _, f := range set.AllFlows() {
		if k := flowset.KeyOf(&f); uint32(f.Cookie) == o.Num && !held[k].IsZero() {
			n++
			require.Equal(l.t, held[k], l.sws[0].Since()[k], "added anew: %v", f)
		}
	}
	require.Greater(l.t, n, 3)
}

// TestAfterAStartNobodyIsTakenForGone: of a port that is at two places the second one's switch
// returns first; the port stays where it was until the other had time to return.
func TestAfterAStartNobodyIsTakenForGone(t *testing.T) {
	t.Parallel()
	config := quick()
	l := shop(t, config)
	l.sws[1].AddPort(7, "web")
	l.quiet()
	was := l.portStatus("web")
	require.Equal(t, "n1", was.Node, "%+v", was)
	l.stop()
	l.config.Grace = time.Hour
	l.start()
	l.connect(l.sws[1], l.sws[2])
	l.vm("new", "shop", 9)
	l.sws[1].AddPort(9, "new") // is found after the other
	l.eventually(func() error { return expect(l.portStatus("new").Node, "n2") })
	require.Equal(t, was, l.portStatus("web"))
	l.connect(l.sws[0])
	l.portBecomes("web", was)
	l.quiet()

	l.stop()
	for _, sw := range l.sws {
		sw.Disconnect()
	}
	l.config.Grace = 10 * time.Millisecond
	l.start()
	l.connect(l.sws[1], l.sws[2])
	l.eventually(func() error {
		if st := l.portStatus("web"); st.Node != "n2" || st.State != topology.PortActive {
			return fmt.Errorf("%+v", st)
		}
		return nil
	})
}
