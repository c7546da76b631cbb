package pipeline

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/openflow/ofsim"
	"github.com/flowtap/flowtap/topology"
)

var interleavingCases = flag.Int("interleaving.cases", 600, "worlds that TestInterleaving changes four times each; a tenth of it with -short or the race detector")

// TestInterleaving changes worlds, and lets the switches carry out the bundles of each change in
// random order. After every single bundle frames are sent, and nothing of a contract may pass
// unseen (transit).
func TestInterleaving(t *testing.T) { inLayouts(t, interleaves) }

func interleaves(t *testing.T) {
	states, frames := 0, 0
	rapidly(t, cases(*interleavingCases)/2, func(rt *rapid.T) {
		drawn(rt, func(d draws) *lab {
			l := d.world()
			f, err := newFleet(l.w)
			if err != nil {
				rt.Fatalf("%v\n%s", err, describe(l.w))
			}
			for range 4 {
				x := transit{before: snapshot(l.w), fabric: f.fabric}
				for range 1 + d.n(2) {
					did, _ := d.change(l)
					if d.chance(15) {
						did, _ = d.turnover(l)
					}
					x.story = append(x.story, did)
				}
				stages := x.begin(rt, l, f)
				x.look(rt, d, 3)
				for _, stage := range stages {
					for len(stage) > 0 {
						i := d.n(len(stage))
						if err := f.commit(l.w, stage[i]); err != nil {
							rt.Fatalf("%v\n%s", err, x)
						}
						x.story = append(x.story, fmt.Sprintf("%s %s", stage[i].node, stage[i].name))
						stage = slices.Delete(stage, i, i+1)
						states++
						frames += x.look(rt, d, 5)
					}
				}
				if err := f.settled(l.w); err != nil {
					rt.Fatalf("%v\n%s", err, x)
				}
			}
			return l
		})
	})
	t.Logf("%d states, %d frames", states, frames)
}

// A transit is the time between two worlds, in which some switches are where they should be and
// others are not yet. Ports are plugged as in the world after: the controller learns of them late.
//
// What may happen meanwhile and not at rest:
//   - a frame is lost, or goes where it would before or after, unless both are the same;
//   - a monitor to which contracts of the network lead, before or after, gets a frame that is not
//     due, or twice: the sender's switch and the receiver's may be of different times;
//   - what a port sends that neither world has contracts for is nobody's concern;
//   - a monitor that enters or leaves a copy pool misses a frame that the pool was told to have;
//   - a frame that some redirect has, before or after, is lost, or given back into a world that did not
//     send it away: it may be delivered twice.
//
// What may not: a frame of a contract that both worlds have is delivered, or was sent and is
// delivered to anybody, while the monitor gets nothing, unless the monitor itself was unplugged
// from where it was; a frame that a redirect has in both worlds gets past before a monitor gave it
// back; a port that is new is served before its contracts are.
type transit struct {
	before, after *World
	fabric        *ofsim.Fabric
	story         []string
}

// begin gives the bundles that lead to the world as it was changed, and plugs its ports.
func (x *transit) begin(rt *rapid.T, l *lab, f *fleet) [][]commit {
	l.number()
	x.after = snapshot(l.w)
	f.plug(x.before, x.after)
	stages, err := f.plan(l.w)
	if err != nil {
		rt.Fatalf("%v\n%s", err, x)
	}
	return stages
}

func (x transit) String() string {
	return fmt.Sprintf("done: %q\nbefore\n%safter\n%s", x.story, describe(x.before), describe(x.after))
}

// look sends frames from random ports.
func (x transit) look(rt *rapid.T, d draws, n int) int {
	senders := attachments(x.after)
	if len(senders) == 0 || x.mixed() {
		return 0
	}
	for range n {
		s := one(d, senders...)
		fr := d.frame(x.after, s.p)
		r, direct, err := inject(x.fabric, x.after, s, fr)
		switch {
		case err == nil:
			err = x.judge(s, fr, r, direct)
		case errors.Is(err, errEndless) && x.echoes():
			continue
		}
		if err != nil {
			rt.Fatalf("%v\n%s\n%s sends from %s:%d %v\n%s", err, x, s.p.ID, s.at.Node, s.at.OFPort, fr, r.Trace())
		}
	}
	return n
}

