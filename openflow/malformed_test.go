package openflow

import (
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// unhex reads hexadecimal with spaces and newlines in it.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	require.NoError(t, err)
	return b
}

// message makes a whole message of a type and a body.
func message(t MsgType, body []byte) []byte {
	b := append([]byte{Version, byte(t), 0, 0, 0, 0, 0, 1}, body...)
	be.PutUint16(b[2:], uint16(len(b)))
	return b
}

func TestMalformedMessagesAreRefused(t *testing.T) {
	monitored := "ffff 0000 00000000 4f4e4600 0000074e"
	flowMod := "0000000000000000 0000000000000000 00 00 0000 0000 0001 ffffffff ffffffff ffffffff 0000 0000"
	for name, c := range map[string]struct {
		typ  MsgType
		body string
		want string // a part of the error
	}{
		"action of length 0":          {TypePacketOut, "ffffffff fffffffd 0010 000000000000 0000 0000 00000000 0000 0008 00000000", "length 0"},
		"action of length 4":          {TypePacketOut, "ffffffff fffffffd 0008 000000000000 0000 0004 00000000", "length 4"},
		"action of length 12":         {TypePacketOut, "ffffffff fffffffd 0010 000000000000 0000 000c 00000000 00000000 00000000", "length 12"},
		"action longer than list":     {TypePacketOut, "ffffffff fffffffd 0008 000000000000 0000 0010 00000000 0000000000000000", "length 16"},
		"list longer than message":    {TypePacketOut, "ffffffff fffffffd 0018 000000000000 0000 0010 00000000 0000000000000000", "need 24"},
		"half an action":              {TypePacketOut, "ffffffff fffffffd 0004 000000000000 0000 0010", "need 8"},
		"bucket of length 0":          {TypeGroupMod, "0000 00 00 00000001 0000 0000 ffffffff ffffffff 00000000", "length 0"},
		"bucket longer than message":  {TypeGroupMod, "0000 00 00 00000001 0018 0000 ffffffff ffffffff 00000000", "length 24"},
		"band of length 0":            {TypeMeterMod, "0000 0001 00000001 0001 0000 00000001 00000000 00000000", "length 0"},
		"drop band of length 24":      {TypeMeterMod, "0000 0001 00000001 0001 0018 00000001 00000000 00000000 0000000000000000", "length 24"},
		"match of type 0":             {TypeFlowMod, flowMod + "0000 0004 00000000", "type 0"},
		"match of length 0":           {TypeFlowMod, flowMod + "0001 0000 00000000", "length 0"},
		"match longer than message":   {TypeFlowMod, flowMod + "0001 0009 00000000", "length 9"},
		"match field past the end":    {TypeFlowMod, flowMod + "0001 0009 80000004 00 00000000000000", "past the end"},
		"half a match field header":   {TypeFlowMod, flowMod + "0001 0006 8000 0000", "past the end"},
		"in_port of no bytes":         {TypeFlowMod, flowMod + "0001 0008 80000000", "in_port of 0 bytes"},
		"in_port with half a mask":    {TypeFlowMod, flowMod + "0001 000e 80000106 000000000000 0000", "in_port of 6 bytes"},
		"in_port twice":               {TypeFlowMod, flowMod + "0001 0014 80000004 00000001 80000004 00000001 00000000", "twice"},
		"unknown field twice":         {TypeFlowMod, flowMod + "0001 0014 80004404 00000001 80004404 00000001 00000000", "twice"},
		"value outside the mask":      {TypeFlowMod, flowMod + "0001 000c 80000d04 0fff 0ff0 00000000", "outside its mask"},
		"value wider than the field":  {TypeFlowMod, flowMod + "0001 000a 80000c02 2000 000000000000", "outside its mask"},
		"instruction of length 0":     {TypeFlowMod, flowMod + "0001 0004 00000000 0004 0000 00000000", "length 0"},
		"goto of length 16":           {TypeFlowMod, flowMod + "0001 0004 00000000 0001 0010 00000000 0000000000000000", "length 16"},
		"goto table 0":                {TypeFlowMod, flowMod + "0001 0004 00000000 0001 0008 00000000", "goto_table:0"},
		"goto twice":                  {TypeFlowMod, flowMod + "0001 0004 00000000 0001 0008 01000000 0001 0008 02000000", "second"},
		"apply twice":                 {TypeFlowMod, flowMod + "0001 0004 00000000 0004 0008 00000000 0004 0008 00000000", "twice"},
		"flow update of length 0":     {TypeMultipartReply, monitored + "0000 0000 00000000", "length 0"},
		"flow update of no event":     {TypeMultipartReply, monitored + "0008 0004 00000000", "event 4"},
		"flow update without a match": {TypeMultipartReply, monitored + "0018 0000 0000 0007 0000 0000 0004 04 00 0000000000000000", "announced"},
		"flow update's other match":   {TypeMultipartReply, monitored + "0020 0000 0000 0007 0000 0000 0005 04 00 0000000000000000 0001 0004 00000000", "announced"},
		"flow update cut short":       {TypeMultipartReply, monitored + "0010 0001 0000 0007 0000 0000 0004 04 00", "need 24"},
		"abbreviated and more":        {TypeMultipartReply, monitored + "0010 0003 00000007 0000000000000000", "must be 8"},
		"flow monitor without flags":  {TypeMultipartRequest, monitored + "00000001", "need 16"},
		"flow-stats of length 0":      {TypeMultipartReply, "0001 0000 00000000" + strings.Repeat("00", 56), "length 0"},
		"group-desc of length 0":      {TypeMultipartReply, "0007 0000 00000000" + strings.Repeat("00", 8), "length 0"},
		"group-stats with half one":   {TypeMultipartReply, "0006 0000 00000000 0030" + strings.Repeat("00", 46), "last bucket"},
		"meter-stats of length 0":     {TypeMultipartReply, "0009 0000 00000000" + strings.Repeat("00", 40), "length 0"},
		"meter-config of length 0":    {TypeMultipartReply, "000a 0000 00000000" + strings.Repeat("00", 8), "length 0"},
		"half a port":                 {TypeMultipartReply, "000d 0000 00000000" + strings.Repeat("00", 63), "need 64"},
		"desc request with a body":    {TypeMultipartRequest, "0000 0000 00000000 00", "want none"},
		"bitmap of 6 bytes":           {TypeHello, "0001 0006 0000 0000", "length 6"},
		"hello element of length 0":   {TypeHello, "0002 0000", "length 0"},
		"barrier with a body":         {TypeBarrierRequest, "00", "want none"},
		"bundle in a bundle":          {TypeExperimenter, "4f4e4600 000008fd 00000001 0000 0000 04 04 0010 00000001 4f4e4600 000008fc", "in a bundle"},
		"inner message of length 0":   {TypeExperimenter, "4f4e4600 000008fd 00000001 0000 0000 04 0e 0000 00000001", "length 0"},
		"inner message that is short": {TypeExperimenter, "4f4e4600 000008fd 00000001 0000 0000 04 0e 0020 00000001", "need 32"},
		"inner xid of another":        {TypeExperimenter, "4f4e4600 000008fd 00000001 0000 0000 04 14 0008 00000002", "inner xid 2"},
		"experimenter of 4 bytes":     {TypeExperimenter, "4f4e4600", "need 8"},
		"experimenter error, short":   {TypeError, "ffff 08fc 4f4e", "need 4"},
	} {
		t.Run(name, func(t *testing.T) {
			_, m, err := Decode(message(c.typ, unhex(t, c.body)))
			require.ErrorIs(t, err, ErrMalformed)
			require.ErrorContains(t, err, c.want)
			require.Nil(t, m)
		})
	}
}

