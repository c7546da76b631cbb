package controller

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/openflow/ofsim/ovstest"
)

// reported is a lab whose audits find nothing: drift is found because the switch reports it, or
// because its groups are looked at.
func reported(t *testing.T) (*lab, *ovstest.OVS) {
	config := seldom()
	config.SettleTime = 20 * time.Millisecond
	l, ovs := real(t, config)
	if l != nil {
		l.tap("t1", copyTap("web", "ids", flowtap.Both))
		l.becomes("t1", flowtap.TapActive, "")
	}
	return l, ovs
}

// holding is what a switch holds of ours, without counters.
func holding(ovs *ovstest.OVS) string {
	var ours []string
	for line := range strings.Lines(ovs.Ofctl("dump-flows", "--no-stats")) {
		if strings.Contains(line, "cookie=0xf10a") {
			ours = append(ours, strings.ReplaceAll(line, "reset_counts ", ""))
		}
	}
	for line := range strings.Lines(ovs.Ofctl("dump-groups")) {
		if strings.Contains(line, "group_id=40") { // 0xf1000000 to 0xf8ffffff
			ours = append(ours, line)
		} else if strings.Contains(line, "group_id=41") {
			ours = append(ours, line)
		}
	}
	for _, meter := range strings.Split(ovs.Ofctl("dump-meters"), "meter=")[1:] { // a line, and one for its band
		ours = append(ours, "meter="+strings.Join(strings.Fields(meter), " ")+"\n")
	}
	slices.Sort(ours)
	return strings.Join(ours, "")
}

var drifts = []struct{ name, verb, args string }{
	{"a flow deleted", "del-flows", "table=30,cookie=0xf10a0b0000000000/0xffffff0000000000"},
	{"a flow changed", "mod-flows", "table=90,cookie=0xf10a010000000000/-1,actions=drop"},
	{"a flow in the place of ours", "add-flow", "table=90,priority=1,actions=drop"},
	{"a flow added under our cookies", "add-flow", "cookie=0xf10a0b0000001267,table=30,priority=5,actions=drop"},
	{"a group changed", "mod-group", "group_id=0xf1000000,type=all,bucket=actions=output:1"},
	{"a group added in our range", "add-group", "group_id=0xf1777777,type=all,bucket=actions=output:1"},
	{"a meter added in our range", "add-meter", "meter=0xf0000777,kbps,band=type=drop,rate=1000"},
	{"a meter changed", "mod-meter", "meter=METER,pktps,stats,band=type=drop,rate=1"},
	{"all meters deleted", "del-meters", ""},
	{"all groups deleted", "del-groups", ""},
	{"all flows deleted", "del-flows", ""},
}

// meterOf is the number of the meter that a switch's flows use.
func meterOf(ovs *ovstest.OVS) string {
	_, after, _ := strings.Cut(ovs.Ofctl("dump-flows"), "meter:")
	number, _, _ := strings.Cut(after, ",")
	return strings.Fields(number)[0]
}

func TestWhatOthersDoToOpenVSwitchIsRepairedAtOnce(t *testing.T) {
	l, ovs := reported(t)
	if l == nil {
		return
	}
	want, last, meter := holding(ovs), uint64(0), meterOf(ovs)
	ovs.Ofctl("add-flow", "cookie=0xabc,table=0,priority=1000,in_port=77,actions=drop")
	for _, d := range drifts {
		ovs.Ofctl(d.verb, strings.Fields(strings.ReplaceAll(d.args, "METER", meter))...)
		l.eventually(func() error {
			st := l.nodeStatus("n1")
			if is := holding(ovs); is != want || st.DriftRepaired == last {
				return fmt.Errorf("%s: %+v\n%s\ninstead of\n%s", d.name, st, is, want)
			}
			return nil
		})
		st := l.nodeStatus("n1")
		t.Logf("%s: %d repaired, %q", d.name, st.DriftRepaired-last, st.LastDrift.What)
		last = st.DriftRepaired
		if d.verb != "del-flows" || d.args != "" {
			require.Contains(t, ovs.Ofctl("dump-flows", "cookie=0xabc/-1"), "0xabc", d.name)
		}
	}
}

