package policy

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/flowtap"
)

const public = `public(p) :- flowtap:labels(p, "tier", "public")
execute[flowtap:tap(p, "ids", "tcp,tp_dst=80", "forward", direction="in")] :- public(p)
`

func TestTapsComeAndGoWithLabels(t *testing.T) {
	l := newLab(t)
	l.monitor("ids")
	l.vm("web", "tier", "public")
	l.vm("db")
	st := l.policy("shop", public)
	require.Equal(t, flowtap.PolicyStatus{State: flowtap.PolicyActive, Taps: 1, Revision: st.Revision, Running: st.Revision}, st)
	l.eventually("shop web>ids nw_proto=TCP; tp_dst=80")
	l.vm("db", "tier", "public")
	l.eventually("shop web>ids nw_proto=TCP; tp_dst=80", "shop db>ids nw_proto=TCP; tp_dst=80")
	l.vm("web")
	l.eventually("shop db>ids nw_proto=TCP; tp_dst=80")
	l.until("shop", func(s flowtap.PolicyStatus) bool { return s.Taps == 1 })

	require.NoError(t, l.store.Ports().Delete(l.ctx(), "db", 0), "a policy's tap does not hold its port")
	l.eventually()
	l.vm("db", "tier", "public")
	l.eventually("shop db>ids nw_proto=TCP; tp_dst=80")
	require.NoError(t, l.store.Policies().Delete(l.ctx(), "shop", 0))
	l.eventually()
}

func TestWhatWasMadeByHandIsNeverTouched(t *testing.T) {
	l := newLab(t)
	l.monitor("ids")
	l.vm("web", "tier", "public")
	l.hand("mine", flowtap.Tap{Src: "web", Dst: "ids", Match: match("tcp,tp_dst=80"), Priority: 100})
	st := l.policy("shop", public)
	require.Equal(t, flowtap.PolicyInvalid, st.State)
	require.Len(t, st.Diagnostics, 1)
	require.Equal(t, `shop:2:1: error: this tap of port web overlaps tap mine, which is made by hand: both have incoming a frame with tcp,tp_dst=80, at priority 100; give one of them another priority
    execute[flowtap:tap(p, "ids", "tcp,tp_dst=80", "forward", direction="in")] :- public(p)
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    = it follows from public("web")
`, st.Diagnostics[0].Text)
	require.Equal(t, []int{2, 1}, []int{st.Diagnostics[0].Line, st.Diagnostics[0].Column})
	require.Equal(t, []string{"- web>ids nw_proto=TCP; tp_dst=80"}, l.taps())
	before, err := l.store.Taps().Get(l.ctx(), "mine")
	require.NoError(t, err)

	require.NoError(t, l.store.Taps().Delete(l.ctx(), "mine", before.Revision))
	l.eventually("shop web>ids nw_proto=TCP; tp_dst=80")
	l.until("shop", func(s flowtap.PolicyStatus) bool { return s.State == flowtap.PolicyActive && s.Diagnostics == nil })
}

// Nothing of a set is made where one of its taps cannot be, and the set that was there goes on as a whole.
func TestAnInvalidVersionLeavesTheOldOneRunning(t *testing.T) {
	l := newLab(t)
	l.monitor("ids")
	l.vm("web", "tier", "public")
	l.vm("db", "tier", "public")
	good := l.policy("shop", public)
	l.hand("mine", flowtap.Tap{Src: "db", Dst: "ids", Match: match("udp"), Priority: 100})
	old := l.taps()
	for _, source := range []string{
		`execute[flowtap:tap(p, "ids", "udp", "forward")] :- flowtap:labels(p, "tier", "public")`,
		`execute[flowtap:tap(p, "nobody", "tcp", "forward")] :- flowtap:labels(p, "tier", "public")`,
		`execute[flowtap:tap(p, "web", "tcp", "forward")] :- flowtap:labels(p, "tier", "public"), not equal(p, "web")`,
		`execute[flowtap:tap("ids", "ids", "tcp", "forward")]`,
		`execute[flowtap:tap(p, q, "tcp", "forward")] :- flowtap:labels(p, "tier", _), flowtap:labels(q, "tier", _)`,
		`wrong(x) :- nothing`,
	} {
		st := l.policy("shop", source)
		require.Equal(t, flowtap.PolicyInvalid, st.State, source)
		require.Equal(t, 2, st.Taps, source)
		require.Equal(t, good.Running, st.Running, source)
		require.NotEmpty(t, st.Reason, source)
		require.NotZero(t, st.Diagnostics[0].Line, source)
		require.Equal(t, old, l.taps(), source)
	}
	l.policy("shop", public)
	require.Equal(t, old, l.taps())
}

