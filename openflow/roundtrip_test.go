package openflow

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// sampleMatch has a field of each class and mask form, in canonical order.
var sampleMatch = Match{
	UintMask(FieldVLANTCI, 0x2000, 0x2000),
	Uint(FieldReg(3), 7), UintMask(FieldReg(15), 0x10, 0xf0),
	Uint(FieldIPFrag, 1), Uint(FieldIPTTL, 64), Uint(FieldTunSrc, 0x0a000001), UintMask(FieldPktMark, 2, 2),
	Uint(FieldInPort, 3), UintMask(FieldMetadata, 0xff00, 0xffff00),
	BytesMask(FieldEthDst, []byte{1, 0, 0, 0, 0, 0}, []byte{1, 0, 0, 0, 0, 0}),
	Uint(FieldEthType, 0x86dd), Uint(FieldIPProto, 6), Uint(FieldTCPDst, 80),
	BytesMask(FieldIPv6Dst, []byte{15: 0}, append([]byte{0xff, 0xff}, make([]byte, 14)...)),
	{Field: FieldOf(0x8000, 34), Raw: "\x80\x00\x44\x04\x00\x00\x00\x64"},
	{Field: FieldOf(0xffff, 1), Raw: "\xff\xff\x02\x05\x00\x00\x23\x20\x07"},
}

// sampleActions has every action there is.
var sampleActions = []Action{
	Output{Port: 5}, Output{Port: PortController, MaxLen: 0xffff}, OutputField{Field: FieldReg(5), MaxLen: 0xffff},
	OutputTruncate{Port: 6, MaxLen: 64}, ApplyGroup{ID: 9}, Set(FieldReg(1), 0x11), Set(FieldMetadata, 0x22),
	Set(FieldTunnelID, 0x33), SetField(bytesOf(FieldIPv6Dst)), Resubmit{Port: PortInPort, Table: 4},
	Resubmit{Port: 2, Table: 5}, PushVLAN{EtherType: 0x8100}, PopVLAN{},
	Multipath{Fields: HashSymmetricL4, Basis: 50, Algorithm: LinkHighestWeight, Links: 1 << 16, Arg: 9, Field: FieldReg(5), Offset: 8, Bits: 16},
	Clone{Actions: []Action{OutputTruncate{Port: PortTable, MaxLen: 14}, Clone{Actions: []Action{PopVLAN{}}}, RawAction{Bytes: []byte{0, 24, 0, 8, 0, 0, 0, 0}}}},
	Clone{},
	Load{To: Bits{FieldReg(3), 4, 12}, Value: 0xabc}, Load{To: Bits{FieldMetadata, 0, 64}, Value: 1 << 63},
	Move{Bits{FieldInPort, 0, 16}, Bits{FieldPktMark, 16, 16}},
	RawAction{Bytes: []byte{0, 24, 0, 8, 0, 0, 0, 0}}, // dec_ttl
	RawAction{Bytes: append([]byte{0, 27, 0, 32}, make([]byte, 28)...)},
}

func bytesOf(f Field) struct {
	Field Field
	Value [16]byte
} {
	return struct {
		Field Field
		Value [16]byte
	}{f, [16]byte{0xfd, 15: 1}}
}

var sampleFlow = Flow{
	Table: 3, Priority: 100, Cookie: 0x1234, Match: sampleMatch, Meter: 7, Apply: sampleActions, Goto: 5,
	Other: []byte{0, 5, 0, 8, 0, 0, 0, 0}, // clear_actions
}

var sampleGroup = Group{ID: 8, Type: GroupTypeFastFailover, Buckets: []Bucket{
	{Weight: 1, WatchPort: 3, WatchGroup: GroupAny, Actions: sampleActions},
	{WatchPort: PortAny, WatchGroup: 2},
}}

var sampleMeter = Meter{ID: 4, Flags: MeterKBPS | MeterBurst, Bands: []MeterBand{
	{Type: BandDrop, Rate: 1000, Burst: 100}, {Type: 2, Rate: 5, Extra: []byte{1, 0, 0, 0}},
}}

var samplePort = Port{
	No: 3, HWAddr: [6]byte{2, 0, 0, 0, 0, 1}, Name: "web", Config: 1, State: 4, Curr: 1, Advertised: 2, Supported: 3,
	Peer: 4, CurrSpeed: 10000, MaxSpeed: 20000,
}

var sampleFilter = FlowFilter{
	Table: TableAll, OutPort: 2, OutGroup: 3, Cookie: 1, CookieMask: 3, Match: Match{Uint(FieldInPort, 1)},
}

