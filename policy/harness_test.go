package policy

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/flowtap/ftc/eval"
	"github.com/flowtap/flowtap/store"
	"github.com/flowtap/flowtap/topology"
)

// patience bounds every wait; none takes that long when all is well.
const patience = 30 * time.Second

// lab is a real embedded store and, while it runs, a Runner.
type lab struct {
	t      *testing.T
	store  *store.Store
	run    *Runner
	limits eval.Limits
	halt   func()
	macs   byte
}

func newLab(t *testing.T) *lab {
	t.Helper()
	st, err := store.Open(context.Background(), store.Config{DataDir: t.TempDir()})
	require.NoError(t, err)
	l := &lab{t: t, store: st}
	t.Cleanup(func() {
		l.stop()
		require.NoError(t, st.Close())
	})
	l.network("shop")
	l.start()
	return l
}

func (l *lab) start() {
	ctx, cancel := context.WithCancel(context.Background())
	l.run = New(l.store, slog.New(slog.NewTextHandler(testLog{l.t}, nil)))
	if l.limits.Taps != 0 {
		l.run.limits = l.limits
	}
	var wg sync.WaitGroup
	wg.Go(func() { _ = l.run.Run(ctx) })
	l.halt = sync.OnceFunc(func() { cancel(); wg.Wait() })
}

func (l *lab) stop() {
	if l.halt != nil {
		l.halt()
	}
}

type testLog struct{ testing.TB }

func (l testLog) Write(b []byte) (int, error) {
	l.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

func (l *lab) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	l.t.Cleanup(cancel)
	return ctx
}

func (l *lab) network(id string) {
	l.t.Helper()
	_, _, err := l.store.Networks().Create(l.ctx(), id, topology.Network{})
	require.NoError(l.t, err)
}

// vm makes a port in network shop, or changes its labels.
func (l *lab) vm(id string, labels ...string) {
	l.t.Helper()
	project, own := topology.SplitID(id)
	l.macs++
	p := topology.Port{Network: topology.Qualify(project, "shop"), Kind: topology.KindVM, Interface: strings.ReplaceAll(id, ":", "."), Labels: map[string]string{},
		MAC: topology.MAC{2, 0, 0, 0, 0, l.macs}, PortSecurity: true}
	for i := 0; i < len(labels); i += 2 {
		p.Labels[labels[i]] = labels[i+1]
	}
	_, created, err := l.store.Ports().Create(l.ctx(), id, p)
	if err != nil || !created {
		_, err = l.store.Ports().Replace(l.ctx(), id, p, 0)
	}
	require.NoError(l.t, err, own)
}

func (l *lab) monitor(id string, shared ...string) {
	l.t.Helper()
	_, _, err := l.store.Ports().Create(l.ctx(), id, topology.Port{Kind: topology.KindMonitor, Interface: strings.ReplaceAll(id, ":", "."), SharedWith: shared})
	require.NoError(l.t, err)
}

// policy writes a policy and waits until it was looked at.
func (l *lab) policy(id, source string) flowtap.PolicyStatus {
	l.t.Helper()
	o, created, err := l.store.Policies().Create(l.ctx(), id, flowtap.Policy{Source: source, Provider: true})
	if err != nil || !created {
		o, err = l.store.Policies().Replace(l.ctx(), id, flowtap.Policy{Source: source, Provider: true}, 0)
	}
	require.NoError(l.t, err)
	return l.until(id, func(s flowtap.PolicyStatus) bool { return s.Revision == revisionText(o.Revision) })
}

// until waits for a status.
func (l *lab) until(id string, f func(flowtap.PolicyStatus) bool) flowtap.PolicyStatus {
	l.t.Helper()
	var st flowtap.PolicyStatus
	require.Eventually(l.t, func() bool {
		o, err := l.store.Policies().Get(l.ctx(), id)
		require.NoError(l.t, err)
		st = o.Status
		return f(st)
	}, patience, time.Millisecond, "the status stays as it is")
	return st
}

// taps gives all taps as "policy src>dst match" or, where nobody's policy has them, "- src>dst match".
func (l *lab) taps() []string {
	l.t.Helper()
	all, _, err := l.store.Taps().List(l.ctx())
	require.NoError(l.t, err)
	out := []string{}
	for _, o := range all {
		owner := o.Spec.Policy
		if owner == "" {
			owner = "-"
		}
		out = append(out, strings.TrimSpace(owner+" "+o.Spec.Src+">"+o.Spec.Dst+" "+o.Spec.Match.String()))
	}
	return out
}

// eventually waits for exactly these taps.
func (l *lab) eventually(want ...string) {
	l.t.Helper()
	var have []string
	require.Eventually(l.t, func() bool {
		have = l.taps()
		return sameSet(want, have)
	}, patience, time.Millisecond, "want %v", want)
}

func sameSet(a, b []string) bool {
	count := map[string]int{}
	for _, x := range a {
		count[x]++
	}
	for _, x := range b {
		count[x]--
	}
	for _, n := range count {
		if n != 0 {
			return false
		}
	}
	return true
}

func (l *lab) hand(id string, t flowtap.Tap) {
	l.t.Helper()
	t.Direction, t.Enabled, t.FailMode = flowtap.In, true, flowtap.FailClosed
	if t.Action == "" {
		t.Action = flowtap.Forward
	}
	_, _, err := l.store.Taps().Create(l.ctx(), id, t, store.WithoutOverlap())
	require.NoError(l.t, err)
}
