package flowtap

import (
	"encoding/binary"
	"math/bits"
)

// word is a field's value or mask of up to 128 bits, in its low bits.
type word struct{ hi, lo uint64 }

func low(v uint64) word { return word{lo: v} }

// ones is a word whose n low bits are set.
func ones(n int) word {
	switch {
	case n >= 128:
		return word{^uint64(0), ^uint64(0)}
	case n > 64:
		return word{1<<(n-64) - 1, ^uint64(0)}
	case n == 64:
		return word{0, ^uint64(0)}
	}
	return word{0, 1<<n - 1}
}

func (a word) and(b word) word { return word{a.hi & b.hi, a.lo & b.lo} }
func (a word) or(b word) word  { return word{a.hi | b.hi, a.lo | b.lo} }
func (a word) zero() bool      { return a == word{} }

// prefixLen gives the number of leading ones of a mask of n bits; ok says that nothing but zeros
// follows them.
func (a word) prefixLen(n int) (length int, ok bool) {
	length = bits.OnesCount64(a.hi) + bits.OnesCount64(a.lo)
	return length, a == prefixMask(length, n)
}

// prefixMask is a mask of n bits whose first length bits are set.
func prefixMask(length, n int) word {
	all, tail := ones(n), ones(n-length)
	return word{all.hi &^ tail.hi, all.lo &^ tail.lo}
}

// bytes16 gives the word in network order, right-aligned.
func (a word) bytes16() (b [16]byte) {
	binary.BigEndian.PutUint64(b[:8], a.hi)
	binary.BigEndian.PutUint64(b[8:], a.lo)
	return b
}

// wordOf reads up to 16 bytes in network order.
func wordOf(b []byte) word {
	var full [16]byte
	copy(full[16-len(b):], b)
	return word{binary.BigEndian.Uint64(full[:8]), binary.BigEndian.Uint64(full[8:])}
}
