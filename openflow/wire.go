package openflow

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"
)

var be = binary.BigEndian

// zeros pads; no padding in OpenFlow is longer.
var zeros [16]byte

// clone copies what must outlive the buffer; nothing becomes nil.
func clone(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return append([]byte(nil), b...)
}

// pad8 appends zeros until b is a multiple of 8 bytes past start.
func pad8(b []byte, start int) []byte { return append(b, zeros[:(8-(len(b)-start)%8)%8]...) }

// putLen16 writes the length of b[start:] into the two bytes at b[at:].
func putLen16(b []byte, start, at int) error {
	n := len(b) - start
	if n > math.MaxUint16 {
		return fmt.Errorf("%d bytes do not fit a 16-bit length", n)
	}
	be.PutUint16(b[at:], uint16(n))
	return nil
}

func tooShort(what string, have, want int) error {
	return fmt.Errorf("%s: %d bytes, need %d", what, have, want)
}

// empty is a message without a body.
func empty(m Message, b []byte) (Message, error) {
	if len(b) != 0 {
		return nil, fmt.Errorf("%d bytes after the header, want none", len(b))
	}
	return m, nil
}

// element cuts the first element of a list, whose 16-bit length stands at offset at and counts
// the whole element. It fails unless the length is a multiple of 8, covers least bytes, and
// lies within b; so a list walk always ends.
func element(what string, b []byte, at, least int) (elem, rest []byte, err error) {
	if len(b) < least {
		return nil, nil, tooShort(what, len(b), least)
	}
	n := int(be.Uint16(b[at:]))
	if n < least || n > len(b) || n%8 != 0 {
		return nil, nil, fmt.Errorf("%s says length %d, least %d, %d left", what, n, least, len(b))
	}
	return b[:n], b[n:], nil
}

// UnknownDuration is what a switch reports that does not know how long something has existed
// (all ones in both fields, as Open vSwitch does for ports).
const UnknownDuration time.Duration = -1

// decodeDuration reads seconds and nanoseconds. Nanoseconds that make a second or more are left
// out: a wrong clock is no reason to lose a flow dump.
func decodeDuration(b []byte) time.Duration {
	sec, nsec := be.Uint32(b), be.Uint32(b[4:])
	if sec == math.MaxUint32 && nsec == math.MaxUint32 {
		return UnknownDuration
	}
	if nsec >= 1e9 {
		nsec = 0
	}
	return time.Duration(sec)*time.Second + time.Duration(nsec)
}

func appendDuration(b []byte, d time.Duration) []byte {
	if d < 0 || d/time.Second > math.MaxUint32 {
		return append(b, 255, 255, 255, 255, 255, 255, 255, 255)
	}
	b = be.AppendUint32(b, uint32(d/time.Second))
	return be.AppendUint32(b, uint32(d%time.Second))
}

// appendText appends s and zeros up to n bytes.
func appendText(b []byte, what, s string, n int) ([]byte, error) {
	if len(s) > n {
		return nil, fmt.Errorf("%s %q: more than %d bytes", what, s, n)
	}
	for i := 0; i < len(s); i++ {
		if s[i] == 0 {
			return nil, fmt.Errorf("%s %q holds a zero byte", what, s)
		}
	}
	b = append(b, s...)
	for i := len(s); i < n; i++ {
		b = append(b, 0)
	}
	return b, nil
}

// text reads up to the first zero byte.
func text(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}
