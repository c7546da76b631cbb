package pipeline

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/topology"
)

// TestAPortThatIsAboveItsRateIsNotHeardButServed, nor is anybody else less heard for it: whichever reason the
// controller is told of its frames for.
func TestAPortThatIsAboveItsRateIsNotHeardButServed(t *testing.T) {
	inLayouts(t, func(t *testing.T) {
		undeclared := func(p *topology.Port, _ *topology.PortStatus) { p.MAC, p.IPs = topology.MAC{}, nil }
		known := func(p *topology.Port, st *topology.PortStatus) {
			st.LearnedMACs, p.MAC, p.IPs = []topology.MAC{p.MAC}, topology.MAC{}, nil
		}
		for name, tell := range map[string]struct {
			change func(*topology.Port, *topology.PortStatus)
			from   string
			frame  frame
			kind   Kind
			heard  int
		}{
			"its MAC is new":             {undeclared, "r1", web(1, 2), KindLearn, 1},
			"its MAC and IP are new":     {undeclared, "r1", whoHas(1, 2), KindLearn, 2},
			"its IP is new":              {known, "r1", whoHas(1, 2), KindLearn, 1},
			"it sends from another node": {func(*topology.Port, *topology.PortStatus) {}, "r1@n2", web(1, 2), KindArrive, 1},
		} {
			t.Run(name, func(t *testing.T) {
				c, at := newCloud(t, "r1@n1 r2@n1 r3@n3 ids1@n2"), 0
				if tell.kind == KindArrive {
					c.place("r1", "n1,n2")
					at = 1
				}
				c.contract("r1 > ids1 out 0")
				c.change("r3", undeclared)
				got := c.send(tell.from, tell.frame)
				c.change("r1", tell.change)
				require.Equal(t, got, c.send(tell.from, tell.frame))

				p := c.w.Port("r1")
				here := p.Status.Attachments[at]
				fab := fabric(c.w)
				require.NoError(t, install(fab, c.w))
				for _, dropping := range []bool{false, true} {
					fab.Switch(c.w.Node(here.Node).Pipeline()).SetDropping(TellMeterOf(p.Num), dropping)
					r, err := fab.Inject(c.w.Node(here.Node).DatapathID, here.OFPort, tell.frame.bytes)
					require.NoError(t, err)
					require.Equal(t, got, c.named(r, tell.frame))
					heard := tell.heard
					if dropping {
						heard = 0
					}
					require.Len(t, r.PacketIns, heard)
					for _, in := range r.PacketIns {
						require.Equal(t, Cookie(tell.kind, p.Num), in.Cookie)
						require.Equal(t, tell.frame.bytes, in.Frame)
					}
				}
				other := c.w.Port("r3")
				r, err := fab.Inject(c.w.Node("n3").DatapathID, other.Status.Attachments[0].OFPort, web(3, 2).bytes)
				require.NoError(t, err)
				require.Len(t, r.PacketIns, 1)
			})
		}
	})
}

// TestEveryFrameForTheControllerPassesAMeter: of what ports send. Tunnels' probes and sentinels are our own.
func TestEveryFrameForTheControllerPassesAMeter(t *testing.T) {
	inLayouts(t, func(t *testing.T) {
		rapidly(t, cases(200), func(rt *rapid.T) {
			l := drawn(rt, draws.world)
			for _, id := range l.w.Nodes() {
				flows, _, _ := Desired(l.w, id)
				for _, f := range flows {
					kind, _, _ := Ours(f.Cookie)
					for a := range openflow.EveryAction(f.Apply) {
						if o, ok := a.(openflow.Output); ok && o.Port == openflow.PortController && kind != KindProbe && f.Meter == 0 {
							rt.Fatalf("%v", f)
						}
					}
				}
			}
		})
	})
}
