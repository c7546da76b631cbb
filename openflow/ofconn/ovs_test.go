package ofconn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/flowset"
	"github.com/flowtap/flowtap/openflow/ofsim/ovstest"
)

// startOVS runs a private Open vSwitch with one port, p1. Under -short it is not run, and the test
// says so and passes.
func startOVS(t testing.TB) (*ovs, bool) {
	o := ovstest.Start(t, 1)
	return &ovs{t, o}, o != nil
}

type ovs struct {
	t testing.TB
	*ovstest.OVS
}

func (s *ovs) flows() string { return s.Ofctl("dump-flows", "--no-stats") }

// switchConn has the switch connect, as 0000000000000abc, and gives the connection.
func (s *ovs) switchConn(c Config) *Conn {
	s.t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(s.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	conns, served := make(chan *Conn), make(chan error, 1)
	go func() {
		served <- Serve(ctx, ln, c, func(ctx context.Context, c *Conn) {
			select {
			case conns <- c:
				<-ctx.Done()
			case <-ctx.Done():
			}
		})
	}()
	s.t.Cleanup(func() { cancel(); require.NoError(s.t, <-served) })
	s.Vsctl("set", "bridge", "br0", "other-config:datapath-id=0000000000000abc",
		"--", "set-controller", "br0", "tcp:"+ln.Addr().String())
	return got(s.t, conns)
}

func messages(from, n int) []openflow.Message {
	ms := make([]openflow.Message, n)
	for i := range ms {
		ms[i] = flowMod(from + i)
	}
	return ms
}

func TestOpenVSwitch(t *testing.T) {
	s, ok := startOVS(t)
	if !ok {
		return
	}
	c := s.switchConn(Config{EchoInterval: 200 * time.Millisecond})
	ctx := testContext(t)

	t.Run("handshake", func(t *testing.T) {
		require.Equal(t, openflow.DPID(0xabc), c.Features().DPID)
		require.Contains(t, c.Desc().Hardware, "Open vSwitch")
		names := map[string]openflow.PortNo{}
		for _, p := range c.Ports() {
			names[p.Name] = p.No
		}
		require.Equal(t, map[string]openflow.PortNo{"br0": openflow.PortLocal, "p1": 1}, names)
	})

	t.Run("a good bundle is committed", func(t *testing.T) {
		group := &openflow.GroupMod{Command: openflow.GroupAdd, Group: openflow.Group{
			ID: 7, Type: openflow.GroupTypeAll, Buckets: []openflow.Bucket{{
				WatchPort: openflow.PortAny, WatchGroup: openflow.GroupAny,
				Actions: []openflow.Action{openflow.Output{Port: 1}},
			}},
		}}
		toGroup := flowMod(3)
		toGroup.Flow.Apply = []openflow.Action{openflow.ApplyGroup{ID: 7}}
		require.NoError(t, c.Commit(ctx, []openflow.Message{group, flowMod(1), flowMod(2), toGroup}))
		flows, err := c.DumpFlows(ctx)
		require.NoError(t, err)
		require.Len(t, flows, 3)
		groups, err := c.DumpGroups(ctx)
		require.NoError(t, err)
		require.Equal(t, []openflow.Group{group.Group}, groups)
		stats, err := c.GroupStats(ctx, openflow.GroupAll)
		require.NoError(t, err)
		require.Len(t, stats, 1)
		require.Contains(t, s.flows(), "actions=group:7")
	})

	// In the first case Open vSwitch refuses at bundle-add, in the second at commit.
	undecodable := flowMod(77)
	undecodable.Flow.Match = openflow.Match{openflow.Uint(openflow.FieldTCPDst, 80)} // lacks its prerequisites
	noSuchGroup := flowMod(78)
	noSuchGroup.Flow.Apply = []openflow.Action{openflow.ApplyGroup{ID: 99}}
	for _, tc := range []struct {
		name string
		bad  *openflow.FlowMod
	}{{"undecodable", undecodable}, {"no such group", noSuchGroup}} {
		t.Run("a bundle with one bad flow-mod changes nothing: "+tc.name, func(t *testing.T) {
			before := s.flows()
			ms := messages(10, 1000)
			ms[500] = tc.bad
			err := c.Commit(ctx, ms)
			t.Log(err)
			var refused *CommitError
			require.ErrorAs(t, err, &refused)
			require.Equal(t, 500, refused.Index)
			require.Same(t, tc.bad, refused.Message)
			var reason *openflow.Error
			require.ErrorAs(t, err, &reason)
			require.NotErrorIs(t, err, ErrOutcomeUnknown)
			require.Equal(t, before, s.flows())
			require.NoError(t, c.Commit(ctx, []openflow.Message{flowMod(1)}), "the next one works")
			require.NoError(t, c.Barrier(ctx), "errors of bundles are not the barrier's")
			require.Zero(t, c.Stats().LateReplies)
		})
	}

	t.Run("a bundle in which everything is bad", func(t *testing.T) {
		ms := make([]openflow.Message, 10000)
		for i := range ms {
			ms[i] = undecodable
		}
		var refused *CommitError
		require.ErrorAs(t, c.Commit(ctx, ms), &refused)
		require.Equal(t, 0, refused.Index)
	})

	t.Run("10,000 flows", func(t *testing.T) {
		require.NoError(t, c.Commit(ctx, messages(0, 10000)))
		flows, err := c.DumpFlows(ctx)
		require.NoError(t, err)
		require.Len(t, flows, 10000)
		seen := map[uint64]bool{}
		for _, f := range flows {
			seen[f.Flow.Cookie] = true
		}
		require.Len(t, seen, 10000)
		some, err := c.FlowStats(ctx, openflow.FlowFilter{Table: openflow.TableAll, Cookie: 42, CookieMask: ^uint64(0)})
		require.NoError(t, err)
		require.Len(t, some, 1)
	})

	t.Run("port-status", func(t *testing.T) {
		s.Vsctl("add-port", "br0", "p2", "--", "set", "interface", "p2", "type=dummy", "ofport_request=2")
		status := got(t, c.Events()).(*openflow.PortStatus)
		require.Equal(t, openflow.PortAdd, status.Reason)
		require.Equal(t, "p2", status.Port.Name)
		s.Vsctl("del-port", "p2")
		for status.Reason != openflow.PortDelete {
			status = got(t, c.Events()).(*openflow.PortStatus)
		}
		require.Equal(t, openflow.PortNo(2), status.Port.No)
		stats, err := c.PortStats(ctx, openflow.PortAny)
		require.NoError(t, err)
		require.Len(t, stats, 2)
	})

	t.Run("refused messages come as events and at the barrier", func(t *testing.T) {
		require.NoError(t, c.Send(ctx, flowMod(1), undecodable, noSuchGroup))
		err := c.Barrier(ctx)
		require.ErrorContains(t, err, "2 messages refused")
		var reason *openflow.Error
		require.ErrorAs(t, err, &reason)
		require.IsType(t, reason, got(t, c.Events()))
		require.IsType(t, reason, got(t, c.Events()))
		require.NoError(t, c.Barrier(ctx))
	})

	t.Run("meters go beside the bundle", func(t *testing.T) {
		meter := func(id, rate uint32) openflow.Meter {
			return openflow.Meter{ID: id, Flags: openflow.MeterPKTPS, Bands: []openflow.MeterBand{{Type: openflow.BandDrop, Rate: rate}}}
		}
		var want flowset.Set
		want.PutMeter(meter(1, 5))
		want.PutMeter(meter(2, 6))
		metered := openflow.Flow{Priority: 9, Cookie: 1, Meter: 1, Apply: []openflow.Action{openflow.Output{Port: 1}}}
		want.PutFlow(metered)
		change := func(d flowset.Changes) error {
			return errors.Join(c.SendAll(ctx, d.Before()), c.Commit(ctx, d.Messages()), c.SendAll(ctx, d.After()))
		}
		d := flowset.Diff(&flowset.Set{}, &want)
		require.NoError(t, change(d))
		meters, err := c.DumpMeters(ctx)
		require.NoError(t, err)
		var have flowset.Set
		for _, m := range meters {
			have.PutMeter(m)
		}
		again := flowset.DiffKeys(&have, &want, nil, nil, 1, 2)
		require.Len(t, meters, 2)
		require.Empty(t, again, "read back, they are what was wanted, although Open vSwitch fills in the burst")

		var refused *MessageError
		err = c.SendAll(ctx, append(d.Before(), &openflow.MeterMod{Command: openflow.MeterModify, Meter: meter(2, 7)}))
		require.ErrorAs(t, err, &refused, "they are there")
		require.Equal(t, 0, refused.Index)
		require.ErrorContains(t, err, "message 1")
		require.NotContains(t, err.Error(), "message 2", "the last was fine")
		stats, err := c.MeterStats(ctx, openflow.MeterAll)
		require.NoError(t, err)
		require.Len(t, stats, 2)
		require.Equal(t, uint32(1), stats[0].Flows+stats[1].Flows)

		var inBundle *CommitError
		require.ErrorAs(t, c.Commit(ctx, d.Before()), &inBundle, "the reason for SendAll")

		want.PutMeter(meter(2, 7))
		require.NoError(t, change(flowset.Diff(&want, &flowset.Set{})))
		meters, err = c.DumpMeters(ctx)
		require.NoError(t, err)
		require.Empty(t, meters)
		require.NotContains(t, s.flows(), "meter:")
		require.NoError(t, c.Barrier(ctx), "refusals are told once")
	})

	t.Run("role", func(t *testing.T) {
		require.NoError(t, c.SetRole(ctx, openflow.RoleMaster, 10))
		require.Error(t, c.SetRole(ctx, openflow.RoleMaster, 9), "stale generation")
		require.NoError(t, c.SetRole(ctx, openflow.RoleSlave, 11))
		var refused *CommitError
		require.ErrorAs(t, c.Commit(ctx, messages(0, 2)), &refused, "a slave may not write")
		require.NoError(t, c.SetRole(ctx, openflow.RoleMaster, 12))
	})

	t.Run("echo", func(t *testing.T) {
		_, err := c.Request(ctx, &openflow.EchoRequest{Data: []byte("hello")})
		require.NoError(t, err)
		before := c.Stats().MessagesIn
		eventually(t, "keepalives answered", func() bool { return c.Stats().MessagesIn >= before+3 })
		require.NoError(t, c.Err())
	})

	t.Run("the switch dies", func(t *testing.T) {
		pid := strings.TrimSpace(string(must(os.ReadFile(s.Path("ovs-vswitchd.pid")))))
		require.NoError(t, exec.Command("kill", "-9", pid).Run())
		ended(t, c)
		require.Error(t, c.Commit(ctx, messages(0, 1)))
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// The reason for Commit's round trip between close and commit: without it, the messages that
// Open vSwitch could decode are committed and the one it could not is left out.
func TestOpenVSwitchCommitsTheRestOfABundle(t *testing.T) {
	s, ok := startOVS(t)
	if !ok {
		return
	}
	c := s.switchConn(Config{})
	ctx := testContext(t)
	bad := flowMod(2)
	bad.Flow.Match = openflow.Match{openflow.Uint(openflow.FieldTCPDst, 80)}
	add := func(m openflow.Message) openflow.Message {
		return &openflow.BundleAdd{BundleID: 1, Flags: bundleFlags, Message: m}
	}
	require.NoError(t, c.Send(ctx, bundleControl(1, openflow.BundleOpenRequest),
		add(flowMod(1)), add(bad), add(flowMod(3)), bundleControl(1, openflow.BundleCloseRequest),
		bundleControl(1, openflow.BundleCommitRequest)))
	require.Error(t, c.Barrier(ctx))
	require.Equal(t, 2, strings.Count(s.flows(), "cookie="), "not atomic by itself")
}

func benchmarkCommit(b *testing.B, n int) {
	s, ok := startOVS(b)
	if !ok {
		b.Fatal("benchmarks need Open vSwitch: leave out -short")
	}
	c := s.switchConn(Config{})
	ctx := context.Background()
	ms := messages(0, n)
	var took []time.Duration
	for b.Loop() {
		start := time.Now()
		if err := c.Commit(ctx, ms); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}

func BenchmarkCommit(b *testing.B) {
	for _, n := range []int{1, 10, 1000, 10000} {
		b.Run(fmt.Sprintf("%d", n), func(b *testing.B) { benchmarkCommit(b, n) })
	}
}

func BenchmarkBarrier(b *testing.B) {
	s, ok := startOVS(b)
	if !ok {
		b.Fatal("benchmarks need Open vSwitch: leave out -short")
	}
	c := s.switchConn(Config{})
	for b.Loop() {
		if err := c.Barrier(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDumpFlows10000(b *testing.B) {
	s, ok := startOVS(b)
	if !ok {
		b.Fatal("benchmarks need Open vSwitch: leave out -short")
	}
	c := s.switchConn(Config{})
	require.NoError(b, c.Commit(context.Background(), messages(0, 10000)))
	for b.Loop() {
		if flows, err := c.DumpFlows(context.Background()); err != nil || len(flows) != 10000 {
			b.Fatal(len(flows), err)
		}
	}
}
