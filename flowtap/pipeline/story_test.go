package pipeline

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/openflow/ofsim"
	"github.com/flowtap/flowtap/topology"
)

// A cloud is a lab told in words: ports r1 to r5 of network red, g1 to g5 of green, monitors ids1
// to ids3.
type cloud struct {
	*testing.T
	*lab
}

// newCloud attaches ports, "r1@n1 g2@n1,n2 ids1@": the first node is the active one.
func newCloud(t *testing.T, ports string) cloud {
	c := cloud{t, newLab(3)}
	for _, n := range netNames {
		c.w.PutNetwork(Network{n})
	}
	for _, words := range strings.Fields(ports) {
		id, at, _ := strings.Cut(words, "@")
		c.place(id, at)
	}
	c.number()
	return c
}

// place puts a port, made on first sight, on nodes.
func (c cloud) place(id, at string) {
	var nodes []int
	for _, n := range strings.FieldsFunc(at, func(r rune) bool { return r == ',' || r == 'n' }) {
		nodes = append(nodes, int(n[0]-'0'))
	}
	p := topology.Port{Kind: topology.KindMonitor}
	if old := c.w.Port(id); old != nil {
		p = old.Port
	} else if !slices.Contains(monitors, id) {
		k := slices.IndexFunc(netNames, func(n string) bool { return n[0] == id[0] })
		i := int(id[1] - '0')
		p = topology.Port{Network: netNames[k], Kind: topology.KindVM, MAC: macOf(i), IPs: []netip.Addr{ip4Of(i), ip6Of(i)}, PortSecurity: true}
	}
	c.put(id, p, status(ordinalOf(id), nodes...))
}

// change changes a port's wanted side.
func (c cloud) change(id string, f func(*topology.Port, *topology.PortStatus)) {
	p := *c.w.Port(id)
	f(&p.Port, &p.Status)
	c.put(id, p.Port, p.Status)
	c.number()
}

// contract makes a tap, "r1 > ids1 both 10 tcp,tp_dst=80".
func (c cloud) contract(words string) {
	f := strings.Fields(words + " any")
	m, err := flowtap.ParseMatch(strings.ReplaceAll(f[5], "any", ""))
	require.NoError(c, err)
	prio := 0
	fmt.Sscan(f[4], &prio)
	c.tap(fmt.Sprintf("t%d", len(c.w.Taps())), flowtap.Tap{Src: f[0], Dst: f[2], Direction: flowtap.Direction(f[3]), Priority: prio, Match: m, Action: flowtap.Forward, Enabled: true})
	c.number()
}

// send sends a frame from a port, "r1" or "r1@n2", and gives who gets it, each as often as he does.
func (c cloud) send(from string, f frame) string {
	c.Helper()
	id, node, where := strings.Cut(from, "@")
	p := c.w.Port(id)
	at := p.Status.Attachments[0]
	for _, a := range p.Status.Attachments {
		if where && a.Node == node {
			at = a
		}
	}
	fab := fabric(c.w)
	require.NoError(c, install(fab, c.w))
	r, err := fab.Inject(c.w.Node(at.Node).DatapathID, at.OFPort, f.bytes)
	require.NoError(c, err)
	return c.named(r, f)
}

func (c cloud) named(r ofsim.Result, f frame) string {
	var got []string
	who := portsByPlace(c.w)
	for _, d := range r.Deliveries {
		require.Equal(c, f.bytes, d.Frame, "a frame is altered")
		got = append(got, who[place{d.DPID, d.Port}])
	}
	slices.Sort(got)
	return strings.Join(got, " ")
}

func web(from, to int) frame {
	return transport(macOf(from), macOf(to), ip4Of(from), ip4Of(to), 6, 4000, 80)
}

func dns(from, to int) frame {
	return transport(macOf(from), macOf(to), ip4Of(from), ip4Of(to), protoUDP, 4000, 53)
}

func whoHas(from, to int) frame {
	return arp(macOf(from), broadcast, 1, macOf(from), ip4Of(from), ip4Of(to))
}

