package controller

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/flowtap/pipeline"
	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/flowset"
	"github.com/flowtap/flowtap/openflow/ofsim/simswitch"
	"github.com/flowtap/flowtap/store"
	"github.com/flowtap/flowtap/topology"
)

// patience bounds every wait; none takes that long when all is well.
const patience = 20 * time.Second

func TestMain(m *testing.M) {
	code := m.Run()
	if stacks := leaked(); code == 0 && stacks != "" {
		os.Stderr.WriteString("goroutines left behind:\n" + stacks)
		code = 1
	}
	os.Exit(code)
}

// leaked gives the stacks of goroutines of the controller that do not end.
func leaked() string {
	for end := time.Now().Add(patience / 2); ; time.Sleep(time.Millisecond) {
		if bad := ours(); bad == "" || time.Now().After(end) {
			return bad
		}
	}
}

// ours gives the stacks of all goroutines of this package that are no tests.
func ours() string {
	buf := make([]byte, 4<<20)
	var bad []string
	for i, g := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if i > 0 && strings.Contains(g, "flowtap/controller.") && !strings.Contains(g, "testing.") {
			bad = append(bad, g)
		}
	}
	return strings.Join(bad, "\n\n")
}

// A lab is a store, a controller and switches.
type lab struct {
	t      testing.TB
	config Config
	store  *store.Store
	fabric *simswitch.Fabric
	sws    []*simswitch.Switch
	tuns   map[openflow.DPID]*simswitch.Switch // the tunnel bridge of a node of two, by the datapath id of the other
	ctl    *Controller
	addr   string
	halt   func() // stops the controller and waits for it
	warned *warnings
}

// warnings keeps what was logged at level warning and above.
type warnings struct {
	slog.Handler
	mu    sync.Mutex
	lines []string
}

func (w *warnings) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn {
		line := r.Message
		r.Attrs(func(a slog.Attr) bool { line += " " + a.String(); return true })
		w.mu.Lock()
		w.lines = append(w.lines, line)
		w.mu.Unlock()
	}
	return w.Handler.Handle(ctx, r)
}

func (w *warnings) WithAttrs(as []slog.Attr) slog.Handler { return &sub{w, w.Handler.WithAttrs(as)} }

// sub keeps attributes; what it is told goes to the same list.
type sub struct {
	*warnings
	inner slog.Handler
}

func (s *sub) Handle(ctx context.Context, r slog.Record) error { return s.warnings.Handle(ctx, r) }

func (w *warnings) count(text string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range w.lines {
		if strings.Contains(l, text) {
			n++
		}
	}
	return n
}

// quick are times for tests: everything that waits, waits little.
func quick() Config {
	return Config{AuditInterval: 30 * time.Millisecond, SettleTime: 2 * time.Millisecond, Grace: time.Millisecond}
}

// newLab starts a controller with an empty store and makes switches, not yet connected.
func newLab(t testing.TB, switches int, config Config) *lab {
	t.Helper()
	s, err := store.Open(context.Background(), store.Config{DataDir: t.TempDir()})
	require.NoError(t, err)
	l := &lab{t: t, config: config, store: s, fabric: simswitch.NewFabric()}
	t.Cleanup(func() {
		l.stop()
		for _, sw := range l.bridges() {
			sw.Hang(false)
			sw.Disconnect()
		}
		require.NoError(t, s.Close())
	})
	for i := range switches {
		l.sws = append(l.sws, l.fabric.Add(openflow.DPID(i+1), netip.AddrFrom4([4]byte{172, 16, 0, byte(i + 1)})))
	}
	l.start()
	return l
}

// start runs a new controller on the store.
func (l *lab) start() {
	l.t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(l.t, err)
	l.addr = ln.Addr().String()
	l.warned = &warnings{Handler: slog.NewTextHandler(l.t.Output(), &slog.HandlerOptions{Level: level()})}
	l.ctl = New(Deps{Config: l.config, Store: l.store, Listener: ln, Logger: slog.New(l.warned)})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.ctl.Run(ctx) }()
	l.halt = func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				l.t.Error(err)
			}
		case <-time.After(patience):
			buf := make([]byte, 1<<20)
			l.t.Errorf("Run does not return:\n%s", buf[:runtime.Stack(buf, true)])
		}
	}
}

func level() slog.Level {
	if testing.Verbose() {
		return slog.LevelInfo
	}
	return slog.LevelWarn
}

func (l *lab) stop() {
	if l.halt != nil {
		l.halt()
	}
	l.halt = nil
}

func (l *lab) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	l.t.Cleanup(cancel)
	return ctx
}

