package ofsim

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/ofsim/ovstest"
)

// Open vSwitch has a megaflow look at the bits alone that a move reads or writes, and a load writes: the
// others are left to tell megaflows apart by.
func TestMegaflowsLookAtMovedBitsAlone(t *testing.T) {
	o := ovstest.Start(t, 2)
	if o == nil {
		return
	}
	mark := openflow.Bits{Field: openflow.FieldPktMark, Offset: 16, N: 16}
	require.Empty(t, o.Send(&openflow.FlowMod{Flow: openflow.Flow{Priority: 1, Apply: actions{
		openflow.Move{From: openflow.Bits{Field: openflow.FieldInPort, N: 16}, To: mark},
		openflow.Move{From: mark, To: openflow.Bits{Field: openflow.FieldReg(1), N: 16}}, openflow.Load{To: mark}, out(2)}}}))
	for _, line := range strings.Split(o.Appctl("ofproto/trace", "br0", "in_port=1"), "\n") {
		if rest, ok := strings.CutPrefix(line, "Megaflow: "); ok {
			assert.Contains(t, rest, "pkt_mark=0/0xffff0000,")
			return
		}
	}
	t.Fatal("no megaflow")
}
