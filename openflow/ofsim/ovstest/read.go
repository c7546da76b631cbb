package ovstest

import (
	"encoding/binary"
	"io"
	"net"
	"os"

	"github.com/flowtap/flowtap/openflow"
)

// read reads one message.
func read(c net.Conn) (openflow.Message, error) {
	b := make([]byte, openflow.HeaderLen)
	if _, err := io.ReadFull(c, b); err != nil {
		return nil, err
	}
	n, err := openflow.FrameLength(b)
	if err != nil {
		return nil, err
	}
	b = append(b, make([]byte, n-len(b))...)
	if _, err := io.ReadFull(c, b[openflow.HeaderLen:]); err != nil {
		return nil, err
	}
	_, m, err := openflow.Decode(b)
	return m, err
}

// A Tail reads the frames that are appended to a pcap file.
type Tail struct {
	o    *OVS
	f    *os.File
	rest []byte
	head bool
}

// Tail reads what leaves by port n from now on.
func (o *OVS) Tail(n int) *Tail {
	o.t.Helper()
	o.await(o.rel(n))
	f, err := os.Open(o.Pcap(n))
	if err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() { _ = f.Close() })
	t := &Tail{o: o, f: f}
	t.Frames()
	return t
}

func (o *OVS) rel(n int) string { return o.Pcap(n)[len(o.dir)+1:] }

// Frames are the whole frames since the last call.
func (t *Tail) Frames() [][]byte {
	t.o.t.Helper()
	b, err := io.ReadAll(t.f)
	if err != nil {
		t.o.t.Fatal(err)
	}
	t.rest = append(t.rest, b...)
	if !t.head {
		if len(t.rest) < 24 {
			return nil
		}
		t.rest, t.head = t.rest[24:], true
	}
	var frames [][]byte
	for len(t.rest) >= 16 {
		n := int(binary.NativeEndian.Uint32(t.rest[8:]))
		if len(t.rest) < 16+n {
			break
		}
		frames = append(frames, t.rest[16:16+n:16+n])
		t.rest = t.rest[16+n:]
	}
	return frames
}
