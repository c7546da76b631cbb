package pipeline

import (
	"errors"
	"flag"
	"fmt"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/ofsim"
	"github.com/flowtap/flowtap/topology"
)

var mediationCases = flag.Int("mediation.cases", 100000, "frames that TestMediation runs; a tenth of it with -short or the race detector")

// A change to the pipeline is tried with other seeds, and more cases, before it is committed; a run that
// only repeats what is known must not fail by chance.
var propertySeed = flag.Uint64("property.seed", 3, "seed of the property tests; 0 draws one and, where a test fails, prints it")

// framesPerWorld frames are run through each random world.
const framesPerWorld = 40

// rapidly runs a property as often as asked, whatever -rapid.checks says.
func rapidly(t *testing.T, checks int, prop func(*rapid.T)) {
	t.Helper()
	for name, value := range map[string]string{"rapid.checks": strconv.Itoa(max(1, checks)), "rapid.nofailfile": "true", "rapid.seed": strconv.FormatUint(*propertySeed, 10)} {
		if name == "rapid.seed" && flag.Lookup(name).Value.String() != "0" {
			continue // asked for on the command line
		}
		was := flag.Lookup(name).Value.String()
		if err := flag.Set(name, value); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = flag.Set(name, was) }()
	}
	rapid.Check(t, prop)
}

func cases(n int) int {
	if testing.Short() || raceEnabled {
		return n / 10
	}
	return n
}

// TestMediation draws worlds and frames, and compares where each frame comes out of the fabric of
// all nodes with what the plan says (oracle).
func TestMediation(t *testing.T) { inLayouts(t, mediates) }

func mediates(t *testing.T) {
	frames := 0
	var copies, drops int
	rapidly(t, cases(*mediationCases)/2/framesPerWorld, func(rt *rapid.T) {
		c := drawn(rt, draws.mediation)
		l := c.l
		f := fabric(l.w)
		if err := install(f, l.w); err != nil {
			rt.Fatalf("%v\n%s", err, describe(l.w))
		}
		for _, id := range l.w.Taps() {
			for _, n := range l.w.Nodes() {
				f.Switch(l.w.Node(n).Pipeline()).SetDropping(MeterOf(l.w.Tap(id).Num), l.w.Tap(id).RateLimit == aboveRate)
			}
		}
		for _, x := range c.frames {
			s, fr := x.s, x.f
			frames++
			v, r := runFrame(rt, f, l.w, s, fr)
			copies += len(v.copies)
			if len(v.receivers) == 0 {
				drops++
			}
			if err := compare(l.w, s, fr, v, r); err != nil {
				rt.Fatalf("%v\n%s", err, story(l.w, s, fr, r))
			}
		}
	})
	t.Logf("%d frames, %d copies due, %d frames due nowhere", frames, copies, drops)
}

// A mediation is one world and what happens in it.
type mediation struct {
	l      *lab
	frames []sent
}

type sent struct {
	s sender
	f frame
}

func (d draws) mediation() mediation {
	c := mediation{l: d.world()}
	senders := attachments(c.l.w)
	for range framesPerWorld {
		if len(senders) > 0 {
			s := one(d, senders...)
			c.frames = append(c.frames, sent{s, d.frame(c.l.w, s.p)})
		}
	}
	return c
}

// A sender is a port at one of its places.
type sender struct {
	p  *Port
	at topology.Attachment
}

func attachments(w *World) (ss []sender) {
	for _, id := range w.Ports() {
		for _, a := range w.Port(id).Status.Attachments {
			if w.Node(a.Node) != nil {
				ss = append(ss, sender{w.Port(id), a})
			}
		}
	}
	return ss
}

func runFrame(t interface{ Fatalf(string, ...any) }, f *ofsim.Fabric, w *World, s sender, fr frame) (verdict, ofsim.Result) {
	r, _, err := inject(f, w, s, fr)
	if err != nil {
		t.Fatalf("%v\n%s", err, story(w, s, fr, r))
	}
	return oracle{w}.judge(s.p, s.at.Node, fr), r
}

// inject sends a frame, and has every monitor that gets one give it back by its entrance. direct
// counts the deliveries before any was given back.
func inject(f *ofsim.Fabric, w *World, s sender, fr frame) (all ofsim.Result, direct int, err error) {
	who := portsByPlace(w)
	for _, id := range w.Nodes() {
		f.Switch(w.Node(id).Pipeline()).SetChoose(func(ofsim.Choice) int { return sliceOf(fr) })
	}
	all, err = f.Inject(w.Node(s.at.Node).DatapathID, s.at.OFPort, fr.bytes)
	direct = len(all.Deliveries)
	for i := 0; i < len(all.Deliveries) && err == nil; i++ {
		d := all.Deliveries[i]
		m := w.Port(who[place{d.DPID, d.Port}])
		if m == nil || m.Kind != topology.KindMonitor {
			continue
		}
		e := w.Port(oracle{w}.entrance(m.ID))
		if e == nil || e.Kind != topology.KindMonitor || e.Status.Node == "" {
			continue
		}
		if i > 100 {
			return all, direct, errEndless
		}
		var r ofsim.Result
		r, err = f.Inject(w.Node(e.Status.Node).DatapathID, e.Status.OFPort, d.Frame)
		all.Deliveries, all.Lost, all.Steps = append(all.Deliveries, r.Deliveries...), append(all.Lost, r.Lost...), append(all.Steps, r.Steps...)
		all.PacketIns = append(all.PacketIns, r.PacketIns...)
	}
	return all, direct, err
}

