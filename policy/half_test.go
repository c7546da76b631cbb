package policy

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/access"
	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/flowtap/ftc/eval"
	"github.com/flowtap/flowtap/store"
	"github.com/flowtap/flowtap/topology"
)

// led gives a Runner that has the store up to a revision, and runs only as far as the test has it.
func (l *lab) led(revision int64) *Runner {
	l.t.Helper()
	r := New(l.store, slog.New(slog.NewTextHandler(testLog{l.t}, nil)))
	ctx, cancel := context.WithCancel(l.ctx())
	defer cancel()
	for changes := l.store.Follow(ctx); r.world.Revision < revision; {
		b, ok := <-changes
		require.True(l.t, ok)
		r.follow(b)
	}
	return r
}

// While a part of a change cannot be undone nothing else is changed, and nobody is told anything, whatever became of the
// change.
func TestNothingIsChangedBeforeAHalfIsUndone(t *testing.T) {
	l := newLab(t)
	l.stop()
	l.monitor("ids")
	l.vm("web", "tier", "public")
	_, _, err := l.store.Projects().Create(l.ctx(), "default", access.Project{Quotas: access.Quotas{"taps": 1}})
	require.NoError(t, err)
	o, _, err := l.store.Policies().Create(l.ctx(), "shop", flowtap.Policy{Source: public})
	require.NoError(t, err)
	r := l.led(o.Revision)
	l.hand("mine", flowtap.Tap{Src: "web", Dst: "ids", Match: match("udp"), Priority: 100}) // which leaves no room
	const unreadable = "/flowtap/v1/plans/other/00000000"
	_, err = l.store.EtcdClient().Put(l.ctx(), unreadable, "{}")
	require.NoError(t, err)
	status := func() flowtap.PolicyStatus {
		o, err := l.store.Policies().Get(l.ctx(), "shop")
		require.NoError(t, err)
		return o.Status
	}
	for range 2 { // the change, then the undo alone
		r.again = nil
		r.settle(l.ctx())
		require.True(t, r.half)
		require.Empty(t, status().State)
	}
	require.NoError(t, l.store.Taps().Delete(l.ctx(), "mine", 0))
	clear(r.tries)
	r.settle(l.ctx())
	require.Empty(t, l.taps(), "it could be made now")
	_, err = l.store.EtcdClient().Delete(l.ctx(), unreadable)
	require.NoError(t, err)
	r.again = nil
	r.settle(l.ctx())
	require.False(t, r.half)
	l.eventually("shop web>ids nw_proto=TCP; tp_dst=80")
}

// A policy whose change fails again and again is in nobody's way.
func TestAPolicyThatFailsKeepsNobodyWaiting(t *testing.T) {
	l := newLab(t)
	l.monitor("ids")
	l.vm("web", "tier", "public")
	l.policy("a", public)
	key := "/flowtap/v1/objects/taps/" + l.only()
	require.NoError(t, l.store.Policies().Delete(l.ctx(), "a", 0))
	l.eventually()
	_, err := l.store.EtcdClient().Put(l.ctx(), key, "what no program of ours writes")
	require.NoError(t, err)
	_, _, err = l.store.Policies().Create(l.ctx(), "a", flowtap.Policy{Source: public})
	require.NoError(t, err)
	require.Equal(t, flowtap.PolicyActive, l.policy("b", `execute[flowtap:tap("web", "ids", "udp", "forward")]`).State)
	_, err = l.store.EtcdClient().Delete(l.ctx(), key)
	require.NoError(t, err)
	l.until("a", func(s flowtap.PolicyStatus) bool { return s.State == flowtap.PolicyActive })
}

// After a Reset nothing counts but what is in it, and what this replica wrote is waited for, but not for ever.
func TestAResetBeginsAnew(t *testing.T) {
	l := newLab(t)
	l.stop()
	r := l.led(1)
	old := &store.Policy{Meta: store.Meta{ID: "shop", Revision: 5}, Spec: flowtap.Policy{Source: "p(1)"}, Status: flowtap.PolicyStatus{State: flowtap.PolicyActive}}
	r.follow(store.Batch{Revision: 5, Events: []store.Event{{Collection: store.CollectionPolicies, ID: "shop", Object: old}}})
	restored := *old
	restored.Spec.Source, restored.Status = "p(2)", flowtap.PolicyStatus{State: flowtap.PolicyInvalid}
	clear(r.due)
	r.echo = 10
	r.follow(store.Batch{Reset: true, Revision: 7, Events: []store.Event{{Collection: store.CollectionPolicies, ID: "shop", Object: &restored}}})
	require.Equal(t, restored.Status, r.policies["shop"].status)
	require.Equal(t, map[string]bool{"shop": true}, r.due)
	require.True(t, r.behind())
	require.NotNil(t, r.lost)
	r.follow(store.Batch{Revision: 10})
	require.False(t, r.behind())
	r.follow(store.Batch{Reset: true, Revision: 11})
	require.Empty(t, r.policies)
	require.Equal(t, map[string]bool{"shop": true}, r.due, "its taps are to be withdrawn")
	require.Nil(t, r.lost)
}

