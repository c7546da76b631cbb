package placement

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/topology"
)

// flows are matches of every kind as to direction, family and remote address.
var flows = []string{
	"", "tcp,tp_dst=80", "tcp,tp_src=80", "tcp,tp_src=80,tp_dst=80", "udp", "ip", "ipv6", "arp", "dl_type=0x88cc", "icmp6,icmp_type=135",
	"nw_src=10.0.0.0/8", "nw_dst=10.0.0.2", "nw_src=10.0.0.1,nw_dst=10.0.0.2", "ipv6_dst=2001:db8::/32", "ipv6_src=fe80::2",
	"nw_dst=0.0.0.1/0.0.0.1", "nw_src=0.0.0.2/0.0.0.3,tcp", "dl_vlan=5", "ip_frag=later", "in_port=web", "in_port=db", "in_port=db,tcp,tp_dst=80",
	"in_port=web,tcp,tp_src=80", "table=in", "table=in,ip", "table=in,udp", "table=out,tcp,tp_dst=80", "dl_src=02:00:00:00:00:01",
}

// atTarget says whether a tap is after a frame that passes its target's stage (Frame.Table), in the words
// of flowtap.Direction.
func atTarget(t flowtap.Tap, f flowtap.Frame) bool {
	if f.Table == flowtap.Out && f.InPort != t.Src || f.Table == flowtap.In && f.ToPort != t.Src {
		return false
	}
	if t.Direction != flowtap.Both {
		return t.Direction == f.Table && t.Match.Matches(f)
	}
	// A table stands for a direction, so there are no replies.
	replies := !strings.Contains(t.Match.String(), "table=")
	return t.Match.Matches(f) || replies && t.Match.Reverse().Matches(f)
}

func remoteOf(f flowtap.Frame) netip.Addr {
	if f.EthType != 0x0800 && f.EthType != 0x86dd {
		return netip.Addr{}
	}
	if f.Table == flowtap.Out {
		return f.IPDst
	}
	return f.IPSrc
}

var aFrame = rapid.Custom(func(t *rapid.T) flowtap.Frame {
	f := flowtap.Frame{
		Table:    rapid.SampledFrom([]flowtap.Direction{flowtap.In, flowtap.Out}).Draw(t, "stage"),
		EthType:  rapid.SampledFrom([]uint16{0x0800, 0x0800, 0x86dd, 0x0806, 0x88cc}).Draw(t, "type"),
		EthSrc:   [6]byte{2, 0, 0, 0, 0, byte(rapid.IntRange(1, 2).Draw(t, "mac"))},
		TCI:      rapid.SampledFrom([]uint16{0, 0, 0x1005}).Draw(t, "tag"),
		Proto:    rapid.SampledFrom([]uint8{6, 6, 17, 58}).Draw(t, "proto"),
		SrcPort:  rapid.SampledFrom([]uint16{80, 1000}).Draw(t, "sport"),
		DstPort:  rapid.SampledFrom([]uint16{80, 1000}).Draw(t, "dport"),
		ICMPType: rapid.SampledFrom([]uint8{135, 128}).Draw(t, "icmp"),
		Fragment: rapid.SampledFrom([]flowtap.Fragment{0, 0, 1, 3}).Draw(t, "fragment"),
	}
	address := func(name string) netip.Addr {
		low := byte(rapid.IntRange(0, 9).Draw(t, name))
		if f.EthType == 0x86dd {
			return netip.AddrFrom16([16]byte{0: rapid.SampledFrom([]byte{0x20, 0xfe}).Draw(t, name), 1: 0x01, 2: 0x0d, 3: 0xb8, 15: low})
		}
		return netip.AddrFrom4([4]byte{rapid.SampledFrom([]byte{10, 192}).Draw(t, name), 3: low})
	}
	f.IPSrc, f.IPDst = address("source"), address("destination")
	f.ARPSPA, f.ARPTPA, f.NDTarget = f.IPSrc, f.IPDst, f.IPDst
	other := rapid.SampledFrom([]string{"db", "customer"}).Draw(t, "other")
	f.InPort, f.ToPort = "web", other
	if f.Table == flowtap.In {
		f.InPort, f.ToPort = other, "web"
	}
	return f
})

// answer is a frame of the same connection in the other direction.
func answer(f flowtap.Frame) flowtap.Frame {
	f.InPort, f.ToPort = f.ToPort, f.InPort
	f.IPSrc, f.IPDst = f.IPDst, f.IPSrc
	f.SrcPort, f.DstPort = f.DstPort, f.SrcPort
	f.Table = map[flowtap.Direction]flowtap.Direction{flowtap.In: flowtap.Out, flowtap.Out: flowtap.In}[f.Table]
	return f
}

func aTap(t *rapid.T) flowtap.Tap {
	m, err := flowtap.ParseMatch(rapid.SampledFrom(flows).Draw(t, "flow"))
	require.NoError(t, err)
	return flowtap.Tap{
		Src: "web", Match: m, Action: flowtap.Forward, Priority: 100, Enabled: true, FailMode: flowtap.FailClosed,
		Direction: rapid.SampledFrom([]flowtap.Direction{flowtap.In, flowtap.Out, flowtap.Both, flowtap.Both}).Draw(t, "direction"),
	}
}

func someMonitors(t *rapid.T) []string {
	n := 1 << rapid.IntRange(0, 4).Draw(t, "bits")
	return rapid.SliceOfN(rapid.SampledFrom([]string{"ids1", "ids2", "ids3"}), n, n).Draw(t, "monitors")
}

