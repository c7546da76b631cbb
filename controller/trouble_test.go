package controller

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/flowtap/pipeline"
	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/ofsim/simswitch"
)

func now() time.Time { return time.Now() }

// about reports whether messages concern contracts.
func about(ms []openflow.Message, kinds ...pipeline.Kind) bool {
	for _, m := range ms {
		if f, ok := m.(*openflow.FlowMod); ok {
			for _, k := range kinds {
				if kind, _, ours := pipeline.Ours(f.Flow.Cookie); ours && kind == k {
					return true
				}
			}
		}
	}
	return false
}

func TestARefusedChangeIsToldAndTriedAgain(t *testing.T) {
	t.Parallel()
	l := shop(t, quick())
	l.sws[0].Refuse(func(ms []openflow.Message) bool { return about(ms, pipeline.KindTap) })
	l.tap("t1", copyTap("web", "ids", flowtap.Out))
	l.eventually(func() error {
		if st := l.nodeStatus("n1"); !strings.Contains(st.Reason, "the switch refuses a change") {
			return fmt.Errorf("node says %+v", st)
		}
		return nil
	})
	l.becomes("t1", flowtap.TapPending, "n1")
	require.NotZero(t, l.warned.count("the switch refuses a change"))
	// Others go on.
	l.tap("t2", copyTap("db", "ids", flowtap.Out))
	l.becomes("t2", flowtap.TapActive, "")
	require.Less(t, l.sws[0].Refused(), 4, "it is left alone for a while")
	l.sws[0].Refuse(nil)
	l.becomes("t1", flowtap.TapActive, "")
	l.quiet()
	l.eventually(func() error {
		if st := l.nodeStatus("n1"); st.Reason != "" {
			return fmt.Errorf("node still says %q", st.Reason)
		}
		return nil
	})
}

func TestAConnectionLostInTheMiddleOfAChange(t *testing.T) {
	for name, when := range map[string]simswitch.Drop{"before it took effect": simswitch.DropBeforeCommit, "after it took effect": simswitch.DropAfterCommit} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := shop(t, quick())
			l.sws[0].DropOnce(when)
			l.tap("t1", copyTap("web", "ids", flowtap.Both))
			l.eventually(func() error { return disconnected(l.sws[0]) })
			l.becomes("t1", flowtap.TapPending, "node n1 is not connected")
			l.connect(l.sws[0])
			l.becomes("t1", flowtap.TapActive, "")
			l.quiet()
		})
	}
}

func TestAHungSwitchDoesNotHoldUpOthersForLong(t *testing.T) {
	t.Parallel()
	config := quick()
	config.CommitTimeout = 300 * time.Millisecond
	config.Conn.EchoInterval = time.Hour // nobody else notices that it hangs
	l := shop(t, config)
	l.sws[0].Hang(true)
	l.tap("t1", copyTap("web", "ids", flowtap.Out)) // concerns the hung one
	l.tap("t2", copyTap("db", "ids", flowtap.Out))
	l.eventually(func() error {
		if len(tapFlows(l.sws[1])) == 0 {
			return errors.New("no flow of t2 on n2")
		}
		return nil
	})
	l.becomes("t2", flowtap.TapActive, "")
	l.becomes("t1", flowtap.TapPending, "node n1 is not connected")
	l.sws[0].Hang(false)
	l.eventually(func() error { return disconnected(l.sws[0]) })
	l.connect(l.sws[0])
	l.quiet()
}

// TestASwitchThatHangsWhileItIsRead must not keep what is said of others from being said.
func TestASwitchThatHangsWhileItIsRead(t *testing.T) {
	t.Parallel()
	l := shop(t, quick())
	l.sws[0].Disconnect()
	l.sws[0].Delay(400 * time.Millisecond) // each message; it connects after a few
	l.connect(l.sws[0])
	l.tap("t2", copyTap("db", "ids", flowtap.Out))
	l.becomes("t2", flowtap.TapActive, "")
	l.sws[0].Delay(0)
	l.quiet()
}

func TestASecondSwitchWithAConnectedDatapathID(t *testing.T) {
	t.Parallel()
	l := shop(t, quick())
	impostor := simswitch.NewFabric().Add(1, l.sws[0].Tunnel())
	t.Cleanup(impostor.Disconnect)
	require.NoError(t, impostor.Connect(l.addr))
	l.eventually(func() error { return disconnected(impostor) })
	require.True(t, l.sws[0].Connected(), "the first one answers and stays")
	require.NotZero(t, l.warned.count("a second switch claims a connected datapath id"))
	flows, _ := impostor.Set().Len()
	require.Zero(t, flows)
	l.quiet()

	l.sws[0].Hang(true)
	require.NoError(t, impostor.Connect(l.addr))
	l.eventually(func() error {
		if flows, _ := impostor.Set().Len(); flows == 0 {
			return errors.New("the second one has not taken over")
		}
		return nil
	})
	l.sws[0].Hang(false)
	l.eventually(func() error { return disconnected(l.sws[0]) })
	require.True(t, impostor.Connected())
}

func TestRunEndsInTheMiddleOfARound(t *testing.T) {
	t.Parallel()
	l := shop(t, quick())
	for _, sw := range l.sws {
		sw.Delay(200 * time.Millisecond)
	}
	l.fabric.Forget()
	l.tap("t1", copyTap("web", "ids", flowtap.Both))
	l.eventually(func() error {
		busy := make(chan bool, 1)
		l.ctl.planner.post(l.ctx(), func(p *planner) { busy <- p.busy })
		if !<-busy {
			return errors.New("no round yet")
		}
		return nil
	})
	stopped := make(chan bool)
	go func() { l.stop(); close(stopped) }()
	l.eventually(func() error {
		select {
		case <-stopped:
			return nil
		default:
			return errors.New("it still runs")
		}
	})
	for _, sw := range l.sws {
		sw.Delay(0)
	}
	l.eventually(func() error { return disconnected(l.sws...) })
	l.start()
	l.connect()
	l.becomes("t1", flowtap.TapActive, "")
	l.quiet()
}
