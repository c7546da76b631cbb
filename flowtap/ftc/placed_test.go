package ftc

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/flowtap/ftc/eval"
	"github.com/flowtap/flowtap/flowtap/ftc/program"
	"github.com/flowtap/flowtap/flowtap/placement"
)

func TestStrategiesAreThoseOfPlacement(t *testing.T) {
	assert.Equal(t, []string{string(placement.PerApplication), string(placement.PerNode), string(placement.Hybrid)}, program.Strategies)
}

func TestWhatNamesNoMonitorIsPlaced(t *testing.T) {
	const policy = `placement hybrid from watchers
execute[flowtap:tap(p, match="tcp", action="forward")] :- port(p)
execute[flowtap:tap(p, "waf1", "udp", "redirect")] :- port(p)`
	all := compiled(t, "shop", policy, `{"port": [["web"]], "watchers": [["ids2"], ["ids1"]]}`)
	require.Len(t, all, 2)
	for _, w := range all {
		if w.Tap.Dst == "waf1" {
			assert.Empty(t, w.Strategy)
			continue
		}
		assert.Empty(t, w.Tap.Dst)
		assert.Equal(t, placement.Want{ID: w.ID, Tap: w.Tap, Strategy: placement.Hybrid, Monitors: []string{"IDS1", "IDS2"}},
			w.Want(strings.ToUpper))
		named := compiled(t, "shop", `execute[flowtap:tap("web", "ids1", "tcp", "forward")]`, `{}`)
		assert.Equal(t, named[0].ID, w.ID, "the same contract whoever has it")
	}
	nobody := compiled(t, "shop", policy, `{"port": [["web"]]}`)
	for _, w := range nobody {
		if w.Strategy != "" {
			assert.Equal(t, []string{}, w.Want(strings.ToUpper).Monitors, "nobody may have it")
		}
	}
	provider := compiled(t, "shop", strings.Replace(policy, " from watchers", "", 1), `{"port": [["web"]]}`)
	for _, w := range provider {
		if w.Strategy != "" {
			assert.Nil(t, w.Want(strings.ToUpper).Monitors, "the provider's may")
		}
	}
}

// Monitors that come and go change the taps that are placed, and no others.
func TestMonitorsOfAPlacementFollowTheirTable(t *testing.T) {
	e := eval.New(load(t, `placement per_application from watchers
execute[flowtap:tap(p, match="tcp", action="forward")] :- port(p)
execute[flowtap:tap(p, "waf1", "udp", "redirect")] :- port(p)`), eval.Limits{})
	require.NoError(t, e.Apply(facts(t, `{"port": [["web"], ["db"]], "watchers": [["ids1"]]}`)))
	taps := NewTaps("shop", e)
	require.Len(t, taps.Update().Put, 4)
	for _, c := range []struct {
		row      string
		monitors string
		faults   int
	}{{`"ids2"`, "ids1,ids2", 0}, {`"not an id"`, "ids1,ids2", 1}, {`3`, "ids1,ids2", 1}} {
		change := facts(t, `{"watchers": [[`+c.row+`]]}`)
		require.NoError(t, e.Apply(change))
		changes := taps.Update()
		assert.Len(t, taps.Faults(), c.faults)
		if c.faults > 0 {
			assert.Empty(t, changes.Put)
			assert.Contains(t, taps.Faults().String(), "policy:1:32: error: watchers has")
			change[0].Delete = true
			require.NoError(t, e.Apply(change))
			taps.Update()
			assert.Empty(t, taps.Faults())
			continue
		}
		require.Len(t, changes.Put, 2)
		for _, w := range changes.Put {
			assert.Equal(t, c.monitors, w.Monitors)
		}
		assert.Empty(t, changes.Delete)
	}
	require.NoError(t, e.Apply(facts(t, `{"port": [["mail"]]}`)))
	assert.Len(t, taps.Update().Put, 2, "the others are as they were")
}

// Parts of a contract may have the two priorities above it: there nothing else of the policy overlaps it.
func TestPartsOfPlacedTapsHaveRoom(t *testing.T) {
	for _, c := range []struct {
		other string
		ok    bool
	}{
		{`match="tcp", action="forward", priority=101`, false},
		{`match="ip", action="forward", priority=102`, false},
		{`match="ip", action="forward", priority=98`, false},
		{`match="tcp", action="forward", priority=103`, true},
		{`match="tcp", action="forward", priority=97`, true},
		{`match="udp", action="forward", priority=101`, true},
		{`dst="waf1", match="tcp", action="forward", priority=102`, false},
		{`dst="waf1", match="tcp", action="forward", priority=99`, true},
		{`match="tcp", action="forward", priority=99, rate_pps=5`, true},
		{`match="tcp", action="forward", priority=101, rate_pps=5`, false},
	} {
		for _, more := range []int{0, smallGroup} { // compared each with each, and by an index
			policy := "placement hybrid\n" + `execute[flowtap:tap("web", match="tcp", action="forward", priority=100)]
execute[flowtap:tap("web", ` + c.other + `)]
execute[flowtap:tap("web", match="arp,arp_tpa=10.0.0.{n}", action="forward", direction="out")] :- n(n)`
			rows := `{"n": [[200]`
			for i := range more {
				rows += `,[` + string(rune('1'+i%9)) + string(rune('0'+i/9)) + `]`
			}
			_, ds := Compile("shop", load(t, policy), facts(t, rows+`]}`), eval.Limits{})
			assert.Equal(t, c.ok, len(ds) == 0, "%s\n%s", c.other, ds.String())
		}
	}
}
