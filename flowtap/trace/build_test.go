package trace

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/ofsim"
	"github.com/flowtap/flowtap/topology"
)

func end(id string, last byte, ips ...string) Endpoint {
	e := Endpoint{ID: id, MACs: []topology.MAC{{2, 0, 0, 0, 0, last}}}
	for _, ip := range ips {
		e.IPs = append(e.IPs, netip.MustParseAddr(ip))
	}
	return e
}

func shop() Surroundings {
	return Surroundings{Sender: end("web", 1, "10.0.0.1", "fd00::1"), Others: []Endpoint{end("db", 2, "10.0.0.2", "fd00::2"), end("gw", 254)}}
}

// has reports whether a switch takes a frame for one that has a flow.
func has(t require.TestingT, m flowtap.Match, frame []byte) bool {
	sw := ofsim.NewSwitch(1)
	sw.AddPort(1, "in")
	for _, c := range m.Cubes() {
		f := openflow.Flow{Priority: 1, Match: c.Fields}
		set := sw.Set().Clone()
		set.PutFlow(f)
		require.NoError(t, sw.Replace(set))
	}
	tr := sw.Trace(1, ofsim.Tunnel{}, frame)
	return tr.Hops[0].Flow.Kind == ofsim.NodeFlow
}

func parse(t require.TestingT, s string) flowtap.Match {
	m, err := flowtap.ParseMatch(s)
	require.NoError(t, err, s)
	return m
}

func TestWhatADescriptionLeavesOpen(t *testing.T) {
	for say, want := range map[string]string{
		"tcp,nw_dst=10.0.0.2,tp_dst=443":          "tcp,dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02,nw_src=10.0.0.1,nw_dst=10.0.0.2,tp_src=40000,tp_dst=443",
		"nw_dst=10.0.0.2":                         "icmp,dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02,nw_src=10.0.0.1,nw_dst=10.0.0.2,icmp_type=8,icmp_code=0",
		"dl_dst=02:00:00:00:00:02":                "icmp,dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02,nw_src=10.0.0.1,nw_dst=10.0.0.2,icmp_type=8,icmp_code=0",
		"udp,ipv6_dst=fd00::2":                    "udp6,dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02,tp_src=40000,tp_dst=53,ipv6_src=fd00::1,ipv6_dst=fd00::2",
		"udp,nw_dst=224.0.0.251":                  "udp,dl_src=02:00:00:00:00:01,dl_dst=01:00:5e:00:00:fb,nw_src=10.0.0.1,nw_dst=224.0.0.251,tp_src=40000,tp_dst=53",
		"udp,nw_dst=255.255.255.255":              "udp,dl_src=02:00:00:00:00:01,dl_dst=ff:ff:ff:ff:ff:ff,nw_src=10.0.0.1,nw_dst=255.255.255.255,tp_src=40000,tp_dst=53",
		"ip,dl_dst=ff:ff:ff:ff:ff:ff":             "icmp,dl_src=02:00:00:00:00:01,dl_dst=ff:ff:ff:ff:ff:ff,nw_src=10.0.0.1,nw_dst=255.255.255.255,icmp_type=8,icmp_code=0",
		"icmp6,ipv6_dst=ff02::1:ff00:2":           "icmp6,dl_src=02:00:00:00:00:01,dl_dst=33:33:ff:00:00:02,icmp_type=128,icmp_code=0,ipv6_src=fd00::1,ipv6_dst=ff02::1:ff00:2",
		"arp":                                     "arp,dl_src=02:00:00:00:00:01,dl_dst=ff:ff:ff:ff:ff:ff,arp_sha=02:00:00:00:00:01,arp_tha=00:00:00:00:00:00,arp_spa=10.0.0.1,arp_tpa=10.0.0.2,arp_op=1",
		"arp,arp_op=2":                            "arp,dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02,arp_sha=02:00:00:00:00:01,arp_tha=00:00:00:00:00:00,arp_spa=10.0.0.1,arp_tpa=10.0.0.2,arp_op=2",
		"dl_type=0x88cc,dl_dst=01:80:c2:00:00:0e": "dl_src=02:00:00:00:00:01,dl_dst=01:80:c2:00:00:0e,dl_type=0x88cc",
		"in_port=web,tcp,nw_dst=10.0.0.1":         "tcp,dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:01,nw_src=10.0.0.1,nw_dst=10.0.0.1,tp_src=40000,tp_dst=80",
		"tcp,nw_dst=10.0.0.2,dl_vlan=5":           "tcp,dl_vlan=5,dl_vlan_pcp=0,dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02,nw_src=10.0.0.1,nw_dst=10.0.0.2,tp_src=40000,tp_dst=80",
	} {
		frame, got, err := Build(parse(t, say), shop())
		require.NoError(t, err, say)
		require.Equal(t, want, got, say)
		require.True(t, has(t, parse(t, say), frame), say)
		require.True(t, has(t, parse(t, got), frame), got)
	}
}

