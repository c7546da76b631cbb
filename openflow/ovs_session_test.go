package openflow_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	. "github.com/flowtap/flowtap/openflow"
)

func one[T Message](t *testing.T, replies []Message) T {
	t.Helper()
	require.Len(t, replies, 1)
	require.IsType(t, *new(T), replies[0])
	return replies[0].(T)
}

func TestOVSSession(t *testing.T) {
	s := startOVS(t)
	if s == nil {
		return
	}
	ask := func(ms ...Message) []Message {
		t.Helper()
		replies, err := s.do(ms...)
		require.NoError(t, err)
		return replies
	}
	features := one[*FeaturesReply](t, ask(&FeaturesRequest{}))
	require.NotZero(t, features.DPID)
	require.Equal(t, uint8(254), features.NTables)
	require.Equal(t, []byte("ping"), one[*EchoReply](t, ask(&EchoRequest{Data: []byte("ping")})).Data)

	require.Empty(t, ask(&SetConfig{MissSendLen: 0xffff}))
	require.Equal(t, &GetConfigReply{MissSendLen: 0xffff}, one[*GetConfigReply](t, ask(&GetConfigRequest{})))

	role := one[*RoleReply](t, ask(&RoleRequest{Role: RoleMaster, GenerationID: 5}))
	require.Equal(t, &RoleReply{Role: RoleMaster, GenerationID: 5}, role)
	_, err := s.do(&RoleRequest{Role: RoleMaster, GenerationID: 4})
	var stale *Error
	require.ErrorAs(t, err, &stale)
	require.EqualError(t, stale, "switch says: role request failed stale (type 11, code 0)")

	require.Contains(t, s.ask(DescRequest{}).(Desc).Hardware, "Open vSwitch")
	names := map[string]PortNo{}
	for _, p := range s.ask(PortDescRequest{}).(PortDescReply) {
		names[p.Name] = p.No
		require.NotZero(t, p.HWAddr)
	}
	require.Equal(t, map[string]PortNo{"br0": PortLocal, "p1": 1, "p2": 2, "p3": 3}, names)
	require.Len(t, s.ask(PortStatsRequest{Port: PortAny}).(PortStatsReply), 4)
	require.IsType(t, RawMultipart{}, s.ask(RawMultipart{Multipart: MultipartTableStats}))

	// A port that goes down is reported, unless set-async says otherwise.
	require.Empty(t, ask(&SetAsync{PacketIn: [2]uint32{7, 7}, PortStatus: [2]uint32{1 << PortModify, 0}}))
	out, err := s.ofctl(nil, "mod-port", s.sock, "p2", "down")
	require.NoError(t, err, out)
	_, m := s.receive()
	status := m.(*PortStatus)
	require.Equal(t, PortModify, status.Reason)
	require.Equal(t, "p2", status.Port.Name)
	require.NotZero(t, status.Port.Config&PortConfigDown)
}

func TestOVSPackets(t *testing.T) {
	s := startOVS(t)
	if s == nil {
		return
	}
	frame := append([]byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x12, 0x34}, make([]byte, 50)...)
	m, err := NewMatch(Uint(FieldInPort, 2))
	require.NoError(t, err)
	replies, err := s.do(
		&SetConfig{MissSendLen: 0xffff},
		&RoleRequest{Role: RoleMaster},
		&FlowMod{Flow: Flow{Cookie: 99, Match: m, Apply: []Action{
			Set(FieldReg(4), 0x44), Set(FieldMetadata, 0x55), Output{Port: PortController, MaxLen: 0xffff},
		}}, Flags: FlowSendRemoved},
		&PacketOut{InPort: 2, Actions: []Action{Output{Port: PortTable}}, Data: frame},
		&FlowMod{Command: FlowDelete, Flow: Flow{Table: TableAll}},
	)
	require.NoError(t, err)
	var in *PacketIn
	var removed *FlowRemoved
	for in == nil || removed == nil { // both have queues of their own and may come after the barrier
		if len(replies) == 0 {
			_, m := s.receive()
			replies = append(replies, m)
		}
		switch r := replies[0].(type) {
		case *PacketIn:
			in = r
		case *FlowRemoved:
			removed = r
		}
		replies = replies[1:]
	}
	require.Equal(t, &PacketIn{
		BufferID: NoBuffer, TotalLen: 64, Reason: PacketInAction, Cookie: 99, Data: frame,
		Match: Match{Uint(FieldReg(4), 0x44), Uint(FieldInPort, 2), Uint(FieldMetadata, 0x55)},
	}, in)
	require.Equal(t, RemovedDelete, removed.Reason)
	require.Equal(t, m, removed.Match)
}