var errEndless = errors.New("a frame without end")

// story tells a case.
func story(w *World, s sender, fr frame, r ofsim.Result) string {
	return fmt.Sprintf("%s%s sends from %s:%d %v\n%s", describe(w), s.p.ID, s.at.Node, s.at.OFPort, fr, r.Trace())
}

// portsByPlace names who is where.
func portsByPlace(w *World) map[place]string {
	at := map[place]string{}
	for _, s := range attachments(w) {
		at[oracle{w}.place(s.at)] = s.p.ID
	}
	return at
}

// compare says what is wrong with what came of a frame.
func compare(w *World, s sender, fr frame, v verdict, r ofsim.Result) error {
	type arrival struct {
		place
		frame string
	}
	at := func(p place, frame []byte) arrival {
		if s.p.Kind == topology.KindMonitor { // what it gives back has lost its tag
			frame = nil
		}
		return arrival{p, string(frame)}
	}
	got, who := map[arrival]int{}, portsByPlace(w)
	for _, d := range r.Deliveries {
		got[at(place{d.DPID, d.Port}, d.Frame)]++
	}
	if len(r.Lost) > 0 {
		return fmt.Errorf("sent through a tunnel to nowhere: %v", r.Lost)
	}
	if v.vague {
		return nil
	}
	due, may := map[arrival]int{}, map[arrival]int{}
	whole := func(to place) arrival { return at(to, fr.bytes) }
	copied := func(c copied) arrival {
		return at(oracle{w}.active(w.Port(c.monitor)), asSeenBy(w, c.monitor, s.p.Network, fr, c.form))
	}
	for to, n := range v.receivers {
		due[whole(to)] += n
	}
	for c, n := range v.copies {
		due[copied(c)] += n
	}
	for c, n := range v.mayCopy {
		may[copied(c)] += n
	}
	for to := range v.mayReceive {
		may[whole(to)]++
	}
	for to, n := range got {
		if n < due[to] || n > due[to]+may[to] {
			return fmt.Errorf("%s at %v got it %d times instead of %d: %x", who[to.place], to.place, n, due[to], to.frame)
		}
	}
	for to, n := range due {
		if got[to] < n {
			return fmt.Errorf("%s at %v got it %d times instead of %d: %x", who[to.place], to.place, got[to], n, to.frame)
		}
	}
	return visits(w, s, fr, r)
}

// asSeenBy gives a frame's bytes as a port gets them: with the network's tag, for a monitor that wants
// tags, which truncation does not count; and in the form of copies, if one is given.
func asSeenBy(w *World, port, network string, fr frame, forms ...form) []byte {
	tag := 0
	if vlan := w.Label(VLANKey(network)); w.tags(port) && vlan != 0 {
		fr, tag = fr.tagged(uint16(vlan)), 4
	}
	b := fr.bytes
	for _, f := range forms {
		if b = slices.Clone(b); f.rewrite {
			m := monitorMAC(port)
			copy(b, m[:])
		}
		if n := f.cut + tag; f.cut != 0 && n < len(b) {
			b = b[:n]
		}
	}
	return b
}

// visits holds promise 5: frames between ports without contracts meet no tap table.
func visits(w *World, s sender, fr frame, r ofsim.Result) error {
	contracts := func(port string, d flowtap.Direction) bool {
		for _, id := range w.Taps() {
			if t := w.Tap(id); t.Src == port && t.Enabled && len(t.Cubes(d)) > 0 {
				return true
			}
		}
		return false
	}
	if s.p.Kind == topology.KindMonitor {
		return nil
	}
	out, in, flood, diverts := contracts(s.p.ID, flowtap.Out), false, false, false
	for _, p := range (oracle{w}).members(s.p.Network) {
		if contracts(p.ID, flowtap.In) {
			flood = true
			diverts = diverts || (oracle{w}).divertsIn(p)
			in = in || (oracle{w}).owner(s.p.Network, fr.view.EthDst) == p || p.Kind == topology.KindGateway
		}
	}
	for _, step := range r.Steps {
		if step.Flow == nil {
			continue
		}
		if bad := map[openflow.TableID]bool{TableTapOut: !out, TableTapIn: (!in || fr.multicast()) && !diverts, TableFlood: !flood}[step.Table]; bad {
			return fmt.Errorf("a frame that no contract can concern visits table %d", step.Table)
		}
	}
	return nil
}
