package openflow

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// benchFlow is a flow as the pipeline has them: five fields, four actions, a goto.
var benchFlow = Flow{
	Table: 30, Priority: 100, Cookie: 0xf10a00000001,
	Match: Match{
		Uint(FieldReg(1), 3), Uint(FieldInPort, 5), Uint(FieldEthType, 0x0800), Uint(FieldIPProto, 6), Uint(FieldTCPDst, 80),
	},
	Apply: []Action{Set(FieldReg(2), 7), Set(FieldTunnelID, 0x1234), ApplyGroup{ID: 5}, Resubmit{Port: PortInPort, Table: 40}},
	Goto:  50,
}

func BenchmarkEncodeFlowMod(b *testing.B) {
	m := &FlowMod{Flow: benchFlow}
	buf := make([]byte, 0, 512)
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if buf, err = Append(buf[:0], 1, m); err != nil {
			b.Fatal(err)
		}
	}
}

// One operation is one entry of a reply of 200.
func BenchmarkDecodeFlowStatsEntry(b *testing.B) {
	const entries = 200
	reply := make(FlowStatsReply, entries)
	for i := range reply {
		reply[i] = FlowStats{Flow: benchFlow, Packets: 5, Bytes: 6}
	}
	buf, err := Append(nil, 1, &MultipartReply{Body: reply})
	require.NoError(b, err)
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i += entries {
		if _, _, err := Decode(buf); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodePacketIn(b *testing.B) {
	buf, err := Append(nil, 1, &PacketIn{BufferID: NoBuffer, Match: benchFlow.Match, Data: make([]byte, 64)})
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Decode(buf); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodePacketOut(b *testing.B) {
	m := &PacketOut{Actions: benchFlow.Apply, Data: make([]byte, 64)}
	buf := make([]byte, 0, 512)
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if buf, err = Append(buf[:0], 1, m); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMatchKey(b *testing.B) {
	buf := make([]byte, 0, 512)
	b.ReportAllocs()
	for b.Loop() {
		buf = benchFlow.Match.AppendKey(buf[:0])
	}
}