// Action type 27 (pop PBB) of 32 bytes is nothing special: netrack's decoder panics on it.
func TestStrangeActionsStayRaw(t *testing.T) {
	for name, action := range map[string]string{
		"pop PBB of 32 bytes":       "001b 0020" + strings.Repeat("00", 28),
		"output of 8 bytes":         "0000 0008 00000001",
		"set_field of nothing":      "0019 0008 80000a00",
		"set_field with a mask":     "0019 0018 80000508 00000001 ffffffff 0000000000000000",
		"set_field, too long":       "0019 0018 80000a02 0800 0000 0000000000000000 00000000",
		"set_field, unknown field":  "0019 0010 80004404 00000001 00000000",
		"set_field of OXM in_port":  "0019 0010 80000004 00000001 00000000",
		"experimenter of 8 bytes":   "ffff 0008 00002320",
		"Nicira, 16 bytes, unknown": "ffff 0010 00002320 0063 000000000000",
		"output_reg of bits 4 to 7": "ffff 0018 00002320 000f 0103 00010004 ffff 000000000000",
		"output_reg of 128 bits":    "ffff 0018 00002320 000f 007f 80003410 ffff 000000000000",
	} {
		t.Run(name, func(t *testing.T) {
			raw := unhex(t, action)
			body := append(unhex(t, "ffffffff fffffffd 0000 000000000000"), raw...)
			be.PutUint16(body[8:], uint16(len(raw)))
			_, m, err := Decode(message(TypePacketOut, body))
			require.NoError(t, err)
			require.Equal(t, []Action{RawAction{Bytes: raw}}, m.(*PacketOut).Actions)
		})
	}
}