// What is too much is not tried again before the policy's own facts are others.
func TestWhatIsTooMuchIsTriedOnce(t *testing.T) {
	w := newWorld()
	put := func(id string, labels map[string]string) (store.Event, any) {
		e := store.Event{Collection: store.CollectionPorts, ID: id, Object: &store.Port{Spec: topology.Port{Kind: topology.KindVM, Labels: labels}}}
		return e, w.apply(e)
	}
	_, _ = put("web", map[string]string{"tier": "public"})
	_, _ = put("db", map[string]string{"tier": "public"})
	c := newCompiled("shop", flowtap.Policy{Source: public}, eval.Limits{Taps: 1})
	_, faults := c.wanted(w)
	require.True(t, faults.Errors())
	c.limits.Taps = 10
	_, faults = c.wanted(w)
	require.True(t, faults.Errors(), "nothing is evaluated")
	require.False(t, c.changed(put("blue:api", map[string]string{"tier": "public"})), "another project's")
	e, was := put("db", nil)
	e.StatusOnly = true // states and loads are facts, too
	require.True(t, c.changed(e, was))
	wanted, faults := c.wanted(w)
	require.Empty(t, faults)
	require.Len(t, wanted, 1, "all are read again")
}

// A tap goes with its port, also where the policy names the port itself, and where the policy is wrong by now; and is made again
// with it.
func TestATapGoesWithItsPort(t *testing.T) {
	l := newLab(t)
	l.monitor("ids")
	l.vm("web")
	l.vm("db")
	const source = `execute[flowtap:tap("web", "ids", "udp", "forward")]
execute[flowtap:tap("db", "ids", "udp", "forward")]`
	l.policy("shop", source)
	l.eventually("shop web>ids nw_proto=UDP", "shop db>ids nw_proto=UDP")
	require.NoError(t, l.store.Ports().Delete(l.ctx(), "web", 0))
	l.eventually("shop db>ids nw_proto=UDP")
	st := l.until("shop", func(s flowtap.PolicyStatus) bool { return s.State == flowtap.PolicyInvalid && s.Taps == 1 })
	require.Equal(t, "there is no port web", st.Reason)
	l.monitor("web")
	st = l.until("shop", func(s flowtap.PolicyStatus) bool { return s.Reason != st.Reason })
	require.Equal(t, "port web is a monitor, which cannot be tapped", st.Reason)
	require.NoError(t, l.store.Ports().Delete(l.ctx(), "web", 0))
	l.vm("web")
	l.eventually("shop web>ids nw_proto=UDP", "shop db>ids nw_proto=UDP")
	l.until("shop", func(s flowtap.PolicyStatus) bool { return s.State == flowtap.PolicyActive })

	require.Equal(t, flowtap.PolicyInvalid, l.policy("shop", source+`
execute[flowtap:tap("db", "nobody", "tcp", "forward")]`).State)
	require.NoError(t, l.store.Ports().Delete(l.ctx(), "web", 0))
	l.eventually("shop db>ids nw_proto=UDP")
}

// What a project does not see by the API it does not learn from a policy: how busy others keep a monitor, and what else leads to it.
func TestAPolicyTellsNothingOfOthers(t *testing.T) {
	l := newLab(t)
	_, _, err := l.store.Projects().Create(l.ctx(), "blue", access.Project{})
	require.NoError(t, err)
	l.network("blue:shop")
	l.vm("blue:web")
	ids := topology.Port{Kind: topology.KindMonitor, Interface: "ids", Tag: topology.TagVLAN, SharedWith: topology.Shared{"blue"}}
	_, _, err = l.store.Ports().Create(l.ctx(), "ids", ids)
	require.NoError(t, err)
	l.monitor("blue:own")
	for _, id := range []string{"ids", "blue:own"} {
		require.NoError(t, l.store.Ports().PutStatus(l.ctx(), id, topology.PortStatus{State: topology.PortActive, Monitor: &topology.MonitorLoad{At: time.Now(), CPU: 0.9}}))
	}
	const busy = `execute[flowtap:tap("web", m, "udp", "forward")] :- flowtap:monitors(id=m, cpu=c), gt(c, 0.5)`
	_, _, err = l.store.Policies().Create(l.ctx(), "blue:shop", flowtap.Policy{Source: busy})
	require.NoError(t, err)
	l.eventually("blue:shop blue:web>blue:own nw_proto=UDP")

	_, _, err = l.store.Pools().Create(l.ctx(), "secret", topology.Pool{Mode: topology.PoolCopy, Members: []topology.PoolMember{{Port: "ids", Weight: 1}}})
	require.NoError(t, err)
	o, err := l.store.Policies().Replace(l.ctx(), "blue:shop", flowtap.Policy{Source: `execute[flowtap:tap("web", "default/ids", "tcp", "redirect")]`}, 0)
	require.NoError(t, err)
	st := l.until("blue:shop", func(s flowtap.PolicyStatus) bool { return s.Revision == revisionText(o.Revision) })
	require.Equal(t, "default/ids takes no redirected frames of other projects: it needs tag vlan, a way back of its own, and no copies; ask whose it is", st.Reason)
	for _, d := range st.Diagnostics {
		require.NotContains(t, d.Text, "secret")
	}
}
