package ofsim

import (
	"encoding/hex"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/flowset"
	"github.com/flowtap/flowtap/openflow/ofsim/ovstest"
)

var (
	ovsSeed      = flag.Uint64("ovs.seed", 1, "first seed of the comparison with Open vSwitch")
	ovsScenarios = flag.Int("ovs.scenarios", 60, "random pipelines to compare")
	ovsFrames    = flag.Int("ovs.frames", 60, "frames for each pipeline")
)

const sentinelPort = 7

// TestAgainstOpenVSwitch installs random pipelines on a real switch and on ofsim, lets the same
// random frames arrive at both, and compares: the fields extracted, the flows and buckets met, the
// packet-ins, tunnel outputs, and, byte for byte and in order, what leaves by each port.
func TestAgainstOpenVSwitch(t *testing.T) {
	o := ovstest.Start(t, sentinelPort)
	if o == nil {
		return
	}
	addTunnel(o)
	o.Appctl("time/stop") // so that a meter that has nothing left stays that way
	c := comparer{t: t, o: o}
	for p := 1; p <= sentinelPort; p++ {
		c.tails = append(c.tails, o.Tail(p))
	}
	c.meter()
	for i := range *ovsScenarios {
		c.scenario(*ovsSeed + uint64(i))
		if t.Failed() {
			return
		}
	}
	t.Logf("%d frames, %d of them matched nothing at all; %d output frames, %d packet-ins, %d tunnel outputs, %d loops, %d dropped by meters, %d hashes; %d flows refused by both",
		c.frames, c.silent, c.outputs, c.packetIns, c.tunnelled, c.loops, c.metered, c.hashes, c.refused)
}

// addTunnel adds a flow-based tunnel port with number genTunnel and an underlay where its peers are.
func addTunnel(o *ovstest.OVS) {
	o.Vsctl(strings.Fields(fmt.Sprintf("-- add-port br0 t9 -- set interface t9 type=geneve options:remote_ip=flow options:key=flow ofport_request=%d "+
		"-- add-br phy -- set bridge phy datapath_type=dummy -- add-port phy px -- set interface px type=dummy", genTunnel))...)
	o.Appctl("netdev-dummy/ip4addr", "phy", "172.16.0.1/24")
	o.Appctl("ovs/route/add", "172.16.0.0/24", "phy")
	for _, n := range []string{"2", "3"} {
		o.Appctl("tnl/neigh/set", "phy", "172.16.0."+n, "aa:00:00:00:00:0"+n)
	}
}

type comparer struct {
	t     *testing.T
	o     *ovstest.OVS
	tails []*ovstest.Tail

	frames, silent, outputs, packetIns, tunnelled, loops, metered, hashes, refused int
}

func (c *comparer) scenario(seed uint64) {
	g := newGen(seed)
	s := g.scenario()
	sw := c.traced()
	c.install(sw, s)
	for range *ovsFrames {
		frame := g.frame()
		port := openflow.PortNo(1 + g.IntN(genPorts))
		tun := Tunnel{}
		if g.chance(15) {
			port = genTunnel
			tun = Tunnel{uint64(g.IntN(3)), netip.MustParseAddr("172.16.0.2"), netip.MustParseAddr("172.16.0.1")}
		}
		name := fmt.Sprintf("seed %d, frame in by port %d: %x", seed, port, frame)
		c.frame(sw, port, tun, frame, name)
		if c.t.Failed() {
			for _, gr := range s.groups {
				c.t.Log(gr)
			}
			return
		}
	}
}

// install puts the scenario into both, which must refuse the same flows.
func (c *comparer) install(sw *Switch, s scenario) {
	c.t.Helper()
	msgs := []openflow.Message{
		&openflow.FlowMod{Command: openflow.FlowDelete, Flow: openflow.Flow{Table: openflow.TableAll}},
		&openflow.GroupMod{Command: openflow.GroupDelete, Group: openflow.Group{ID: openflow.GroupAll}},
	}
	require.NoError(c.t, sw.Apply(meters()))
	sw.SetDropping(genDropping, true)
	for _, g := range s.groups {
		require.NoError(c.t, sw.Apply(flowset.Changes{GroupAdd: []openflow.Group{g}}))
	}
	msgs = append(msgs, flowset.Changes{GroupAdd: s.groups}.Messages()...)
	require.Empty(c.t, c.o.Send(msgs...))
	s.flows = append(s.flows, openflow.Flow{Priority: 0xffff, Match: openflow.Match{openflow.Uint(openflow.FieldEthType, 0x88b5)},
		Apply: []openflow.Action{openflow.Output{Port: sentinelPort}}})
	var flows []openflow.Message
	refused := 0
	for _, f := range s.flows {
		flows = append(flows, &openflow.FlowMod{Flow: f})
		if err := sw.Apply(flowset.Changes{FlowAdd: []openflow.Flow{f}}); err != nil {
			refused++
		}
	}
	if errs := c.o.Send(flows...); len(errs) != refused {
		for _, f := range s.flows {
			got := len(c.o.Send(&openflow.FlowMod{Flow: f})) > 0
			err := sw.Apply(flowset.Changes{FlowAdd: []openflow.Flow{f}})
			assert.Equal(c.t, got, err != nil, "refused by Open vSwitch and by ofsim (%v): %v", err, f)
		}
		c.t.FailNow()
	}
	c.refused += refused
	c.purge()
}

