package policy

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/flowtap/flowtap/access"
	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/store"
	"github.com/flowtap/flowtap/topology"
)

// A leader that ends in the midst of a change of many transactions leaves it to the next one, who has the whole of it.
func TestALeaderEndsInTheMidstOfAChange(t *testing.T) {
	l := newLab(t)
	l.monitor("ids")
	var want []string
	for i := range 5 {
		id := fmt.Sprint("vm", i)
		l.vm(id, "tier", "public")
		for port := range 130 {
			want = append(want, fmt.Sprintf("shop %s>ids nw_proto=TCP; tp_dst=%d", id, 1000+port))
		}
	}
	source := `port(1000)
port(q) :- digit(a), digit(b), digit(c), mul(a, 100, x), mul(b, 10, y), plus(x, y, z), plus(z, c, n), lt(n, 130), plus(n, 1000, q)
digit(0) digit(1) digit(2) digit(3) digit(4) digit(5) digit(6) digit(7) digit(8) digit(9)
execute[flowtap:tap(p, "ids", "tcp,tp_dst={q}", "forward", direction="in")] :- flowtap:labels(p, "tier", "public"), port(q)
`
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	begun := make(chan struct{})
	go func() {
		for b := range l.store.Follow(ctx) {
			for _, e := range b.Events {
				if e.Collection == store.CollectionPlans && e.Object != nil {
					close(begun)
					cancel()
					return
				}
			}
		}
	}()
	_, _, err := l.store.Policies().Create(l.ctx(), "shop", flowtap.Policy{Source: source})
	require.NoError(t, err)
	<-begun
	l.halt()
	l.start()
	l.eventually(want...)
	l.until("shop", func(s flowtap.PolicyStatus) bool { return s.State == flowtap.PolicyActive && s.Taps == len(want) })
	require.NoError(t, l.store.Policies().Delete(l.ctx(), "shop", 0))
	l.eventually()
	left, err := l.store.EtcdClient().Get(l.ctx(), "/flowtap/v1/plans/", clientv3.WithPrefix())
	require.NoError(t, err)
	require.Empty(t, left.Kvs)
}

// A policy is its project's: its ports, its room, its monitors and those that are shared with it.
func TestAPolicyOfAProject(t *testing.T) {
	l := newLab(t)
	for _, p := range []string{"blue", "green"} {
		_, _, err := l.store.Projects().Create(l.ctx(), p, access.Project{Quotas: access.Quotas{"taps": 2}})
		require.NoError(t, err)
		l.network(p + ":shop")
		l.vm(p+":web", "tier", "public")
	}
	l.vm("web", "tier", "public")
	l.monitor("offered", "blue")
	l.monitor("secret")
	const to = `execute[flowtap:tap(p, m, "udp", "forward", direction="in")] :- flowtap:labels(p, "tier", "public"), flowtap:monitors(id=m)`
	require.Equal(t, flowtap.PolicyActive, l.policy("blue:shop", to).State)
	l.eventually("blue:shop blue:web>offered nw_proto=UDP")
	require.Zero(t, l.policy("green:shop", to).Taps, "nothing is offered to green")

	st := l.policy("green:shop", `execute[flowtap:tap("web", "default/secret", "udp", "forward")]`)
	require.Equal(t, "there is no port default/secret", st.Reason)
	st = l.policy("green:shop", `execute[flowtap:tap("default/web", "default/offered", "udp", "forward")]`)
	require.Equal(t, flowtap.PolicyInvalid, st.State)
	require.Contains(t, st.Reason, "a policy taps ports of its own project")

	l.vm("blue:db", "tier", "public")
	l.vm("blue:api", "tier", "public")
	st = l.until("blue:shop", func(s flowtap.PolicyStatus) bool { return s.State == flowtap.PolicyInvalid })
	require.Regexp(t, `the quota of project blue is 2 taps: it has \d, and this policy would need \d more`, st.Reason)
	before := l.taps()
	require.LessOrEqual(t, len(before), 2)
	_, err := l.store.Projects().Replace(l.ctx(), "blue", access.Project{Quotas: access.Quotas{"taps": 3}}, 0)
	require.NoError(t, err)
	l.eventually("blue:shop blue:web>offered nw_proto=UDP", "blue:shop blue:db>offered nw_proto=UDP", "blue:shop blue:api>offered nw_proto=UDP")

	port, err := l.store.Ports().Get(l.ctx(), "offered")
	require.NoError(t, err)
	spec := port.Spec
	spec.SharedWith = topology.Shared{}
	_, err = l.store.Ports().Replace(l.ctx(), "offered", spec, 0)
	require.NoError(t, err)
	l.eventually()
}

// What a policy would do is what it does.
func TestARehearsalComesTrue(t *testing.T) {
	l := newLab(t)
	l.monitor("ids")
	l.monitor("waf")
	l.vm("web", "tier", "public")
	l.vm("db")
	l.policy("shop", public+`execute[flowtap:tap("db", "ids", "udp", "forward")]`)
	next := flowtap.Policy{Provider: true, Source: `execute[flowtap:tap("web", "waf", "tcp,tp_dst=80", "forward", direction="in")]
execute[flowtap:tap("web", "waf", "udp", "forward", direction="in")]`}
	before := l.taps()
	r, err := l.run.Rehearse(l.ctx(), "shop", &next)
	require.NoError(t, err)
	require.Equal(t, before, l.taps())
	require.Equal(t, []int{2, 1, 1}, []int{len(r.Put), len(r.Was), len(r.Delete)})
	l.policy("shop", next.Source)
	for id, tap := range r.Put {
		o, err := l.store.Taps().Get(l.ctx(), id)
		require.NoError(t, err)
		require.Equal(t, tap, o.Spec)
	}
	require.Len(t, l.taps(), 2)
	gone, err := l.run.Rehearse(l.ctx(), "shop", nil)
	require.NoError(t, err)
	require.Len(t, gone.Delete, 2)
}