// whoHas gives the monitor that the contracts give a frame to: that of the highest priority.
func whoHas(t require.TestingT, taps []flowtap.Tap, f flowtap.Frame) string {
	best := flowtap.Tap{Priority: -1}
	for _, tap := range taps {
		if !atTarget(tap, f) {
			continue
		}
		require.NotEqual(t, best.Priority, tap.Priority, "two contracts have one frame: %+v", f)
		if tap.Priority > best.Priority {
			best = tap
		}
	}
	return best.Dst
}

// Every frame of a flow is in exactly one slice, and the contracts give it to that slice's monitor and
// nobody a frame that is not of the flow, both directions of a connection to one.
func TestContractsGiveEveryFrameToTheMonitorOfItsSlice(t *testing.T) {
	taken := 0
	rapid.Check(t, func(t *rapid.T) {
		tap, monitors := aTap(t), someMonitors(t)
		taps, err := Contracts(tap, monitors)
		require.NoError(t, err)
		for _, f := range rapid.SliceOfN(aFrame, 1, 12).Draw(t, "frames") {
			want := ""
			if atTarget(tap, f) {
				taken++
				want = monitors[SliceOf(remoteOf(f), len(monitors))]
			}
			require.Equal(t, want, whoHas(t, taps, f), "%s %s: %+v", tap.Direction, tap.Match, f)
			if back := answer(f); want != "" && atTarget(tap, back) {
				require.Equal(t, want, whoHas(t, taps, back), "%s %s: %+v", tap.Direction, tap.Match, back)
			}
		}
	})
	require.NotZero(t, taken)
}

// What Contracts gives can be stored: it is valid, has a spelling, and no two of them overlap.
func TestContractsStandTogether(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tap := aTap(t)
		if tap.Direction != flowtap.Both && strings.Contains(tap.Match.String(), "table=") {
			tap.Direction = flowtap.Both
		}
		taps, err := Contracts(tap, someMonitors(t))
		require.NoError(t, err)
		for i, a := range taps {
			require.NoError(t, a.Validate())
			require.Less(t, a.Priority, tap.Priority+Levels)
			again, err := flowtap.ParseMatch(a.Match.String())
			require.NoError(t, err)
			require.Equal(t, a.Match, again)
			for _, b := range taps[:i] {
				at, _, overlap := flowtap.Overlap(a, b)
				require.False(t, overlap, "%s at %s and %s", a.Match, at, b.Match)
			}
		}
	})
}

func TestContractsAreAsFewAsLowOrderBitsAllow(t *testing.T) {
	m, err := flowtap.ParseMatch("ip")
	require.NoError(t, err)
	tap := flowtap.Tap{Src: "web", Match: m, Direction: flowtap.In, Priority: 7}
	spelled := func(monitors string) (out []string) {
		taps, err := Contracts(tap, strings.Fields(monitors))
		require.NoError(t, err)
		for _, c := range taps {
			out = append(out, c.Match.String()+" > "+c.Dst)
		}
		return out
	}
	require.Equal(t, []string{"dl_type=0x0800 > a"}, spelled("a a a a"))
	require.Equal(t, []string{"dl_type=0x0800 > a", "dl_type=0x0800; nw_src=0.0.0.1/0.0.0.1 > b"}, spelled("a b a b"))
	require.Equal(t, []string{"dl_type=0x0800 > a", "dl_type=0x0800; nw_src=0.0.0.1/0.0.0.3 > b", "dl_type=0x0800; nw_src=0.0.0.2/0.0.0.3 > c"},
		spelled("a b c a"))
	tap.Direction = flowtap.Both
	tap.Match, err = flowtap.ParseMatch("ip,table=in")
	require.NoError(t, err)
	require.Equal(t, []string{"dl_type=0x0800; table=in > a", "dl_type=0x0800; nw_src=0.0.0.1/0.0.0.1; table=in > b"}, spelled("a b"))
	tap.Match, err = flowtap.ParseMatch("ip,tp_dst=80,tcp")
	require.NoError(t, err)
	require.Equal(t, []string{"dl_type=0x0800; nw_proto=TCP; tp_dst=80 > a",
		"in_port=web; dl_type=0x0800; nw_dst=0.0.0.1/0.0.0.1; nw_proto=TCP; tp_dst=80 > b",
		"in_port=web; dl_type=0x0800; nw_dst=0.0.0.1/0.0.0.1; nw_proto=TCP; tp_src=80 > b"}, spelled("a b"))
}

func TestContractsSayWhatCannotBeSplit(t *testing.T) {
	tap := flowtap.Tap{Src: "web", Direction: flowtap.Both, Priority: 999}
	_, err := Contracts(tap, []string{"a", "b"})
	require.ErrorContains(t, err, "priority 999 leaves no room")
	_, err = Contracts(tap, []string{"a", "a"})
	require.NoError(t, err)
	tap.Priority, tap.RateLimit.PPS = 10, 5
	_, err = Contracts(tap, []string{"a", "b"})
	require.ErrorContains(t, err, "rate limit")
	for _, n := range []int{0, 3, 2 * MaxSlices} {
		_, err = Contracts(tap, slices.Repeat([]string{"a"}, n))
		require.ErrorContains(t, err, "power of two", n)
	}
}

func TestAPoolWeighsSlices(t *testing.T) {
	p := Pool(strings.Fields("b a b b"))
	require.NoError(t, p.Validate())
	require.Equal(t, []topology.PoolMember{{Port: "a", Weight: 1}, {Port: "b", Weight: 3}}, p.Members)
	require.NoError(t, Pool(slices.Repeat([]string{"a"}, topology.MaxWeight)).Validate())
}
