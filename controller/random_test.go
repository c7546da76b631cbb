package controller

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/flowtap/pipeline"
	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/ofsim/simswitch"
)

// TestAfterAnythingEverySwitchHoldsWhatItShould draws changes of every kind, one upon another
// without waiting, and looks at the end: with the store alone for a source, every connected
// switch holds what it should, and what is said of ports, nodes and contracts is so.
func TestAfterAnythingEverySwitchHoldsWhatItShould(t *testing.T) {
	seeds := []uint64{1, 2, 3}
	if s, err := strconv.ParseUint(os.Getenv("SEED"), 10, 64); err == nil {
		seeds = []uint64{s}
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			config := quick()
			config.CommitTimeout = 200 * time.Millisecond
			m := &monkey{lab: newLab(t, 3, config), r: rand.New(rand.NewPCG(seed, 0)), plugged: map[string]map[int]openflow.PortNo{}}
			if seed%2 == 0 { // some nodes have two bridges
				m.split(m.sws[0])
				m.split(m.sws[2])
			}
			for range 12 {
				for range 1 + m.r.IntN(8) {
					m.act()
				}
				m.reconnect()
				m.quiet()
			}
		})
	}
}

// monkey does things.
type monkey struct {
	*lab
	r       *rand.Rand
	plugged map[string]map[int]openflow.PortNo // by interface and switch
	next    openflow.PortNo
	did     []string
}

func (m *monkey) pick(from ...string) string { return from[m.r.IntN(len(from))] }

func (m *monkey) act() {
	acts := []func() string{m.plug, m.plug, m.unplug, m.putNode, m.putPort, m.putPort, m.putTap, m.putTap, m.deleteSomething,
		m.disconnect, m.tamper, m.restart, m.dropConnection, m.restartController}
	m.did = append(m.did, acts[m.r.IntN(len(acts))]())
	m.t.Log(m.did[len(m.did)-1])
}

// may ignores what the store refuses: a reference to nothing, an object in use.
func may(error) {}

// bridge picks any switch.
func (m *monkey) bridge() *simswitch.Switch {
	all := m.bridges()
	return all[m.r.IntN(len(all))]
}

func (m *monkey) sw() (*simswitch.Switch, int) {
	i := m.r.IntN(len(m.sws))
	return m.sws[i], i
}

var vms, monitors, nets = []string{"a", "b", "c", "d"}, []string{"x", "y"}, []string{"red", "blue"}

func (m *monkey) plug() string {
	sw, i := m.sw()
	iface := m.pick(append(vms, monitors...)...)
	if m.plugged[iface][i] != 0 {
		return "nothing"
	}
	if m.plugged[iface] == nil {
		m.plugged[iface] = map[int]openflow.PortNo{}
	}
	m.next = m.next%40 + 1
	for used := true; used; { // port numbers are used again, by others
		used = false
		for _, at := range m.plugged {
			if at[i] == m.next {
				m.next, used = m.next+1, true
			}
		}
	}
	m.plugged[iface][i] = m.next
	sw.AddPort(m.next, iface)
	return fmt.Sprintf("plug %s into %d as %d", iface, i+1, m.next)
}

func (m *monkey) unplug() string {
	sw, i := m.sw()
	iface := m.pick(append(vms, monitors...)...)
	if no := m.plugged[iface][i]; no != 0 {
		delete(m.plugged[iface], i)
		sw.RemovePort(no)
		if m.r.IntN(2) == 0 {
			m.next = no - 1 // the number goes to the next
		}
	}
	return fmt.Sprintf("unplug %s from %d", iface, i+1)
}

func (m *monkey) putNode() string {
	sw, i := m.sw()
	if _, err := m.store.Nodes().Get(m.ctx(), nodeID(sw)); err != nil {
		m.node(sw)
	}
	return fmt.Sprintf("node n%d", i+1)
}

func (m *monkey) putPort() string {
	net := m.pick(nets...)
	if _, err := m.store.Networks().Get(m.ctx(), net); err != nil {
		m.network(net)
	}
	id := m.pick(append(vms, monitors...)...)
	if _, err := m.store.Ports().Get(m.ctx(), id); err == nil {
		return "nothing"
	}
	if id == "x" || id == "y" {
		m.monitor(id)
	} else {
		m.vm(id, net, int(id[0])+256*m.r.IntN(3))
	}
	return "port " + id
}