func TestOVSGroupsAndMeters(t *testing.T) {
	s := startOVS(t)
	if s == nil {
		return
	}
	bucket := func(weight uint16, watch PortNo, actions ...Action) Bucket {
		return Bucket{Weight: weight, WatchPort: watch, WatchGroup: GroupAny, Actions: actions}
	}
	groups := []Group{
		{ID: 1, Type: GroupTypeAll, Buckets: []Bucket{
			bucket(0, PortAny, Output{Port: 1}),
			bucket(0, PortAny, Set(FieldReg(3), 7), Set(FieldTunnelID, 1), Resubmit{Port: PortInPort, Table: 20}),
			bucket(0, PortAny),
		}},
		{ID: 2, Type: GroupTypeSelect, Buckets: []Bucket{bucket(5, PortAny, Output{Port: 1}), bucket(1, PortAny, Output{Port: 2})}},
		{ID: 3, Type: GroupTypeIndirect, Buckets: []Bucket{bucket(0, PortAny, Output{Port: 3})}},
		{ID: 4, Type: GroupTypeFastFailover, Buckets: []Bucket{bucket(0, 1, Output{Port: 1}), bucket(0, 2, Output{Port: 2})}},
		{ID: 5, Type: GroupTypeAll},
	}
	meter := Meter{ID: 3, Flags: MeterKBPS | MeterBurst | MeterStat, Bands: []MeterBand{{Type: BandDrop, Rate: 1000, Burst: 50}}}
	ms := []Message{&MeterMod{Meter: meter}}
	for _, g := range groups {
		ms = append(ms, &GroupMod{Group: g})
	}
	ms = append(ms, &FlowMod{Flow: Flow{Meter: 3, Apply: []Action{ApplyGroup{ID: 1}}}})
	_, err := s.do(ms...)
	require.NoError(t, err)
	require.ElementsMatch(t, groups, s.ask(GroupDescRequest{}).(GroupDescReply))
	for _, st := range s.ask(GroupStatsRequest{Group: GroupAll}).(GroupStatsReply) {
		require.Len(t, st.Buckets, len(groups[st.Group-1].Buckets))
		require.Equal(t, st.Group == 1, st.RefCount == 1)
	}
	require.Equal(t, MeterConfigReply{meter}, s.ask(MeterConfigRequest{Meter: MeterAll}))
	stats := s.ask(MeterStatsRequest{Meter: 3}).(MeterStatsReply)
	require.Len(t, stats, 1)
	require.Len(t, stats[0].Bands, 1)
	require.Equal(t, uint32(1), s.ask(AggregateStatsRequest{Table: TableAll}).(AggregateStats).Flows)
	require.Empty(t, s.ask(FlowStatsRequest{Table: TableAll, OutGroup: 2}))
	require.Len(t, s.ask(FlowStatsRequest{Table: TableAll, OutGroup: 1}), 1)

	// ovs-ofctl reads what String writes.
	s.clear()
	var lines []string
	for _, g := range groups {
		lines = append(lines, g.String())
	}
	out, err := s.ofctl(strings.NewReader(strings.Join(lines, "\n")), "add-groups", s.sock, "-")
	require.NoError(t, err, out)
	require.ElementsMatch(t, groups, s.ask(GroupDescRequest{}).(GroupDescReply))
}

func TestOVSBundles(t *testing.T) {
	s := startOVS(t)
	if s == nil {
		return
	}
	flags := BundleAtomic | BundleOrdered
	control := func(c BundleCtrl) *BundleControl { return &BundleControl{BundleID: 9, Ctrl: c, Flags: flags} }
	add := func(m Message) *BundleAdd { return &BundleAdd{BundleID: 9, Flags: flags, Message: m} }
	good := &FlowMod{Flow: Flow{Priority: 5, Apply: []Action{ApplyGroup{ID: 6}}}}
	replies, err := s.do(control(BundleOpenRequest),
		add(&GroupMod{Group: Group{ID: 6}}), add(good),
		control(BundleCloseRequest), control(BundleCommitRequest))
	require.NoError(t, err)
	require.Equal(t, []Message{ // Open vSwitch leaves the flags out of its answers
		&BundleControl{BundleID: 9, Ctrl: BundleOpenReply}, &BundleControl{BundleID: 9, Ctrl: BundleCloseReply},
		&BundleControl{BundleID: 9, Ctrl: BundleCommitReply},
	}, replies)
	require.Equal(t, []Flow{good.Flow}, s.flows())

	// One bad message, and nothing of the bundle happens.
	_, err = s.do(control(BundleOpenRequest),
		add(&FlowMod{Flow: Flow{Priority: 6}}), add(&FlowMod{Flow: Flow{Priority: 7, Apply: []Action{ApplyGroup{ID: 66}}}}),
		control(BundleCommitRequest))
	require.Error(t, err)
	var e *Error
	require.ErrorAs(t, err, &e)
	require.Contains(t, err.Error(), "bundle failed: a message in it failed (experimenter 0x4f4e4600, code 2313)")
	require.Contains(t, err.Error(), "bad action out group (type 2, code 9)")
	require.Equal(t, []Flow{good.Flow}, s.flows())

	_, err = s.do(&BundleControl{BundleID: 10, Ctrl: BundleCommitRequest})
	require.True(t, errors.As(err, &e))
	require.Equal(t, BundleErrBadID, e.Code)
}