func (x transit) judge(s sender, fr frame, r ofsim.Result, direct int) error {
	got, served, past, copies := map[place]int{}, map[string]bool{}, map[string]bool{}, map[string]bool{}
	who, given := portsByPlace(x.after), x.given()
	// A monitor that gives a frame back whose MAC nobody is known by may be taken to speak for another.
	known := true
	for _, w := range []*World{x.before, x.after} {
		who := (oracle{w}).owner(s.p.Network, fr.view.EthSrc)
		known = known && who != nil && who.ID == s.p.ID
	}
	for i, d := range r.Deliveries {
		at := place{d.DPID, d.Port}
		if !x.formed(who[at], s.p.Network, fr, d.Frame) && s.p.Kind != topology.KindMonitor {
			return fmt.Errorf("delivered altered at %v", at)
		}
		copies[who[at]+string(d.Frame)] = true
		if got[at]++; slices.Contains(monitors, who[at]) {
			if !x.may(s.p.Network, who[at]) && s.p.Kind != topology.KindMonitor {
				return fmt.Errorf("monitor %s got a frame of a network that no contract leads to it from", who[at])
			}
			continue
		}
		served[who[at]], past[who[at]] = true, past[who[at]] || i < direct
		if got[at] > 1 && !given {
			return fmt.Errorf("%s got it twice", who[at])
		}
		if p := x.after.Port(who[at]); p.Network != s.p.Network && s.p.Kind != topology.KindMonitor {
			return fmt.Errorf("%s of another network got it", p.ID)
		}
		if who[at] == s.p.ID && at == (oracle{x.after}).place(s.at) && (known || !given) {
			return fmt.Errorf("%s got its own frame", s.p.ID)
		}
	}
	if s.p.Kind == topology.KindMonitor {
		if len(r.Deliveries) > 0 && !given {
			return fmt.Errorf("a monitor's frame left it")
		}
		return nil
	}
	for at := range x.steady(s, fr) {
		if got[at] == 0 {
			return fmt.Errorf("%s gets it before and after and not meanwhile", who[at])
		}
	}
	if len(served) == 0 {
		return nil
	}
	if err := x.escaped(s, fr, past); err != nil {
		return err
	}
	if !x.passed(x.before, s, fr) && !x.passed(x.after, s, fr) {
		return fmt.Errorf("guard lets a frame pass that it never should")
	}
	copied := map[string]bool{}
	for at := range got {
		copied[who[at]] = true
	}
	unseen := func(port string, dir flowtap.Direction) error {
		due := x.due(port, dir, s, fr)
		has := func(d string) bool {
			// Nothing is sent out of the port by which it was just given back.
			back := (oracle{x.after}).monitorOf(d)
			if back != nil && back.ID != d && copied[back.ID] || x.unplugged(d) || x.repooled(d) {
				return true
			}
			for _, c := range slices.Concat(due...) {
				if c.monitor != d {
					continue
				}
				if c.RewriteDstMAC && x.unknown(d) {
					return true
				}
				for _, w := range []*World{x.before, x.after} {
					if copies[d+string(asSeenBy(w, d, s.p.Network, fr))] || copies[d+string(asSeenBy(w, d, s.p.Network, fr, c.form()))] {
						return true
					}
				}
			}
			return false
		}
		some, always := len(due) == 0, map[string]int{}
		for _, cs := range due {
			some = some || len(cs) == 0 || slices.ContainsFunc(cs, func(c copying) bool { return has(c.monitor) })
			for _, c := range cs {
				m := c.monitor
				if always[m]++; always[m] == len(due) && !has(m) {
					return fmt.Errorf("%s of %s passes unseen by %s", dir, port, m)
				}
			}
		}
		if !some {
			return fmt.Errorf("%s of %s passes unseen by %v", dir, port, due)
		}
		return nil
	}
	if err := unseen(s.p.ID, flowtap.Out); err != nil {
		return err
	}
	for port := range served {
		if port == s.p.ID || given && !known && s.p.MAC.IsZero() { // it is learned from this frame
			continue
		}
		if err := unseen(port, flowtap.In); err != nil {
			return err
		}
	}
	return nil
}

// mixed reports whether a monitor of redirects has contracts of several networks, gives back by a port
// that is itself copied to, begins or ceases to want tags, or has copies that are not simply the frame, before or after. The API
// refuses the first, and the last are not made; but when a port passes from one use to another at once,
// what it had of the one may come back into the other meanwhile.
func (x transit) mixed() bool {
	networks, redirects, optioned, monitor := map[string]string{}, map[string]bool{}, map[string]bool{}, map[string]string{}
	mixed, tags := map[string]bool{}, map[string]bool{}
	for _, w := range []*World{x.before, x.after} {
		for _, id := range w.Taps() {
			t := w.Tap(id)
			n := w.networkOf(t)
			for _, m := range (oracle{w}).mayLeadTo(t) {
				e := oracle{w}.entrance(m)
				if w == x.before {
					tags[m] = w.tags(m)
				} else if tagged, known := tags[m]; known && tagged != w.tags(m) && (t.Action == flowtap.Redirect || t.optioned()) {
					return true
				}
				n := n
				if w.tags(w.monitorAt(e)) {
					n = "any"
				}
				if w.tags(m) != w.tags(w.monitorAt(e)) {
					n = "whatever tags say"
				}
				redirects[e] = redirects[e] || t.Action == flowtap.Redirect
				optioned[e] = optioned[e] || t.optioned()
				mixed[e] = mixed[e] || networks[e] != "" && networks[e] != n || monitor[e] != "" && monitor[e] != m
				networks[e], monitor[e] = n, m
			}
		}
	}
	for e := range redirects {
		if (mixed[e] || optioned[e]) && redirects[e] {
			return true
		}
	}
	return false
}