// meters are genMeters meters, the one that shall drop with a rate of one packet a second.
func meters() (add flowset.Changes) {
	for id := uint32(1); id <= genMeters; id++ {
		m := openflow.Meter{ID: id, Flags: openflow.MeterPKTPS | openflow.MeterStat, Bands: []openflow.MeterBand{{Type: openflow.BandDrop, Rate: 1e6}}}
		if id == genDropping {
			m.Bands[0].Rate = 1
		}
		add.MeterAdd = append(add.MeterAdd, m)
	}
	return add
}

// meter adds the meters and sends two frames by the one that shall drop: as the clock stands still, it
// has no more to give.
func (c *comparer) meter() {
	c.t.Helper()
	require.Empty(c.t, c.o.Send(meters().Before()...))
	f := openflow.Flow{Priority: 0xffff, Match: openflow.Match{openflow.Uint(openflow.FieldEthType, 0x88b6)}, Meter: genDropping}
	require.Empty(c.t, c.o.Send(&openflow.FlowMod{Flow: f}))
	c.o.Receive(1, Frame{EtherType: 0x88b6, Payload: make([]byte, 46)}.Bytes())
	c.o.Receive(1, Frame{EtherType: 0x88b6, Payload: make([]byte, 46)}.Bytes())
	c.o.Until("the meter drops", func() bool {
		return strings.Contains(c.o.Ofctl("meter-stats", fmt.Sprintf("meter=%d", genDropping)), "0: packet_count:1 ")
	})
	require.Empty(c.t, c.o.Send(&openflow.FlowMod{Command: openflow.FlowDeleteStrict, Flow: f}))
	c.purge()
}

// purge takes every megaflow out of Open vSwitch's datapath.
func (c *comparer) purge() {
	c.t.Helper()
	// A purge alone left an old megaflow in force once in about twenty runs under load.
	c.o.Until("no megaflow is left", func() bool {
		c.o.Appctl("revalidator/purge")
		c.o.Appctl("dpctl/del-flows", "dummy@ovs-dummy")
		return strings.TrimSpace(c.o.Appctl("dpctl/dump-flows", "dummy@ovs-dummy")) == ""
	})
}

var (
	hitLine  = regexp.MustCompile(`^ *(\d+)\. .*?(?:priority (\d+))?(?:, cookie (0x[0-9a-f]+))?$`)
	missLine = regexp.MustCompile(`^ *(\d+)\. No match\.$`)
	bktLine  = regexp.MustCompile(`^ *bucket (\d+)$`)
	ctlRe    = regexp.MustCompile(`controller\(reason=(\d+),[^)]*rule_cookie=(0x[0-9a-f]+|0),[^)]*max_len=(\d+)\)`)
	linkRe   = regexp.MustCompile(`multipath\(.*\)\n\s+-> NXM_NX_REG\d+\[[0-9.]+\] is now (\w+)`)
	tunRe    = regexp.MustCompile(`tnl_push\([^,]*,header\(size=\d+,type=\d+,eth\([^)]*\),ipv4\(src=[^,]*,dst=([0-9.]+)[^)]*\),udp\([^)]*\),geneve\([^)]*?vni=(0x[0-9a-f]+)\)`)
)

// path is the flows, misses and buckets of a trace, one a line.
func tracePath(trace string) []string {
	var out []string
	for _, l := range strings.Split(trace, "\n") {
		l = strings.TrimRight(l, " ")
		if m := missLine.FindStringSubmatch(l); m != nil {
			out = append(out, m[1]+" miss")
		} else if m := hitLine.FindStringSubmatch(l); m != nil {
			if m[3] != "" { // no cookie: the NORMAL flow of the underlay
				out = append(out, m[1]+" cookie "+m[3])
			}
		} else if m := bktLine.FindStringSubmatch(strings.TrimSpace(l)); m != nil {
			out = append(out, "bucket "+m[1])
		}
	}
	return out
}

