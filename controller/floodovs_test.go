package controller

import (
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/ofsim"
	"github.com/flowtap/flowtap/openflow/ofsim/ovstest"
	"github.com/flowtap/flowtap/topology"
)

// guests is a real switch with two ports that declare nothing: flood on p1, guest on p2.
func guests(t *testing.T) (*lab, floods) {
	l, ovs := real(t, seldom())
	if l == nil {
		return nil, floods{}
	}
	for i, id := range []string{"flood", "guest"} {
		require.NoError(t, l.store.Ports().Delete(l.ctx(), []string{"web", "db"}[i], 0))
		l.port(id, topology.Port{Network: "shop", Kind: topology.KindVM, Interface: fmt.Sprintf("p%d", i+1), PortSecurity: true})
	}
	for i, id := range []string{"flood", "guest"} {
		l.portBecomes(id, at("n1", openflow.PortNo(i+1))) // #nosec G115 -- small
	}
	return l, floods{l, ovs}
}

// floods sends frames into a port of a real switch.
type floods struct {
	l   *lab
	ovs *ovstest.OVS
}

// from is a frame with a sender, as ovs-appctl takes it. One with a group's address for a sender is never learned
// from, so the switch has no end of them to tell of.
func from(mac topology.MAC) string {
	f := ofsim.Frame{Src: mac, Dst: macOf(99), EtherType: 0x1234, Payload: make([]byte, 50)}
	return hex.EncodeToString(f.Bytes())
}

// receive lets frames arrive by a port, at most 100 at once.
func (f floods) receive(port int, frames ...string) {
	f.ovs.Appctl("netdev-dummy/receive", append([]string{fmt.Sprintf("p%d", port)}, frames...)...)
}

// heard is how many frames of ports reached the controller.
func (f floods) heard() (n int) {
	r := prometheus.NewRegistry()
	r.MustRegister(f.l.ctl.metrics.packetIns)
	families, err := r.Gather()
	require.NoError(f.l.t, err)
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if m.GetLabel()[0].GetValue() == "learn" {
				n += int(m.GetCounter().GetValue())
			}
		}
	}
	return n
}

// TestAFloodFromOnePortIsMeteredAtTheSwitch: the controller hears of it no more than its meter lets pass, and
// misses not one frame of another port.
func TestAFloodFromOnePortIsMeteredAtTheSwitch(t *testing.T) {
	l, f := guests(t)
	if l == nil {
		return
	}
	flood := slices.Repeat([]string{from(topology.MAC{3})}, 100)
	sent, began := 0, time.Now()
	pour := func() {
		f.receive(1, flood...)
		sent += len(flood)
	}
	for i := range topology.MaxLearned {
		pour()
		f.receive(2, from(macOf(200+i)))
		pour()
	}
	l.eventually(func() error {
		pour()
		return expect(len(l.portStatus("guest").LearnedMACs), topology.MaxLearned)
	})
	allowed := topology.MaxLearned + int(20*(1+time.Since(began).Seconds())) + 1
	heard := f.heard()
	require.LessOrEqual(t, heard, allowed, "of %d frames", sent)
	require.Greater(t, heard, topology.MaxLearned, "something of the flood")
	require.Empty(t, l.portStatus("flood").LearnedMACs)
}

// TestCostOfAFlood measures; it promises nothing of time.
func TestCostOfAFlood(t *testing.T) {
	if os.Getenv("FLOWTAP_MEASURE") == "" {
		t.Log("measures nothing unless FLOWTAP_MEASURE is set")
		return
	}
	_, f := guests(t)
	flood := slices.Repeat([]string{from(topology.MAC{3})}, 100)
	for _, rate := range []int{0, 10_000} {
		busy, heard, sent, began := f.cpu(), f.heard(), 0, time.Now()
		for end := began.Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
			for sent < int(time.Since(began).Seconds()*float64(rate)) {
				f.receive(1, flood...)
				sent += len(flood)
			}
		}
		took := time.Since(began).Seconds()
		fmt.Printf("%.0f frames/s: %.0f packet-ins/s, ovs-vswitchd %.1f %% of a CPU\n",
			float64(sent)/took, float64(f.heard()-heard)/took, 100*(f.cpu()-busy)/took)
	}
}

// cpu is how many seconds of CPU the switch has used.
func (f floods) cpu() float64 {
	pid, err := os.ReadFile(f.ovs.Path("ovs-vswitchd.pid"))
	require.NoError(f.l.t, err)
	stat, err := os.ReadFile("/proc/" + strings.TrimSpace(string(pid)) + "/stat")
	require.NoError(f.l.t, err)
	var user, system float64
	_, err = fmt.Sscan(strings.Join(strings.Fields(string(stat))[13:15], " "), &user, &system)
	require.NoError(f.l.t, err)
	return (user + system) / 100
}