// samples has every message and every multipart body.
var samples = map[string]Message{
	"hello":              &Hello{Versions: []uint8{1, 4, 6}},
	"hello, no versions": &Hello{},
	"hello, many":        &Hello{Versions: []uint8{4, 40, 255}},
	"error":              &Error{ErrType: 4, Code: 9, Data: []byte{4, 14}},
	"experimenter error": &Error{ErrType: ErrTypeExperimenter, Code: BundleErrMsgFailed, Experimenter: ExperimenterONF},
	"echo request":       &EchoRequest{Data: []byte("x")},
	"echo reply":         &EchoReply{},
	"features request":   &FeaturesRequest{},
	"features reply":     &FeaturesReply{DPID: 1, NBuffers: 2, NTables: 254, AuxiliaryID: 3, Capabilities: 0x4f},
	"get-config request": &GetConfigRequest{},
	"get-config reply":   &GetConfigReply{Flags: 1, MissSendLen: 128},
	"set-config":         &SetConfig{MissSendLen: 0xffff},
	"packet-in": &PacketIn{BufferID: NoBuffer, TotalLen: 60, Reason: PacketInAction, Table: 2, Cookie: 5,
		Match: sampleMatch, Data: []byte("frame")},
	"packet-out":   &PacketOut{BufferID: NoBuffer, InPort: PortController, Actions: sampleActions, Data: []byte("frame")},
	"flow-removed": &FlowRemoved{Table: 1, Priority: 2, Cookie: 3, Match: sampleMatch, Reason: RemovedDelete, Duration: 1500 * time.Millisecond, IdleTimeout: 4, HardTimeout: 5, Packets: 6, Bytes: 7},
	"port-status":  &PortStatus{Reason: PortModify, Port: samplePort},
	"flow-mod": &FlowMod{Command: FlowModifyStrict, Flow: sampleFlow, CookieMask: 0xff, IdleTimeout: 1,
		HardTimeout: 2, BufferID: NoBuffer, OutPort: 3, OutGroup: GroupAny, Flags: FlowSendRemoved},
	"group-mod":       &GroupMod{Command: GroupModify, Group: sampleGroup},
	"meter-mod":       &MeterMod{Command: MeterModify, Meter: sampleMeter},
	"barrier request": &BarrierRequest{},
	"barrier reply":   &BarrierReply{},
	"role request":    &RoleRequest{Role: RoleMaster, GenerationID: 77},
	"role reply":      &RoleReply{Role: RoleSlave, GenerationID: 78},
	"set-async":       &SetAsync{PacketIn: [2]uint32{7, 1}, PortStatus: [2]uint32{6, 2}, FlowRemoved: [2]uint32{5, 3}},
	"bundle-control":  &BundleControl{BundleID: 1, Ctrl: BundleCommitRequest, Flags: BundleAtomic | BundleOrdered},
	"bundle-add": &BundleAdd{BundleID: 1, Flags: BundleAtomic, XID: 42,
		Message: &FlowMod{Flow: sampleFlow, BufferID: NoBuffer, OutPort: PortAny, OutGroup: GroupAny}},
	"experimenter": &Experimenter{Experimenter: ExperimenterNicira, ExpType: 20, Data: []byte{1, 2, 3, 4}},
	"unknown":      &Unknown{MsgType: TypeTableMod, Body: []byte{1, 2, 3}},

	"desc request":            &MultipartRequest{Body: DescRequest{}},
	"desc":                    &MultipartReply{Body: Desc{"m", "h", "s", "n", "d"}},
	"flow-stats request":      &MultipartRequest{Body: FlowStatsRequest(sampleFilter)},
	"flow-stats":              &MultipartReply{More: true, Body: FlowStatsReply{{Flow: sampleFlow, Duration: time.Second + 1, IdleTimeout: 1, HardTimeout: 2, Flags: 3, Packets: 4, Bytes: 5}, {}}},
	"aggregate-stats request": &MultipartRequest{Body: AggregateStatsRequest(sampleFilter)},
	"aggregate-stats":         &MultipartReply{Body: AggregateStats{Packets: 1, Bytes: 2, Flows: 3}},
	"port-stats request":      &MultipartRequest{Body: PortStatsRequest{Port: PortAny}},
	"port-stats": &MultipartReply{Body: PortStatsReply{{Port: 1, RxPackets: 1, TxPackets: 2, RxBytes: 3, TxBytes: 4,
		RxDropped: 5, TxDropped: 6, RxErrors: 7, TxErrors: 8, RxFrameErr: 9, RxOverErr: 10, RxCRCErr: 11,
		Collisions: 12, Duration: UnknownDuration}}},
	"port-desc request":    &MultipartRequest{Body: PortDescRequest{}},
	"port-desc":            &MultipartReply{Body: PortDescReply{samplePort, {No: 1, Name: "sixteen-bytes-xx"}}},
	"group-stats request":  &MultipartRequest{Body: GroupStatsRequest{Group: GroupAll}},
	"group-stats":          &MultipartReply{Body: GroupStatsReply{{Group: 1, RefCount: 2, Packets: 3, Bytes: 4, Duration: 5, Buckets: []BucketStats{{6, 7}, {8, 9}}}, {}}},
	"group-desc request":   &MultipartRequest{Body: GroupDescRequest{}},
	"group-desc":           &MultipartReply{Body: GroupDescReply{sampleGroup, {ID: 1}}},
	"meter-stats request":  &MultipartRequest{Body: MeterStatsRequest{Meter: MeterAll}},
	"meter-stats":          &MultipartReply{Body: MeterStatsReply{{Meter: 1, Flows: 2, Packets: 3, Bytes: 4, Duration: 5, Bands: []BandStats{{6, 7}}}}},
	"meter-config request": &MultipartRequest{Body: MeterConfigRequest{Meter: 3}},
	"meter-config":         &MultipartReply{Body: MeterConfigReply{sampleMeter}},
	"flow-monitor request": &MultipartRequest{Body: FlowMonitorRequest{ID: 1, Flags: MonitorAdd | MonitorDelete, OutPort: PortAny, Table: TableAll, Match: sampleMatch}},
	"flow-monitor": &MultipartReply{Body: FlowMonitorReply{
		{Event: FlowAdded, IdleTimeout: 1, HardTimeout: 2, Flow: Flow{Table: 3, Priority: 4, Cookie: 5, Match: sampleMatch, Apply: sampleActions}},
		{Event: FlowDeleted, Reason: 3}, {Event: FlowModified}, {Event: FlowAbbreviated, XID: 42}}},
	"other experimenter's request": &MultipartRequest{Body: RawMultipart{Multipart: MultipartExperimenter, Data: []byte{1}}},
	"other experimenter's reply":   &MultipartReply{Body: RawMultipart{Multipart: MultipartExperimenter, Data: []byte{1, 2, 3, 4, 5, 6, 7, 8, 9}}},
	"table-stats request":          &MultipartRequest{More: true, Body: RawMultipart{Multipart: MultipartTableStats}},
	"table-stats":                  &MultipartReply{Body: RawMultipart{Multipart: MultipartTableStats, Data: []byte{1, 2}}},
}

