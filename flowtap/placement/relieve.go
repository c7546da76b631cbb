package placement

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// within is how far floating-point sums may be beside what they are compared with.
const within = 1 + 1e-9

// margin is how far above its goal a resource may be before it is relieved, and by how much the highest
// utilisation must fall for a move to be worth it where nothing is within its goal.
func (d *decision) margin() float64 { return d.in.Config.High / d.in.Config.Low }

// relieve moves slices off resources above the high watermark, the fullest first, until they are at their goal.
func (d *decision) relieve() {
	var hot []int
	for r := range d.res {
		x := &d.res[r]
		was := slices.Contains(d.before.Hot, x.Resource)
		switch over := x.used > x.goal*within; {
		case x.frozen:
			if was {
				d.hot = append(d.hot, x.Resource)
			}
			if over {
				d.notes = append(d.notes, Note{Resource: x.Resource, Reason: "its figure is stale: nothing is moved because of it"})
			}
		case x.used > x.goal*d.margin()*within || over && was:
			hot = append(hot, r)
		}
	}
	slices.SortStableFunc(hot, func(a, b int) int { return cmp.Compare(d.res[b].used, d.res[a].used) })
	for i, r := range hot {
		x := &d.res[r]
		excess := 0.0
		for _, r := range hot[i:] {
			excess += max(0, d.res[r].used-d.res[r].goal)
		}
		share := float64(d.left) * (x.used - x.goal) / excess
		units := d.users(d.movable(), r)
		moved := func(u *unit, from int, before float64) {
			u.moved = true
			mv := d.move(u, d.res[from].ID, Hot)
			mv.Relieves, mv.Before, mv.After = x.Resource, before, x.used
			d.moves = append(d.moves, mv)
			d.chosen++
		}
		d.shed(r, units, share, d.margin(), &d.left, moved)
		if x.used <= x.goal*within {
			continue
		}
		d.hot = append(d.hot, x.Resource)
		why := "no other monitor has enough room"
		switch {
		case d.left == 0:
			why = "the move budget is used up"
		case len(units) == 0:
			why = "nothing on it may move now"
		}
		d.notes = append(d.notes, Note{Resource: x.Resource, Reason: fmt.Sprintf("stays at %.0f %%: %s", 100*x.used, why)})
	}
}

// improve lets slices that are being placed choose again, where a resource is over its goal.
func (d *decision) improve(free []*unit) {
	const tolerance, rounds = 1.01, 20
	unlimited := math.MaxInt
	for range rounds {
		var over []int
		for r := range d.res {
			if x := &d.res[r]; x.used > x.goal*tolerance {
				over = append(over, r)
			}
		}
		slices.SortStableFunc(over, func(a, b int) int { return cmp.Compare(d.res[b].used, d.res[a].used) })
		changed := false
		for _, r := range over {
			d.shed(r, d.users(free, r), math.Inf(1), within, &unlimited, func(*unit, int, float64) { changed = true })
		}
		if !changed {
			return
		}
	}
}

// users gives those slices that use a resource.
func (d *decision) users(of []*unit, r int) (out []*unit) {
	for _, u := range of {
		if d.part(u, r) > 0 {
			out = append(out, u)
		}
	}
	return out
}

// movable gives the slices that may move by choice.
func (d *decision) movable() (out []*unit) {
	for i := range d.units {
		if u := &d.units[i]; u.at >= 0 && !u.fixed && !u.moved {
			out = append(out, u)
		}
	}
	return out
}

// A load is a slice and how much of a resource it uses.
type load struct {
	*unit
	part float64
}