// Flows of others use things that this package does not know. They must neither break a dump nor
// change when they are written back.
func TestOVSForeignFlowsSurvive(t *testing.T) {
	s := startOVS(t)
	if s == nil {
		return
	}
	foreign := []string{
		"table=1,priority=1,mpls,mpls_label=100,mpls_tc=3,mpls_bos=1,actions=pop_mpls:0x0800,resubmit(,2)",
		"table=1,priority=2,ct_state=+trk+new,tcp,ct_mark=0x5/0xf,actions=ct(commit,zone=5,exec(set_field:1->ct_mark),nat(src=10.0.0.1)),2",
		"table=1,priority=3,xreg7=0x5,actions=move:NXM_NX_REG0[]->NXM_NX_REG1[],load:0x5->NXM_NX_REG2[0..3],set_field:0x10/0xf0->reg3",
		"table=1,priority=4,xxreg3=0x123456789abcdef0123456789abcdef,actions=push:NXM_NX_REG0[],pop:NXM_NX_REG1[]",
		"table=1,priority=5,tcp,tcp_flags=+syn-ack,actions=learn(table=3,hard_timeout=10,NXM_OF_VLAN_TCI[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[])",
		"table=1,priority=6,actions=multipath(symmetric_l4,50,modulo_n,8,0,NXM_NX_REG0[0..3]),goto_table:5",
		"table=1,priority=7,actions=bundle(eth_src,5,hrw,ofport,members:1,2)",
		"table=1,priority=8,conj_id=3,ip,actions=controller(reason=invalid_ttl,max_len=100,id=0),dec_ttl,enqueue:1:2",
		"table=1,priority=9,ip,nw_src=10.0.0.1,actions=conjunction(3,1/2)",
		"table=1,priority=10,tun_flags=+oam,tun_gbp_id=7,actions=clear_actions,write_actions(output:1),write_metadata:0x1/0xff,goto_table:9",
		"table=1,priority=11,in_port=1,dl_vlan=5,actions=note:01.02.03.04,clone(output:2),check_pkt_larger(100)->NXM_NX_REG0[0]",
		"table=1,priority=12,tun_ipv6_src=fd00::1,arp,actions=output:NXM_NX_REG0[0..15],resubmit(1,2),sample(probability=1,collector_set_id=1,obs_domain_id=2,obs_point_id=3)",
		"table=1,priority=13,icmp6,icmpv6_type=135,actions=drop",
		"table=1,priority=14,ct_state=+trk,ip,actions=set_queue:3,pop_queue,exit",
		"table=1,priority=15,dl_type=0x894f,nsh_spi=5,nsh_c1=7,actions=output:1",
		"table=1,priority=16,tcp,actions=fin_timeout(idle_timeout=1),output:NXM_NX_XXREG0[0..15]",
	}
	var text []string
	for _, line := range foreign {
		out, err := s.ofctl(nil, "add-flow", s.sock, line)
		if err != nil {
			t.Errorf("ovs-ofctl refuses %s: %s", line, out)
			continue
		}
		text = append(text, line)
	}
	dump := func() string {
		out, err := s.ofctl(nil, "--no-stats", "--sort", "dump-flows", s.sock)
		require.NoError(t, err, out)
		return out
	}
	before, flows := dump(), s.flows()
	require.Len(t, flows, len(text))
	s.clear()
	for _, f := range flows {
		_, err := s.do(&FlowMod{Flow: f})
		require.NoError(t, err, "%v", f)
	}
	require.Equal(t, before, dump())
	require.ElementsMatch(t, flows, s.flows())
}

// OpenFlow 1.3 flow-stats of Open vSwitch 3.1 cannot say a part of the priority bits of vlan_tci:
// the reason why Normalize leaves such a field alone.
func TestOVSMisreportsPartOfVLANPriority(t *testing.T) {
	s := startOVS(t)
	if s == nil {
		return
	}
	m := Match{UintMask(FieldVLANTCI, 0x3000, 0x3000)}
	require.Equal(t, m, m.Normalize())
	_, err := s.do(&FlowMod{Flow: Flow{Match: m}})
	require.NoError(t, err)
	require.Equal(t, Match{UintMask(FieldVLANVID, 0x1000, 0x1000), Uint(FieldVLANPCP, 1)}, s.flows()[0].Match)
}