func (m *monkey) putTap() string {
	id := m.pick("t1", "t2", "t3")
	match, err := flowtap.ParseMatch(m.pick("", "tcp", "udp,tp_dst=53", "in_port=b", "dl_type=0x1234"))
	require.NoError(m.t, err)
	t := copyTap(m.pick(vms...), m.pick(monitors...), flowtap.Direction(m.pick("in", "out", "both")))
	t.Match, t.Enabled, t.Priority = match, m.r.IntN(4) > 0, 1+m.r.IntN(3)
	if _, err := m.store.Taps().Get(m.ctx(), id); err == nil {
		_, err := m.store.Taps().Replace(m.ctx(), id, t, 0, noOverlap(id, t))
		may(err)
	} else {
		_, _, err := m.store.Taps().Create(m.ctx(), id, t, noOverlap(id, t))
		may(err)
	}
	return fmt.Sprintf("tap %s: %+v", id, t)
}

func (m *monkey) deleteSomething() string {
	switch what := m.r.IntN(6); what {
	case 0, 1, 2:
		id := m.pick("t1", "t2", "t3")
		may(m.store.Taps().Delete(m.ctx(), id, 0))
		return "delete tap " + id
	case 3:
		id := m.pick(append(vms, monitors...)...)
		may(m.store.Ports().Delete(m.ctx(), id, 0))
		return "delete port " + id
	case 4:
		id := m.pick(nets...)
		may(m.store.Networks().Delete(m.ctx(), id, 0))
		return "delete network " + id
	default:
		sw, _ := m.sw()
		both := []*simswitch.Switch{sw}
		if tun := m.tuns[sw.DPID()]; tun != nil {
			both = append(both, tun)
		}
		for _, sw := range both {
			if !sw.Connected() {
				return "nothing" // what it then holds is nobody's business
			}
			sw.DropOnce(simswitch.DropNever)
			if !m.served(sw) {
				return "nothing" // a controller that just started would never know that it was a node
			}
		}
		may(m.store.Nodes().Delete(m.ctx(), nodeID(sw), 0))
		// Whoever is not connected then keeps what it has, so that is waited for.
		m.eventually(func() error {
			for _, sw := range both {
				if flows, _ := own(sw.Set()).Len(); flows > 0 {
					return fmt.Errorf("switch %v keeps %d flows", sw.DPID(), flows)
				}
			}
			return nil
		})
		return "delete node " + nodeID(sw)
	}
}

// served reports whether the controller has a switch as a node's.
func (m *monkey) served(sw *simswitch.Switch) bool {
	yes := make(chan bool, 1)
	m.ctl.planner.post(m.ctx(), func(p *planner) {
		s := p.switches[sw.DPID()]
		yes <- s != nil && s.node != ""
	})
	select {
	case is := <-yes:
		return is
	case <-m.ctx().Done():
		return false
	}
}

func (m *monkey) disconnect() string {
	sw := m.bridge()
	if _, err := m.store.Nodes().Get(m.ctx(), nodeID(sw)); err != nil {
		return "nothing"
	}
	sw.Disconnect()
	return fmt.Sprintf("disconnect %v", sw.DPID())
}

func (m *monkey) restart() string {
	sw := m.bridge()
	sw.Restart()
	return fmt.Sprintf("restart %v", sw.DPID())
}

func (m *monkey) dropConnection() string {
	sw := m.bridge()
	if _, err := m.store.Nodes().Get(m.ctx(), nodeID(sw)); err == nil {
		sw.DropOnce(simswitch.Drop(1 + m.r.IntN(2)))
	}
	return fmt.Sprintf("next bundle of %v loses the connection", sw.DPID())
}

func (m *monkey) tamper() string {
	sw := m.bridge()
	if _, err := m.store.Nodes().Get(m.ctx(), nodeID(sw)); err != nil {
		return "nothing"
	}
	var ms []openflow.Message
	for _, f := range sw.Set().Flows() {
		if m.r.IntN(10) == 0 {
			ms = append(ms, &openflow.FlowMod{Command: openflow.FlowDeleteStrict, Flow: f})
		}
	}
	ms = append(ms, &openflow.FlowMod{Flow: openflow.Flow{Priority: uint16(m.r.IntN(9)), Cookie: pipeline.Cookie(pipeline.KindTap, 999)}})
	require.NoError(m.t, sw.Tamper(ms...))
	return fmt.Sprintf("tamper with %v", sw.DPID())
}

func (m *monkey) restartController() string {
	if m.r.IntN(3) > 0 {
		return "nothing"
	}
	m.stop()
	m.eventually(func() error { return disconnected(m.bridges()...) })
	m.start()
	return "restart the controller"
}

// reconnect connects what is not. The monkey is told to stop losing connections first.
func (m *monkey) reconnect() {
	for _, sw := range m.bridges() {
		sw.DropOnce(simswitch.DropNever)
		if !sw.Connected() {
			m.connect(sw)
		}
	}
}

// quiet waits until everything is as it should be, with switches that dial again.
func (m *monkey) quiet() {
	m.t.Helper()
	m.eventually(func() error {
		for _, sw := range m.bridges() {
			if !sw.Connected() {
				m.connect(sw)
			}
		}
		return m.check()
	})
}
