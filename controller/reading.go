package controller

import (
	"time"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/openflow"
)

type count struct{ packets, bytes uint64 }

// valid tells counts from what a switch shows of a counter that it does not keep, which is all ones
// (OpenFlow 1.3.5 §7.3.5.2), and from what Open vSwitch shows for a while after it has taken more off a
// counter than was on it: where megaflows overlap it may settle one by the count of another.
func (a count) valid() bool { return int64(a.packets) >= 0 && int64(a.bytes) >= 0 } // #nosec G115 -- the sign bit is what is asked for

// shown is a counter as a switch shows it. age is that of the flow or meter: Open vSwitch keeps it
// when it changes a flow's actions, and with it the counters.
type shown struct {
	count
	age time.Duration
}

// A lastReading is what was seen of a counter last.
type lastReading struct {
	cookie uint64
	shown
	from, to time.Time // when
	ended    time.Time // the flow was no more by then; zero: nobody knows
}

// news is what a counter counted since it was last seen; not ok where the reading is not later than
// the last one as a whole, so that it may show the counter's predecessor. Counters that began anew are told by a smaller count, by a
// smaller age, and by an age that is too small for one that was there the last time.
func (l lastReading) news(now lastReading) (n count, ok bool) {
	went := now.cookie == l.cookie && now.packets >= l.packets && now.bytes >= l.bytes && now.age >= l.age
	switch {
	case !l.ended.IsZero():
		return now.count, now.from.After(l.ended)
	case now.from.Before(l.to):
		return n, false // the next one will show it
	case !went || now.age < now.from.Sub(l.to)-ageError:
		return now.count, true
	}
	return count{now.packets - l.packets, now.bytes - l.bytes}, true
}

// ageError bounds how far a switch that is busy is behind with the age of its flows.
const ageError = 100 * time.Millisecond

// totals is what was counted of a contract. sent frames are those that went on their way to the
// monitor; of these a meter dropped some.
type totals struct{ matched, sent, dropped, returned count }

func (a totals) plus(b totals) totals {
	return totals{a.matched.plus(b.matched), a.sent.plus(b.sent), a.dropped.plus(b.dropped), a.returned.plus(b.returned)}
}

// beyond is by how much a is more than b.
func (a totals) beyond(b totals) totals {
	return totals{a.matched.beyond(b.matched), a.sent.beyond(b.sent), a.dropped.beyond(b.dropped), a.returned.beyond(b.returned)}
}

func (a count) plus(b count) count { return count{a.packets + b.packets, a.bytes + b.bytes} }

func (a count) beyond(b count) count {
	return count{a.packets - min(a.packets, b.packets), a.bytes - min(a.bytes, b.bytes)}
}

// counters is how totals are shown and stored.
func (a totals) counters() flowtap.Counters {
	delivered := a.sent.beyond(a.dropped) // the meter was read after the flows
	return flowtap.Counters{
		MatchedPackets: a.matched.packets, MatchedBytes: a.matched.bytes,
		DeliveredPackets: delivered.packets, DeliveredBytes: delivered.bytes,
		DroppedPackets: a.dropped.packets, DroppedBytes: a.dropped.bytes,
		ReturnedPackets: a.returned.packets, ReturnedBytes: a.returned.bytes,
	}
}

// totalsOf reads what counters wrote.
func totalsOf(c flowtap.Counters) totals {
	dropped := count{c.DroppedPackets, c.DroppedBytes}
	return totals{matched: count{c.MatchedPackets, c.MatchedBytes}, dropped: dropped,
		sent: count{c.DeliveredPackets, c.DeliveredBytes}.plus(dropped), returned: count{c.ReturnedPackets, c.ReturnedBytes}}
}

// dropped is what a meter's bands held back.
func dropped(m openflow.MeterStats) (n count) {
	for _, b := range m.Bands {
		n = n.plus(count{b.Packets, b.Bytes})
	}
	return n
}