// echoes reports whether two monitors copy what one target is delivered, or sends, and redirect the other
// direction. What such a monitor gives back of its copies, which it should not, is taken for answers in an
// endpoint's name; two of them can answer each other without end.
func (x transit) echoes() bool {
	for _, w := range []*World{x.before, x.after} {
		type does struct{ copies, redirects bool }
		by := map[string]map[string]*does{}
		for _, id := range w.Taps() {
			t := w.Tap(id)
			for _, m := range (oracle{w}).mayLeadTo(t) {
				if by[t.Src] == nil {
					by[t.Src] = map[string]*does{}
				}
				if by[t.Src][m] == nil {
					by[t.Src][m] = &does{}
				}
				d := by[t.Src][m]
				d.copies, d.redirects = d.copies || t.Action == flowtap.Forward, d.redirects || t.Action == flowtap.Redirect
			}
		}
		for _, monitors := range by {
			n := 0
			for _, d := range monitors {
				if d.copies && d.redirects {
					n++
				}
			}
			if n > 1 {
				return true
			}
		}
	}
	return false
}

// given reports whether redirects to any monitor exist, before or after.
func (x transit) given() bool {
	for _, w := range []*World{x.before, x.after} {
		for _, id := range w.Taps() {
			if t := w.Tap(id); t.Enabled && t.Action == flowtap.Redirect {
				return true
			}
		}
	}
	return false
}

// escaped says who was served, before any monitor gave the frame back, although redirects of both
// worlds have it.
func (x transit) escaped(s sender, fr frame, past map[string]bool) error {
	for port, was := range past {
		if !was || port == s.p.ID {
			continue
		}
		for who, dir := range map[string]flowtap.Direction{s.p.ID: flowtap.Out, port: flowtap.In} {
			if x.redirects(who, dir, s, fr) {
				return fmt.Errorf("%s got it past a redirect of what %s has %s", port, who, dir)
			}
		}
	}
	return nil
}

// redirects reports whether redirects govern a frame that a port sends or is delivered, in both
// worlds and however the frame travels.
func (x transit) redirects(port string, dir flowtap.Direction, s sender, fr frame) bool {
	for _, w := range []*World{x.before, x.after} {
		p := w.Port(port)
		if p == nil || len(p.Status.Attachments) == 0 {
			if w == x.before {
				continue // new: all that matters is how it will be
			}
			return false
		}
		for _, v := range x.views(w, dir, s, p, fr) {
			if t := (oracle{w}).governing(p, dir, v); t == nil || t.Action != flowtap.Redirect || t.FailMode == flowtap.FailOpen {
				return false
			}
		}
	}
	return true
}

// steady gives the places to which a frame goes before and after, where nothing about sender and
// place has changed.
func (x transit) steady(s sender, fr frame) map[place]bool {
	old := x.before.Port(s.p.ID)
	if old == nil || !slices.Contains(old.Status.Attachments, s.at) || old.Num != s.p.Num {
		return nil
	}
	if x.given() {
		return nil
	}
	was, is := oracle{x.before}.judge(old, s.at.Node, fr), oracle{x.after}.judge(s.p, s.at.Node, fr)
	both := map[place]bool{}
	for at := range was.receivers {
		id := portsByPlace(x.before)[at]
		if p := x.after.Port(id); is.receivers[at] > 0 && p != nil && p.Num == x.before.Port(id).Num {
			both[at] = true
		}
	}
	return both
}

// formed reports whether a frame at a port is what it may get, before or after: for a monitor, a copy in
// the form of some contract too.
func (x transit) formed(port, network string, fr frame, got []byte) bool {
	for _, w := range []*World{x.before, x.after} {
		if bytes.Equal(got, asSeenBy(w, port, network, fr)) {
			return true
		}
		for _, id := range w.Taps() {
			if t := w.Tap(id); (oracle{w}).mayLead(t, port) && bytes.Equal(got, asSeenBy(w, port, network, fr, t.form())) {
				return true
			}
		}
	}
	return false
}