func TestEveryMessageComesBackAsItWas(t *testing.T) {
	for name, m := range samples {
		t.Run(name, func(t *testing.T) {
			b, err := Append([]byte("before"), 42, m)
			require.NoError(t, err)
			require.Equal(t, "before", string(b[:6]))
			b = b[6:]
			n, err := FrameLength(b[:8])
			require.NoError(t, err)
			require.Equal(t, len(b), n)
			xid, got, err := Decode(b)
			require.NoError(t, err)
			require.Equal(t, uint32(42), xid)
			require.Equal(t, m, got)
		})
	}
}

// A decoder that reads past a short buffer panics here; one that forgets a length check accepts
// what it should not.
func TestTruncatedMessagesAreRefused(t *testing.T) {
	for name, m := range samples {
		t.Run(name, func(t *testing.T) {
			b, err := Append(nil, 42, m)
			require.NoError(t, err)
			for n := range b {
				short := append([]byte(nil), b[:n]...)
				_, _, err := Decode(short)
				require.ErrorIs(t, err, ErrMalformed, "%d of %d bytes, the length as it was", n, len(b))
				if n >= HeaderLen { // and with a length that fits: may decode, must not panic
					be.PutUint16(short[2:], uint16(n))
					_, _, _ = Decode(short)
				}
			}
		})
	}
}

func TestDecodedMessagesShareNothingWithTheBuffer(t *testing.T) {
	for name, m := range samples {
		t.Run(name, func(t *testing.T) {
			b, err := Append(nil, 42, m)
			require.NoError(t, err)
			_, got, err := Decode(b)
			require.NoError(t, err)
			for i := range b {
				b[i] = 0xaa
			}
			require.Equal(t, m, got)
		})
	}
}
