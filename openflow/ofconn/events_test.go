package ofconn

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/openflow"
)

func portStatus(no int, name string) *openflow.PortStatus {
	return &openflow.PortStatus{Reason: openflow.PortModify, Port: openflow.Port{No: openflow.PortNo(no), Name: name}}
}

func TestFloodOfPacketInsLosesNoPortStatus(t *testing.T) {
	c, p := connect(t, Config{EventQueue: 10})
	var flood []byte
	for i := range 5000 {
		flood = append(flood, encode(t, 0, &openflow.PacketIn{Cookie: uint64(i)})...)
		if i%100 == 0 { // 50 port-status, of 5 ports
			flood = append(flood, encode(t, 0, portStatus(i/100%5, fmt.Sprint(i)))...)
		}
	}
	p.raw(flood)
	// Nobody reads events, and still answers come.
	done := later(func() error { return c.Barrier(testContext(t)) })
	xid, _ := expect[*openflow.BarrierRequest](p)
	p.send(xid, &openflow.BarrierReply{})
	require.NoError(t, got(t, done))

	last := map[openflow.PortNo]string{}
	packetIns := 0
	for m := range c.Events() {
		switch m := m.(type) {
		case *openflow.PacketIn:
			packetIns++
		case *openflow.PortStatus:
			last[m.Port.No] = m.Port.Name
		}
		if last[4] == "4900" {
			break
		}
	}
	require.Equal(t, map[openflow.PortNo]string{0: "4500", 1: "4600", 2: "4700", 3: "4800", 4: "4900"}, last)
	s := c.Stats()
	require.Equal(t, uint64(5000), s.DroppedPacketIns+uint64(packetIns))
	require.NotZero(t, s.DroppedPacketIns)
	require.NotZero(t, s.MergedPortStatus)
	require.Zero(t, s.DroppedEvents)

	// One that comes while the last of the flood is handed over may still be dropped; soon none is.
	eventually(t, "it recovers", func() bool {
		p.send(0, &openflow.PacketIn{Cookie: 7})
		select {
		case m := <-c.Events():
			return m.(*openflow.PacketIn).Cookie == 7
		default:
			return false
		}
	})
}

func TestErrorsOverflowAfterPacketIns(t *testing.T) {
	c, p := connect(t, Config{EventQueue: 10})
	for i := range 30 {
		p.send(uint32(i)+1<<20, &openflow.Error{ErrType: 1, Code: uint16(i)})
	}
	// The queue and the overflow hold 10 each, and the mover between them may hold one more.
	eventually(t, "all arrive", func() bool { return c.Stats().ErrorsIn == 30 && c.Stats().DroppedEvents >= 9 })
	last := -1
	for n := uint64(0); n < 30-c.Stats().DroppedEvents; n++ {
		code := int(got(t, c.Events()).(*openflow.Error).Code)
		require.Greater(t, code, last, "in the order they came")
		last = code
	}
	require.InDelta(t, 10, c.Stats().DroppedEvents, 1)
}

func TestEventsEndWithTheConnection(t *testing.T) {
	c, p := connect(t, Config{EventQueue: 3})
	for i := range 6 {
		p.send(0, portStatus(i, "p"))
	}
	p.nc.Close()
	ended(t, c)
	for i := range 3 {
		require.Equal(t, openflow.PortNo(i), got(t, c.Events()).(*openflow.PortStatus).Port.No)
	}
	n := 0
	for range c.Events() {
		n++
	}
	require.LessOrEqual(t, n, 3)
}

func TestTooManyPortsEndTheConnection(t *testing.T) {
	ours, _ := sockets(t)
	config, _ := Config{EventQueue: 1}.withDefaults()
	c := newConn(ours, config)
	var err error
	n := 0
	for ; err == nil && n < 1<<20; n++ {
		err = c.event(portStatus(n, "p"))
	}
	require.Error(t, err)
	require.InDelta(t, maxPortStatus, n, 5)
	c.fail(err)
	c.more.wait()
}
