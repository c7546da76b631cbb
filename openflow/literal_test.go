package openflow

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A literal is a message as bytes and as a value.
type literal struct {
	bytes string
	want  Message
	// otherOrder says that we would spell it otherwise, for example with the match fields in
	// another order, so that encoding gives other bytes of the same meaning.
	otherOrder bool
	// print is what ovs-ofctl ofp-print makes of the bytes, in part.
	print string
}

// received are messages that Open vSwitch 3.1.0 sent on an OpenFlow 1.3 connection to <bridge>.mgmt, with a bridge as in
// ovs_test.go, after
//
//	ovs-ofctl -O OpenFlow13 add-meter br0 meter=1,kbps,burst,band=type=drop,rate=1000,burst_size=50
//	ovs-ofctl -O OpenFlow13 add-group br0 group_id=7,type=ff,bucket=watch_port:1,actions=output:1,bucket=watch_port:2,actions='output(port=1,max_len=64),resubmit(,9)'
//	ovs-ofctl -O OpenFlow13 add-flow br0 cookie=0x5,table=3,priority=100,in_port=1,tcp,nw_dst=10.0.0.0/8,tp_dst=80,reg1=0x7/0xff,actions=meter:1,set_field:0x9-\>reg2,group:7,output:1,goto_table:5
//	ovs-ofctl -O OpenFlow13 add-flow br0 cookie=0xc,send_flow_rem,priority=9,in_port=2,actions=set_field:0x44-\>reg4,controller
//	ovs-ofctl -O OpenFlow13 packet-out br0 'in_port=2 packet=ffffffffffff0200000000010806 actions=table'
//	ovs-ofctl -O OpenFlow13 del-flows br0 cookie=0xc/-1
//	ovs-ofctl -O OpenFlow13 mod-port br0 p2 down
//
// and the commands that each entry names.
var received = map[string]literal{
	"features reply (show)": {
		bytes: "0406 0020 00000002 00000000000000a1 00000000 fe 00 0000 0000004f 00000000",
		want:  &FeaturesReply{DPID: 0xa1, NTables: 254, Capabilities: 0x4f},
	},
	"role reply": {
		bytes: "0419 0018 00000003 00000002 00000000 0000000000000005",
		want:  &RoleReply{Role: RoleMaster, GenerationID: 5},
	},
	"flow-monitor request (monitor watch:!own,!initial,!actions, as ovs-ofctl sends it)": {
		bytes: `0412 0030 00000006 ffff 0000 00000000 4f4e4600 0000074e
			00000000 000e 0004 ffffffff ff 000000 0001 0004 00000000`,
		want: &MultipartRequest{Body: FlowMonitorRequest{Flags: MonitorAdd | MonitorDelete | MonitorModify, OutPort: PortAny, Table: TableAll}},
	},
	"flow-monitor reply (the same)": {bytes: "0413 0018 00000006 ffff 0000 00000000 4f4e4600 0000074e", want: &MultipartReply{Body: FlowMonitorReply{}}},
	"flow-monitor, a flow added (by add-flow in another connection)": {
		bytes: `0413 0070 00000000 ffff 0000 00000000 4f4e4600 0000074e
			0058 0000 0000 0007 0000 0000 003d 03 00 f10a020000000005
			0001 003d 80000004 00000001 80000a02 0800 80001401 11 80002002 0035 80004c08 0000000000000009 00010204 00000005 80000408 0000000000000003 000000`,
		want: &MultipartReply{Body: FlowMonitorReply{{Flow: Flow{Table: 3, Priority: 7, Cookie: 0xf10a020000000005,
			Match: Match{Uint(FieldReg(1), 5), Uint(FieldInPort, 1), Uint(FieldMetadata, 3), Uint(FieldEthType, 0x800), Uint(FieldIPProto, 17), Uint(FieldUDPDst, 53), Uint(FieldTunnelID, 9)}}}}},
		otherOrder: true,
	},
	"flow-monitor, a flow deleted with the group that it refers to (del-groups)": {
		bytes: `0413 0038 00000000 ffff 0000 00000000 4f4e4600 0000074e
			0020 0001 0003 0007 0000 0000 0004 04 00 0000000000000000 0001 0004 00000000`,
		want: &MultipartReply{Body: FlowMonitorReply{{Event: FlowDeleted, Reason: 3, Flow: Flow{Table: 4, Priority: 7}}}},
	},
	"get-config reply": {bytes: "0408 000c 0000000a 0000 ffff", want: &GetConfigReply{MissSendLen: 0xffff}},
	"flow-stats (dump-flows table=3)": {
		bytes: `0413 00b8 00000004 0001 0000 00000000
			00a8 03 00 00000000 1e848000 0064 0000 0000 0000 00000000 0000000000000005 0000000000000000 0000000000000000
			0001 0035 80000004 00000001 80000a02 0800 80001908 0a000000 ff000000 80001401 06 80001c02 0050 00010308 00000007 000000ff 000000
			0006 0008 00000001
			0004 0030 00000000 0019 0010 00010404 00000009 00000000 0016 0008 00000007 0000 0010 00000001 0000 000000000000
			0001 0008 05 000000`,
		want: &MultipartReply{Body: FlowStatsReply{{Duration: 512 * time.Millisecond, Flow: Flow{
			Table: 3, Priority: 100, Cookie: 5, Meter: 1, Goto: 5,
			Match: Match{UintMask(FieldReg(1), 7, 0xff), Uint(FieldInPort, 1), Uint(FieldEthType, 0x800),
				Uint(FieldIPProto, 6), UintMask(FieldIPv4Dst, 0x0a000000, 0xff000000), Uint(FieldTCPDst, 80)},
			Apply: []Action{Set(FieldReg(2), 9), ApplyGroup{ID: 7}, Output{Port: 1}},
		}}}},
		otherOrder: true,
	},
	"group-desc (dump-groups)": {
		bytes: `0413 0068 00000005 0007 0000 00000000 0058 03 00 00000007
			0020 0000 00000001 ffffffff 00000000 0000 0010 00000001 0000 000000000000
			0030 0000 00000002 ffffffff 00000000 ffff 0010 00002320 0027 0001 00000040 ffff 0010 00002320 000e fff8 09 000000`,
		want: &MultipartReply{Body: GroupDescReply{{ID: 7, Type: GroupTypeFastFailover, Buckets: []Bucket{
			{WatchPort: 1, WatchGroup: GroupAny, Actions: []Action{Output{Port: 1}}},
			{WatchPort: 2, WatchGroup: GroupAny, Actions: []Action{OutputTruncate{Port: 1, MaxLen: 64}, Resubmit{Port: PortInPort, Table: 9}}},
		}}}},
	},
	"group-stats (dump-group-stats)": {
		bytes: `0413 0058 00000006 0006 0000 00000000 0048 0000 00000007 00000001 00000000 0000000000000000 0000000000000000
			00000000 014fb180 0000000000000000 0000000000000000 0000000000000000 0000000000000000`,
		want: &MultipartReply{Body: GroupStatsReply{{Group: 7, RefCount: 1, Duration: 22 * time.Millisecond, Buckets: make([]BucketStats, 2)}}},
	},
	"meter-config (dump-meters)": {
		bytes: "0413 0028 00000002 000a 0000 00000000 0018 0005 00000001 0001 0010 000003e8 00000032 00000000",
		want: &MultipartReply{Body: MeterConfigReply{{ID: 1, Flags: MeterKBPS | MeterBurst,
			Bands: []MeterBand{{Type: BandDrop, Rate: 1000, Burst: 50}}}}},
	},
	"meter-stats": {
		bytes: `0413 0048 00000002 0009 0000 00000000 00000001 0038 000000000000 00000000 0000000000000000 0000000000000000
			0000001d 1debe980 0000000000000000 0000000000000000`,
		want: &MultipartReply{Body: MeterStatsReply{{Meter: 1, Duration: 29*time.Second + 502*time.Millisecond, Bands: make([]BandStats, 1)}}},
	},
	"port-desc (dump-ports-desc)": {
		bytes: `0413 0090 00000002 000d 0000 00000000
			00000001 00000000 aa55aa550001 0000 70310000000000000000000000000000 00000000 00000004 00000000 00000000 00000000 00000000 00000000 00000000
			fffffffe 00000000 0200000000a1 0000 62723000000000000000000000000000 00000000 00000004 00000000 00000000 00000000 00000000 00000000 00000000`,
		want: &MultipartReply{Body: PortDescReply{
			{No: 1, HWAddr: [6]byte{0xaa, 0x55, 0xaa, 0x55, 0, 1}, Name: "p1", State: PortStateLive},
			{No: PortLocal, HWAddr: [6]byte{2, 0, 0, 0, 0, 0xa1}, Name: "br0", State: PortStateLive},
		}},
	},
	"port-stats (dump-ports br0 1)": {
		bytes: "0413 0080 00000002 0004 0000 00000000 00000001 00000000" + strings.Repeat("00", 48) + strings.Repeat("ff", 48) + "00000027 1ba81400",
		want: &MultipartReply{Body: PortStatsReply{{Port: 1, RxErrors: ^uint64(0), TxErrors: ^uint64(0), RxFrameErr: ^uint64(0),
			RxOverErr: ^uint64(0), RxCRCErr: ^uint64(0), Collisions: ^uint64(0), Duration: 39*time.Second + 464*time.Millisecond}}},
	},
	"aggregate-stats (dump-aggregate)": {
		bytes: "0413 0028 00000002 0002 0000 00000000 0000000000000000 0000000000000000 00000000 00000000",
		want:  &MultipartReply{Body: AggregateStats{}},
	},
	"packet-in (packet-out to the table)": {
		bytes: `040a 0040 00000000 ffffffff 000e 01 00 000000000000000c 0001 0014 80000004 00000002 00010804 00000044 00000000
			0000 ffffffffffff 020000000001 0806`,
		want: &PacketIn{BufferID: NoBuffer, TotalLen: 14, Reason: PacketInAction, Cookie: 12,
			Match: Match{Uint(FieldReg(4), 0x44), Uint(FieldInPort, 2)},
			Data:  []byte{255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 1, 8, 6}},
		otherOrder: true,
	},
	"flow-removed (del-flows)": {
		bytes: `040b 0040 00000000 000000000000000c 0009 02 00 00000000 1593ae80 0000 0000 0000000000000001 000000000000000e
			0001 000c 80000004 00000002 00000000`,
		want: &FlowRemoved{Priority: 9, Cookie: 12, Match: Match{Uint(FieldInPort, 2)}, Reason: RemovedDelete,
			Duration: 362 * time.Millisecond, Packets: 1, Bytes: 14},
	},
	"port-status (mod-port p2 down)": {
		bytes: `040c 0050 00000000 02 00000000000000
			00000002 00000000 aa55aa550001 0000 70320000000000000000000000000000 00000001 00000001 00000000 00000000 00000000 00000000 00000000 00000000`,
		want: &PortStatus{Reason: PortModify, Port: Port{No: 2, HWAddr: [6]byte{0xaa, 0x55, 0xaa, 0x55, 0, 1}, Name: "p2",
			Config: PortConfigDown, State: PortStateLinkDown}},
	},
	"bundle open reply": {
		bytes: "0404 0018 00000007 4f4e4600 000008fc 00000009 0001 0000",
		want:  &BundleControl{BundleID: 9, Ctrl: BundleOpenReply},
	},
	"error: commit of an unknown bundle": {
		bytes: "0401 0028 00000008 ffff 08fe 4f4e4600 0404001800000008 4f4e4600 000008fc 0000000a 0004 0003",
		want: &Error{ErrType: ErrTypeExperimenter, Code: BundleErrBadID, Experimenter: ExperimenterONF,
			Data: []byte{4, 4, 0, 0x18, 0, 0, 0, 8, 0x4f, 0x4e, 0x46, 0, 0, 0, 8, 0xfc, 0, 0, 0, 0xa, 0, 4, 0, 3}},
	},
	"error: a flow-mod of tcp_dst alone": {
		bytes: "0401 0014 00000009 0004 0009 040e004000000009", // the first 8 of 64 bytes
		want:  &Error{ErrType: 4, Code: 9, Data: []byte{4, 0xe, 0, 0x40, 0, 0, 0, 9}},
	},
}

