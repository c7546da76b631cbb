package ofconn

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/openflow"
)

// A script is what a hostile switch does, one step after the other: an opcode and what the opcode
// needs. Bytes that are missing at the end are zero, so that every input is a script.
type script []byte

// Steps of a script. What stands behind each is how many bytes follow.
const (
	opRaw     = iota // n, then n bytes as they are
	opMessage        // sample, xid, piece: a sound message, in pieces of so many bytes (0: whole)
	opBroken         // sample, xid, offset, value: the same with one byte changed
	opCut            // sample, xid, length: the beginning of a message, and the next one follows
	opShake          // the handshake, as it should be
	opRequest        // our side asks for something more: what
	opCancel         // our side gives up what it has asked for
	opRead           // our side reads events: how many
	opHangUp         // the switch closes
	opCount
)

func (s *script) byte() byte {
	if len(*s) == 0 {
		return 0
	}
	b := (*s)[0]
	*s = (*s)[1:]
	return b
}

// sampleMessages has a message of every type that a switch sends, and some that it should not.
var sampleMessages = []openflow.Message{
	&openflow.Hello{Versions: []uint8{4}}, &openflow.Hello{Versions: []uint8{1, 6}},
	&openflow.FeaturesReply{DPID: 0xabc, NTables: 254}, &openflow.FeaturesReply{},
	&openflow.MultipartReply{Body: openflow.Desc{Software: "3.1.0"}},
	&openflow.MultipartReply{Body: testPorts[:1], More: true}, &openflow.MultipartReply{Body: testPorts[1:]},
	&openflow.EchoRequest{Data: []byte("x")}, &openflow.EchoReply{}, &openflow.PacketIn{Data: make([]byte, 60)},
	portStatus(1, "p"), portStatus(2, "q"), badMatch, &openflow.BarrierReply{}, &openflow.FlowRemoved{},
	&openflow.MultipartReply{More: true, Body: openflow.FlowStatsReply{{}}}, &openflow.MultipartReply{Body: openflow.FlowStatsReply{{}}},
	&openflow.MultipartReply{More: true, Body: openflow.FlowStatsReply{}},
	&openflow.MultipartReply{Body: openflow.GroupDescReply{{ID: 1}}}, &openflow.MultipartReply{Body: openflow.RawMultipart{Multipart: 9999}},
	&openflow.RoleReply{Role: openflow.RoleMaster, GenerationID: 7},
	&openflow.BundleControl{Ctrl: openflow.BundleOpenReply}, &openflow.BundleControl{Ctrl: openflow.BundleCloseReply},
	&openflow.BundleControl{Ctrl: openflow.BundleCommitReply}, &openflow.BundleControl{Ctrl: openflow.BundleDiscardReply},
	&openflow.Error{ErrType: openflow.ErrTypeExperimenter, Experimenter: 0x4f4e4600, Code: openflow.BundleErrMsgFailed},
	&openflow.FlowMod{}, &openflow.FeaturesRequest{},
}

// A hostile moves a connection by a script.
type hostile struct {
	t       *testing.T
	script  script
	ours    net.Conn
	nc      net.Conn
	conn    chan *Conn // gets one, nil when the handshake failed
	c       *Conn      // nil before the handshake's end, and when it failed
	known   bool       // the handshake is over
	over    bool       // the handshake failed, or the switch hung up
	ctx     context.Context
	cancel  context.CancelFunc
	waiters sync.WaitGroup
	asked   chan uint32 // gets the transaction ids of what our side sends in its handshake
	written int
	// courtesy is how long a handshake in a script waits to be asked, less each time.
	courtesy time.Duration
}

// take reads what our side sends.
func (h *hostile) take() {
	defer close(h.asked)
	head := make([]byte, openflow.HeaderLen)
	for {
		if _, err := io.ReadFull(h.nc, head); err != nil {
			return
		}
		if _, err := io.CopyN(io.Discard, h.nc, int64(binary.BigEndian.Uint16(head[2:]))-openflow.HeaderLen); err != nil {
			return
		}
		select {
		case h.asked <- binary.BigEndian.Uint32(head[4:]):
		default:
		}
	}
}

// awaits waits for a transaction id from our side, which may never send it.
func (h *hostile) awaits(xid uint32, patience time.Duration) {
	late := time.After(patience)
	for {
		select {
		case x, more := <-h.asked:
			if !more || x == xid {
				return
			}
		case <-late:
			return
		}
	}
}

// write gives up when the connection does not take the bytes any more, which is its right when it has ended.
func (h *hostile) write(b []byte) {
	n, err := h.nc.Write(b)
	h.written += n
	h.over = h.over || err != nil
}

func (h *hostile) pieces(b []byte, size int) {
	if size == 0 {
		size = len(b)
	}
	for ; len(b) > 0 && !h.over; b = b[min(size, len(b)):] {
		h.write(b[:min(size, len(b))])
	}
}

func (h *hostile) sample() []byte {
	m := sampleMessages[int(h.script.byte())%len(sampleMessages)]
	return encode(h.t, uint32(h.script.byte()), m)
}

// ready looks whether the handshake is over, or waits for it.
func (h *hostile) ready(wait bool) {
	if h.known {
		return
	}
	if wait {
		h.c, h.known = got(h.t, h.conn), true
	} else {
		select {
		case h.c = <-h.conn:
			h.known = true
		default:
		}
	}
	h.over = h.over || h.known && h.c == nil
}

