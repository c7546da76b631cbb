package main

import (
	"bytes"
	"context"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/cmd/rest"
	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/flowtap/trace"
	"github.com/flowtap/flowtap/northbound"
	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/ofsim"
	"github.com/flowtap/flowtap/store"
	"github.com/flowtap/flowtap/topology"
)

const patience = 20 * time.Second

// lab is a real server over a real store.
type lab struct {
	t     *testing.T
	url   string
	store *store.Store
}

type planner struct{}

func (planner) DryRun(context.Context, []northbound.Change) ([]northbound.SwitchChange, error) {
	return []northbound.SwitchChange{{Node: "n1", FlowsAdded: []string{"table=2 actions=drop"}, GroupsRemoved: []string{"group_id=1"}, MetersAdded: []string{"meter=3"}}}, nil
}

// traced says that every frame goes through one action of one tap.
func traced(_ context.Context, r northbound.TraceRequest) (*trace.Trace, error) {
	if r.Frame.IsZero() {
		return nil, &topology.FieldError{Field: "frame", Detail: "where the frame goes is not said: give dl_dst"}
	}
	table, priority, cookie := openflow.TableID(30), uint16(210), ofsim.Cookie(0xf10a0b0000000007)
	t := &trace.Trace{Port: r.Port, Frame: r.Frame.String(), Copies: []trace.Copy{{Monitor: "ids1", Tap: "t1", Node: "n1"}}, Stops: []trace.Copy{},
		Outputs: []trace.Output{{Port: "db", Node: "n1", OFPort: 2}}, Hops: []*trace.Hop{{Node: "n1", DPID: 1, InPort: 1, Port: r.Port,
			Steps: []*trace.Step{{Kind: ofsim.NodeFlow, Table: &table, TableName: "tap-out", Priority: &priority, Cookie: &cookie,
				Origin: &trace.Origin{Kind: "tap", Collection: "taps", ID: "t1"}, Steps: []*trace.Step{{Kind: ofsim.NodeAction, Action: "output:2",
					Output: &trace.Left{OFPort: 2, Port: "db"}}}}}}}}
	if r.GiveBack {
		t.Stops = append(t.Stops, trace.Copy{Monitor: "ips", Tap: "r1", Node: "n2"})
	}
	return t, nil
}

func newLab(t *testing.T) *lab {
	t.Helper()
	st, err := store.Open(context.Background(), store.Config{DataDir: t.TempDir()})
	require.NoError(t, err)
	s, err := northbound.New(northbound.Deps{Store: st, Insecure: true, Logger: slog.New(slog.DiscardHandler), Planner: planner{},
		Trace: traced, ReadCounters: func(ctx context.Context, id string) error {
			return st.Taps().PutStatus(ctx, id, flowtap.TapStatus{State: flowtap.TapActive, Counters: flowtap.Counters{DeliveredPackets: 5}})
		}})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { s.Run(ctx) })
	srv := httptest.NewServer(s)
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		srv.Close()
		_ = st.Close()
	})
	return &lab{t, srv.URL, st}
}

// output is what one command line did.
type output struct {
	code     int
	out, err string
}

// ctl runs a command line against the lab; words are split at blanks.
func (l *lab) ctl(line string, args ...string) output {
	return l.ctlWith(context.Background(), "", append(strings.Fields(line), args...)...)
}

func (l *lab) ctlWith(ctx context.Context, stdin string, args ...string) output {
	var out, errs bytes.Buffer
	code := run(ctx, args, world{in: strings.NewReader(stdin), out: &out, err: &errs, env: rest.Environment{Server: l.url}})
	return output{code, out.String(), errs.String()}
}

// ok is ctl that must succeed; it gives what was printed.
func (l *lab) ok(line string, args ...string) string {
	l.t.Helper()
	o := l.ctl(line, args...)
	require.Equal(l.t, exitOK, o.code, "%s %q: %s", line, args, o.err)
	return o.out
}

const cloud = `
kind: tap
id: t1
src: web
dst: ids1
match: tcp,tp_dst=80
direction: in
action: forward
---
# Ports are told by their own kind.
- {kind: port, id: web, network: shop, mac: "02:00:00:00:00:01", ips: [10.0.0.1]}
- {kind: monitor, id: ids1}
---
networks:
  - id: shop
nodes:
  - {id: n1, datapath_id: "0000000000000001", tunnel_ip: 172.16.0.1}
`