// TestForeignFlowsMakeNobodyLook: what others do with flows that do not concern us costs no reading.
func TestForeignFlowsMakeNobodyLook(t *testing.T) {
	l, ovs := reported(t)
	if l == nil {
		return
	}
	for i := range 20 {
		ovs.Ofctl("add-flow", fmt.Sprintf("cookie=0xabc,table=0,priority=1000,in_port=%d,actions=drop", 100+i))
	}
	looked := make(chan bool)
	l.ctl.planner.post(l.ctx(), func(p *planner) {
		for _, sw := range p.switches {
			looked <- !sw.lookBegan.IsZero()
		}
	})
	require.False(t, <-looked)
	require.Zero(t, l.nodeStatus("n1").DriftRepaired)
}

func TestABridgeThatIsReplacedIsFilledAgain(t *testing.T) {
	l, ovs := reported(t)
	if l == nil {
		return
	}
	want := holding(ovs)
	dpid := strings.TrimSpace(ovs.Vsctl("get", "bridge", "br0", "datapath_id"))
	ovs.Vsctl("del-br", "br0") // by itself, or the switch would see a bridge that changes little
	args := strings.Fields("add-br br0 -- set bridge br0 datapath_type=dummy fail_mode=secure protocols=OpenFlow13 other-config:datapath-id=" + strings.Trim(dpid, `"`))
	for i := 1; i <= 3; i++ {
		args = append(args, strings.Fields(fmt.Sprintf("-- add-port br0 p%d -- set interface p%d type=dummy ofport_request=%d", i, i, i))...)
	}
	ovs.Vsctl(append(args, strings.Fields("-- set-controller br0 tcp:"+l.addr)...)...)
	l.eventually(func() error {
		if is := holding(ovs); is != want {
			return fmt.Errorf("%s\ninstead of\n%s", is, want)
		}
		if st := l.nodeStatus("n1"); st.DriftRepaired == 0 || !strings.Contains(st.LastDrift.What, "not connected") {
			return fmt.Errorf("%+v", st)
		}
		return nil
	})
	l.becomes("t1", flowtap.TapActive, "")
}

// TestTimeToRepair measures; it promises nothing of time.
func TestTimeToRepair(t *testing.T) {
	if os.Getenv("FLOWTAP_MEASURE") == "" {
		t.Log("measures nothing unless FLOWTAP_MEASURE is set")
		return
	}
	l, ovs := reported(t)
	want, meter := holding(ovs), meterOf(ovs)
	for _, d := range drifts {
		var took []time.Duration
		for range 50 {
			before := l.nodeStatus("n1").DriftRepaired
			ovs.Ofctl(d.verb, strings.Fields(strings.ReplaceAll(d.args, "METER", meter))...)
			began := time.Now()
			l.eventually(func() error {
				if l.nodeStatus("n1").DriftRepaired == before || holding(ovs) != want {
					return fmt.Errorf("not yet")
				}
				return nil
			})
			took = append(took, time.Since(began))
		}
		slices.Sort(took)
		fmt.Printf("%-32s median %v worst %v\n", d.name, took[25].Round(time.Millisecond), took[49].Round(time.Millisecond))
	}
}

// TestOneSlowLookAtGroupsDoesNotPutOffTheNextForLong: only a switch that is slow time and again is looked at less.
func TestOneSlowLookAtGroupsDoesNotPutOffTheNextForLong(t *testing.T) {
	free := groupInterval / groupShare
	require.Equal(t, time.Millisecond, groupsCost(0, time.Millisecond))
	require.Equal(t, 2*free, groupsCost(time.Millisecond, 10*time.Second))
	cost := time.Duration(0)
	for range 10 {
		cost = groupsCost(cost, time.Second)
	}
	require.Equal(t, time.Second, cost)
	require.Equal(t, time.Millisecond, groupsCost(cost, time.Millisecond))
}