// handshake answers what Handshake asks, whose transaction ids are known.
func (h *hostile) handshake(patience time.Duration) {
	for i, m := range []openflow.Message{
		&openflow.Hello{Versions: []uint8{4}}, &openflow.FeaturesReply{DPID: 0xabc, NTables: 254},
		&openflow.MultipartReply{Body: openflow.Desc{Software: "3.1.0"}}, &openflow.MultipartReply{Body: testPorts},
	} {
		if xid := [...]uint32{1, 2, 4, 5}[i]; !h.over {
			h.awaits(xid, patience)
			h.write(encode(h.t, xid, m))
		}
	}
}

// request lets something more be under way.
func (h *hostile) request(what byte) {
	if h.ready(false); h.c == nil {
		return
	}
	c := h.c
	h.waiters.Go(func() {
		switch what % 6 {
		case 0:
			_ = c.Barrier(h.ctx)
		case 1:
			_, _ = c.DumpFlows(h.ctx)
		case 2:
			_ = c.Commit(h.ctx, messages(0, 2))
		case 3:
			_ = c.SetRole(h.ctx, openflow.RoleMaster, 7)
		case 4:
			_ = c.Send(h.ctx, messages(0, 3)...)
		case 5:
			_, _ = c.DumpGroups(h.ctx)
		}
	})
}

// step does one step; false when the script or the connection is at its end.
func (h *hostile) step() bool {
	if len(h.script) == 0 || h.over {
		return false
	}
	switch h.script.byte() % opCount {
	case opRaw:
		n := min(int(h.script.byte()), len(h.script))
		b := h.script[:n]
		h.script = h.script[n:]
		h.write(b)
	case opMessage:
		b := h.sample()
		h.pieces(b, int(h.script.byte()))
	case opBroken:
		b := h.sample()
		b[int(h.script.byte())%len(b)] = h.script.byte()
		h.write(b)
	case opCut:
		b := h.sample()
		h.write(b[:int(h.script.byte())%len(b)])
	case opShake:
		h.handshake(h.courtesy) // whether our side asks depends on what came before
		h.courtesy /= 2
		h.ready(false)
	case opRequest:
		h.request(h.script.byte())
	case opCancel:
		h.cancel()
		h.ctx, h.cancel = context.WithCancel(context.Background())
	case opRead:
		for n := h.script.byte(); n > 0 && h.c != nil; n-- {
			select {
			case <-h.c.Events():
			default:
			}
		}
	case opHangUp:
		h.nc.Close()
		h.over = true
	}
	return true
}

// run plays the script and checks that nothing is left of the connection.
func (h *hostile) run(shaken bool) {
	before := runtime.NumGoroutine()
	var memory, after runtime.MemStats
	runtime.ReadMemStats(&memory)
	h.ours, h.nc = net.Pipe()
	h.nc.SetDeadline(time.Now().Add(patience))
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.conn = make(chan *Conn, 1)
	shaking, stop := context.WithCancel(context.Background())
	h.waiters.Go(func() {
		c, err := Handshake(shaking, h.ours, Config{EventQueue: 2, RequestTimeout: patience, HandshakeTimeout: patience, EchoInterval: patience, MaxReply: 1 << 16})
		require.Equal(h.t, err == nil, c != nil)
		h.conn <- c
	})
	h.asked = make(chan uint32, 16)
	h.waiters.Go(h.take)
	if shaken {
		h.handshake(patience)
		if h.ready(true); h.c == nil {
			h.t.Fatal("no handshake")
		}
		for what := range byte(4) {
			h.request(what)
		}
	}
	for h.step() {
	}
	stop()
	h.ready(true)
	h.cancel()
	if h.c != nil {
		h.c.Close()
		if h.c.Err() == nil {
			h.t.Fatal("ended without a reason")
		}
	}
	h.nc.Close()
	h.waiters.Wait()
	runtime.ReadMemStats(&after)
	// What is sent to us costs a number of bytes a byte, whatever lengths it claims.
	if used, most := after.TotalAlloc-memory.TotalAlloc, uint64(1<<20+1024*h.written); used > most {
		h.t.Fatalf("%d bytes took %d bytes of memory, which is more than %d", h.written, used, most)
	}
	eventually(h.t, "no goroutine more than before", func() bool { return runtime.NumGoroutine() <= before })
}

// FuzzConnection lets a hostile switch do what it wants, from the first byte on or after a sound
// handshake, while requests, dumps, bundles and roles wait for answers. Whatever comes, the connection
// goes on or ends with a reason, everybody who waits is told, and nothing is left of it.
func FuzzConnection(f *testing.F) {
	whole := func(m, xid byte) []byte { return []byte{opMessage, m, xid, 0} }
	for m := range byte(len(sampleMessages)) {
		for xid := range byte(16) { // those that the handshake and the first requests use
			f.Add(true, whole(m, xid))
		}
		f.Add(false, whole(m, 1))
		f.Add(false, append(append(whole(0, 1), whole(m, 2)...), opHangUp))
	}
	f.Add(false, []byte{opShake, opRequest, 2, opMessage, 10, 0, 1, opCancel, opRead, 9, opHangUp})
	f.Add(true, []byte{opRaw, 8, 4, 10, 0xff, 0xff, 0, 0, 0, 0, opRequest, 1, opCut, 16, 7, 30})
	f.Add(true, []byte{opBroken, 15, 7, 17, 0xff, opBroken, 22, 9, 3, 7})
	f.Fuzz(func(t *testing.T, shaken bool, steps []byte) {
		if len(steps) > 1<<10 {
			return
		}
		(&hostile{t: t, script: steps, courtesy: 2 * time.Millisecond}).run(shaken)
	})
}