// unknown reports whether a monitor's address is not known, before or after.
func (x transit) unknown(monitor string) bool {
	for _, w := range []*World{x.before, x.after} {
		if p := w.Port(monitor); p == nil || p.MAC.IsZero() && len(p.Status.LearnedMACs) == 0 {
			return true
		}
	}
	return false
}

// due gives sets of monitors, with the contracts that lead there, of which one must have a frame that a port sends or has been delivered, and
// any that is in all of them; none unless the port's contracts before and after all govern it, however
// the frame travels.
func (x transit) due(port string, dir flowtap.Direction, s sender, fr frame) (ds [][]copying) {
	for _, w := range []*World{x.before, x.after} {
		p := w.Port(port)
		if p == nil || len(p.Status.Attachments) == 0 {
			if w == x.before {
				continue // new: all that matters is how it will be
			}
			return nil
		}
		// What is given back is believed to have come by whatever tunnel a redirect names.
		for _, t := range w.tapsBySrc[port] {
			if _, tunnel := withoutTunnelFields(t); tunnel && t.Action == flowtap.Redirect {
				return nil
			}
		}
		for _, v := range x.views(w, dir, s, p, fr) {
			t := oracle{w}.governing(p, dir, v)
			if t == nil || t.FailMode == flowtap.FailOpen {
				return nil
			}
			var cs []copying
			for _, m := range (oracle{w}).leadsTo(t, fr) {
				cs = append(cs, copying{t, m})
			}
			ds = append(ds, cs)
		}
	}
	return ds
}

// views gives the ways in which a contract of p may see a frame: with the sender's metadata of before
// or after.
func (x transit) views(w *World, dir flowtap.Direction, s sender, p *Port, fr frame) (vs []flowtap.Frame) {
	for _, world := range []*World{x.before, x.after} {
		if from := world.Port(s.p.ID); from != nil {
			vs = append(vs, x.viewsWith(w, uint64(from.Metadata), dir, s, p, fr)...)
		}
	}
	return vs
}

func (x transit) viewsWith(w *World, metadata uint64, dir flowtap.Direction, s sender, p *Port, fr frame) []flowtap.Frame {
	o, v := oracle{w}, fr.view
	v.InPort, v.Metadata = s.p.ID, metadata
	if owner := o.owner(s.p.Network, v.EthDst); owner != nil {
		v.ToPort = owner.ID
	}
	if dir == flowtap.Out {
		return []flowtap.Frame{v}
	}
	v.ToPort = p.ID
	vs := []flowtap.Frame{v}
	for _, a := range p.Status.Attachments {
		for _, node := range w.Nodes() { // a monitor may have given it back anywhere
			if node == a.Node || node != s.at.Node && !x.given() {
				continue
			}
			remote := v
			o.tunnel(&remote, p.Network, node, a.Node)
			vs = append(vs, remote)
			remote.InPort, remote.Metadata = "", 0
			if from := o.owner(p.Network, v.EthSrc); from != nil {
				remote.InPort, remote.Metadata = from.ID, uint64(from.Metadata)
			}
			vs = append(vs, remote)
		}
	}
	return vs
}

// may says whether a contract on any member of a network leads to a monitor, before or after; a pool that a
// contract of the one leads to may have the members of the other.
func (x transit) may(network, monitor string) bool {
	worlds := []*World{x.before, x.after}
	for _, w := range worlds {
		for _, id := range w.Taps() {
			t := w.Tap(id)
			for _, members := range worlds {
				if (oracle{members}).mayLead(t, monitor) && t.Enabled && w.networkOf(t) == network {
					return true
				}
			}
		}
	}
	return false
}

func (x transit) passed(w *World, s sender, fr frame) bool {
	p := w.Port(s.p.ID)
	return p != nil && (oracle{w}).passes(p, fr)
}

// repooled reports whether a monitor enters or leaves a copy pool: a frame that the pool's members of
// one time have had may be taken for one that those of the other have.
func (x transit) repooled(monitor string) bool {
	in := func(w *World) map[string]bool {
		pools := map[string]bool{}
		for _, id := range w.Pools() {
			if p := w.Pool(id); p.Mode == topology.PoolCopy && slices.Contains(p.monitors(), monitor) {
				pools[id] = true
			}
		}
		return pools
	}
	return !maps.Equal(in(x.before), in(x.after))
}

// unplugged reports whether a monitor is not where copies went before, or was nowhere before or is now.
func (x transit) unplugged(monitor string) bool {
	was, is := x.before.Port(monitor), x.after.Port(monitor)
	if was == nil || is == nil || was.Status.Node == "" || is.Status.Node == "" {
		return true
	}
	for _, a := range is.Status.Attachments {
		if a.Node == was.Status.Node && a.OFPort == was.Status.OFPort {
			return false
		}
	}
	return true
}