func TestDescriptionsThatAreNotEnough(t *testing.T) {
	anonymous := shop()
	anonymous.Sender.MACs = nil
	for _, c := range []struct {
		say  string
		in   Surroundings
		want string
	}{
		{"", shop(), "where the frame goes is not said: give nw_dst, ipv6_dst or dl_dst"},
		{"tcp,nw_dst=10.0.0.9", shop(), "no port of the network is known to have 10.0.0.9, and there is no gateway: give dl_dst"},
		{"dl_type=0x88cc", shop(), "where the frame goes is not said: give dl_dst"},
		{"tcp,nw_dst=10.0.0.2", anonymous, "no MAC of port web is known: give dl_src"},
		{"in_port=db", shop(), "in_port is db, but the frame enters by port web"},
		{"table=out", shop(), "table is no field of a frame"},
		{"tun_id=5", shop(), "tun_id=0x5 is nothing that a frame brings along: leave it out"},
		{"reg8=5", shop(), "reg8=0x5 is nothing that a frame brings along: leave it out"},
		{"tcp,nw_dst=10.0.0.2,nw_ttl=0", shop(), "nw_ttl 0 is not sent"},
	} {
		_, _, err := Build(parse(t, c.say), c.in)
		require.EqualError(t, err, "frame: "+c.want, c.say)
	}
	with := shop()
	with.Gateway = &with.Others[1]
	for _, say := range []string{"", "tcp,nw_dst=8.8.8.8", "tcp6"} {
		_, got, err := Build(parse(t, say), with)
		require.NoError(t, err)
		require.Contains(t, got, "dl_dst=02:00:00:00:00:fe", "through the gateway")
	}
	six := shop()
	six.Sender.IPs = six.Sender.IPs[1:]
	_, got, err := Build(parse(t, "tcp,dl_dst=02:00:00:00:00:02"), six)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(got, "tcp6,"), got)
}

// TestAFrameHasTheFlowThatDescribesIt, whatever is said of it.
func TestAFrameHasTheFlowThatDescribesIt(t *testing.T) {
	fields := []string{"dl_src=02:00:00:00:00:01", "dl_dst=02:00:00:00:00:02", "dl_dst=01:00:00:00:00:00/01:00:00:00:00:00", "dl_vlan=7", "dl_vlan_pcp=3",
		"vlan_tci=0", "vlan_tci=0x1000/0x1000", "nw_src=10.0.0.0/24", "nw_dst=10.0.0.2", "nw_dst=10.1.0.0/16", "nw_tos=32", "nw_ecn=1", "nw_ttl=5", "ip_frag=first", "ip_frag=later",
		"ip_frag=no", "ip_frag=yes", "tp_src=1000-1999", "tp_dst=80", "tp_dst=0x100/0x100", "icmp_type=3", "icmp_code=1", "icmp_type=135", "icmp_type=136", "arp_op=2",
		"arp_sha=02:00:00:00:00:09", "arp_tha=02:00:00:00:00:09", "arp_spa=10.0.0.9", "arp_tpa=10.0.0.0/8", "ipv6_src=fd00::/64", "ipv6_dst=fd00::2", "ipv6_label=5",
		"nd_target=fd00::7", "nd_sll=02:00:00:00:00:09", "nd_tll=02:00:00:00:00:09"}
	heads := []string{"", "ip", "ipv6", "arp", "rarp", "tcp", "tcp6", "udp", "udp6", "sctp", "icmp", "icmp6", "dl_type=0x88cc", "nw_proto=47", "nw_proto=ICMP", "nw_proto=ICMPv6"}
	s := shop()
	s.Gateway = &s.Others[1]
	built := 0
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOfNDistinct(rapid.SampledFrom(fields), 0, 4, rapid.ID[string]).Draw(t, "fields")
		if head := rapid.SampledFrom(heads).Draw(t, "head"); head != "" {
			words = slices.Insert(words, 0, head)
		}
		m, err := flowtap.ParseMatch(strings.Join(words, ","))
		if err != nil {
			return // contradictory
		}
		frame, spelled, err := Build(m, s)
		if err != nil {
			return
		}
		built++
		require.True(t, has(t, m, frame), "%v: %x", words, frame)
		if again, err := flowtap.ParseMatch(spelled); err == nil {
			require.True(t, has(t, again, frame), "%v: %s: %x", words, spelled, frame)
		}
	})
	require.NotZero(t, built)
}