// TestStories: given these ports and contracts, a frame that enters here comes out there.
func TestStories(t *testing.T) {
	for name, tell := range map[string]func(c cloud){
		"the monitor of an out contract, here and elsewhere, sees what its target sends and nothing else": func(c cloud) {
			for _, at := range []string{"n1", "n2", "n3"} {
				c.place("ids1", at)
				require.Equal(c, "ids1 r2", c.send("r1", web(1, 2)))
				require.Equal(c, "r1", c.send("r2", web(2, 1)))
				require.Equal(c, "ids1 r2 r3", c.send("r1", whoHas(1, 2)))
			}
		},
		"two networks with the same addresses never mix": func(c cloud) {
			c.place("g1", "n1")
			c.place("g2", "n1")
			require.Equal(c, "g2", c.send("g1", web(1, 2)))
			require.Equal(c, "ids1 r2 r3", c.send("r1", whoHas(1, 2)))
		},
		"both ends tapped to one monitor: one copy": func(c cloud) {
			c.contract("r2 > ids1 both 0")
			require.Equal(c, "ids1 r2", c.send("r1", web(1, 2)))
			require.Equal(c, "ids1 r1", c.send("r2", web(2, 1)))
			require.Equal(c, "ids1 r2 r3", c.send("r1", whoHas(1, 2)))
		},
		"both ends tapped to two monitors: a copy each": func(c cloud) {
			c.contract("r2 > ids2 in 0")
			require.Equal(c, "ids1 ids2 r2", c.send("r1", web(1, 2)))
			require.Equal(c, "ids1 ids2 r2 r3", c.send("r1", whoHas(1, 2)))
			require.Equal(c, "ids2 r2", c.send("r3", web(3, 2)))
		},
		"two targets with one monitor and a broadcast: one copy": func(c cloud) {
			c.contract("r2 > ids2 in 0")
			c.contract("r3 > ids2 in 0")
			require.Equal(c, "ids1 ids2 r2 r3", c.send("r1", whoHas(1, 2)))
			require.Equal(c, "ids2 r1 r3", c.send("r2", whoHas(2, 1)), "r2 is no target of its own frame, r3 is")
		},
		"a sender that alone is target has no copy of its own broadcast": func(c cloud) {
			c.contract("r2 > ids2 in 0")
			require.Equal(c, "r1 r3", c.send("r2", whoHas(2, 1)))
			require.Equal(c, "ids2 r1 r2", c.send("r3", whoHas(3, 1)))
		},
		"the higher of two contracts has the frame": func(c cloud) {
			c.contract("r1 > ids2 out 10 tcp")
			require.Equal(c, "ids2 r2", c.send("r1", web(1, 2)))
			require.Equal(c, "ids1 r2", c.send("r1", dns(1, 2)))
		},
		"the higher of two contracts has the broadcast too": func(c cloud) {
			c.contract("r2 > ids2 in 5")
			c.contract("r2 > ids3 in 10 arp")
			require.Equal(c, "ids1 ids3 r2 r3", c.send("r1", whoHas(1, 2)))
			require.Equal(c, "ids2 r1 r2", c.send("r3", other(macOf(3), broadcast)))
		},
		"in_port tells senders here and elsewhere": func(c cloud) {
			c.contract("r2 > ids2 in 0 in_port=r3")
			for _, at := range []string{"n1", "n2", "n3"} {
				c.place("r3", at)
				require.Equal(c, "ids2 r2", c.send("r3", web(3, 2)))
				require.Equal(c, "ids2 r1 r2", c.send("r3", whoHas(3, 2)))
				require.Equal(c, "ids1 r2", c.send("r1", web(1, 2)))
			}
		},
		"a contract that names a port of another network has no frames": func(c cloud) {
			c.place("g3", "n2")
			c.contract("r2 > ids2 in 0 in_port=g3")
			require.Equal(c, "r2", c.send("r3", web(3, 2)), "r3 has the MAC of g3")
		},
		"the sender's metadata is known across the tunnel": func(c cloud) {
			c.change("r3", func(p *topology.Port, _ *topology.PortStatus) { p.Metadata = 7 })
			c.contract("r2 > ids2 in 0 metadata=7")
			require.Equal(c, "ids2 r2", c.send("r3", web(3, 2)))
			require.Equal(c, "ids1 r2", c.send("r1", web(1, 2)))
		},
		"unknown destinations are flooded, or go to the gateway": func(c cloud) {
			require.Equal(c, "r1 r3", c.send("r2", web(2, 9)))
			c.change("r3", func(p *topology.Port, _ *topology.PortStatus) {
				p.Kind, p.PortSecurity = topology.KindGateway, false
			})
			require.Equal(c, "r3", c.send("r2", web(2, 9)))
			require.Equal(c, "r1 r2", c.send("r3", web(9, 8)), "what the gateway does not know either is flooded")
			require.Equal(c, "r2", c.send("r3", web(9, 2)), "other addresses behind it may speak")
		},
		"an unplugged port's frames are not flooded to others": func(c cloud) {
			c.place("r3", "")
			require.Equal(c, "", c.send("r2", web(2, 3)))
		},
		"learned addresses are served and kept": func(c cloud) {
			c.change("r2", func(p *topology.Port, st *topology.PortStatus) { p.MAC, p.PortSecurity = topology.MAC{}, false })
			require.Equal(c, "ids1 r2 r3", c.send("r1", web(1, 2)), "not known yet: flooded")
			require.Equal(c, "r1", c.send("r2", web(2, 1)))
			require.Equal(c, "", c.send("r2", web(3, 1)), "another's address")
			c.change("r2", func(p *topology.Port, st *topology.PortStatus) { *st, _ = topology.LearnMAC(*p, *st, macOf(2)) })
			require.Equal(c, "ids1 r2", c.send("r1", web(1, 2)))
		},
		"what a port learned goes to him who declares it": func(c cloud) {
			c.change("r2", func(p *topology.Port, st *topology.PortStatus) { p.MAC, p.PortSecurity = topology.MAC{}, false })
			c.change("r2", func(p *topology.Port, st *topology.PortStatus) { *st, _ = topology.LearnMAC(*p, *st, macOf(4)) })
			require.Equal(c, "r2", c.send("r3", web(3, 4)))
			c.place("r4", "n2")
			require.Equal(c, "r4", c.send("r3", web(3, 4)))
			require.Equal(c, "", c.send("r2", web(4, 3)))
		},
		"guard drops lies": func(c cloud) {
			ll := linkLocalOf(macOf(2))
			for what, f := range map[string]frame{
				"source MAC":             web(3, 1),
				"source IP":              transport(macOf(2), macOf(1), ip4Of(3), ip4Of(1), 6, 1, 2),
				"ARP sender MAC":         arp(macOf(2), broadcast, 1, macOf(3), ip4Of(2), ip4Of(1)),
				"ARP sender IP":          arp(macOf(2), broadcast, 2, macOf(2), ip4Of(3), ip4Of(1)),
				"IPv6 source":            ping(macOf(2), macOf(1), ip6Of(3), ip6Of(1)),
				"advertised target":      nd(macOf(2), allNodes6, ll, neighborAdvert, ip6Of(3), macOf(2)),
				"advertised MAC":         nd(macOf(2), allNodes6, ll, neighborAdvert, ip6Of(2), macOf(3)),
				"soliciting MAC":         nd(macOf(2), allNodes6, ll, neighborSolicit, ip6Of(1), macOf(3)),
				"another's DAD":          nd(macOf(2), allNodes6, unspecified, neighborSolicit, ip6Of(3), topology.MAC{}),
				"0.0.0.0 but no DHCP":    transport(macOf(2), broadcast, anyIPv4, ip4Of(1), protoUDP, 68, 69),
				"a tag over a forged IP": transport(macOf(2), macOf(1), ip4Of(3), ip4Of(1), 6, 1, 2).tagged(5),
			} {
				require.Equal(c, "", c.send("r2", f), what)
			}
		},
		"guard passes DHCP, duplicate address detection, solicitations and reports": func(c cloud) {
			for what, f := range map[string]frame{
				"DHCP":     transport(macOf(2), broadcast, anyIPv4, netip.MustParseAddr("255.255.255.255"), protoUDP, 68, 67),
				"ARP":      whoHas(2, 1),
				"probe":    arp(macOf(2), broadcast, 1, macOf(2), anyIPv4, ip4Of(2)),
				"DAD":      nd(macOf(2), allNodes6, unspecified, neighborSolicit, ip6Of(2), topology.MAC{}),
				"advert":   nd(macOf(2), allNodes6, linkLocalOf(macOf(2)), neighborAdvert, ip6Of(2), macOf(2)),
				"router":   icmp6(macOf(2), allNodes6, unspecified, routerSolicit),
				"listener": icmp6(macOf(2), allNodes6, unspecified, mldReportV2),
				"no IP":    other(macOf(2), broadcast),
			} {
				require.Equal(c, "r1 r3", c.send("r2", f), what)
			}
		},
		"a port in two places: what it sends is seen in both, what it gets goes where it is active": func(c cloud) {
			c.contract("r1 > ids2 in 0")
			c.place("r1", "n1,n2")
			require.Equal(c, "ids1 r2", c.send("r1@n1", web(1, 2)))
			require.Equal(c, "ids1 r2", c.send("r1@n2", web(1, 2)))
			require.Equal(c, "ids2 r1", c.send("r2", web(2, 1)))
			require.Equal(c, "ids2 r1 r1 r3", c.send("r2", whoHas(2, 1)), "a broadcast reaches both, and is copied once")
			c.place("r1", "n2")
			require.Equal(c, "ids2 r1", c.send("r2", web(2, 1)))
			require.Equal(c, "ids1 r2", c.send("r1", web(1, 2)))
		},
		"a monitor reaches nobody, and nobody a monitor": func(c cloud) {
			require.Equal(c, "", c.send("ids1", web(1, 2)))
			require.Equal(c, "", c.send("ids1", whoHas(1, 2)))
		},
		"a monitor that is nowhere costs nobody a frame": func(c cloud) {
			c.place("ids1", "")
			require.Equal(c, "r2", c.send("r1", web(1, 2)))
			require.Equal(c, "r2 r3", c.send("r1", whoHas(1, 2)))
		},
		"a frame to oneself goes nowhere and is no received frame": func(c cloud) {
			c.contract("r1 > ids2 in 0")
			require.Equal(c, "ids1", c.send("r1", web(1, 1)))
		},
		"a port number that two ports are said to have is neither's": func(c cloud) {
			no := c.w.Port("r1").Status.OFPort
			c.place("g1", "n1")
			c.change("g1", func(_ *topology.Port, st *topology.PortStatus) {
				*st = topology.Attach(topology.PortStatus{}, "n1", no, func(string) bool { return true })
			})
			require.Equal(c, "", c.send("r1", whoHas(1, 2)))
			c.change("r1", func(_ *topology.Port, st *topology.PortStatus) {
				*st = topology.Attach(*st, "n1", no+1, func(string) bool { return true })
			})
			require.Equal(c, "ids1 r2 r3", c.send("r1", whoHas(1, 2)))
			require.Equal(c, "", c.send("g1", whoHas(1, 2)))
		},
		"both names the replies too": func(c cloud) {
			c.contract("r2 > ids2 both 0 tcp,tp_dst=80")
			require.Equal(c, "ids2 r2", c.send("r3", web(3, 2)))
			require.Equal(c, "ids2 r3", c.send("r2", transport(macOf(2), macOf(3), ip4Of(2), ip4Of(3), 6, 80, 4000)))
			require.Equal(c, "r3", c.send("r2", dns(2, 3)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCloud(t, "r1@n1 r2@n1 r3@n2 ids1@n1 ids2@n2 ids3@n3")
			c.contract("r1 > ids1 out 0")
			tell(c)
		})
	}
}
