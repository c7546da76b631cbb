package flowtap

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/ofsim/ovstest"
)

// caseMatches gives the matches of a file of cases.
func caseMatches(t *testing.T, path string) (out []Match) {
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	for _, block := range strings.Split(string(raw), "\n\n") {
		in, _, _ := strings.Cut(block, "\n----")
		if i := strings.LastIndex(in, "# "); i >= 0 {
			in = in[i+strings.Index(in[i:], "\n")+1:]
		}
		if m, err := parseEither(in); err == nil {
			out = append(out, m)
		}
	}
	return out
}

// Every cube comes back from a flow dump of Open vSwitch as it was written, so that a dump can be
// compared with what should be there.
func TestOpenVSwitchReturnsCubesUnchanged(t *testing.T) {
	s := ovstest.Start(t, 2)
	if s == nil {
		return
	}
	want := map[string]openflow.Match{}
	add := func(m Match) {
		for _, c := range append(m.Cubes(), m.Reverse().Cubes()...) {
			want[string(c.Fields.AppendKey(nil))] = c.Fields
		}
	}
	for _, path := range []string{"testdata/match.txt", "testdata/cubes.txt"} {
		for _, m := range caseMatches(t, path) {
			add(m)
		}
	}
	for seed := range 300 {
		add(aMatch.Example(seed))
	}
	var flows []openflow.Message
	for _, m := range want {
		flows = append(flows, toPort2(m))
	}
	require.Empty(t, s.Send(flows...))
	got := map[string]openflow.Match{}
	for _, m := range dump(t, s) {
		got[string(m.AppendKey(nil))] = m
	}
	for key, m := range want {
		require.Contains(t, got, key, "%s is not in the dump", m)
	}
	require.Len(t, got, len(want))
	t.Logf("%d cubes came back", len(got))
}

// Open vSwitch finds the same frames in a flow's cubes as Frame says have the flow.
func TestOpenVSwitchAgreesWhichFramesHaveAFlow(t *testing.T) {
	s := ovstest.Start(t, 2)
	if s == nil {
		return
	}
	hits := 0
	for i, m := range caseMatches(t, "testdata/cubes.txt") {
		change := []openflow.Message{&openflow.FlowMod{Command: openflow.FlowDelete, Flow: openflow.Flow{Table: openflow.TableAll}}}
		for _, c := range m.Cubes() {
			change = append(change, toPort2(c.Fields))
		}
		require.Empty(t, s.Send(change...))
		frames := rapid.Custom(func(t *rapid.T) []Frame { return someFrames(t, m) }).Example(i)
		for _, f := range append(frames, m.form().frame()) {
			f.InPort, f.Table = m.form().inPort, m.form().stage // the pipeline's business
			f.keepFamily(someIPv4, someIPv6)
			out := s.Appctl("ofproto/trace", "br0", f.flow())
			hit := strings.Contains(out, "output:2")
			require.Equal(t, m.Matches(f), hit, "%s: %+v\n%s", m, f, out)
			if hit {
				hits++
			}
		}
	}
	require.NotZero(t, hits)
	t.Logf("%d frames had their flow", hits)
}

// flow spells the frame as ofproto/trace reads it.
func (f Frame) flow() string {
	words := []string{"in_port=1"}
	for x := range numFields {
		v, ok := f.value(x)
		switch {
		case !ok || x == fieldTunSrc && v.zero() || x == fieldTunDst && v.zero():
		case x == fieldFrag:
			words = append(words, "ip_frag="+map[Fragment]string{NoFragment: "no", FirstFragment: "first", LaterFragment: "later"}[f.Fragment])
		default:
			words = append(words, f.word(x, v))
		}
	}
	return strings.Join(words, ",")
}

// word spells one field in the dialect of ofproto/trace, which wants the protocol in the name.
func (f Frame) word(x field, v word) string {
	proto := map[uint8]string{protoTCP: "tcp", protoUDP: "udp", protoSCTP: "sctp"}[f.Proto]
	switch {
	case x == fieldProto:
		return fmt.Sprintf("nw_proto=%d", v.lo)
	case x == fieldPortSrc || x == fieldPortDst:
		return fmt.Sprintf("%s%s=%d", proto, strings.TrimPrefix(x.name(), "tp"), v.lo)
	case (x == fieldICMPType || x == fieldICMPCode) && f.EthType == typeIPv6:
		return fmt.Sprintf("icmpv6%s=%d", strings.TrimPrefix(x.name(), "icmp"), v.lo)
	}
	return formatField(x, constraint{v, x.full()})
}

func toPort2(m openflow.Match) *openflow.FlowMod {
	return &openflow.FlowMod{Flow: openflow.Flow{Priority: 100, Match: m, Apply: []openflow.Action{openflow.Output{Port: 2}}}}
}

// dump gives the matches of all flows.
func dump(t *testing.T, s *ovstest.OVS) (out []openflow.Match) {
	t.Helper()
	conn, err := net.Dial("unix", s.Path("br0.mgmt"))
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	require.NoError(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	var ask []byte
	for _, m := range []openflow.Message{&openflow.Hello{Versions: []uint8{openflow.Version}}, &openflow.MultipartRequest{Body: openflow.FlowStatsRequest{Table: openflow.TableAll}}} {
		ask, err = openflow.Append(ask, 1, m)
		require.NoError(t, err)
	}
	_, err = conn.Write(ask)
	require.NoError(t, err)
	var parts []*openflow.MultipartReply
	for more := true; more; {
		if part, ok := receive(t, conn).(*openflow.MultipartReply); ok { // the first is a hello
			parts, more = append(parts, part), part.More
		}
	}
	joined, err := openflow.JoinReplies(parts)
	require.NoError(t, err)
	for _, f := range joined.(openflow.FlowStatsReply) {
		out = append(out, f.Flow.Match)
	}
	return out
}

func receive(t *testing.T, conn net.Conn) openflow.Message {
	t.Helper()
	b := make([]byte, openflow.HeaderLen, 1<<16)
	_, err := io.ReadFull(conn, b)
	require.NoError(t, err)
	n, err := openflow.FrameLength(b)
	require.NoError(t, err)
	_, err = io.ReadFull(conn, b[openflow.HeaderLen:n])
	require.NoError(t, err)
	_, m, err := openflow.Decode(b[:n])
	require.NoError(t, err)
	return m
}