// shed moves some slices off a resource until it is at its goal.
//
// First to monitors where all stays within its goal: the slices that then cross the fabric less, then those
// for which this is the same, then the others; of each the largest that is not too much, so that few move. Slices
// so small that share moves of them would not suffice wait until there is nothing else. Then, if that was not
// enough, to wherever the highest utilisation falls by the margin.
func (d *decision) shed(r int, units []*unit, share, margin float64, left *int, moved func(u *unit, from int, before float64)) {
	x := &d.res[r]
	stop := x.goal
	if x.used <= stop*within || *left == 0 {
		return
	}
	var classes [3][]load
	var rest []load
	for _, u := range units {
		l := load{u, d.part(u, r)}
		if to, class := d.roomFor(u, r); to >= 0 {
			classes[class] = append(classes[class], l)
		} else {
			rest = append(rest, l)
		}
	}
	for c := range classes {
		slices.SortFunc(classes[c], func(a, b load) int { return cmp.Or(cmp.Compare(a.part, b.part), largest(a.unit, b.unit)) })
	}
	for x.used > stop*within && *left > 0 {
		c, i := pick(&classes, x.used-stop, share)
		if c < 0 {
			break
		}
		l := classes[c][i]
		classes[c] = slices.Delete(classes[c], i, i+1)
		to, _ := d.roomFor(l.unit, r)
		if to < 0 {
			rest = append(rest, l)
			continue
		}
		d.shift(l.unit, to, x, left, moved)
		share--
	}
	slices.SortFunc(rest, func(a, b load) int { return cmp.Or(cmp.Compare(b.part, a.part), largest(a.unit, b.unit)) })
	for _, l := range rest {
		if x.used <= stop*within || *left == 0 {
			return
		}
		to, least := -1, x.used/margin
		for _, m := range l.may {
			if highest, _, frozen := d.arrival(l.unit, m); m != l.at && !frozen && highest < least && d.leaves(l.unit, m, r) {
				to, least = m, highest
			}
		}
		if to >= 0 {
			d.shift(l.unit, to, x, left, moved)
		}
	}
}

func (d *decision) shift(u *unit, to int, x *resource, left *int, moved func(u *unit, from int, before float64)) {
	from, before := u.at, x.used
	d.put(u, to)
	*left--
	moved(u, from, before)
}

// leaves reports whether a slice uses less of a resource at another monitor.
func (d *decision) leaves(u *unit, to, r int) bool {
	after := 0.0
	d.each(u, to, func(x int, part float64) {
		if x == r {
			after = part
		}
	})
	return after < d.part(u, r)
}

// roomFor gives the monitor to which a slice can move off resource r so that all stays within its goal: where it crosses the
// fabric least, then where there is most room; -1 for none. The class says whether it then crosses the fabric
// less than now (0), the same (1) or more (2).
func (d *decision) roomFor(u *unit, r int) (best, class int) {
	best = -1
	crosses := func(m int) int {
		if d.remote(u, m) {
			return 1
		}
		return 0
	}
	now, least := crosses(u.at), math.Inf(1)
	for _, m := range u.may {
		if m == u.at {
			continue
		}
		highest, over, frozen := d.arrival(u, m)
		if frozen || over > 0 || !d.leaves(u, m, r) {
			continue
		}
		if c := 1 + crosses(m) - now; best < 0 || c < class || c == class && highest < least {
			best, class, least = m, c, highest
		}
	}
	return best, class
}

// pick chooses the next slice to move, from classes each sorted by size, where so much is too much and so many
// moves should suffice: the number of the class, -1 where all are empty, and of the slice in it.
func pick(classes *[3][]load, excess, share float64) (class, index int) {
	class = -1
	for c, loads := range classes {
		if len(loads) == 0 {
			continue
		}
		i, _ := slices.BinarySearchFunc(loads, excess*within, func(l load, x float64) int { return cmp.Compare(l.part, x) })
		i = max(0, i-1) // the largest that is not too much, or the smallest of all
		if loads[i].part*share >= excess {
			return c, i
		}
		if class < 0 || loads[i].part > classes[class][index].part {
			class, index = c, i
		}
	}
	return class, index
}

// goHome moves slices back to their target's node where all that it fills stays below the low watermark, those
// that save most bytes first.
func (d *decision) goHome() {
	var away []*unit
	for _, u := range d.movable() {
		if d.remote(u, u.at) && (u.rate > 0 || d.in.Flows[u.flow].Strategy == Hybrid) {
			away = append(away, u)
		}
	}
	slices.SortFunc(away, largest)
	for _, u := range away {
		if d.left == 0 {
			return
		}
		to, least := -1, d.in.Config.Low*within
		for _, m := range u.may {
			if d.remote(u, m) {
				continue
			}
			if highest, _, frozen := d.arrival(u, m); !frozen && highest <= least && (to < 0 || highest < least) {
				to, least = m, highest
			}
		}
		if to < 0 {
			continue
		}
		from, before := u.at, d.res[to].used
		d.put(u, to)
		u.moved = true
		mv := d.move(u, d.res[from].ID, Home)
		mv.Before = before
		d.moves = append(d.moves, mv)
		d.left--
		d.chosen++
	}
}
