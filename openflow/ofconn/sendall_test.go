package ofconn

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/openflow"
)

func meters(n int) []openflow.Message {
	ms := make([]openflow.Message, n)
	for i := range ms {
		ms[i] = &openflow.MeterMod{Meter: openflow.Meter{ID: uint32(i + 1)}}
	}
	return ms
}

func TestSendAllTellsWhichMessagesWereRefused(t *testing.T) {
	c, p := connect(t, Config{})
	done := later(func() error { return c.SendAll(testContext(t), meters(3)) })
	for i := range 3 {
		xid, m := expect[*openflow.MeterMod](p)
		require.Equal(t, uint32(i+1), m.Meter.ID)
		if i != 1 {
			p.send(xid, &openflow.Error{ErrType: 12, Code: 1})
		}
	}
	barrier, _ := expect[*openflow.BarrierRequest](p)
	p.send(barrier, &openflow.BarrierReply{})
	err := got(t, done)
	require.ErrorContains(t, err, "message 0 (meter-mod) refused")
	require.ErrorContains(t, err, "message 2 ")
	require.NotContains(t, err.Error(), "message 1 ")
	require.NotErrorIs(t, err, ErrOutcomeUnknown)
	require.Empty(t, c.x.many)
	require.Empty(t, c.Events())
}

func TestSendAllOfNothing(t *testing.T) {
	c, _ := connect(t, Config{})
	require.NoError(t, c.SendAll(testContext(t), nil))
}

func TestSendAllSendsNothingOfAListThatCannotBeEncoded(t *testing.T) {
	c, p := connect(t, Config{})
	bad := append(meters(1), &openflow.MeterMod{Meter: openflow.Meter{Bands: []openflow.MeterBand{{Type: openflow.BandDrop, Extra: []byte{1}}}}})
	err := c.SendAll(testContext(t), bad)
	var which *MessageError
	require.ErrorAs(t, err, &which)
	require.Equal(t, 1, which.Index)
	require.NotErrorIs(t, err, ErrOutcomeUnknown)
	done := later(func() error { return c.Barrier(testContext(t)) })
	barrier, _ := expect[*openflow.BarrierRequest](p)
	p.send(barrier, &openflow.BarrierReply{})
	require.NoError(t, got(t, done))
}

func TestSendAllDoesNotKnowWithoutTheBarrier(t *testing.T) {
	t.Run("no answer", func(t *testing.T) {
		c, p := connect(t, Config{RequestTimeout: 50 * time.Millisecond})
		done := later(func() error { return c.SendAll(testContext(t), meters(1)) })
		expect[*openflow.MeterMod](p)
		err := got(t, done)
		require.ErrorIs(t, err, ErrOutcomeUnknown)
		require.ErrorIs(t, err, ErrNoAnswer)
	})
	t.Run("the connection ends", func(t *testing.T) {
		c, p := connect(t, Config{})
		done := later(func() error { return c.SendAll(testContext(t), meters(1)) })
		expect[*openflow.MeterMod](p)
		p.nc.Close()
		require.ErrorIs(t, got(t, done), ErrOutcomeUnknown)
	})
	t.Run("the caller gives up", func(t *testing.T) {
		c, p := connect(t, Config{})
		ctx, cancel := context.WithCancel(testContext(t))
		done := later(func() error { return c.SendAll(ctx, meters(1)) })
		expect[*openflow.MeterMod](p)
		barrier, _ := expect[*openflow.BarrierRequest](p)
		cancel()
		require.ErrorIs(t, got(t, done), ErrOutcomeUnknown)
		p.send(barrier, &openflow.BarrierReply{}) // late: the ids are free again
		eventually(t, "the late answer is taken", func() bool {
			c.x.mu.Lock()
			defer c.x.mu.Unlock()
			return len(c.x.many) == 0
		})
	})
}
