package ofsim

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/flowset"
	"github.com/flowtap/flowtap/openflow/ofsim/ovstest"
)

// Open vSwitch has a megaflow look at the bits alone that a push reads and a pop or load writes. For a move
// it looks at the whole of both fields, and no bit would be left to tell megaflows apart by.
func TestACopyByWayOfTheStackLooksAtItsBitsAlone(t *testing.T) {
	o := ovstest.Start(t, 2)
	if o == nil {
		return
	}
	mark := openflow.Bits{Field: openflow.FieldPktMark, Offset: 16, N: 16}
	f := openflow.Flow{Priority: 1, Apply: actions{openflow.Push{From: openflow.Bits{Field: openflow.FieldInPort, N: 16}}, openflow.Pop{To: mark},
		openflow.Push{From: mark}, openflow.Pop{To: openflow.Bits{Field: openflow.FieldReg(1), N: 16}}, openflow.Load{To: mark}, out(2)}}
	require.Empty(t, o.Send(&openflow.FlowMod{Flow: f}))
	megaflow := func() string {
		for _, line := range strings.Split(o.Appctl("ofproto/trace", "br0", "in_port=1"), "\n") {
			if rest, ok := strings.CutPrefix(line, "Megaflow: "); ok {
				return rest
			}
		}
		return ""
	}
	assert.Contains(t, megaflow(), "pkt_mark=0/0xffff0000,")
	move := []byte{0xff, 0xff, 0, 24, 0, 0, 0x23, 0x20, 0, 6, 0, 16, 0, 0, 0, 16, 0, 0, 0, 2, 0, 1, 0x42, 4} // in_port to pkt_mark[16..31]
	f.Apply = actions{openflow.RawAction{Bytes: move}, openflow.Load{To: mark}, out(2)}
	require.Empty(t, o.Send(&openflow.FlowMod{Flow: f}))
	assert.Contains(t, megaflow(), "pkt_mark=0,")
}

// What a clone pushes and pops is undone after it, and so is what a patch port leads to.
func TestTheStackOfACloneIsItsOwn(t *testing.T) {
	reg := func(n int) openflow.Bits { return openflow.Bits{Field: openflow.FieldReg(n), N: 16} }
	f := fabric(t, nil, nil)
	require.NoError(t, f.AddPatch(1, 20, 2, 21))
	require.NoError(t, f.Switch(2).Apply(flowset.Changes{FlowAdd: []openflow.Flow{{Apply: actions{openflow.Pop{To: reg(0)}, openflow.Push{From: reg(9)}}}}}))
	require.NoError(t, f.Switch(1).Apply(flowset.Changes{FlowAdd: []openflow.Flow{{Apply: actions{
		openflow.Load{To: reg(1), Value: 2}, openflow.Push{From: reg(1)},
		openflow.Clone{Actions: actions{openflow.Pop{To: reg(0)}, openflow.Push{From: reg(9)}}}, out(20),
		openflow.Pop{To: reg(3)}, openflow.Pop{To: reg(1)}, openflow.OutputField{Field: openflow.FieldReg(3)}}}}}))
	r, err := f.Inject(1, 1, hey)
	require.NoError(t, err)
	require.Len(t, r.Deliveries, 1, r.Trace())
	assert.Equal(t, "2", fmt.Sprint(r.Deliveries[0].Port))
}
