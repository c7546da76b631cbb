package openflow

import (
	"bytes"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// mostMemory is how many bytes of memory one byte of a message may take while it is decoded: what a hostile
// switch can make us hold is what it sends, times this.
const mostMemory = 64

// A length field says how much is there, never how much is to be made room for: the longest message of every
// kind, full of the shortest elements, of its own elements and of lengths that are lies, takes memory by its length.
func TestDecodersTakeMemoryByWhatIsThere(t *testing.T) {
	worst, name := 0.0, ""
	for kind, m := range samples {
		sample, err := Append(nil, 42, m)
		require.NoError(t, err)
		for _, head := range []int{HeaderLen, HeaderLen + 8, HeaderLen + 16, HeaderLen + 24, HeaderLen + 32, HeaderLen + 40, HeaderLen + 48} {
			for _, fill := range [][]byte{
				sample[min(head, len(sample)):], {0}, {0xff}, {0, 8}, {0, 0, 0, 8, 0, 0, 0, 0}, {0, 4, 0, 8, 0, 0, 0, 0}, {0, 16, 0, 0, 0, 0, 0, 0},
				{0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, append([]byte{0, 56}, make([]byte, 54)...), {0, 1, 0xff, 0xff}, {0x80, 0, 0, 4, 0, 0, 0, 1},
			} {
				if len(fill) == 0 {
					continue
				}
				b := append(bytes.Clone(sample[:min(head, len(sample))]), bytes.Repeat(fill, MaxMessageLen/len(fill)+1)...)[:MaxMessageLen/8*8]
				be.PutUint16(b[2:], uint16(len(b)))
				if by := memoryOf(func() { _, _, _ = Decode(b) }) / float64(len(b)); by > worst {
					worst, name = by, kind
				}
			}
		}
	}
	t.Logf("at most %.1f bytes of memory a byte: %s", worst, name)
	require.Less(t, worst, float64(mostMemory), name)
}

// memoryOf is how many bytes f allocates.
func memoryOf(f func()) float64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return float64(after.TotalAlloc - before.TotalAlloc)
}