func simPath(r *Result) []string {
	var out []string
	for _, s := range r.Steps {
		switch s.Event {
		case EventMatch:
			out = append(out, fmt.Sprintf("%d cookie %#x", s.Table, s.Flow.Cookie))
		case EventMiss:
			out = append(out, fmt.Sprintf("%d miss", s.Table))
		case EventBucket:
			out = append(out, fmt.Sprintf("bucket %d", s.Arg&0xffffffff))
		}
	}
	return out
}

func (c *comparer) frame(sw *Switch, port openflow.PortNo, tun Tunnel, frame []byte, name string) {
	c.frames++
	spec := fmt.Sprintf("in_port=%d", port)
	if tun.Dst.IsValid() {
		spec = fmt.Sprintf("tun_id=%d,tun_src=%v,tun_dst=%v,in_port=%d", tun.ID, tun.Src, tun.Dst, port)
	}
	trace := c.o.Appctl("ofproto/trace", "br0", spec, hex.EncodeToString(frame))
	sw.SetChoose(c.asSaid(trace))
	r, err := sw.InjectTunnel(port, tun, frame)
	defer func() {
		if c.t.Failed() {
			c.t.Logf("%s\n%s\nofsim (%v):\n%s\nmegaflows:\n%s", name, trace, err, r.Trace(), c.o.Appctl("dpctl/dump-flows", "dummy@ovs-dummy"))
		}
	}()
	c.key(frame, trace)
	if err != nil {
		c.loops++
		assert.ErrorIs(c.t, err, ErrLoop)
		assert.Contains(c.t, trace, "over ")
		assert.Contains(c.t, trace, "Datapath actions: drop")
		return
	}
	assert.Equal(c.t, tracePath(trace), simPath(&r), "flows and buckets met")
	all := datapathActions(trace)
	actions, dropped := metered(all)
	if dropped {
		c.metered++
	}
	var want, tuns []string
	for _, m := range ctlRe.FindAllStringSubmatch(actions, -1) {
		want = append(want, strings.Join(m[1:], " "))
	}
	c.comparePacketIns(&r, want)
	out := map[int][][]byte{}
	for _, d := range r.Deliveries {
		if d.Port == genTunnel {
			if d.Tunnel.Dst.String() == "172.16.0.2" || d.Tunnel.Dst.String() == "172.16.0.3" {
				tuns = append(tuns, fmt.Sprintf("%v %#x", d.Tunnel.Dst, d.Tunnel.ID))
			}
			continue
		}
		out[int(d.Port)] = append(out[int(d.Port)], d.Frame)
	}
	var wantTuns []string
	for _, m := range tunRe.FindAllStringSubmatch(actions, -1) {
		wantTuns = append(wantTuns, m[1]+" "+m[2])
	}
	assert.Equal(c.t, wantTuns, tuns, "tunnel outputs")
	c.tunnelled += len(tuns)
	c.packetIns += len(r.PacketIns)
	if len(r.Deliveries)+len(r.PacketIns) == 0 {
		c.silent++
	}
	// The userspace datapath of 3.1.0 looks for the network header again when it sends a packet-in
	// and, behind two tags, finds it in the wrong place: later changes then hit other bytes.
	confused := strings.Contains(all, "userspace(") && strings.Contains(all, "push_vlan") && strings.Contains(all, "set(")
	if port != genTunnel && !confused {
		c.bytes(int(port), frame, out)
	}
	// Open vSwitch 3.1.0 changes nothing in an IP header with protocol 0, and forgets to put the
	// protocol into the megaflow that says so: the next frame of any protocol would be left unchanged too.
	var k key
	if extract(frame, &k); k.get(atProto) == 0 {
		c.purge()
	}
}

// metered leaves out of datapath actions what comes after the meter that drops, in the same clone.
// The datapath numbers meters from 0 in the order in which they were added.
func metered(actions string) (left string, dropped bool) {
	depth, from := 0, 0
	var out []string
	for i := 0; i <= len(actions); i++ {
		switch {
		case i < len(actions) && actions[i] == '(':
			depth++
		case i < len(actions) && actions[i] == ')':
			depth--
		case i == len(actions) || actions[i] == ',' && depth == 0:
			a := actions[from:i]
			from = i + 1
			if a == fmt.Sprintf("meter(%d)", genDropping-1) {
				return strings.Join(out, ","), true
			}
			if inner, ok := strings.CutPrefix(a, "clone("); ok {
				inner, in := metered(strings.TrimSuffix(inner, ")"))
				a, dropped = "clone("+inner+")", dropped || in
			}
			out = append(out, a)
		}
	}
	return strings.Join(out, ","), dropped
}