func TestFrameLength(t *testing.T) {
	for name, c := range map[string]struct {
		header string
		want   int // zero: an error
	}{
		"hello of 1.5":     {"06 00 0010 00000001", 16},
		"error of 1.0":     {"01 01 000c 00000001", 12},
		"barrier":          {"04 14 0008 00000001", 8},
		"version 0":        {"00 00 0008 00000001", 0},
		"echo of 1.5":      {"06 02 0008 00000001", 0},
		"length 7":         {"04 02 0007 00000001", 0},
		"length 0":         {"04 02 0000 00000001", 0},
		"seven bytes":      {"04 02 0008 000000", 0},
		"the longest":      {"04 02 ffff 00000001", 0xffff},
		"not OpenFlow: GE": {"47 45 5420 2f204854", 0},
	} {
		t.Run(name, func(t *testing.T) {
			n, err := FrameLength(unhex(t, c.header))
			require.Equal(t, c.want, n)
			require.Equal(t, c.want == 0, err != nil)
		})
	}
}

func TestHelloVersions(t *testing.T) {
	for name, c := range map[string]struct {
		wire string
		want []uint8
	}{
		"no bitmap":        {"04 00 0008 00000001", []uint8{1, 2, 3, 4}},
		"bitmap":           {"06 00 0010 00000001 0001 0008 00000052", []uint8{1, 4, 6}},
		"unknown element":  {"04 00 0018 00000001 0009 0005 01000000 0001 0008 00000010", []uint8{4}},
		"unpadded element": {"04 00 000d 00000001 0009 0005 01", []uint8{1, 2, 3, 4}},
	} {
		t.Run(name, func(t *testing.T) {
			_, m, err := Decode(unhex(t, c.wire))
			require.NoError(t, err)
			require.Equal(t, c.want, m.(*Hello).Versions)
		})
	}
	b, err := Append(nil, 1, &Hello{Versions: []uint8{1, 4}})
	require.NoError(t, err)
	require.Equal(t, uint8(4), b[0], "the header has the highest version")
}

func TestAppendRefusesWhatCannotBeSaid(t *testing.T) {
	for name, c := range map[string]struct {
		m    Message
		want string
	}{
		"too long":            {&EchoRequest{Data: make([]byte, 0xffff)}, "the most is 65535"},
		"unknown field":       {&FlowMod{Flow: Flow{Match: Match{{Field: 5, Mask: [16]byte{1}}}}}, "neither a known width nor raw bytes"},
		"raw field that lies": {&FlowMod{Flow: Flow{Match: Match{{Raw: "\x80\x00\x00\x04\x01"}}}}, "says otherwise"},
		"resubmit port":       {&PacketOut{Actions: []Action{Resubmit{Port: 0x10000}}}, "does not fit 16 bits"},
		"truncate port":       {&PacketOut{Actions: []Action{OutputTruncate{Port: 0xff00}}}, "does not fit 16 bits"},
		"in_port":             {&PacketOut{Actions: []Action{Set(FieldInPort, 0x10000)}}, "does not fit 16 bits"},
		"set unknown field":   {&PacketOut{Actions: []Action{SetField{Field: 5}}}, "set_field of unknown"},
		"output to IPv6":      {&PacketOut{Actions: []Action{OutputField{Field: FieldIPv6Src}}}, "output to ipv6_src"},
		"raw action lies":     {&PacketOut{Actions: []Action{RawAction{Bytes: []byte{0, 0, 0, 16, 0, 0, 0, 0}}}}, "says otherwise"},
		"raw instruction":     {&FlowMod{Flow: Flow{Other: []byte{0, 5, 0, 0, 0, 0, 0, 0}}}, "length 0"},
		"no action":           {&PacketOut{Actions: []Action{nil}}, "no action"},
		"bundle in bundle":    {&BundleAdd{Message: &BundleControl{}}, "cannot be in a bundle"},
		"nothing in bundle":   {&BundleAdd{}, "cannot be in a bundle"},
		"inner xid":           {&BundleAdd{XID: 3, Message: &BarrierRequest{}}, "inner xid 3, outer xid 1"},
		"no multipart body":   {&MultipartRequest{}, "no body"},
		"long port name":      {&PortStatus{Port: Port{Name: "seventeen-bytes-x"}}, "more than 16 bytes"},
		"port name with 0":    {&PortStatus{Port: Port{Name: "a\x00b"}}, "zero byte"},
		"drop band extra":     {&MeterMod{Meter: Meter{Bands: []MeterBand{{Type: BandDrop, Extra: make([]byte, 4)}}}}, "extra bytes"},
		"experimenter":        {&Error{ErrType: 1, Experimenter: 5}, "experimenter 0x00000005 in error type 1"},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := Append([]byte("kept"), 1, c.m)
			require.ErrorContains(t, err, c.want)
			require.Equal(t, "kept", string(b))
		})
	}
}