func (l *lab) connect(sws ...*simswitch.Switch) {
	l.t.Helper()
	if len(sws) == 0 {
		sws = l.bridges()
	}
	for _, sw := range sws {
		require.NoError(l.t, sw.Connect(l.addr))
	}
}

// nodeID is the id of the node of a switch: n1 and so on.
func nodeID(sw *simswitch.Switch) string { return fmt.Sprintf("n%d", uint64(sw.DPID())%second) }

// second is the difference of a node's datapath ids.
const second = 0x100

func (l *lab) node(sw *simswitch.Switch) {
	l.t.Helper()
	_, _, err := l.store.Nodes().Create(l.ctx(), nodeID(sw), l.nodeSpec(sw))
	require.NoError(l.t, err)
}

func (l *lab) nodeSpec(sw *simswitch.Switch) topology.Node {
	n := topology.Node{DatapathID: sw.DPID(), TunnelIP: sw.Tunnel(), TunnelInterface: simswitch.TunnelName}
	if tun := l.tuns[sw.DPID()]; tun != nil {
		n.TunnelDatapathID, n.TunnelIP = tun.DPID(), tun.Tunnel()
	}
	return n
}

// Port numbers of the patch ports that join a node's bridges. VMs have them, too, on the bridge of the other.
const patchOnPorts, patchOnTunnels = 99, 2

// split gives a node a second bridge, with the tunnel.
func (l *lab) split(sw *simswitch.Switch) *simswitch.Switch {
	ip := sw.Tunnel().As4()
	ip[2] = 1
	tun := l.fabric.Add(second+sw.DPID(), netip.AddrFrom4(ip))
	l.fabric.Patch(tun, patchOnTunnels, pipeline.PatchToPorts, sw, patchOnPorts, pipeline.PatchToTunnels)
	if l.tuns == nil {
		l.tuns = map[openflow.DPID]*simswitch.Switch{}
	}
	l.tuns[sw.DPID()] = tun
	return tun
}

// bridges gives all switches.
func (l *lab) bridges() (all []*simswitch.Switch) {
	for _, sw := range l.sws {
		if all = append(all, sw); l.tuns[sw.DPID()] != nil {
			all = append(all, l.tuns[sw.DPID()])
		}
	}
	return all
}

// nodes registers and connects all switches.
func (l *lab) nodes() {
	l.t.Helper()
	for _, sw := range l.sws {
		l.node(sw)
	}
	l.connect()
}

func (l *lab) network(id string) {
	l.t.Helper()
	_, _, err := l.store.Networks().Create(l.ctx(), id, topology.Network{})
	require.NoError(l.t, err)
}

// macOf is the address of a VM by number.
func macOf(n int) topology.MAC { return topology.MAC{2, 0, 0, 0, byte(n >> 8), byte(n)} }

// vm makes a port with a declared MAC.
func (l *lab) vm(id, network string, n int) {
	l.t.Helper()
	l.port(id, topology.Port{Network: network, Kind: topology.KindVM, Interface: id, MAC: macOf(n), PortSecurity: true,
		IPs: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)})}})
}

func (l *lab) monitor(id string) {
	l.t.Helper()
	l.port(id, topology.Port{Kind: topology.KindMonitor, Interface: id})
}

func (l *lab) port(id string, p topology.Port) {
	l.t.Helper()
	_, _, err := l.store.Ports().Create(l.ctx(), id, p)
	require.NoError(l.t, err)
}

func copyTap(src, dst string, d flowtap.Direction) flowtap.Tap {
	return flowtap.Tap{Src: src, Dst: dst, Direction: d, Action: flowtap.Forward, Priority: 100, Enabled: true, FailMode: "closed"}
}

// tap makes a contract and gives the store's revision after it.
func (l *lab) tap(id string, t flowtap.Tap) int64 {
	l.t.Helper()
	o, _, err := l.store.Taps().Create(l.ctx(), id, t)
	require.NoError(l.t, err)
	return o.Revision
}

func (l *lab) state(id string) flowtap.TapStatus {
	l.t.Helper()
	o, err := l.store.Taps().Get(l.ctx(), id)
	require.NoError(l.t, err)
	return o.Status
}

func (l *lab) portStatus(id string) topology.PortStatus {
	l.t.Helper()
	o, err := l.store.Ports().Get(l.ctx(), id)
	require.NoError(l.t, err)
	return o.Status
}

func (l *lab) nodeStatus(id string) topology.NodeStatus {
	l.t.Helper()
	o, err := l.store.Nodes().Get(l.ctx(), id)
	require.NoError(l.t, err)
	return o.Status
}

