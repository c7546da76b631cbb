package topology

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/flowtap/flowtap/openflow"
)

func everyone(string) bool { return true }

func TestAttach(t *testing.T) {
	var st PortStatus
	st = Attach(st, "n1", 0, everyone)
	require.Equal(t, PortStatus{State: PortPending}, st, "seen nowhere yet")

	st = Attach(st, "n1", 3, everyone)
	require.Equal(t, "n1", st.Node)
	require.Equal(t, openflow.PortNo(3), st.OFPort)
	require.Equal(t, PortActive, Carried(st))

	st = Attach(st, "n2", 7, everyone)
	require.Equal(t, "n1", st.Node, "frames go to where the port was until it speaks elsewhere")
	require.Equal(t, PortMigrating, Carried(st))
	require.Equal(t, []Attachment{{Node: "n1", OFPort: 3}, {Node: "n2", OFPort: 7}}, st.Attachments)

	arrived := Arrive(st, "n2")
	require.Equal(t, "n2", arrived.Node)
	require.Equal(t, []Attachment{{Node: "n2", OFPort: 7}, {Node: "n1", OFPort: 3}}, arrived.Attachments)
	require.Equal(t, "n1", st.Attachments[0].Node, "the status it came from is as it was")

	st = Attach(st, "n1", 0, everyone)
	require.Equal(t, "n2", st.Node, "the old place is gone")
	require.Equal(t, openflow.PortNo(7), st.OFPort)

	st = Attach(st, "n2", 0, everyone)
	require.Equal(t, PortStatus{State: PortDown}, st)
}

func TestAttachLeavesANodeThatDoesNotAnswer(t *testing.T) {
	st := Attach(PortStatus{}, "n1", 3, everyone)
	st = Attach(st, "n2", 7, func(n string) bool { return n != "n1" })
	require.Equal(t, "n2", st.Node)
	st = Attach(Attach(PortStatus{}, "n1", 3, everyone), "n1", 3, func(string) bool { return false })
	require.Equal(t, "n1", st.Node, "nowhere better to go: its dataplane goes on")
}

func TestAPortWithoutALinkIsDown(t *testing.T) {
	st := Link(Attach(PortStatus{}, "n1", 3, everyone), "n1", true, everyone)
	require.Equal(t, PortDown, Carried(st))
	require.Equal(t, "n1", st.Node, "it is still there")
	require.Equal(t, PortActive, Carried(Link(st, "n1", false, everyone)), "it comes back by itself")
	require.Equal(t, PortDown, Carried(Attach(st, "n1", 4, everyone)), "a new number is no link")
	require.Equal(t, st, Link(st, "n2", true, everyone), "it is not there")

	st = Attach(Attach(PortStatus{}, "n1", 3, everyone), "n2", 7, everyone)
	require.Equal(t, "n2", Link(st, "n1", true, everyone).Node, "the old place has no link any more")
	require.False(t, st.Attachments[0].Down, "the status it came from is as it was")
	st = Link(st, "n2", true, everyone)
	require.Equal(t, "n1", st.Node)
	require.Equal(t, PortMigrating, Carried(st))
	st = Link(st, "n1", true, everyone)
	require.Equal(t, "n1", st.Node, "nowhere better to go")
	require.Equal(t, PortDown, Carried(st))
}

func TestAnAttachmentOnANodeThatDoesNotAnswerIsLost(t *testing.T) {
	without := func(dead string) func(string) bool { return func(n string) bool { return n != dead } }
	st := Attach(Attach(PortStatus{}, "n1", 3, everyone), "n2", 7, everyone)
	st = Attach(st, "n2", 7, without("n1"))
	require.Equal(t, []Attachment{{Node: "n2", OFPort: 7}, {Node: "n1", OFPort: 3, Lost: true}}, st.Attachments)
	require.Equal(t, PortActive, Carried(st), "a place that nobody can ask does not keep it migrating")
	again := Attach(st, "n1", 3, everyone)
	require.Equal(t, PortMigrating, Carried(again), "it was there all the time")
	require.Equal(t, "n2", again.Node)
	require.Equal(t, PortActive, Carried(Attach(st, "n1", 0, everyone)), "it was not")
	nobody := Attach(again, "n2", 7, func(string) bool { return false })
	require.Equal(t, again, nobody, "no place is better than the other")
}

