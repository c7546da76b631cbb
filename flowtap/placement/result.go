package placement

import "slices"

// result writes the decision down.
func (d *decision) result(best float64) Result {
	out := Result{Moves: d.moves, Notes: d.notes, Best: best}
	out.State.Flows = make(map[string][]Held, len(d.in.Flows))
	for _, f := range d.in.Flows {
		out.State.Flows[f.ID] = make([]Held, len(f.Rates))
	}
	for r := range d.res {
		d.res[r].used = d.res[r].base
	}
	for i := range d.units {
		u := &d.units[i]
		if u.at < 0 {
			continue
		}
		d.each(u, u.at, func(r int, part float64) { d.res[r].used += part })
		if d.remote(u, u.at) {
			out.Copied += u.rate
		}
		held := u.held
		if to := d.res[u.at].ID; held.Monitor == "" {
			held.Monitor = to // it left nobody, so it cannot come back
		} else if held.Monitor != to {
			held = Held{to, d.in.Now}
		}
		out.State.Flows[d.in.Flows[u.flow].ID][u.slice] = held
	}
	for r := range d.res {
		x := &d.res[r]
		out.Used = append(out.Used, Use{x.Resource, x.used, x.frozen})
		out.Max = max(out.Max, x.used)
	}
	slices.SortFunc(d.hot, compareResources)
	out.State.Hot = d.hot
	out.State.Spent = d.spent
	if d.chosen > 0 {
		out.State.Spent = append(out.State.Spent, Spent{d.in.Now, d.chosen})
	}
	slices.SortFunc(out.Used, func(a, b Use) int { return compareResources(a.Resource, b.Resource) })
	return out
}