// eventually waits until check says nothing.
func (l *lab) eventually(check func() error) {
	l.t.Helper()
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if err = check(); err == nil {
			return
		}
	}
	l.t.Fatalf("not in time: %v", err)
}

// becomes waits for a state of a contract, and a reason that contains a text.
func (l *lab) becomes(tap, state, reason string) flowtap.TapStatus {
	l.t.Helper()
	var st flowtap.TapStatus
	l.eventually(func() error {
		st = l.state(tap)
		if st.State != state || !strings.Contains(st.Reason, reason) || reason == "" && st.Reason != "" {
			return fmt.Errorf("tap %s is %s (%s), want %s (%s)", tap, st.State, st.Reason, state, reason)
		}
		return nil
	})
	return st
}

// world is what the store says, put together without the controller.
func (l *lab) world() (*pipeline.World, store.Batch) {
	ctx, cancel := context.WithCancel(l.ctx())
	defer cancel()
	w := pipeline.NewWorld()
	_, written, err := l.store.Taps().List(ctx)
	require.NoError(l.t, err)
	// What is followed may be behind what was written.
	b := <-l.store.Follow(ctx)
	for b.Revision < written {
		require.NoError(l.t, ctx.Err())
		b = <-l.store.Follow(ctx)
	}
	for _, e := range b.Events {
		switch o := e.Object.(type) {
		case *store.Node:
			n := pipeline.Node{ID: o.ID, Node: o.Spec, TunnelPort: simswitch.TunnelPort}
			if n.Split() {
				n.Patch, n.PortPatch = patchOnTunnels, patchOnPorts
			}
			w.PutNode(n)
		case *store.Network:
			w.PutNetwork(pipeline.Network{ID: o.ID})
		case *store.Port:
			w.PutPort(pipeline.Port{ID: o.ID, Num: o.Num, Port: o.Spec, Status: o.Status})
		case *store.Tap:
			w.PutTap(o.ID, o.Num, o.Spec)
		case uint32:
			w.PutLabel(e.ID, o)
		}
	}
	return w, b
}

// quiet waits until everything is as it should be.
func (l *lab) quiet() {
	l.t.Helper()
	l.eventually(l.check)
}

// check compares every connected switch with Desired, and what is said of ports and contracts
// with what is so.
func (l *lab) check() error {
	w, b := l.world()
	if missing := w.MissingLabels(); len(missing) > 0 {
		return fmt.Errorf("no labels for %v", missing)
	}
	connected := map[string]bool{}
	for _, sw := range l.sws {
		n, tun := w.Node(nodeID(sw)), l.tuns[sw.DPID()]
		want := map[*simswitch.Switch]*flowset.Set{sw: {}}
		if tun != nil {
			want[tun] = &flowset.Set{}
		}
		switch {
		case n == nil:
		case n.Split():
			want[sw], want[tun] = portBridge(w, n.ID), desired(w, n.ID)
			connected[n.ID] = sw.Connected() && tun.Connected()
		default:
			want[sw] = desired(w, n.ID)
			connected[n.ID] = sw.Connected()
		}
		for sw, want := range want {
			if diff := flowset.Diff(own(sw.Set()), want); sw.Connected() && !diff.Empty() {
				return fmt.Errorf("switch %v differs from what it should hold: %s", sw.DPID(), show(diff))
			}
		}
	}
	for _, e := range b.Events {
		switch o := e.Object.(type) {
		case *store.Port:
			if err := l.checkPort(o, connected); err != nil {
				return err
			}
		case *store.Tap:
			if err := l.checkTap(w, o, connected); err != nil {
				return err
			}
		case *store.Node:
			if want := map[bool]string{true: topology.NodeConnected, false: topology.NodeDisconnected}[connected[o.ID]]; o.Status.State != want {
				return fmt.Errorf("node %s is said to be %q, is %s", o.ID, o.Status.State, want)
			}
		}
	}
	return nil
}

func desired(w *pipeline.World, node string) *flowset.Set {
	set := &flowset.Set{}
	flows, groups, meters := pipeline.Desired(w, node)
	for _, f := range flows {
		set.PutFlow(f)
	}
	for _, g := range groups {
		set.PutGroup(g)
	}
	for _, m := range meters {
		set.PutMeter(m)
	}
	return set
}

// portBridge is what the bridge with the ports of a node of two should hold.
func portBridge(w *pipeline.World, node string) *flowset.Set {
	set := &flowset.Set{}
	for _, u := range w.Units() {
		for _, f := range pipeline.PortPart(w, node, u) {
			set.PutFlow(f)
		}
	}
	return set
}

