package controller

import (
	"slices"
	"strings"
	"time"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/flowtap/pipeline"
	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/flowset"
)

// counts adds up what flows and meters counted, by the objects in their cookies. What was added once
// stays, whatever becomes of the flow. It belongs to the planner.
type counts struct {
	last   map[openflow.DPID]map[counterID]lastReading
	taps   map[uint32]*tapCounts // by tap number
	fresh  map[uint32]bool       // taps of which something changed since it was asked for
	spoof  map[uint32]uint64     // by port number
	inject map[uint32]uint64     // by port number of the monitor
}

// A counterID is a flow's key or, where that is the zero value, a meter's number.
type counterID struct {
	flow  flowset.Key
	meter uint32
}

// tapCounts is one contract's totals, by node.
type tapCounts struct {
	id       string
	redirect bool
	nodes    map[string]*nodeCounts
}

// nodeCounts is a contract's part that one node's switch counted. held is what the flows and meters
// that the switch still has showed last; all of it is in total.
type nodeCounts struct {
	total, held totals
	readAt      time.Time
	stored      *totals // held as it was stored, until the switch was read
}

// A tally is what a switch's flows and meters showed at some time between from and to.
type tally struct {
	from, to time.Time
	flows    []openflow.FlowStats
	meters   []openflow.MeterStats
	taps     []uint32 // whose flows these are, all of them; nil: all flows of the switch
}

// tapKinds are the cookies of the flows that count a contract's frames.
var tapKinds = []pipeline.Kind{pipeline.KindTap, pipeline.KindTapSeen, pipeline.KindReturn}

func newCounts() *counts {
	return &counts{last: map[openflow.DPID]map[counterID]lastReading{}, taps: map[uint32]*tapCounts{},
		fresh: map[uint32]bool{}, spoof: map[uint32]uint64{}, inject: map[uint32]uint64{}}
}

// adopt takes a tap's totals as they are in the store.
func (c *counts) adopt(id string, tap uint32, nodes []flowtap.NodeCounters) {
	t := &tapCounts{id: id, nodes: map[string]*nodeCounts{}}
	for _, n := range nodes {
		held := totalsOf(n.Held)
		t.nodes[n.Node] = &nodeCounts{total: totalsOf(n.Counters), stored: &held, readAt: n.ReadAt}
	}
	c.taps[tap] = t
}

// diverts says whether a tap's frames are sent to the monitor alone, from now on.
func (c *counts) diverts(tap uint32, redirect bool) {
	if t := c.taps[tap]; t != nil {
		t.redirect = redirect
	}
}

// forget drops a tap that is no more.
func (c *counts) forget(tap uint32) {
	delete(c.taps, tap)
	delete(c.fresh, tap)
}

// into puts a tap's totals into its status.
func (c *counts) into(st *flowtap.TapStatus, tap uint32) {
	st.Counters, st.Nodes = flowtap.Counters{}, nil
	t := c.taps[tap]
	if t == nil {
		return
	}
	var all totals
	for id, n := range t.nodes {
		if (n.total == totals{}) {
			continue
		}
		all = all.plus(n.total)
		held := n.held
		if n.stored != nil {
			held = *n.stored
		}
		st.Nodes = append(st.Nodes, flowtap.NodeCounters{Node: id, Counters: n.total.counters(), Held: held.counters(), ReadAt: n.readAt.UTC()})
	}
	slices.SortFunc(st.Nodes, func(a, b flowtap.NodeCounters) int { return strings.Compare(a.Node, b.Node) })
	st.Counters = all.counters()
}

// take adds what is new in a tally of a node's switch.
func (c *counts) take(node string, dpid openflow.DPID, r tally) {
	if c.last[dpid] == nil {
		c.last[dpid] = map[counterID]lastReading{}
	}
	old := map[uint32]totals{} // by tap: what flows show that may have been there when the stored totals were read
	meters := map[uint32]uint32{}
	for i := range r.flows {
		f := &r.flows[i]
		kind, object, _ := pipeline.Ours(f.Flow.Cookie)
		if r.taps != nil && !(ofTap(kind) && slices.Contains(r.taps, object)) {
			continue
		}
		if f.Flow.Meter != 0 && ofTap(kind) {
			meters[f.Flow.Meter] = object
		}
		if !counted(kind) {
			continue
		}
		id := counterID{flow: flowset.KeyOf(&f.Flow)}
		if n := (count{f.Packets, f.Bytes}); n.valid() {
			c.one(node, dpid, r, id, f.Flow.Cookie, shown{n, f.Duration}, old)
		} else if was, known := c.last[dpid][id]; known { // it is there; the next reading will tell
			was.from, was.to = r.from, r.to
			c.last[dpid][id] = was
		}
	}
	for _, m := range r.meters {
		if object, ok := meters[m.Meter]; ok {
			c.one(node, dpid, r, counterID{meter: m.Meter}, pipeline.Cookie(pipeline.KindTap, object), shown{dropped(m), m.Duration}, old)
		}
	}
	c.reconcile(node, r, old)
	if r.taps == nil {
		c.prune(node, dpid, r)
	}
}