func TestZeroValuesMeanNoLimit(t *testing.T) {
	b, err := Append(nil, 1, &FlowMod{})
	require.NoError(t, err)
	_, m, err := Decode(b)
	require.NoError(t, err)
	require.Equal(t, &FlowMod{BufferID: NoBuffer, OutPort: PortAny, OutGroup: GroupAny}, m)
	b, err = Append(nil, 1, &PacketOut{})
	require.NoError(t, err)
	_, m, err = Decode(b)
	require.NoError(t, err)
	require.Equal(t, &PacketOut{BufferID: NoBuffer, InPort: PortController}, m)
}

func TestDurations(t *testing.T) {
	for _, d := range []time.Duration{0, 1, time.Second - 1, 3*time.Second + 5, UnknownDuration, (1<<32 - 1) * time.Second} {
		require.Equal(t, d, decodeDuration(appendDuration(nil, d)))
	}
	require.Equal(t, 7*time.Second, decodeDuration([]byte{0, 0, 0, 7, 0x77, 0x35, 0x94, 0}), "2e9 nanoseconds")
}

func TestErrorTexts(t *testing.T) {
	for want, e := range map[string]*Error{
		"switch says: bad match bad prereq (type 4, code 9)":                                      {ErrType: 4, Code: 9},
		"switch says: bad request (type 1, code 99)":                                              {ErrType: 1, Code: 99},
		"switch says: unknown error (type 77, code 1)":                                            {ErrType: 77, Code: 1},
		`switch says: hello failed incompatible (type 0, code 0): "no"`:                           {Data: []byte("no")},
		"switch says: bundle failed: too many messages (experimenter 0x4f4e4600, code 2312)":      {ErrType: ErrTypeExperimenter, Experimenter: ExperimenterONF, Code: BundleErrMsgTooMany},
		"switch says: flow monitor exists already (experimenter 0x00002320, code 6)":              {ErrType: ErrTypeExperimenter, Experimenter: ExperimenterNicira, Code: 6},
		"switch says: experimenter's error (experimenter 0x00000001, code 6)":                     {ErrType: ErrTypeExperimenter, Experimenter: 1, Code: 6},
		"switch says: bundle failed: another is in progress (experimenter 0x4f4e4600, code 2315)": {ErrType: ErrTypeExperimenter, Experimenter: ExperimenterONF, Code: BundleErrInProgress},
	} {
		require.EqualError(t, e, want)
	}
}

func TestJoinReplies(t *testing.T) {
	part := func(body MultipartBody) *MultipartReply { return &MultipartReply{Body: body} }
	got, err := JoinReplies([]*MultipartReply{part(PortDescReply{{No: 1}}), part(PortDescReply{}), part(PortDescReply{{No: 2}})})
	require.NoError(t, err)
	require.Equal(t, PortDescReply{{No: 1}, {No: 2}}, got)
	got, err = JoinReplies([]*MultipartReply{part(RawMultipart{3, []byte{1}}), part(RawMultipart{3, []byte{2}})})
	require.NoError(t, err)
	require.Equal(t, RawMultipart{3, []byte{1, 2}}, got)
	for _, parts := range [][]*MultipartReply{
		nil,
		{part(PortDescReply{}), part(GroupDescReply{})},
		{part(Desc{}), part(Desc{})},
		{part(PortDescReply{}), part(RawMultipart{Multipart: MultipartPortDesc})},
	} {
		_, err := JoinReplies(parts)
		require.ErrorIs(t, err, ErrMalformed)
	}
}

