package controller

import (
	"fmt"
	"net/netip"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/ofsim"
	"github.com/flowtap/flowtap/topology"
)

func expect(got, want any) error {
	if !reflect.DeepEqual(got, want) {
		return fmt.Errorf("got %+v, want %+v", got, want)
	}
	return nil
}

func (l *lab) portBecomes(id string, want topology.PortStatus) {
	l.t.Helper()
	l.eventually(func() error { return expect(l.portStatus(id), want) })
}

func at(node string, no openflow.PortNo) topology.PortStatus {
	return topology.PortStatus{State: topology.PortActive, Node: node, OFPort: no, Attachments: []topology.Attachment{{Node: node, OFPort: no}}}
}

// TestAPortIsFoundInWhateverOrderThingsHappen: object, plug, node and connection.
func TestAPortIsFoundInWhateverOrderThingsHappen(t *testing.T) {
	t.Parallel()
	l := newLab(t, 1, quick())
	sw := l.sws[0]
	l.network("shop")
	steps := map[string]func(){
		"the port is declared":    func() { l.vm("web", "shop", 1) },
		"its interface appears":   func() { sw.AddPort(3, "web") },
		"the node is registered":  func() { l.node(sw) },
		"the switch is connected": func() { l.connect(sw) },
	}
	var orders func(done []string)
	orders = func(done []string) {
		for name := range steps {
			rest := false
			for _, d := range done {
				rest = rest || d == name
			}
			if !rest {
				orders(append(done[:len(done):len(done)], name))
			}
		}
		if len(done) < len(steps) {
			return
		}
		for _, name := range done {
			steps[name]()
		}
		l.portBecomes("web", at("n1", 3))
		require.NoError(t, l.store.Ports().Delete(l.ctx(), "web", 0), "after %v", done)
		require.NoError(t, l.store.Nodes().Delete(l.ctx(), "n1", 0))
		sw.RemovePort(3)
		sw.Disconnect()
		l.eventually(func() error { return expect(len(l.ctl.Unregistered()), 0) })
	}
	orders(nil)
}

func TestAPortThatMigrates(t *testing.T) {
	t.Parallel()
	l := shop(t, quick())
	both := topology.PortStatus{State: topology.PortMigrating, Node: "n1", OFPort: 1,
		Attachments: []topology.Attachment{{Node: "n1", OFPort: 1}, {Node: "n2", OFPort: 7}}}
	l.sws[1].AddPort(7, "web")
	l.portBecomes("web", both)
	l.quiet()
	// Its first frame there says that it has arrived.
	_, err := l.sws[1].Inject(7, frame(1, 2))
	require.NoError(t, err)
	both.Node, both.OFPort = "n2", 7
	both.Attachments[0], both.Attachments[1] = both.Attachments[1], both.Attachments[0]
	l.portBecomes("web", both)
	l.quiet()
	l.sws[0].RemovePort(1)
	l.portBecomes("web", at("n2", 7))
	l.quiet()
	// A switch that restarts with other numbers.
	l.sws[1].Disconnect()
	l.sws[1].RemovePort(7)
	l.sws[1].AddPort(9, "web")
	l.connect(l.sws[1])
	l.portBecomes("web", at("n2", 9))
	l.sws[1].RemovePort(9)
	l.portBecomes("web", topology.PortStatus{State: topology.PortDown})
	l.quiet()
}

func TestAPortOnADeadNodeIsWhereItAlsoIs(t *testing.T) {
	t.Parallel()
	l := shop(t, quick())
	l.sws[1].AddPort(7, "web")
	l.quiet()
	l.sws[0].Disconnect()
	l.eventually(func() error { return expect(l.portStatus("web").Node, "n2") })
	l.connect(l.sws[0])
	l.quiet()
}

// TestAPortIsActiveOnlyWhenSwitchesActOnIt: the switch refuses its place first.
func TestAPortIsActiveOnlyWhenSwitchesActOnIt(t *testing.T) {
	t.Parallel()
	l := shop(t, quick())
	l.vm("new", "shop", 9)
	l.sws[0].Refuse(func([]openflow.Message) bool { return true })
	l.sws[0].AddPort(5, "new")
	want := at("n1", 5)
	want.State = topology.PortPending
	l.eventually(func() error {
		if l.sws[0].Refused() == 0 {
			return fmt.Errorf("nothing refused yet")
		}
		return expect(l.portStatus("new"), want)
	})
	settle(l)
	require.Equal(t, want, l.portStatus("new"))
	l.sws[0].Refuse(nil)
	l.portBecomes("new", at("n1", 5))
	l.quiet()
}

func arp(from topology.MAC, ip string) []byte {
	p := make([]byte, 28)
	copy(p, []byte{0, 1, 8, 0, 6, 4, 0, 1})
	copy(p[8:], from[:])
	a := netip.MustParseAddr(ip).As4()
	copy(p[14:], a[:])
	return ofsim.Frame{Src: from, Dst: [6]byte{255, 255, 255, 255, 255, 255}, EtherType: 0x0806, Payload: p}.Bytes()
}

// TestAddressesAreLearned of a port that declares none: a few, and nobody else's.
func TestAddressesAreLearned(t *testing.T) {
	t.Parallel()
	l := shop(t, quick())
	l.port("guest", topology.Port{Network: "shop", Kind: topology.KindVM, Interface: "guest", PortSecurity: true})
	l.port("other", topology.Port{Network: "shop", Kind: topology.KindVM, Interface: "other", PortSecurity: true})
	l.sws[0].AddPort(5, "guest")
	l.sws[1].AddPort(5, "other")
	l.portBecomes("guest", at("n1", 5))
	l.portBecomes("other", at("n2", 5))
	l.quiet()
	send := func(sw int, f []byte) {
		_, err := l.sws[sw].Inject(5, f)
		require.NoError(t, err)
	}
	send(0, arp(macOf(20), "10.0.0.20"))
	l.eventually(func() error {
		st := l.portStatus("guest")
		if err := expect(st.LearnedMACs, []topology.MAC{macOf(20)}); err != nil {
			return err
		}
		return expect(st.LearnedIPs, []netip.Addr{netip.MustParseAddr("10.0.0.20")})
	})
	l.quiet()
	send(1, arp(macOf(1), "10.0.0.21"))  // web's MAC
	send(1, arp(macOf(20), "10.0.0.22")) // the guest's
	send(1, arp(macOf(30), "10.0.0.1"))  // web's IP
	send(1, arp(macOf(31), "10.0.0.20")) // the guest's
	l.eventually(func() error {
		return expect(l.portStatus("other").LearnedMACs, []topology.MAC{macOf(30), macOf(31)})
	})
	require.Empty(t, l.portStatus("other").LearnedIPs)
	for i := range 30 {
		send(1, arp(macOf(40+i), fmt.Sprintf("10.0.1.%d", i)))
	}
	l.eventually(func() error { return expect(len(l.portStatus("other").LearnedMACs), topology.MaxLearned) })
	l.quiet()
	require.LessOrEqual(t, len(l.portStatus("other").LearnedIPs), topology.MaxLearned)
	require.Equal(t, []topology.MAC{macOf(20)}, l.portStatus("guest").LearnedMACs)
	l.tap("t1", copyTap("guest", "ids", flowtap.Both))
	l.becomes("t1", flowtap.TapActive, "")
	l.quiet()
}