// one takes what one counter shows.
func (c *counts) one(node string, dpid openflow.DPID, r tally, id counterID, cookie uint64, x shown, old map[uint32]totals) {
	kind, object, _ := pipeline.Ours(cookie)
	t := c.taps[object]
	if t == nil && ofTap(kind) {
		return // a contract that is gone
	}
	was, known := c.last[dpid][id]
	now := lastReading{cookie, x, r.from, r.to, time.Time{}}
	news, ok := x.count, true
	if known {
		if news, ok = was.news(now); !ok {
			return
		}
		c.let(node, id, was)
	}
	c.last[dpid][id] = now
	switch kind {
	case pipeline.KindSpoof, pipeline.KindClaim:
		c.spoof[object] += news.packets
		return
	case pipeline.KindInject:
		c.inject[object] += news.packets
		return
	}
	if (news != count{}) {
		c.fresh[object] = true
	}
	n, share := t.node(node), t.share(kind, id, news)
	n.held = n.held.plus(t.share(kind, id, x.count))
	if n.stored != nil && !known && !n.youngerThanRead(x.age, r.to) {
		old[object] = old[object].plus(share)
	} else {
		n.total = n.total.plus(share)
	}
}

// let takes a counter out of what its switch holds.
func (c *counts) let(node string, id counterID, l lastReading) {
	kind, object, _ := pipeline.Ours(l.cookie)
	if t := c.taps[object]; t != nil && ofTap(kind) && l.ended.IsZero() {
		n := t.node(node)
		n.held = n.held.beyond(t.share(kind, id, l.count))
	}
}

// reconcile ends the time of stored totals that were read: flows that were there then went on
// counting from what they held.
func (c *counts) reconcile(node string, r tally, old map[uint32]totals) {
	one := func(num uint32, t *tapCounts) {
		n := t.nodes[node]
		if n == nil {
			return
		}
		if n.stored != nil {
			n.total, n.stored = n.total.plus(old[num].beyond(*n.stored)), nil
			c.fresh[num] = true
		}
		n.readAt = r.to
	}
	if r.taps == nil {
		for num, t := range c.taps {
			one(num, t)
		}
	}
	for _, num := range r.taps {
		if t := c.taps[num]; t != nil {
			one(num, t)
		}
	}
}

// ended takes note that flows were taken away, or replaced by others that count anew, by some time.
func (c *counts) ended(node string, dpid openflow.DPID, flows []openflow.Flow, by time.Time) {
	for i := range flows {
		id := counterID{flow: flowset.KeyOf(&flows[i])}
		if l, ok := c.last[dpid][id]; ok {
			c.end(node, dpid, id, l, by)
		}
	}
}

func (c *counts) end(node string, dpid openflow.DPID, id counterID, l lastReading, by time.Time) {
	c.let(node, id, l)
	if kind, object, _ := pipeline.Ours(l.cookie); ofTap(kind) && c.taps[object] != nil {
		c.fresh[object] = true
	}
	l.ended = by
	c.last[dpid][id] = l
}

// remembered is how long a flow is known after it vanished: a tally that shows it may still be on its way.
const remembered = 2 * readTimeout

// prune takes note of what a tally of everything does not show.
func (c *counts) prune(node string, dpid openflow.DPID, r tally) {
	last := c.last[dpid]
	for id, l := range last {
		switch {
		case l.to.Equal(r.to), r.from.Before(l.to):
		case l.ended.IsZero():
			c.end(node, dpid, id, l, r.from)
		case r.from.Sub(l.ended) > remembered:
			delete(last, id)
		}
	}
}

// counted tells the kinds of flows whose counters are used.
func counted(kind pipeline.Kind) bool {
	switch kind {
	case pipeline.KindSpoof, pipeline.KindClaim, pipeline.KindInject:
		return true
	}
	return slices.Contains(tapKinds, kind)
}

// ofTap tells the kinds whose object is a tap.
func ofTap(kind pipeline.Kind) bool {
	switch kind {
	case pipeline.KindTap, pipeline.KindTapSeen, pipeline.KindTapFlood, pipeline.KindReturn, pipeline.KindDivert, pipeline.KindLimit:
		return true
	}
	return false
}

func (t *tapCounts) node(id string) *nodeCounts {
	n := t.nodes[id]
	if n == nil {
		n = &nodeCounts{}
		t.nodes[id] = n
	}
	return n
}

// share is what a flow of a kind, or a meter, counted for its contract. On the receiving side a frame
// that a redirect's monitor has had passes, and is not sent there again.
func (t *tapCounts) share(kind pipeline.Kind, id counterID, n count) totals {
	switch {
	case id.meter != 0:
		return totals{dropped: n}
	case kind == pipeline.KindReturn:
		return totals{returned: n}
	case kind == pipeline.KindTap:
		return totals{matched: n, sent: n}
	case t.redirect:
		return totals{}
	}
	return totals{matched: n}
}

// youngerThanRead reports whether something of an age cannot have been there when the stored totals
// were read. Clocks of two processes may differ by up to clockError.
func (n *nodeCounts) youngerThanRead(age time.Duration, now time.Time) bool {
	return age < now.Sub(n.readAt)-clockError
}

const clockError = time.Second