// comparePacketIns: Open vSwitch says reason 6 for what OpenFlow 1.3 calls no match, and 4 for a
// group, which OpenFlow 1.3 calls an action.
func (c *comparer) comparePacketIns(r *Result, want []string) {
	c.t.Helper()
	var got []string
	for i, p := range r.PacketIns {
		if i >= len(want) {
			break
		}
		var reason, maxLen int
		var cookie uint64
		_, _ = fmt.Sscanf(want[i], "%d %v %d", &reason, &cookie, &maxLen)
		of13 := uint8(ReasonAction)
		if reason == 6 {
			of13 = ReasonNoMatch
		}
		assert.Equal(c.t, of13, p.Reason, "packet-in %d: Open vSwitch's reason %d", i, reason)
		assert.Equal(c.t, cookie, p.Cookie)
		assert.Equal(c.t, min(maxLen, p.TotalLen), len(p.Frame))
		got = append(got, want[i])
	}
	assert.Equal(c.t, want, got)
	assert.Len(c.t, r.PacketIns, len(want), "packet-ins")
}

// bytes lets the frame arrive for real and compares what leaves.
func (c *comparer) bytes(port int, frame []byte, want map[int][][]byte) {
	c.t.Helper()
	c.o.Receive(port, frame)
	// The sentinel follows on the same port, so when it is out, all of the frame's copies are.
	c.o.Receive(port, Frame{EtherType: 0x88b5, Payload: make([]byte, 46)}.Bytes())
	var seen [][]byte
	c.o.Until("the sentinel is out", func() bool {
		seen = append(seen, c.tails[sentinelPort-1].Frames()...)
		return len(seen) > 0
	})
	assert.Len(c.t, seen, 1)
	for p := 1; p < sentinelPort; p++ {
		var got, exp []string
		for _, f := range c.tails[p-1].Frames() {
			got = append(got, hex.EncodeToString(f))
		}
		for _, f := range want[p] {
			exp = append(exp, hex.EncodeToString(f))
		}
		c.outputs += len(exp)
		assert.Equal(c.t, got, exp, "what Open vSwitch and what ofsim sent by port %d", p)
	}
}

// key compares the fields extracted with the first line of the trace.
func (c *comparer) key(frame []byte, trace string) {
	c.t.Helper()
	var k key
	extract(frame, &k)
	mac := func(p place) string {
		b := be.AppendUint64(nil, k.get(p))
		return net.HardwareAddr(b[2:]).String()
	}
	ip6 := func(w int) string {
		b := be.AppendUint64(be.AppendUint64(nil, k[w]), k[w+1])
		a, _ := netip.AddrFromSlice(b)
		return a.String()
	}
	dec := func(p place) string { return fmt.Sprint(k.get(p)) }
	ip4 := func(p place) string { return addrOf(k.get(p)).String() }
	tos := k.get(atTOS)
	mine := map[string]string{
		"dl_dst": mac(atEthDst), "dl_src": mac(atEthSrc), "dl_type": fmt.Sprintf("0x%04x", k.get(atEthType)),
		"dl_vlan": fmt.Sprint(k.get(atTCI) & 0xfff), "dl_vlan_pcp": fmt.Sprint(k.get(atTCI) >> 13),
		"nw_src": ip4(atIPSrc), "nw_dst": ip4(atIPDst), "arp_spa": ip4(atIPSrc), "arp_tpa": ip4(atIPDst),
		"ipv6_src": ip6(wSrc6), "ipv6_dst": ip6(wDst6), "ipv6_label": fmt.Sprintf("0x%05x", k.get(atLabel)),
		"nw_proto": dec(atProto), "arp_op": dec(atProto), "nw_tos": fmt.Sprint(tos &^ 3), "nw_ecn": fmt.Sprint(tos & 3), "nw_ttl": dec(atTTL),
		"nw_frag":   map[uint64]string{0: "no", 1: "first", 3: "later"}[k.get(atFrag)],
		"tp_src":    dec(atSport),
		"tp_dst":    dec(atDport),
		"icmp_type": dec(atSport), "icmp_code": dec(atDport), "nd_target": ip6(wTarget),
		"arp_sha": mac(atSHA), "arp_tha": mac(atTHA), "nd_sll": mac(atSHA), "nd_tll": mac(atTHA),
	}
	line, _, _ := strings.Cut(trace, "\n")
	for _, part := range strings.Split(strings.TrimPrefix(line, "Flow: "), ",") {
		name, value, ok := strings.Cut(part, "=")
		if a, err := netip.ParseAddr(value); err == nil {
			value = a.String() // inet_ntop writes some IPv6 addresses in another way
		}
		if got, known := mine[name]; ok && known {
			assert.Equal(c.t, value, got, "%s of %x: Open vSwitch and ofsim", name, frame)
		}
	}
}