// sent are messages that we send; ovs-ofctl ofp-print says whether they mean what they should.
var sent = map[string]literal{
	"hello": {bytes: "0400 0010 00000001 0001 0008 00000010", want: &Hello{Versions: []uint8{4}}, print: "version bitmap: 0x04"},
	"flow-mod": {
		bytes: `040e 0088 00000001 0000000000000005 0000000000000000 03 00 0000 0000 0064 ffffffff ffffffff ffffffff 0001 0000
		0001 002d 80000a02 0800 80001401 06 80001908 0a000000 ff000000 80001c02 0050 00010308 00000007 000000ff 000000
		0004 0020 00000000 0019 0010 00010404 00000009 00000000 0016 0008 00000007 0001 0008 05 000000`,
		want: &FlowMod{BufferID: NoBuffer, OutPort: PortAny, OutGroup: GroupAny, Flags: FlowSendRemoved, Flow: Flow{
			Table: 3, Priority: 100, Cookie: 5, Goto: 5, Apply: []Action{Set(FieldReg(2), 9), ApplyGroup{ID: 7}},
			Match: Match{UintMask(FieldReg(1), 7, 0xff), Uint(FieldEthType, 0x800), Uint(FieldIPProto, 6),
				UintMask(FieldIPv4Dst, 0x0a000000, 0xff000000), Uint(FieldTCPDst, 80)},
		}},
		print: "ADD table:3 priority=100,tcp,reg1=0x7/0xff,nw_dst=10.0.0.0/8,tp_dst=80 cookie:0x5 send_flow_rem actions=set_field:0x9->reg2,group:7,goto_table:5",
	},
	"flow-mod with a clone and a multipath": {
		bytes: `040e 0090 00000001 0000000000000000 0000000000000000 02 00 0000 0000 0064 ffffffff ffffffff ffffffff 0000 0000
		0001 0004 00000000 0004 0058 00000000
		ffff 0020 00002320 000a 0003 0007 0000 0000 0004 00000000 0000 0103 00010a04
		ffff 0030 00002320 002a 000000000000 ffff 0010 00002320 0027 fff9 0000000e ffff 0010 00002320 000e fff8 09 000000`,
		want: &FlowMod{BufferID: NoBuffer, OutPort: PortAny, OutGroup: GroupAny, Flow: Flow{Table: 2, Priority: 100, Apply: []Action{
			Multipath{Fields: HashSymmetricL3L4UDP, Basis: 7, Links: 5, Field: FieldReg(5), Offset: 4, Bits: 4},
			Clone{Actions: []Action{OutputTruncate{Port: PortTable, MaxLen: 14}, Resubmit{Port: PortInPort, Table: 9}}},
		}}},
		print: "actions=multipath(symmetric_l3l4+udp,7,modulo_n,5,0,NXM_NX_REG5[4..7]),clone(output(port=TABLE,max_len=14),resubmit(,9))",
	},
	"flow-mod that carries a port number in a mark": {
		bytes: `040e 0088 00000001 0000000000000000 0000000000000000 00 00 0000 0000 0001 ffffffff ffffffff ffffffff 0000 0000
		0001 0004 00000000 0004 0050 00000000
		ffff 0018 00002320 0006 0010 0000 0010 00000002 00014204
		ffff 0018 00002320 0007 040f 00014204 0000000000000007 ffff 0018 00002320 000f 001f 00010204 0000 000000000000`,
		want: &FlowMod{BufferID: NoBuffer, OutPort: PortAny, OutGroup: GroupAny, Flow: Flow{Priority: 1, Apply: []Action{
			Move{Bits{FieldInPort, 0, 16}, Bits{FieldPktMark, 16, 16}}, Load{To: Bits{FieldPktMark, 16, 16}, Value: 7},
			OutputField{Field: FieldReg(1)},
		}}},
		print: "actions=move:NXM_OF_IN_PORT[]->NXM_NX_PKT_MARK[16..31],load:0x7->NXM_NX_PKT_MARK[16..31],output:NXM_NX_REG1[]",
	},
	"group-mod": {
		bytes: "040f 0038 00000001 0000 00 00 00000007 0028 0000 ffffffff ffffffff 00000000 0000 0010 00000001 0000 000000000000 0016 0008 00000009",
		want: &GroupMod{Group: Group{ID: 7, Buckets: []Bucket{{WatchPort: PortAny, WatchGroup: GroupAny,
			Actions: []Action{Output{Port: 1}, ApplyGroup{ID: 9}}}}}},
		print: "ADD group_id=7,type=all,bucket=actions=output:1,group:9",
	},
	"meter-mod": { // as ovs-ofctl add-meter sends it
		bytes: "041d 0020 00000002 0000 0005 00000001 0001 0010 000003e8 00000032 00000000",
		want: &MeterMod{Meter: Meter{ID: 1, Flags: MeterKBPS | MeterBurst,
			Bands: []MeterBand{{Type: BandDrop, Rate: 1000, Burst: 50}}}},
		print: "ADD meter=1 kbps burst bands=",
	},
	"packet-out": {
		bytes: "040d 0036 00000001 ffffffff fffffffd 0010 000000000000 0000 0010 00000001 0000 000000000000 ffffffffffff 020000000001 0806",
		want: &PacketOut{BufferID: NoBuffer, InPort: PortController, Actions: []Action{Output{Port: 1}},
			Data: []byte{255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 1, 8, 6}},
		print: "in_port=CONTROLLER actions=output:1",
	},
	"barrier request":     {bytes: "0414 0008 00000003", want: &BarrierRequest{}, print: "OFPT_BARRIER_REQUEST"}, // by ovs-ofctl
	"port-desc request":   {bytes: "0412 0010 00000002 000d 0000 00000000", want: &MultipartRequest{Body: PortDescRequest{}}, print: "OFPST_PORT_DESC request"},
	"port-stats request":  {bytes: "0412 0018 00000002 0004 0000 00000000 00000001 00000000", want: &MultipartRequest{Body: PortStatsRequest{Port: 1}}, print: "port_no=1"},
	"meter-stats request": {bytes: "0412 0018 00000002 0009 0000 00000000 ffffffff 00000000", want: &MultipartRequest{Body: MeterStatsRequest{Meter: MeterAll}}, print: "meter=all"},
	"aggregate request": { // by ovs-ofctl dump-aggregate
		bytes: "0412 0038 00000002 0002 0000 00000000 ff 000000 ffffffff ffffffff 00000000 0000000000000000 0000000000000000 0001 0004 00000000",
		want:  &MultipartRequest{Body: AggregateStatsRequest{Table: TableAll, OutPort: PortAny, OutGroup: GroupAny}},
		print: "OFPST_AGGREGATE request",
	},
	"role request": {
		bytes: "0418 0018 00000001 00000002 00000000 0000000000000005",
		want:  &RoleRequest{Role: RoleMaster, GenerationID: 5}, print: "role=primary generation_id=5",
	},
	"set-async": {
		bytes: "041c 0020 00000001 00000007 00000000 00000007 00000000 0000000f 00000000",
		want:  &SetAsync{PacketIn: [2]uint32{7}, PortStatus: [2]uint32{7}, FlowRemoved: [2]uint32{15}}, print: "add delete modify",
	},
	"bundle commit": {
		bytes: "0404 0018 00000001 4f4e4600 000008fc 00000009 0004 0003",
		want:  &BundleControl{BundleID: 9, Ctrl: BundleCommitRequest, Flags: BundleAtomic | BundleOrdered},
		print: "type=COMMIT_REQUEST flags=atomic ordered",
	},
	"bundle-add": {
		bytes: "0404 0028 00000001 4f4e4600 000008fd 00000009 0000 0003 040f 0010 00000001 0002 00 00 00000007",
		want: &BundleAdd{BundleID: 9, Flags: 3, XID: 1,
			Message: &GroupMod{Command: GroupDelete, Group: Group{ID: 7}}},
		print: "DEL group_id=7",
	},
}

func TestLiteralBytes(t *testing.T) {
	for _, set := range []map[string]literal{received, sent} {
		for name, l := range set {
			t.Run(name, func(t *testing.T) {
				b := unhex(t, l.bytes)
				xid, m, err := Decode(b)
				require.NoError(t, err)
				require.Equal(t, l.want, m)
				if !l.otherOrder {
					again, err := Append(nil, xid, m)
					require.NoError(t, err)
					require.Equal(t, b, again)
				}
			})
		}
	}
}
