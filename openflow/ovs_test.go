package openflow

import (
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A realSwitch is one OpenFlow 1.3 connection to a bridge of a private Open vSwitch.
type realSwitch struct {
	t    *testing.T
	conn net.Conn
	sock string // of the bridge, for ovs-ofctl
	dir  string
	xid  uint32
}

// startOVS runs a private ovs-vswitchd with the dummy datapath, which needs neither root nor a
// kernel module, and a bridge with the ports p1 to p3 (OpenFlow ports 1 to 3). It returns nil under
// -short, where tests do without Open vSwitch; otherwise a machine without it fails the test.
func startOVS(t *testing.T) *realSwitch {
	t.Helper()
	if testing.Short() {
		t.Log("NOT RUN under -short: this test needs ovs-vswitchd")
		return nil
	}
	dir, err := os.MkdirTemp("", "ovs") // t.TempDir() is too long for the path of a socket
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	db := filepath.Join(dir, "db.sock")
	run := func(name string, args ...string) {
		t.Helper()
		out, err := ovsCommand(dir, name, args...).CombinedOutput()
		require.NoError(t, err, "%s %v (is openvswitch-switch installed?): %s", name, args, out)
	}
	run("ovsdb-tool", "create", filepath.Join(dir, "conf.db"), "/usr/share/openvswitch/vswitch.ovsschema")
	startDaemon(t, dir, "ovsdb-server", filepath.Join(dir, "conf.db"), "--remote=punix:"+db)
	waitFor(t, db)
	run("ovs-vsctl", "--db=unix:"+db, "--no-wait", "init")
	startDaemon(t, dir, "ovs-vswitchd", "unix:"+db, "--enable-dummy")
	args := []string{"--db=unix:" + db, "--timeout=20", "add-br", "br0",
		"--", "set", "bridge", "br0", "datapath_type=dummy", "fail-mode=secure", "protocols=OpenFlow13"}
	for _, p := range []string{"1", "2", "3"} {
		args = append(args, "--", "add-port", "br0", "p"+p, "--", "set", "interface", "p"+p, "type=dummy", "ofport_request="+p)
	}
	run("ovs-vsctl", args...)
	sock := filepath.Join(dir, "br0.mgmt")
	waitFor(t, sock)
	conn, err := net.Dial("unix", sock)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	s := &realSwitch{t: t, conn: conn, sock: sock, dir: dir}
	s.send(&Hello{Versions: []uint8{Version}})
	_, m := s.receive()
	require.IsType(t, &Hello{}, m)
	return s
}

func ovsCommand(dir, name string, args ...string) *exec.Cmd {
	for _, p := range []string{"/usr/sbin/", "/usr/bin/"} { // sbin is not in everybody's PATH
		if _, err := os.Stat(p + name); err == nil {
			name = p + name
			break
		}
	}
	c := exec.Command(name, args...)
	c.Env = append(os.Environ(), "OVS_RUNDIR="+dir, "OVS_LOGDIR="+dir, "OVS_DBDIR="+dir, "OVS_SYSCONFDIR="+dir)
	return c
}

func startDaemon(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	args = append(args, "--pidfile="+filepath.Join(dir, name+".pid"), "--unixctl="+filepath.Join(dir, name+".ctl"),
		"--log-file="+filepath.Join(dir, name+".log"), "-vconsole:off")
	c := ovsCommand(dir, name, args...)
	require.NoError(t, c.Start(), "%s: is openvswitch-switch installed?", name)
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
}

func waitFor(t *testing.T, path string) {
	t.Helper()
	require.Eventually(t, func() bool {
		c, err := net.Dial("unix", path)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	}, 20*time.Second, 5*time.Millisecond, "no socket %s", path)
}

func (s *realSwitch) send(m Message) uint32 {
	s.t.Helper()
	s.xid++
	b, err := Append(nil, s.xid, m)
	require.NoError(s.t, err)
	_, err = s.conn.Write(b)
	require.NoError(s.t, err)
	return s.xid
}

// receive reads the next message. Whatever Open vSwitch says must decode, and once encoded again
// must decode to the same.
func (s *realSwitch) receive() (uint32, Message) {
	s.t.Helper()
	xid, m, _ := s.receiveBytes()
	return xid, m
}

func (s *realSwitch) receiveBytes() (uint32, Message, []byte) {
	s.t.Helper()
	require.NoError(s.t, s.conn.SetReadDeadline(time.Now().Add(10*time.Second)))
	b := make([]byte, HeaderLen, 1<<16)
	_, err := io.ReadFull(s.conn, b)
	require.NoError(s.t, err)
	n, err := FrameLength(b)
	require.NoError(s.t, err)
	b = b[:n]
	_, err = io.ReadFull(s.conn, b[HeaderLen:])
	require.NoError(s.t, err)
	xid, m, err := Decode(b)
	require.NoError(s.t, err, "%x", b)
	again, err := Append(nil, xid, m)
	require.NoError(s.t, err, "%x", b)
	_, m2, err := Decode(again)
	require.NoError(s.t, err, "%x", again)
	require.Equal(s.t, m, m2)
	return xid, m, b
}

// do sends messages and a barrier; it returns what came before the barrier's answer, an error
// message as an error.
func (s *realSwitch) do(ms ...Message) (replies []Message, err error) {
	s.t.Helper()
	for _, m := range ms {
		s.send(m)
	}
	want := s.send(&BarrierRequest{})
	for {
		xid, m := s.receive()
		if _, ok := m.(*BarrierReply); ok && xid == want {
			return replies, err
		}
		if e, ok := m.(*Error); ok {
			err = errors.Join(err, e)
			continue
		}
		replies = append(replies, m)
	}
}

// ask sends a multipart request and joins the answer.
func (s *realSwitch) ask(body MultipartBody) MultipartBody {
	s.t.Helper()
	replies, err := s.do(&MultipartRequest{Body: body})
	require.NoError(s.t, err)
	var parts []*MultipartReply
	for _, r := range replies {
		parts = append(parts, r.(*MultipartReply))
	}
	joined, err := JoinReplies(parts)
	require.NoError(s.t, err)
	return joined
}

// flows dumps all flows.
func (s *realSwitch) flows() []Flow {
	s.t.Helper()
	var flows []Flow
	for _, f := range s.ask(FlowStatsRequest{Table: TableAll}).(FlowStatsReply) {
		flows = append(flows, f.Flow)
	}
	return flows
}

// clear deletes everything.
func (s *realSwitch) clear() {
	s.t.Helper()
	_, err := s.do(&FlowMod{Command: FlowDelete, Flow: Flow{Table: TableAll}},
		&GroupMod{Command: GroupDelete, Group: Group{ID: GroupAll}},
		&MeterMod{Command: MeterDelete, Meter: Meter{ID: MeterAll}})
	require.NoError(s.t, err)
}

// ofctl runs ovs-ofctl against the bridge with stdin as its input.
func (s *realSwitch) ofctl(stdin io.Reader, args ...string) (string, error) {
	c := ovsCommand(s.dir, "ovs-ofctl", append([]string{"-O", "OpenFlow13"}, args...)...)
	c.Stdin = stdin
	out, err := c.CombinedOutput()
	return string(out), err
}