// What is within a clone or after a multipath's subtype and is not as we would write it stays raw, as the
// whole action, and comes back bit for bit.
func TestOddClonesAndMultipathsStayRaw(t *testing.T) {
	good := func(a Action) []byte {
		b, err := appendAction(nil, a)
		require.NoError(t, err)
		return b
	}
	clone := good(Clone{Actions: []Action{Output{Port: 1}}})
	multi := good(Multipath{Fields: HashSymmetricL4, Links: 4, Field: FieldReg(1), Bits: 2})
	load, move := good(Load{To: Bits{FieldReg(1), 0, 8}, Value: 5}), good(Move{Bits{FieldInPort, 0, 16}, Bits{FieldPktMark, 16, 16}})
	with := func(b []byte, at int, v ...byte) []byte {
		b = append([]byte(nil), b...)
		copy(b[at:], v)
		return b
	}
	for name, b := range map[string][]byte{
		"clone with padding":              with(clone, 12, 1),
		"clone of an action too long":     with(clone, 18, 0, 24),
		"clone of an action of no bytes":  with(clone, 18, 0, 0),
		"multipath, unknown fields":       with(multi, 10, 0, 99),
		"multipath, padding":              with(multi, 14, 1),
		"multipath, more padding":         with(multi, 24, 1),
		"multipath, unknown algorithm":    with(multi, 16, 0, 9),
		"multipath, links beyond bits":    with(multi, 18, 0, 4),
		"multipath, bits beyond field":    with(multi, 26, 0x07, 0xc1),
		"multipath, an offset of 64":      with(multi, 26, 0x10, 0x01),
		"multipath, unknown field":        with(multi, 28, 0x12, 0x34, 0x56, 0x04),
		"multipath, a masked field":       with(multi, 30, 0x03),
		"load, a value too large":         with(load, 22, 1),
		"load, bits beyond field":         with(load, 10, 0x07, 0xc7),
		"load, an offset of 64":           with(load, 10, 0x10, 0x00),
		"load, unknown field":             with(load, 12, 0x12, 0x34, 0x56, 0x04),
		"move, no bits":                   with(move, 10, 0, 0),
		"move, more bits than there are":  with(move, 10, 0, 17),
		"move, a number of bits too long": with(move, 10, 1, 1),
		"move, an offset too long":        with(move, 12, 1, 0),
		"move, to an unknown field":       with(move, 20, 0x12, 0x34, 0x56, 0x04),
	} {
		t.Run(name, func(t *testing.T) {
			list, err := decodeActions(b)
			require.NoError(t, err)
			require.Equal(t, []Action{RawAction{Bytes: b}}, list)
			again, err := appendActions(nil, list)
			require.NoError(t, err)
			require.Equal(t, b, again)
		})
	}
}

func TestClonesAreReadToADepth(t *testing.T) {
	var a Action = PopVLAN{}
	for range 2000 {
		a = Clone{Actions: []Action{a}}
	}
	b, err := appendAction(nil, a)
	require.NoError(t, err)
	list, err := decodeActions(b)
	require.NoError(t, err)
	depth := 0
	for range EveryAction(list) {
		depth++
	}
	require.Equal(t, maxClones+1, depth)
	again, err := appendActions(nil, list)
	require.NoError(t, err)
	require.Equal(t, b, again)
	require.True(t, SameActions(list, list))
}

func TestMultipathsThatSayNothingAreRefused(t *testing.T) {
	fine := Multipath{Links: 4, Field: FieldReg(1), Bits: 2}
	for name, change := range map[string]func(*Multipath){
		"no links":          func(m *Multipath) { m.Links = 0 },
		"too many links":    func(m *Multipath) { m.Links = 1<<16 + 1 },
		"no bits":           func(m *Multipath) { m.Bits = 0 },
		"bits too few":      func(m *Multipath) { m.Links = 5 },
		"bits past the end": func(m *Multipath) { m.Offset = 31 },
		"unknown field":     func(m *Multipath) { m.Field = FieldOf(7, 7) },
		"unknown fields":    func(m *Multipath) { m.Fields = 7 },
		"unknown algorithm": func(m *Multipath) { m.Algorithm = 4 },
	} {
		m := fine
		change(&m)
		_, err := appendAction(nil, m)
		require.Error(t, err, name)
		_, err = appendAction(nil, Clone{Actions: []Action{m}})
		require.Error(t, err, name)
	}
}

func TestBitsThatAreNotThereAreRefused(t *testing.T) {
	for _, a := range []Action{
		Load{To: Bits{FieldReg(1), 0, 4}, Value: 16}, Load{To: Bits{FieldReg(1), 31, 2}}, Load{To: Bits{FieldReg(1), 0, 0}},
		Move{Bits{FieldInPort, 1, 16}, Bits{FieldReg(1), 0, 16}}, Move{Bits{FieldReg(1), 0, 1}, Bits{FieldOf(7, 7), 0, 1}},
		Move{Bits{FieldReg(1), 0, 16}, Bits{FieldReg(2), 0, 15}}, Move{Bits{FieldReg(1), 0, 1}, Bits{FieldIPv6Src, 64, 1}},
	} {
		_, err := appendAction(nil, a)
		require.Error(t, err, "%v", a)
	}
}
