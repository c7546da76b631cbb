package ofconn

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/flowtap/flowtap/openflow"
)

func TestAnswersGoToWhoAsked(t *testing.T) {
	c, p := connect(t, Config{})
	ctx := testContext(t)
	flows := later(func() []openflow.FlowStats { return must(c.DumpFlows(ctx)) })
	first, _ := expect[*openflow.MultipartRequest](p)
	ports := later(func() []openflow.PortStats { return must(c.PortStats(ctx, openflow.PortAny)) })
	second, _ := expect[*openflow.MultipartRequest](p)
	barrier := later(func() error { return c.Barrier(ctx) })
	third, _ := expect[*openflow.BarrierRequest](p)

	part := func(cookie uint64, more bool) *openflow.MultipartReply {
		return &openflow.MultipartReply{More: more, Body: openflow.FlowStatsReply{{Flow: openflow.Flow{Cookie: cookie}}}}
	}
	p.send(first, part(1, true))
	p.send(third, &openflow.BarrierReply{})
	p.send(first, part(2, true))
	p.send(second, &openflow.MultipartReply{Body: openflow.PortStatsReply{{Port: 5}}})
	p.send(first, part(3, false))
	require.NoError(t, got(t, barrier))
	require.Equal(t, openflow.PortNo(5), got(t, ports)[0].Port)
	all := got(t, flows)
	require.Len(t, all, 3)
	for i, f := range all {
		require.Equal(t, uint64(i+1), f.Flow.Cookie)
	}
	p.send(first, part(4, false)) // too late
	eventually(t, "late reply counted", func() bool { return c.Stats().LateReplies == 1 })
}

func TestRequestRefused(t *testing.T) {
	c, p := connect(t, Config{})
	done := later(func() error { return c.SetRole(testContext(t), openflow.RoleMaster, 7) })
	xid, ask := expect[*openflow.RoleRequest](p)
	require.Equal(t, uint64(7), ask.GenerationID)
	p.send(xid, &openflow.Error{ErrType: 11, Code: 0})
	err := got(t, done)
	var refused *openflow.Error
	require.ErrorAs(t, err, &refused)
	require.ErrorContains(t, err, "role request")
	require.Empty(t, c.Events(), "it answered a request")
}

func TestMultipartThatMixesTypesOrIsTooLong(t *testing.T) {
	c, p := connect(t, Config{MaxReply: 20000})
	dump := func() <-chan error {
		return later(func() error { _, err := c.DumpFlows(testContext(t)); return err })
	}
	done := dump()
	xid, _ := expect[*openflow.MultipartRequest](p)
	p.send(xid, &openflow.MultipartReply{More: true, Body: openflow.FlowStatsReply{}})
	p.send(xid, &openflow.MultipartReply{Body: openflow.PortDescReply{}})
	require.Error(t, got(t, done))

	done = dump()
	xid, _ = expect[*openflow.MultipartRequest](p)
	flows := make(openflow.FlowStatsReply, 200)
	for range 3 {
		p.send(xid, &openflow.MultipartReply{More: true, Body: flows})
	}
	require.ErrorIs(t, got(t, done), ErrReplyTooLong)
	p.send(xid, &openflow.MultipartReply{Body: flows})

	done = dump()
	xid, _ = expect[*openflow.MultipartRequest](p)
	p.send(xid, &openflow.MultipartReply{Body: openflow.PortDescReply{}})
	require.ErrorIs(t, got(t, done), ErrProtocol)
}

func TestRequestWithoutAnswer(t *testing.T) {
	c, p := connect(t, Config{RequestTimeout: 50 * time.Millisecond})
	require.ErrorIs(t, c.Barrier(testContext(t)), ErrNoAnswer)
	xid, _ := expect[*openflow.BarrierRequest](p)
	p.send(xid, &openflow.BarrierReply{})
	eventually(t, "late reply counted", func() bool { return c.Stats().LateReplies == 1 })

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, c.Barrier(ctx), context.Canceled)

	// A late error is no event.
	require.ErrorIs(t, c.Barrier(testContext(t)), ErrNoAnswer)
	xid, _ = expect[*openflow.BarrierRequest](p)
	p.send(xid, &openflow.Error{ErrType: 1})
	eventually(t, "late error counted", func() bool { return c.Stats().LateReplies == 2 })
	require.Empty(t, c.Events())
	require.NoError(t, c.Err())
}

func TestBarrierTellsOfRefusedMessagesOnce(t *testing.T) {
	c, p := connect(t, Config{})
	require.NoError(t, c.Send(testContext(t), messages(0, 20)...))
	for range 20 {
		xid, _ := expect[*openflow.FlowMod](p)
		p.send(xid, &openflow.Error{ErrType: 5, Code: 1})
	}
	answer := func() error {
		done := later(func() error { return c.Barrier(testContext(t)) })
		xid, _ := expect[*openflow.BarrierRequest](p)
		p.send(xid, &openflow.BarrierReply{})
		return got(t, done)
	}
	err := answer()
	require.ErrorContains(t, err, "20 messages refused")
	var refused *openflow.Error
	require.ErrorAs(t, err, &refused)
	require.NoError(t, answer())
	for range 20 {
		require.IsType(t, refused, got(t, c.Events()))
	}
}

func TestXids(t *testing.T) {
	x := xids{next: math.MaxUint32 - 2}
	require.Equal(t, uint32(math.MaxUint32-2), x.take(1))
	many := x.add(3, nobody{}) // does not fit before the end, and 0 is no xid
	require.Equal(t, uint32(1), many.first)
	x.next = math.MaxUint32
	one := x.add(1, nobody{})
	require.Equal(t, uint32(math.MaxUint32), one.first)
	require.Equal(t, uint32(4), x.take(1), "1 to 3 are awaited")
	x.leave(many)
	x.next = 0
	require.Equal(t, uint32(4), x.take(2), "1 to 3 may still be answered")
	x.drop(many)
	x.next = 0
	require.Equal(t, uint32(1), x.take(3))
	require.Empty(t, x.gone)
	for range 2 * maxLeft {
		x.leave(x.add(1, nobody{}))
	}
	require.Len(t, x.gone, maxLeft)
	require.Len(t, x.one, maxLeft+1)
}

// No xid is 0, given out twice while awaited, or found under the wrong run.
func TestXidsProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := xids{next: rapid.SampledFrom([]uint32{0, 1, math.MaxUint32 - 5, math.MaxUint32}).Draw(t, "next")}
		held := map[uint32]*run{}
		var runs []*run
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "do") {
			case 0, 1:
				r := x.add(rapid.IntRange(1, 6).Draw(t, "n"), nobody{})
				runs = append(runs, r)
				for i := range r.n {
					id := r.first + uint32(i)
					if id == 0 || held[id] != nil {
						t.Fatalf("xid %d again", id)
					}
					held[id] = r
					if f, at, _ := x.find(id); f != r || at != i {
						t.Fatalf("xid %d not found", id)
					}
				}
			case 2:
				if len(runs) > 0 {
					i := rapid.IntRange(0, len(runs)-1).Draw(t, "which")
					r := runs[i]
					runs = append(runs[:i], runs[i+1:]...)
					x.drop(r)
					for i := range r.n {
						delete(held, r.first+uint32(i))
					}
				}
			case 3:
				if len(runs) > 0 {
					x.leave(rapid.SampledFrom(runs).Draw(t, "leave"))
				}
				x.next -= uint32(rapid.IntRange(0, 10).Draw(t, "back"))
			}
		}
	})
}
