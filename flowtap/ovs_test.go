package flowtap

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/flowtap/flowtap/openflow"
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
	s := startOVS(t)
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
	for _, m := range want {
		s.add(m)
	}
	got := map[string]openflow.Match{}
	for _, m := range s.dump() {
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
	s := startOVS(t)
	if s == nil {
		return
	}
	s.run("ovs-ofctl", "-O", "OpenFlow13", "set-frags", filepath.Join(s.dir, "br0.mgmt"), "nx-match")
	hits := 0
	for i, m := range caseMatches(t, "testdata/cubes.txt") {
		s.clear()
		for _, c := range m.Cubes() {
			s.add(c.Fields)
		}
		s.barrier()
		frames := rapid.Custom(func(t *rapid.T) []Frame { return someFrames(t, m) }).Example(i)
		for _, f := range append(frames, m.form().frame()) {
			f.InPort, f.Table = m.form().inPort, m.form().stage // the pipeline's business
			f.keepFamily(someIPv4, someIPv6)
			out := s.run("ovs-appctl", "-t", filepath.Join(s.dir, "ovs-vswitchd.ctl"), "ofproto/trace", "br0", f.flow())
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

// A realSwitch is a bridge br0 of a private Open vSwitch, and a connection to it.
type realSwitch struct {
	t    *testing.T
	dir  string
	conn net.Conn
	xid  uint32
}

// startOVS runs a private ovs-vswitchd with the dummy datapath: no root, no kernel module. It
// gives nil under -short; otherwise a machine without Open vSwitch fails the test.
func startOVS(t *testing.T) *realSwitch {
	t.Helper()
	if testing.Short() {
		t.Log("NOT RUN under -short: this test needs ovs-vswitchd")
		return nil
	}
	dir, err := os.MkdirTemp("", "ovs") // t.TempDir() is too long for the path of a socket
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &realSwitch{t: t, dir: dir}
	db, conf, sock := filepath.Join(dir, "db.sock"), filepath.Join(dir, "conf.db"), filepath.Join(dir, "br0.mgmt")
	s.run("ovsdb-tool", "create", conf, "/usr/share/openvswitch/vswitch.ovsschema")
	s.daemon("ovsdb-server", conf, "--remote=punix:"+db)
	s.dial(db)
	s.run("ovs-vsctl", "--db=unix:"+db, "--no-wait", "init")
	s.daemon("ovs-vswitchd", "unix:"+db, "--enable-dummy")
	s.run("ovs-vsctl", "--db=unix:"+db, "--timeout=20", "add-br", "br0",
		"--", "set", "bridge", "br0", "datapath_type=dummy", "fail-mode=secure", "protocols=OpenFlow13",
		"--", "add-port", "br0", "p1", "--", "set", "interface", "p1", "type=dummy", "ofport_request=1",
		"--", "add-port", "br0", "p2", "--", "set", "interface", "p2", "type=dummy", "ofport_request=2")
	s.conn = s.dial(sock)
	s.send(&openflow.Hello{Versions: []uint8{openflow.Version}})
	require.IsType(t, &openflow.Hello{}, s.receive())
	return s
}

func (s *realSwitch) command(name string, args ...string) *exec.Cmd {
	for _, p := range []string{"/usr/sbin/", "/usr/bin/"} { // sbin is not in everybody's PATH
		if _, err := os.Stat(p + name); err == nil {
			name = p + name
			break
		}
	}
	c := exec.Command(name, args...)
	c.Env = append(os.Environ(), "OVS_RUNDIR="+s.dir, "OVS_LOGDIR="+s.dir, "OVS_DBDIR="+s.dir, "OVS_SYSCONFDIR="+s.dir)
	return c
}

func (s *realSwitch) run(name string, args ...string) string {
	s.t.Helper()
	out, err := s.command(name, args...).CombinedOutput()
	require.NoError(s.t, err, "%s %v (is openvswitch-switch installed?): %s", name, args, out)
	return string(out)
}

func (s *realSwitch) daemon(name string, args ...string) {
	s.t.Helper()
	file := func(ext string) string { return filepath.Join(s.dir, name+ext) }
	c := s.command(name, append(args, "--pidfile="+file(".pid"), "--unixctl="+file(".ctl"), "--log-file="+file(".log"), "-vconsole:off")...)
	require.NoError(s.t, c.Start(), "%s: is openvswitch-switch installed?", name)
	s.t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
}

// dial waits until a socket answers.
func (s *realSwitch) dial(path string) (conn net.Conn) {
	s.t.Helper()
	require.Eventually(s.t, func() (ok bool) {
		c, err := net.Dial("unix", path)
		conn = c
		return err == nil
	}, 20*time.Second, 5*time.Millisecond, "no socket %s", path)
	s.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func (s *realSwitch) send(m openflow.Message) {
	s.t.Helper()
	s.xid++
	b, err := openflow.Append(nil, s.xid, m)
	require.NoError(s.t, err)
	_, err = s.conn.Write(b)
	require.NoError(s.t, err)
}

func (s *realSwitch) receive() openflow.Message {
	s.t.Helper()
	require.NoError(s.t, s.conn.SetReadDeadline(time.Now().Add(10*time.Second)))
	b := make([]byte, openflow.HeaderLen, 1<<16)
	_, err := io.ReadFull(s.conn, b)
	require.NoError(s.t, err)
	n, err := openflow.FrameLength(b)
	require.NoError(s.t, err)
	_, err = io.ReadFull(s.conn, b[openflow.HeaderLen:n])
	require.NoError(s.t, err)
	_, m, err := openflow.Decode(b[:n])
	require.NoError(s.t, err)
	return m
}

func (s *realSwitch) add(m openflow.Match) {
	s.t.Helper()
	s.send(&openflow.FlowMod{Flow: openflow.Flow{Priority: 100, Match: m, Apply: []openflow.Action{openflow.Output{Port: 2}}}})
}

func (s *realSwitch) clear() {
	s.t.Helper()
	s.send(&openflow.FlowMod{Command: openflow.FlowDelete, Flow: openflow.Flow{Table: openflow.TableAll}})
}

// barrier waits until everything was accepted.
func (s *realSwitch) barrier() {
	s.t.Helper()
	s.send(&openflow.BarrierRequest{})
	require.IsType(s.t, &openflow.BarrierReply{}, s.receive())
}

// dump gives the matches of all flows, after everything was accepted.
func (s *realSwitch) dump() (out []openflow.Match) {
	s.t.Helper()
	s.barrier()
	s.send(&openflow.MultipartRequest{Body: openflow.FlowStatsRequest{Table: openflow.TableAll}})
	var parts []*openflow.MultipartReply
	for more := true; more; {
		part, ok := s.receive().(*openflow.MultipartReply)
		require.True(s.t, ok)
		parts, more = append(parts, part), part.More
	}
	joined, err := openflow.JoinReplies(parts)
	require.NoError(s.t, err)
	for _, f := range joined.(openflow.FlowStatsReply) {
		out = append(out, f.Flow.Match)
	}
	return out
}
