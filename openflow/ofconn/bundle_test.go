package ofconn

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/openflow"
)

// bundlePeer reads bundle messages and counts them.
type bundlePeer struct {
	*peer
	open, adds int
	commits    int
	discards   int
}

// readTo reads bundle messages until one of kind ctrl comes and gives its xid.
func (p *bundlePeer) readTo(ctrl openflow.BundleCtrl, onAdd func(xid uint32, m *openflow.BundleAdd)) uint32 {
	p.t.Helper()
	for {
		xid, m, err := p.next()
		require.NoError(p.t, err)
		switch m := m.(type) {
		case *openflow.BundleAdd:
			p.adds++
			if onAdd != nil {
				onAdd(xid, m)
			}
		case *openflow.BundleControl:
			switch m.Ctrl {
			case openflow.BundleOpenRequest:
				p.open++
				p.send(xid, &openflow.BundleControl{BundleID: m.BundleID, Ctrl: openflow.BundleOpenReply})
			case openflow.BundleCommitRequest:
				p.commits++
			case openflow.BundleDiscardRequest:
				p.discards++
			}
			if m.Ctrl == ctrl {
				return xid
			}
		default:
			require.Failf(p.t, "unexpected", "%T", m)
		}
	}
}

func (p *bundlePeer) answer(xid uint32, ctrl openflow.BundleCtrl) {
	p.t.Helper()
	p.send(xid, &openflow.BundleControl{Ctrl: ctrl})
}

func startCommit(t *testing.T, config Config, ctx context.Context, ms []openflow.Message) (*Conn, *bundlePeer, <-chan error) {
	c, p := connect(t, config)
	return c, &bundlePeer{peer: p}, later(func() error { return c.Commit(ctx, ms) })
}

var badMatch = &openflow.Error{ErrType: 4, Code: 9, Data: []byte{4, 14, 0, 80}}

func TestCommit(t *testing.T) {
	c, p, done := startCommit(t, Config{}, testContext(t), messages(0, 10000))
	i := 0
	xid := p.readTo(openflow.BundleCloseRequest, func(_ uint32, m *openflow.BundleAdd) {
		require.Equal(t, openflow.BundleAtomic|openflow.BundleOrdered, m.Flags)
		require.Equal(t, uint64(i), m.Message.(*openflow.FlowMod).Flow.Cookie)
		i++
	})
	require.Equal(t, 10000, i)
	p.answer(xid, openflow.BundleCloseReply)
	xid = p.readTo(openflow.BundleCommitRequest, nil)
	barrier, _ := expect[*openflow.BarrierRequest](p.peer)
	p.answer(xid, openflow.BundleCommitReply)
	p.send(barrier, &openflow.BarrierReply{})
	require.NoError(t, got(t, done))
	require.Empty(t, c.x.many)
	require.NoError(t, c.Commit(testContext(t), nil))
}

func TestCommitRefusedWhileItIsWritten(t *testing.T) {
	// The peer answers every message by an error before it reads the next one.
	_, p, done := startCommit(t, Config{WriteQueue: 1}, testContext(t), messages(0, 10000))
	xid := p.readTo(openflow.BundleDiscardRequest, func(xid uint32, _ *openflow.BundleAdd) { p.send(xid, badMatch) })
	p.answer(xid, openflow.BundleDiscardReply)
	err := got(t, done)
	var refused *CommitError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, 0, refused.Index)
	require.Equal(t, flowMod(0), refused.Message)
	require.ErrorContains(t, err, "message 0 (flow-mod): switch says: bad match bad prereq")
	require.Zero(t, p.commits)
}

func TestCommitRefusedAtCommit(t *testing.T) {
	c, p, done := startCommit(t, Config{}, testContext(t), messages(0, 5))
	var third uint32
	closeXID := p.readTo(openflow.BundleCloseRequest, func(xid uint32, _ *openflow.BundleAdd) {
		if p.adds == 3 {
			third = xid
		}
	})
	p.answer(closeXID, openflow.BundleCloseReply)
	commit := p.readTo(openflow.BundleCommitRequest, nil)
	barrier, _ := expect[*openflow.BarrierRequest](p.peer)
	p.send(third, badMatch)
	p.send(commit, &openflow.Error{ErrType: openflow.ErrTypeExperimenter, Experimenter: 0x4f4e4600, Code: openflow.BundleErrMsgFailed})
	p.send(barrier, &openflow.BarrierReply{})
	var refused *CommitError
	require.ErrorAs(t, got(t, done), &refused)
	require.Equal(t, 2, refused.Index)
	require.Empty(t, c.Events())
	require.Zero(t, c.Stats().LateReplies)
}