// own leaves out what is not ours.
func own(s *flowset.Set) *flowset.Set {
	mine := &flowset.Set{}
	for _, f := range s.AllFlows() {
		if _, _, ours := pipeline.Ours(f.Cookie); ours {
			mine.PutFlow(f)
		}
	}
	for _, g := range s.Groups() {
		if pipeline.OurGroup(g.ID) {
			mine.PutGroup(g)
		}
	}
	for _, m := range s.Meters() {
		if pipeline.OurMeter(m.ID) {
			mine.PutMeter(m)
		}
	}
	return mine
}

func show(c flowset.Changes) string {
	var b strings.Builder
	some := func(what string, n int, one func(int) string) {
		for i := range min(n, 3) {
			fmt.Fprintf(&b, "\n  %s %s", what, one(i))
		}
		if n > 3 {
			fmt.Fprintf(&b, "\n  %s %d more", what, n-3)
		}
	}
	for what, fs := range map[string][]openflow.Flow{"add": c.FlowAdd, "modify": c.FlowModify, "replace": c.FlowReplace, "delete": c.FlowDelete} {
		some(what, len(fs), func(i int) string { return fs[i].String() })
	}
	some("add group", len(c.GroupAdd), func(i int) string { return fmt.Sprint(c.GroupAdd[i]) })
	some("modify group", len(c.GroupModify), func(i int) string { return fmt.Sprint(c.GroupModify[i]) })
	some("add meter", len(c.MeterAdd), func(i int) string { return fmt.Sprint(c.MeterAdd[i]) })
	some("modify meter", len(c.MeterModify), func(i int) string { return fmt.Sprint(c.MeterModify[i]) })
	some("delete meter", len(c.MeterDelete), func(i int) string { return fmt.Sprint(c.MeterDelete[i]) })
	some("delete group", len(c.GroupDelete), func(i int) string { return fmt.Sprint(c.GroupDelete[i]) })
	return b.String()
}

// checkPort looks for the port's interface on connected switches.
func (l *lab) checkPort(p *store.Port, connected map[string]bool) error {
	st := p.Status
	for _, sw := range l.sws {
		if !connected[nodeID(sw)] {
			continue
		}
		no := sw.PortNamed(p.Spec.Interface)
		i := slices.IndexFunc(st.Attachments, func(a topology.Attachment) bool { return a.Node == nodeID(sw) })
		if no == 0 && i >= 0 || no != 0 && (i < 0 || st.Attachments[i].OFPort != no) {
			return fmt.Errorf("port %s is number %d of node %s; said: %+v", p.ID, no, nodeID(sw), st)
		}
	}
	places := 0
	for _, a := range st.Attachments {
		if connected[a.Node] {
			places++
		}
	}
	switch state := st.State; {
	case st.LinkDown():
		if state != topology.PortDown {
			return fmt.Errorf("port %s has no link: %+v", p.ID, st)
		}
	case len(st.Attachments) == 0 && (st.Node != "" || state != topology.PortPending && state != topology.PortDown),
		places == 1 && state != topology.PortActive && connected[st.Node],
		places > 1 && state != topology.PortMigrating && connected[st.Node]:
		return fmt.Errorf("port %s: %+v", p.ID, st)
	}
	if len(st.Attachments) > 0 && (st.Attachments[0].Node != st.Node || st.Attachments[0].OFPort != st.OFPort) {
		return fmt.Errorf("port %s: active place is not the first: %+v", p.ID, st)
	}
	return nil
}

func (l *lab) checkTap(w *pipeline.World, o *store.Tap, connected map[string]bool) error {
	want, _ := pipeline.State(w, o.ID, o.Status.State, pipeline.Health{
		Up:   func(n string) bool { return connected[n] },
		Warm: func(t pipeline.Tunnel) bool { return connected[t.From] && connected[t.To] },
	})
	got := o.Status
	if got.State != want.State || got.Reason != want.Reason || got.SrcNode != want.SrcNode || got.DstNode != want.DstNode || got.Revision != fmt.Sprint(o.Revision) {
		return fmt.Errorf("tap %s (revision %d): said %+v, is %+v", o.ID, o.Revision, got, want)
	}
	return nil
}

// noOverlap is the rule that the northbound API has for contracts of one target.
func noOverlap(id string, t flowtap.Tap) store.WriteOption {
	return store.WithSiblingCheck(func(siblings []*store.Tap) error {
		for _, s := range siblings {
			if _, _, yes := flowtap.Overlap(s.Spec, t); yes && s.ID != id {
				return fmt.Errorf("overlaps %s", s.ID)
			}
		}
		return nil
	})
}
