package main

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/northbound"
	"github.com/flowtap/flowtap/policy"
	"github.com/flowtap/flowtap/store"
	"github.com/flowtap/flowtap/topology"
)

type planner struct{}

func (planner) DryRun(_ context.Context, c []northbound.Change) ([]northbound.SwitchChange, error) {
	return []northbound.SwitchChange{{Node: "n1", FlowsAdded: []string{"table=30 " + c[0].ID}}}, nil
}

// controller is a REST interface over a store where policies are carried out.
func controller(t *testing.T) string {
	t.Helper()
	st, err := store.Open(context.Background(), store.Config{DataDir: t.TempDir()})
	require.NoError(t, err)
	log := slog.New(slog.DiscardHandler)
	r := policy.New(st, log)
	s, err := northbound.New(northbound.Deps{Store: st, Insecure: true, Logger: log, Planner: planner{},
		Settled: func(context.Context, int64) error { return nil },
		Rehearse: func(ctx context.Context, id string, p *flowtap.Policy) (northbound.Rehearsal, error) {
			out, err := r.Rehearse(ctx, id, p)
			return northbound.Rehearsal(out), err
		}})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { s.Run(ctx) })
	wg.Go(func() { _ = r.Run(ctx) })
	srv := httptest.NewServer(s)
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		srv.Close()
		require.NoError(t, st.Close())
	})
	_, _, err = st.Networks().Create(ctx, "shop", topology.Network{})
	require.NoError(t, err)
	for id, p := range map[string]topology.Port{
		"web": {Network: "shop", Kind: topology.KindVM, Interface: "web", Labels: map[string]string{"tier": "public"}},
		"ids": {Kind: topology.KindMonitor, Interface: "ids"},
	} {
		_, _, err = st.Ports().Create(ctx, id, p)
		require.NoError(t, err)
	}
	return srv.URL
}

func TestDiffAndApply(t *testing.T) {
	url := controller(t)
	const rule = `execute[flowtap:tap(p, "ids", "tcp,tp_dst=80", "forward", direction="in")] :- flowtap:labels(p, "tier", "public")`
	on := func(text string, args ...string) (int, string, string) {
		return command(t, map[string]string{"shop.ftc": text}, append(args, "--policy", "shop.ftc", "--server", url)...)
	}
	var code int
	var out, errs string
	require.Eventually(t, func() bool { // it takes a moment until the compiler has heard of the port
		code, out, errs = on(rule, "diff")
		return code != 0 || !strings.HasPrefix(out, "taps: 0 created")
	}, 30*time.Second, time.Millisecond)
	require.Zero(t, code, errs)
	require.Regexp(t, `^taps: 1 created, 0 changed, 0 deleted
  \+ shop-[a-z2-7]+ nw_proto=TCP; tp_dst=80 of web \(in, priority 100\): forward to ids
n1:
  \+ flow table=30 shop-[a-z2-7]+
$`, out)
	code, out, errs = on(rule, "apply")
	require.Zero(t, code, errs)
	require.Equal(t, "policy/shop active, 1 taps\n", out)
	code, out, _ = on(rule, "diff")
	require.Zero(t, code)
	require.Equal(t, "taps: 0 created, 0 changed, 0 deleted\nno switch would change\n", out)

	// What changes is said, also where it is not whose frames go where.
	_, out, _ = on(strings.Replace(rule, "direction", `enabled="false", truncate=64, rate_pps=7, rewrite_dst_mac="true", direction`, 1), "diff")
	require.Regexp(t, `  ~ shop-\S+ (.*) to ids, disabled, 64 bytes of each frame, at most 7 frames/s, with the monitor's address \(was: (.*) to ids\)`, out)
	code, out, errs = command(t, map[string]string{"-": rule}, "diff", "--policy", "-", "--id", "shop", "--server", url)
	require.Zero(t, code, errs)
	require.Contains(t, out, "taps: 0 created, 0 changed, 0 deleted", "the standard input is read once")

	// The text is wrong; the text is wrong for this controller; it is no text.
	code, _, errs = on("a(x) :- b(y)", "apply")
	require.Equal(t, exitPolicy, code)
	require.Contains(t, errs, "shop.ftc:1:")
	absent := `execute[flowtap:tap("web", "nobody", "", "forward")]`
	for _, verb := range []string{"diff", "apply"} {
		code, _, errs = on(absent, verb)
		require.Equal(t, exitPolicy, code)
		require.Contains(t, errs, "shop:1:1: error: there is no port nobody\n    "+absent+"\n    ^")
	}
	require.Contains(t, errs, "the 1 taps that it had go on")
	code, _, _ = command(t, nil, "apply", "--policy", "nothing.ftc", "--server", url)
	require.Equal(t, exitUsage, code)
	code, _, _ = command(t, map[string]string{"shop.ftc": rule}, "apply", "--policy", "shop.ftc", "--server", "no url")
	require.Equal(t, exitUsage, code)
	code, _, errs = command(t, map[string]string{"shop.ftc": rule}, "apply", "--policy", "shop.ftc", "--server", "http://127.0.0.1:1")
	require.Equal(t, exitController, code)
	require.Contains(t, errs, "no answer from http://127.0.0.1:1")
	code, _, errs = on(rule, "apply", "--project", "nothing")
	require.Equal(t, exitController, code, errs)
}