func TestBundlesUnsupported(t *testing.T) {
	_, bp, done := startCommit(t, Config{}, testContext(t), messages(0, 2))
	for range 4 { // open, add, add, close
		xid, _, err := bp.next()
		require.NoError(t, err)
		bp.send(xid, &openflow.Error{ErrType: errBadRequest, Code: 3})
	}
	xid := bp.readTo(openflow.BundleDiscardRequest, nil)
	bp.send(xid, &openflow.Error{ErrType: errBadRequest, Code: 3})
	var refused *CommitError
	require.ErrorAs(t, got(t, done), &refused)
	require.Equal(t, -1, refused.Index)
	require.Nil(t, refused.Message)
}

func TestCommitOfWhatCannotBeSaid(t *testing.T) {
	ms := messages(0, 3)
	ms[1] = &openflow.PacketOut{Data: make([]byte, 70000)}
	c, p := connect(t, Config{})
	err := c.Commit(testContext(t), ms)
	var refused *CommitError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, 1, refused.Index)
	bp := &bundlePeer{peer: p}
	bp.readTo(openflow.BundleDiscardRequest, nil)
	require.Zero(t, bp.adds)
}

func TestOutcomeUnknown(t *testing.T) {
	for _, tc := range []struct {
		name string
		then func(p *bundlePeer, commit, barrier uint32, cancel func())
	}{
		{"the switch closes", func(p *bundlePeer, _, _ uint32, _ func()) { p.nc.Close() }},
		{"the caller gives up", func(_ *bundlePeer, _, _ uint32, cancel func()) { cancel() }},
		{"no answer", func(*bundlePeer, uint32, uint32, func()) {}},
		{"committed, barrier missing", func(p *bundlePeer, commit, _ uint32, cancel func()) {
			p.answer(commit, openflow.BundleCommitReply)
			p.nc.Close()
		}},
		{"barrier answered, commit not", func(p *bundlePeer, _, barrier uint32, _ func()) {
			p.send(barrier, &openflow.BarrierReply{})
		}},
		{"nonsense in answer to the commit", func(p *bundlePeer, commit, barrier uint32, _ func()) {
			p.answer(commit, openflow.BundleOpenReply)
			p.send(barrier, &openflow.BarrierReply{})
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(testContext(t))
			defer cancel()
			_, p, done := startCommit(t, Config{RequestTimeout: time.Second}, ctx, messages(0, 3))
			p.answer(p.readTo(openflow.BundleCloseRequest, nil), openflow.BundleCloseReply)
			commit := p.readTo(openflow.BundleCommitRequest, nil)
			barrier, _ := expect[*openflow.BarrierRequest](p.peer)
			tc.then(p, commit, barrier, cancel)
			require.ErrorIs(t, got(t, done), ErrOutcomeUnknown)
		})
	}
}

// Before the commit request is sent the outcome is known: nothing.
func TestLostBeforeTheCommitIsNotUnknown(t *testing.T) {
	for _, tc := range []struct {
		name string
		then func(p *bundlePeer, cancel func())
	}{
		{"the switch closes", func(p *bundlePeer, _ func()) { p.nc.Close() }},
		{"the caller gives up", func(_ *bundlePeer, cancel func()) { cancel() }},
		{"no answer", func(*bundlePeer, func()) {}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(testContext(t))
			defer cancel()
			_, p, done := startCommit(t, Config{RequestTimeout: time.Second}, ctx, messages(0, 3))
			p.readTo(openflow.BundleCloseRequest, nil)
			tc.then(p, cancel)
			err := got(t, done)
			require.Error(t, err)
			require.NotErrorIs(t, err, ErrOutcomeUnknown)
			require.False(t, errors.As(err, new(*CommitError)))
			require.Zero(t, p.commits)
		})
	}
}

// A bundle given up while the queue is full is discarded by the next Commit.
func TestBundleGivenUpIsDiscardedLater(t *testing.T) {
	c, p := connect(t, Config{WriteQueue: 1, WriteTimeout: time.Minute})
	many := messages(0, 1<<17)
	full, cancelFull := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancelFull()
	require.ErrorIs(t, c.Commit(full, many), context.DeadlineExceeded)
	later(func() error { return c.Commit(testContext(t), messages(0, 1)) })
	bp := &bundlePeer{peer: p}
	bp.readTo(openflow.BundleDiscardRequest, nil)
	bp.readTo(openflow.BundleOpenRequest, nil)
	require.Equal(t, 2, bp.open)
}
