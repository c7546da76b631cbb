package openflow_test

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	. "github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/ofsim/ovstest"
)

// A realSwitch is one OpenFlow 1.3 connection to a bridge of a private Open vSwitch.
type realSwitch struct {
	t    *testing.T
	ovs  *ovstest.OVS
	conn net.Conn
	sock string // of the bridge, for ovs-ofctl
	xid  uint32
}

// startOVS runs a private Open vSwitch whose bridge has the ports p1 to p3 and connects to it. It
// returns nil under -short, where tests do without Open vSwitch.
func startOVS(t *testing.T) *realSwitch {
	t.Helper()
	o := ovstest.Start(t, 3)
	if o == nil {
		return nil
	}
	sock := o.Path("br0.mgmt")
	conn, err := net.Dial("unix", sock)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	s := &realSwitch{t: t, ovs: o, conn: conn, sock: sock}
	s.send(&Hello{Versions: []uint8{Version}})
	_, m := s.receive()
	require.IsType(t, &Hello{}, m)
	return s
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
	c := s.ovs.Command("ovs-ofctl", append([]string{"-O", "OpenFlow13"}, args...)...)
	c.Stdin = stdin
	out, err := c.CombinedOutput()
	return string(out), err
}

// Open vSwitch's own decoder reads our bytes as we mean them.
func TestOfctlPrintsWhatWeSend(t *testing.T) {
	if testing.Short() {
		t.Log("NOT RUN under -short: this test needs ovs-ofctl")
		return
	}
	for name, l := range Sent() {
		t.Run(name, func(t *testing.T) {
			out, err := ovstest.Command(t.TempDir(), "ovs-ofctl", "ofp-print", l[0]).CombinedOutput()
			require.NoError(t, err)
			require.NotContains(t, string(out), "decode error")
			require.Contains(t, string(out), l[1])
		})
	}
}
