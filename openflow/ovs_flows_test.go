package openflow_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	. "github.com/flowtap/flowtap/openflow"
)

// What Open vSwitch 3.1 returns for a flow is the flow that was written, in its normal form.
func TestOVSReturnsTheFlowsThatWereWritten(t *testing.T) {
	s := startOVS(t)
	if s == nil {
		return
	}
	prepare(s)
	for name, f := range FlowCases() {
		t.Run(name, func(t *testing.T) {
			s.t = t
			_, err := s.do(&FlowMod{Command: FlowAdd, Flow: f})
			require.NoError(t, err, "%v", f)
			reply := s.ask(FlowStatsRequest{Table: f.Table, Cookie: f.Cookie, CookieMask: ^uint64(0)}).(FlowStatsReply)
			require.Len(t, reply, 1)
			f.Match = f.Match.Normalize()
			require.Equal(t, f, reply[0].Flow)
		})
	}
}

// prepare makes the group and the meter that the cases use.
func prepare(s *realSwitch) {
	s.t.Helper()
	_, err := s.do(
		&GroupMod{Command: GroupAdd, Group: Group{ID: 1, Type: GroupTypeAll}},
		&MeterMod{Command: MeterAdd, Meter: Meter{ID: 1, Flags: MeterPKTPS, Bands: []MeterBand{{Type: BandDrop, Rate: 100}}}},
	)
	require.NoError(s.t, err)
}

// ovs-ofctl reads what String writes, and means the same by it.
func TestOfctlReadsFlowText(t *testing.T) {
	s := startOVS(t)
	if s == nil {
		return
	}
	prepare(s)
	var lines []string
	want := map[uint64]Flow{}
	for _, f := range FlowCases() {
		text := f.String()
		if strings.Contains(text, "raw(") || strings.Contains(text, "instructions(") {
			continue
		}
		f.Match = f.Match.Normalize()
		want[f.Cookie] = f
		lines = append(lines, text)
	}
	out, err := s.ofctl(strings.NewReader(strings.Join(lines, "\n")), "add-flows", s.sock, "-")
	require.NoError(t, err, out)
	got := map[uint64]Flow{}
	for _, f := range s.flows() {
		got[f.Cookie] = f
	}
	require.Len(t, got, len(want))
	for cookie, f := range want {
		require.Equal(t, f, got[cookie], f.String())
	}
}
