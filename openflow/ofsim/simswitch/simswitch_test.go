package simswitch_test

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/flowset"
	"github.com/flowtap/flowtap/openflow/ofconn"
	"github.com/flowtap/flowtap/openflow/ofsim"
	"github.com/flowtap/flowtap/openflow/ofsim/simswitch"
)

// connected is a switch with the ports 1 to 3 and the controller's end of its connection.
func connected(t *testing.T) (*simswitch.Switch, *ofconn.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	conns, served := make(chan *ofconn.Conn, 1), make(chan error, 1)
	go func() {
		served <- ofconn.Serve(ctx, ln, ofconn.Config{}, func(ctx context.Context, c *ofconn.Conn) {
			conns <- c
			<-ctx.Done()
		})
	}()
	s := simswitch.NewFabric().Add(1, netip.MustParseAddr("172.16.0.1"))
	for p := range openflow.PortNo(3) {
		s.AddPort(p+1, string(rune('a'+p)))
	}
	require.NoError(t, s.Connect(ln.Addr().String()))
	t.Cleanup(func() { s.Disconnect(); cancel(); require.NoError(t, <-served) })
	select {
	case c := <-conns:
		return s, c
	case <-time.After(10 * time.Second):
		t.Fatal("the switch does not come")
		return nil, nil
	}
}

var frame = ofsim.Frame{Dst: [6]byte{2}, Src: [6]byte{4}, EtherType: 0x88b6, Payload: make([]byte, 46)}.Bytes()

func TestMetersGoBesideTheBundleAndCount(t *testing.T) {
	s, c := connected(t)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var want flowset.Set
	want.PutMeter(openflow.Meter{ID: 3, Flags: openflow.MeterPKTPS, Bands: []openflow.MeterBand{{Type: openflow.BandDrop, Rate: 5}}})
	want.PutFlow(openflow.Flow{Meter: 3, Apply: []openflow.Action{openflow.Output{Port: 2}}})
	d := flowset.Diff(&flowset.Set{}, &want)

	var refused *ofconn.CommitError
	require.ErrorAs(t, c.Commit(ctx, d.Messages()), &refused, "a flow needs its meter")
	require.ErrorAs(t, c.Commit(ctx, d.Before()), &refused, "a meter cannot be in a bundle")
	require.NoError(t, c.SendAll(ctx, d.Before()))
	require.NoError(t, c.Commit(ctx, d.Messages()))
	var twice *ofconn.MessageError
	require.ErrorAs(t, c.SendAll(ctx, d.Before()), &twice)

	for _, drop := range []bool{false, true} {
		s.SetMeterDropping(3, drop)
		r, err := s.Inject(1, frame)
		require.NoError(t, err)
		assert.Equal(t, drop, len(r.Deliveries) == 0)
	}
	stats, err := c.MeterStats(ctx, openflow.MeterAll)
	require.NoError(t, err)
	require.Len(t, stats, 1)
	assert.Equal(t, []openflow.BandStats{{Packets: 1, Bytes: 60}}, stats[0].Bands)
	assert.Equal(t, []uint64{2, 120, 1}, []uint64{stats[0].Packets, stats[0].Bytes, uint64(stats[0].Flows)})
	flows, err := c.DumpFlows(ctx)
	require.NoError(t, err)
	assert.Equal(t, uint64(2), flows[0].Packets, "the flow counts what its meter drops")
	meters, err := c.DumpMeters(ctx)
	require.NoError(t, err)
	assert.Equal(t, want.Meters(), meters)

	require.NoError(t, c.SendAll(ctx, flowset.Diff(&want, &flowset.Set{}).After()))
	left, _ := s.Set().Len()
	assert.Zero(t, left, "a meter takes its flows along")
}

func TestAPortThatGoesDownIsToldAndFailsOver(t *testing.T) {
	s, c := connected(t)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	watch := func(p openflow.PortNo) openflow.Bucket {
		return openflow.Bucket{WatchPort: p, WatchGroup: openflow.GroupAny, Actions: []openflow.Action{openflow.Output{Port: p}}}
	}
	var want flowset.Set
	want.PutGroup(openflow.Group{ID: 1, Type: openflow.GroupTypeFastFailover, Buckets: []openflow.Bucket{watch(2), watch(3)}})
	want.PutFlow(openflow.Flow{Apply: []openflow.Action{openflow.ApplyGroup{ID: 1}}})
	require.NoError(t, c.Commit(ctx, flowset.Diff(&flowset.Set{}, &want).Messages()))
	for _, down := range []bool{true, false} {
		s.SetPortDown(2, down)
		m := <-c.Events()
		status, ok := m.(*openflow.PortStatus)
		require.True(t, ok, "%T", m)
		assert.Equal(t, openflow.PortModify, status.Reason)
		assert.Equal(t, "b", status.Port.Name)
		assert.Equal(t, down, status.Port.State&openflow.PortStateLinkDown != 0)
		r, err := s.Inject(1, frame)
		require.NoError(t, err)
		require.Len(t, r.Deliveries, 1)
		assert.Equal(t, down, r.Deliveries[0].Port == 3)
	}
}

func TestPatchedSwitchesCountForThemselves(t *testing.T) {
	f := simswitch.NewFabric()
	a, b := f.Add(1, netip.MustParseAddr("172.16.0.1")), f.Add(2, netip.MustParseAddr("172.16.0.2"))
	a.AddPort(1, "vm")
	b.AddPort(3, "phy")
	f.Patch(a, 50, "patch-tun", b, 51, "patch-int")
	out := func(p openflow.PortNo) *openflow.FlowMod {
		return &openflow.FlowMod{Flow: openflow.Flow{Apply: []openflow.Action{openflow.Output{Port: p}}}}
	}
	require.NoError(t, a.Tamper(out(50)))
	require.NoError(t, b.Tamper(out(3)))
	r, err := a.Inject(1, frame)
	require.NoError(t, err)
	require.Len(t, r.Deliveries, 1)
	assert.Equal(t, openflow.DPID(2), r.Deliveries[0].DPID)
	assert.Len(t, r.Hits(), 2)
}
