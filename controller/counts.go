package controller

import (
	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/flowtap/pipeline"
	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/flowset"
)

// counts adds up what flows counted, by the objects in their cookies. A flow that vanished keeps
// its last reading in the totals. It belongs to the planner.
type counts struct {
	read   map[openflow.DPID]map[flowset.Key]flowCount
	taps   map[uint32]*flowtap.Counters // by tap number
	spoof  map[uint32]uint64            // by port number
	inject map[uint32]uint64            // by port number of the monitor
	stored map[uint32]*baseline         // of taps whose totals came from the store
}

// A baseline is a total that an earlier controller stored, and what the flows of the tap showed
// at the first reading of each switch since. These are the same frames, but for those counted
// since the total was stored and those of flows that were no more: so the larger one is nearer
// to the truth, and never beyond it.
type baseline struct{ stored, first flowtap.Counters }

func (b *baseline) total() flowtap.Counters {
	return flowtap.Counters{
		MatchedPackets: max(b.stored.MatchedPackets, b.first.MatchedPackets), MatchedBytes: max(b.stored.MatchedBytes, b.first.MatchedBytes),
		DeliveredPackets: max(b.stored.DeliveredPackets, b.first.DeliveredPackets), DeliveredBytes: max(b.stored.DeliveredBytes, b.first.DeliveredBytes),
	}
}

// A flowCount is one flow's last reading.
type flowCount struct {
	cookie         uint64
	packets, bytes uint64
}

func newCounts() *counts {
	return &counts{read: map[openflow.DPID]map[flowset.Key]flowCount{}, taps: map[uint32]*flowtap.Counters{},
		spoof: map[uint32]uint64{}, inject: map[uint32]uint64{}, stored: map[uint32]*baseline{}}
}

// adopt takes a tap's totals as they are in the store.
func (c *counts) adopt(tap uint32, total flowtap.Counters) {
	c.taps[tap] = &total
	if (total != flowtap.Counters{}) {
		c.stored[tap] = &baseline{stored: total}
	}
}

func (c *counts) tap(num uint32) flowtap.Counters {
	if t := c.taps[num]; t != nil {
		return *t
	}
	return flowtap.Counters{}
}

// forget drops a tap that is no more.
func (c *counts) forget(tap uint32) {
	delete(c.taps, tap)
	delete(c.stored, tap)
}

// take adds a reading of all of a switch's flows.
func (c *counts) take(dpid openflow.DPID, flows []openflow.FlowStats) {
	last, again := c.read[dpid]
	now := make(map[flowset.Key]flowCount, len(flows))
	for i := range flows {
		f := &flows[i]
		kind, object, _ := pipeline.Ours(f.Flow.Cookie)
		switch kind {
		case pipeline.KindTap, pipeline.KindTapSeen, pipeline.KindSpoof, pipeline.KindClaim, pipeline.KindInject:
		default:
			continue
		}
		k := flowset.KeyOf(&f.Flow)
		now[k] = flowCount{f.Flow.Cookie, f.Packets, f.Bytes}
		packets, bytes := f.Packets, f.Bytes
		if was, ok := last[k]; ok && was.cookie == f.Flow.Cookie && was.packets <= packets {
			packets, bytes = packets-was.packets, bytes-was.bytes
		} else if b := c.stored[object]; b != nil && !again && (kind == pipeline.KindTap || kind == pipeline.KindTapSeen) {
			before := b.total()
			addTo(&b.first, kind, packets, bytes)
			sum(c.taps[object], b.total(), before)
			continue
		}
		c.add(kind, object, packets, bytes)
	}
	c.read[dpid] = now
}

func (c *counts) add(kind pipeline.Kind, object uint32, packets, bytes uint64) {
	switch kind {
	case pipeline.KindSpoof, pipeline.KindClaim:
		c.spoof[object] += packets
	case pipeline.KindInject:
		c.inject[object] += packets
	case pipeline.KindTap, pipeline.KindTapSeen:
		t := c.taps[object]
		if t == nil {
			t = &flowtap.Counters{}
			c.taps[object] = t
		}
		addTo(t, kind, packets, bytes)
	}
}

func addTo(t *flowtap.Counters, kind pipeline.Kind, packets, bytes uint64) {
	t.MatchedPackets += packets
	t.MatchedBytes += bytes
	if kind == pipeline.KindTap {
		t.DeliveredPackets += packets
		t.DeliveredBytes += bytes
	}
}

// sum adds what one total is more than another.
func sum(t *flowtap.Counters, now, before flowtap.Counters) {
	t.MatchedPackets += now.MatchedPackets - before.MatchedPackets
	t.MatchedBytes += now.MatchedBytes - before.MatchedBytes
	t.DeliveredPackets += now.DeliveredPackets - before.DeliveredPackets
	t.DeliveredBytes += now.DeliveredBytes - before.DeliveredBytes
}
