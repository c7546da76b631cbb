package ofsim

import "github.com/flowtap/flowtap/openflow"

// group executes a group; false when there is none.
func (x *exec) group(id openflow.GroupID, last bool) bool {
	if !x.allowed() {
		return false
	}
	g := x.sw.groups[id]
	if g == nil {
		x.step(EventNoGroup, uint64(id))
		return false
	}
	switch g.Type {
	case openflow.GroupTypeAll, openflow.GroupTypeIndirect:
		for i := range g.run {
			x.bucket(g, i, last && i == len(g.run)-1)
		}
		return true
	case openflow.GroupTypeSelect:
		x.selectBucket(g, last)
		return true
	}
	if i := x.sw.firstLive(g, 0); i >= 0 {
		x.bucket(g, i, last)
	} else {
		x.step(EventNoGroup, uint64(id))
	}
	return true
}

// selectBucket executes one live bucket of a group, which one is a choice. Open vSwitch has the
// datapath hash the frame and recirculates it for that, also where there is one bucket only.
func (x *exec) selectBucket(g *group, last bool) {
	var live []int
	c := Choice{Group: g.ID, Fields: openflow.HashSymmetricL4}
	for i := range g.Buckets {
		if g.Buckets[i].Weight > 0 && x.sw.live(&g.Buckets[i], 0) {
			live = append(live, i)
			c.Weights = append(c.Weights, g.Buckets[i].Weight)
		}
	}
	if len(live) == 0 {
		x.step(EventNoGroup, uint64(g.ID))
		return
	}
	x.recirculate()
	c.Links = len(live)
	x.bucket(g, live[x.choice(c)], last)
}

// bucket executes a bucket on a copy of the frame and its registers.
func (x *exec) bucket(g *group, i int, last bool) {
	if x.err != nil {
		return
	}
	x.step(EventBucket, uint64(g.ID)<<32|uint64(i))
	x.r.rec.bucket(g.ID, i)
	saved := x.cur
	x.depth++
	x.apart(func() { x.actions(g.run[i], last) })
	x.r.rec.leave()
	x.depth--
	x.cur = saved
}

// apart does what Open vSwitch recirculates by itself: after it the frame is what it was where
// recirculation began.
func (x *exec) apart(do func()) {
	before := x.aside
	x.aside = nil
	x.nesting++
	do()
	x.nesting--
	if x.aside != nil {
		x.committed = *x.aside
	}
	x.aside = before
}

// recirculate has the datapath look at the frame anew: what was behind a tag that is gone is seen
// now. Registers, metadata and tunnel fields stay.
func (x *exec) recirculate() {
	x.commit()
	if x.aside == nil {
		c := x.committed
		x.aside = &c
	}
	x.owned = false
	var k key
	copy(k[:wFirstHeader], x.cur.key[:wFirstHeader])
	x.layout = extract(x.frame, &k)
	x.cur = state{key: k, tpid: [2]uint16{x.layout.tpid}}
	x.base = x.cur
}

// clone executes actions on a copy. With a truncating output among the actions themselves, and
// where something follows, it is a clone in the datapath too: the frame is brought up to date before, and
// what the datapath does in the clone, a meter's drop for one, ends with it (Open vSwitch 3.1,
// reversible_actions in ofproto-dpif-xlate.c).
func (x *exec) clone(a openflow.Clone, last bool) {
	x.step(EventClone, 0)
	saved := x.cur
	if last || !truncates(a.Actions) {
		x.apart(func() { x.actions(a.Actions, last) })
		x.cur = saved
		return
	}
	x.commit()
	outside := x.committed
	x.owned = false
	x.apart(func() { x.actions(a.Actions, true) })
	x.cur, x.committed = saved, outside
}

// meter has a meter look at the frame, unless id is zero.
func (x *exec) meter(id uint32) {
	if id == 0 {
		return
	}
	x.r.rec.meter(id)
	switch {
	case x.dropped: // it does not come to this one
	case x.sw.dropping[id]:
		x.dropped = true
		x.step(EventMeter, uint64(id))
	default:
		x.step(EventMetered, uint64(id))
	}
	x.r.rec.leave()
}

// firstLive is the first bucket that may be used, or -1. A bucket that watches nothing is always
// alive (Open vSwitch); groups that watch each other in a circle are dead.
func (s *Switch) firstLive(g *group, depth int) int {
	for i := range g.Buckets {
		if (g.Type != openflow.GroupTypeSelect || g.Buckets[i].Weight > 0) && s.live(&g.Buckets[i], depth) {
			return i
		}
	}
	return -1
}

func (s *Switch) live(b *openflow.Bucket, depth int) bool {
	noPort := b.WatchPort == openflow.PortAny
	noGroup := b.WatchGroup == openflow.GroupAny
	if noPort && noGroup {
		return true
	}
	if p := s.ports[b.WatchPort]; !noPort && p != nil && !p.down {
		return true
	}
	w := s.groups[b.WatchGroup]
	return !noGroup && w != nil && depth < 128 && s.firstLive(w, depth+1) >= 0
}
