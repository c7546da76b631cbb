package ofconn

import (
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/flowtap/flowtap/openflow"
)

// frames cuts a byte stream into whole messages. A deadline that passes loses no bytes: the next
// call goes on where the last one stopped. It is for one goroutine.
type frames struct {
	nc         net.Conn
	max        int // longest message
	buf        []byte
	start, end int // bytes of buf that were read and not yet given out
	total      *counter
}

var errTooLong = errors.New("message too long")

// firstBuffer holds many ordinary messages; it grows with a longer one.
const firstBuffer = 4 << 10

func newFrames(nc net.Conn, max int, total *counter) *frames {
	return &frames{nc: nc, max: max, buf: make([]byte, firstBuffer), total: total}
}

// next gives the next whole message, valid until the call after. It fails with
// os.ErrDeadlineExceeded when there is none by the deadline, with io.EOF when the stream ended
// between two messages and io.ErrUnexpectedEOF when within one, and with
// openflow.ErrMalformed or errTooLong when the stream cannot be cut any further.
func (f *frames) next(deadline time.Time) ([]byte, error) {
	for {
		need := openflow.HeaderLen
		if f.end-f.start >= need {
			n, err := openflow.FrameLength(f.buf[f.start : f.start+need])
			if err != nil {
				return nil, err
			}
			if n > f.max {
				return nil, fmt.Errorf("%w: %d bytes, the most is %d", errTooLong, n, f.max)
			}
			if f.end-f.start >= n {
				frame := f.buf[f.start : f.start+n]
				f.start += n
				return frame, nil
			}
			need = n
		}
		f.room(need)
		if err := f.nc.SetReadDeadline(deadline); err != nil {
			return nil, err
		}
		n, err := f.nc.Read(f.buf[f.end:])
		f.end += n
		f.total.add(n)
		if n == 0 && err != nil {
			if err == io.EOF && f.end > f.start {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
}

// whole reports whether the next message is read already.
func (f *frames) whole() bool {
	if f.end-f.start < openflow.HeaderLen {
		return false
	}
	n, err := openflow.FrameLength(f.buf[f.start : f.start+openflow.HeaderLen])
	return err == nil && f.end-f.start >= n
}

// room makes space for a message of need bytes from start on.
func (f *frames) room(need int) {
	if f.start == f.end {
		f.start, f.end = 0, 0
	}
	if f.end < len(f.buf) && (f.start+need <= len(f.buf) || f.start == 0) {
		return
	}
	to := f.buf
	if f.end-f.start == len(f.buf) {
		// What has come fills half of it: who announces 64 KiB and sends none gets none.
		to = make([]byte, min(f.max, need, 2*len(f.buf)))
	}
	f.end = copy(to, f.buf[f.start:f.end])
	f.start, f.buf = 0, to
}
