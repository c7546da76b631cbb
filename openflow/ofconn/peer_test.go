package ofconn

import (
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/openflow"
)

// patience bounds every wait of the tests; none takes that long when all is well.
const patience = 10 * time.Second

func TestMain(m *testing.M) {
	code := m.Run()
	if stacks := leaked(); code == 0 && stacks != "" {
		os.Stderr.WriteString("goroutines left behind:\n" + stacks)
		code = 1
	}
	os.Exit(code)
}

// leaked gives the stacks of goroutines of this package that do not end.
func leaked() string {
	for end := time.Now().Add(patience / 2); ; time.Sleep(time.Millisecond) {
		buf := make([]byte, 1<<20)
		var bad []string
		for i, g := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
			if i > 0 && strings.Contains(g, "ofconn.") && !strings.Contains(g, "fuzz") {
				bad = append(bad, g)
			}
		}
		if len(bad) == 0 || time.Now().After(end) {
			return strings.Join(bad, "\n\n")
		}
	}
}

// peer is the switch's end of a connection, moved by hand. Its methods fail the test.
type peer struct {
	t  testing.TB
	nc net.Conn
}

// sockets is a pair of connected TCP sockets on loopback.
func sockets(t testing.TB) (ours, theirs net.Conn) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	theirs, err = net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	ours, err = ln.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	return ours, theirs
}

type shaken struct {
	c   *Conn
	err error
}

// shake starts a Handshake with a peer that has said nothing yet.
func shake(t testing.TB, config Config) (*peer, <-chan shaken) {
	ours, theirs := sockets(t)
	if config.Logger == nil {
		config.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	done := make(chan shaken, 1)
	go func() {
		c, err := Handshake(context.Background(), ours, config)
		done <- shaken{c, err}
	}()
	return &peer{t, theirs}, done
}

// connect gives both ends of a connection after the handshake.
func connect(t testing.TB, config Config) (*Conn, *peer) {
	p, done := shake(t, config)
	p.handshake()
	s := <-done
	require.NoError(t, s.err)
	t.Cleanup(func() { p.nc.Close(); s.c.Close() })
	return s.c, p
}

var testPorts = openflow.PortDescReply{{No: 1, Name: "one"}, {No: openflow.PortLocal, Name: "br0"}}

func (p *peer) handshake() {
	p.t.Helper()
	p.send(1, &openflow.Hello{Versions: []uint8{1, 4, 6}})
	expect[*openflow.Hello](p)
	xid, _ := expect[*openflow.FeaturesRequest](p)
	p.send(xid, &openflow.FeaturesReply{DPID: 0xabc, NTables: 254})
	_, config := expect[*openflow.SetConfig](p)
	require.Equal(p.t, &openflow.SetConfig{Flags: fragNXMatch, MissSendLen: 0xffff}, config)
	xid, _ = expect[*openflow.MultipartRequest](p)
	p.send(xid, &openflow.MultipartReply{Body: openflow.Desc{Software: "3.1.0"}})
	xid, _ = expect[*openflow.MultipartRequest](p)
	p.send(xid, &openflow.MultipartReply{Body: testPorts[:1], More: true})
	p.send(xid, &openflow.MultipartReply{Body: testPorts[1:]})
}

func encode(t testing.TB, xid uint32, m openflow.Message) []byte {
	t.Helper()
	b, err := openflow.Append(nil, xid, m)
	require.NoError(t, err)
	return b
}

func (p *peer) send(xid uint32, m openflow.Message) { p.t.Helper(); p.raw(encode(p.t, xid, m)) }

func (p *peer) raw(b []byte) {
	p.t.Helper()
	p.nc.SetWriteDeadline(time.Now().Add(patience))
	_, err := p.nc.Write(b)
	require.NoError(p.t, err)
}

// next reads a message; err is the socket's.
func (p *peer) next() (uint32, openflow.Message, error) {
	p.t.Helper()
	p.nc.SetReadDeadline(time.Now().Add(patience))
	b := make([]byte, openflow.HeaderLen)
	if _, err := io.ReadFull(p.nc, b); err != nil {
		return 0, nil, err
	}
	b = append(b, make([]byte, int(binary.BigEndian.Uint16(b[2:]))-len(b))...)
	if _, err := io.ReadFull(p.nc, b[openflow.HeaderLen:]); err != nil {
		return 0, nil, err
	}
	xid, m, err := openflow.Decode(b)
	require.NoError(p.t, err)
	return xid, m, nil
}

// expect reads a message of type M.
func expect[M openflow.Message](p *peer) (uint32, M) {
	p.t.Helper()
	xid, m, err := p.next()
	require.NoError(p.t, err)
	got, ok := m.(M)
	require.Truef(p.t, ok, "got %T %+v", m, m)
	return xid, got
}

// expectEnd reads until the connection ends.
func (p *peer) expectEnd() {
	p.t.Helper()
	for {
		if _, _, err := p.next(); err != nil {
			require.NotErrorIs(p.t, err, os.ErrDeadlineExceeded)
			return
		}
	}
}

// ended waits for the end of c and gives the reason.
func ended(t testing.TB, c *Conn) error {
	t.Helper()
	select {
	case <-c.Done():
	case <-time.After(patience):
		t.Fatal("connection does not end")
	}
	return c.Err()
}

// got receives one value.
func got[T any](t testing.TB, ch <-chan T) T {
	t.Helper()
	select {
	case v, ok := <-ch:
		require.True(t, ok, "channel closed")
		return v
	case <-time.After(patience):
		t.Fatal("nothing comes")
		panic("unreachable")
	}
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// later runs f in a goroutine and gives its result when it comes.
func later[T any](f func() T) <-chan T {
	ch := make(chan T, 1)
	go func() { ch <- f() }()
	return ch
}

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	t.Cleanup(cancel)
	return ctx
}

// flowMod adds a flow that the number makes unique.
func flowMod(i int) *openflow.FlowMod {
	return &openflow.FlowMod{Flow: openflow.Flow{
		Priority: 100, Cookie: uint64(i), Match: openflow.Match{
			openflow.Uint(openflow.FieldInPort, 1),
			openflow.Uint(openflow.FieldEthDst, 0x020000000000|uint64(i)),
		},
		Apply: []openflow.Action{openflow.Output{Port: 1}},
	}}
}