func TestPoliciesDoNotTakeEachOthersPlace(t *testing.T) {
	l := newLab(t)
	l.monitor("ids")
	l.vm("web", "tier", "public")
	l.policy("a", public)
	st := l.policy("b", public)
	require.Equal(t, flowtap.PolicyInvalid, st.State)
	require.Contains(t, st.Reason, "which is of policy a:")
	require.NoError(t, l.store.Policies().Delete(l.ctx(), "a", 0))
	l.eventually("b web>ids nw_proto=TCP; tp_dst=80")
}

func TestTooManyTaps(t *testing.T) {
	l := newLab(t)
	l.stop()
	l.limits.Taps = 1000
	l.start()
	l.monitor("ids")
	l.vm("web", "tier", "public")
	l.policy("shop", public)
	old := l.taps()
	st := l.policy("shop", `n(0) n(1) n(2) n(3) n(4) n(5) n(6) n(7) n(8) n(9)
execute[flowtap:tap("web", "ids", "tcp,tp_src={a}{b}{c},tp_dst={d}{e}{f}", "forward")] :- n(a), n(b), n(c), n(d), n(e), n(f)`)
	require.Equal(t, flowtap.PolicyInvalid, st.State)
	require.Equal(t, "this gives more than 1000 taps", st.Reason)
	require.Equal(t, 2, st.Diagnostics[0].Line)
	require.Equal(t, old, l.taps())
}

// A leader that begins finds what there is, and has nothing to do.
func TestARestartChangesNothing(t *testing.T) {
	l := newLab(t)
	l.monitor("ids")
	l.vm("web", "tier", "public")
	l.policy("shop", public)
	l.policy("bad", `execute[flowtap:tap("web", "nobody", "", "forward")]`)
	l.stop()
	l.vm("db", "tier", "public")
	require.NoError(t, l.store.Policies().Delete(l.ctx(), "bad", 0))
	before, err := l.store.Taps().Get(l.ctx(), l.only())
	require.NoError(t, err)
	l.start()
	l.eventually("shop web>ids nw_proto=TCP; tp_dst=80", "shop db>ids nw_proto=TCP; tp_dst=80")
	after, err := l.store.Taps().Get(l.ctx(), before.ID)
	require.NoError(t, err)
	require.Equal(t, before, after)
}

func (l *lab) only() string {
	all, _, err := l.store.Taps().List(l.ctx())
	require.NoError(l.t, err)
	require.Len(l.t, all, 1)
	return all[0].ID
}

func match(s string) flowtap.Match {
	m, err := flowtap.ParseMatch(s)
	if err != nil {
		panic(err)
	}
	return m
}

// A tap that a policy wants is there again, whoever took it away: nobody can by the API, but a store can be restored.
func TestATapThatIsTakenAwayComesBack(t *testing.T) {
	l := newLab(t)
	l.monitor("ids")
	l.vm("web", "tier", "public")
	l.policy("shop", public)
	before, err := l.store.Taps().Get(l.ctx(), l.only())
	require.NoError(t, err)
	require.NoError(t, l.store.Taps().Delete(l.ctx(), before.ID, 0))
	require.Eventually(t, func() bool {
		o, err := l.store.Taps().Get(l.ctx(), before.ID)
		return err == nil && o.Num != before.Num && o.Spec == before.Spec
	}, patience, time.Millisecond)
}