// The same reports give the same attachments in whatever order they come, and the active one is
// always one of them.
func TestAttachmentsDoNotDependOnOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		final := map[string]openflow.PortNo{}
		var reports []Attachment
		for i := range rapid.IntRange(1, 4).Draw(t, "nodes") {
			node := fmt.Sprint("n", i)
			final[node] = openflow.PortNo(rapid.IntRange(0, 3).Draw(t, "ofport"))
			reports = append(reports, Attachment{Node: node, OFPort: final[node]})
		}
		order := rapid.Permutation(reports).Draw(t, "order")
		var st PortStatus
		for range rapid.IntRange(1, 2).Draw(t, "times") { // a report said twice says nothing new
			for _, r := range order {
				st = Attach(st, r.Node, r.OFPort, everyone)
			}
		}
		got := map[string]openflow.PortNo{}
		for _, a := range st.Attachments {
			got[a.Node] = a.OFPort
		}
		for n, p := range final {
			require.Equal(t, p, got[n], n)
		}
		require.Equal(t, st.Node == "", len(st.Attachments) == 0)
		if len(st.Attachments) > 0 {
			require.Equal(t, Attachment{Node: st.Node, OFPort: st.OFPort}, st.Attachments[0])
		}
	})
}

func TestLearn(t *testing.T) {
	var p Port
	var st PortStatus
	for i := range MaxLearned + 2 {
		next, learned := LearnMAC(p, st, MAC{2, 0, 0, 0, 0, byte(i + 1)})
		require.Equal(t, i < MaxLearned, learned, "address %d", i)
		st = next
	}
	_, again := LearnMAC(p, PortStatus{LearnedMACs: []MAC{{2}}}, MAC{2})
	require.False(t, again)
	_, declared := LearnMAC(Port{MAC: MAC{2, 1}}, PortStatus{}, MAC{2, 2})
	require.False(t, declared, "a port that declares its address is not learned from")
	_, group := LearnMAC(p, PortStatus{}, MAC{1})
	require.False(t, group)
	st, learned := LearnIP(p, PortStatus{}, netip.MustParseAddr("10.0.0.1"))
	require.True(t, learned)
	require.Equal(t, []netip.Addr{netip.MustParseAddr("10.0.0.1")}, st.LearnedIPs)
	for _, no := range []string{"0.0.0.0", "224.0.0.1", "::", "10.0.0.1"} {
		_, learned = LearnIP(p, st, netip.MustParseAddr(no))
		require.False(t, learned, no)
	}
}

func TestSenderOf(t *testing.T) {
	mac := MAC{2, 0, 0, 0, 0, 1}
	eth := func(etherType uint16, body []byte) []byte {
		f := append([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, mac[:]...)
		return append(append(f, byte(etherType>>8), byte(etherType)), body...)
	}
	arp := append([]byte{0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1}, 10, 0, 0, 9)
	na := make([]byte, 64)
	na[6], na[40] = 58, 136
	copy(na[48:], netip.MustParseAddr("fd00::9").AsSlice())
	for name, c := range map[string]struct {
		frame []byte
		ip    string
	}{
		"ARP":            {eth(0x0806, arp), "10.0.0.9"},
		"ARP, tagged":    {eth(0x8100, append([]byte{0, 5, 8, 6}, arp...)), "10.0.0.9"},
		"advertisement":  {eth(0x86dd, na), "fd00::9"},
		"IPv4":           {eth(0x0800, make([]byte, 40)), ""},
		"ARP, cut short": {eth(0x0806, arp[:17]), ""},
	} {
		m, ip := SenderOf(c.frame)
		require.Equal(t, mac, m, name)
		if c.ip == "" {
			require.False(t, ip.IsValid(), name)
		} else {
			require.Equal(t, c.ip, ip.String(), name)
		}
	}
	rapid.Check(t, func(t *rapid.T) { SenderOf(rapid.SliceOfN(rapid.Byte(), 0, 90).Draw(t, "frame")) })
}
