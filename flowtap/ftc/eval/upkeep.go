package eval

import "math"

// newEpoch has plans made anew when tables have grown or shrunk a lot: they were made for other sizes.
func (e *Engine) newEpoch() {
	rows := 0
	for _, t := range e.tables {
		rows += t.rows
	}
	if rows > 2*e.epochRows+64 || rows*4 < e.epochRows {
		e.epoch++
		e.epochRows = rows
	}
}

// undo goes back to before changes whose consequences could not be computed: what is inserted is kept,
// all else is computed again.
func (e *Engine) undo(done []Change, started bool) {
	fresh := *e
	fresh.reset()
	fresh.rebuilt++
	if !started {
		*e = fresh
		return
	}
	back := map[int]map[string]bool{}
	for _, c := range done {
		n := e.prog.Table(c.Table)
		if back[n] == nil {
			back[n] = map[string]bool{}
		}
		k := key(e.intern(c.Row))
		back[n][k] = !back[n][k]
	}
	for n, t := range e.tables {
		for id := range t.places() {
			row := t.row(id)
			given := t.marks[id]&isGiven != 0
			if t.marks[id]&live == 0 || given == back[n][key(row)] {
				continue
			}
			c := Change{Table: e.prog.Tables[n].Name}
			for _, v := range row {
				c.Row = append(c.Row, e.in.value(v))
			}
			fresh.given(c)
		}
	}
	const unlimited = math.MaxInt / 4
	fresh.limits = Limits{unlimited, unlimited, unlimited, unlimited}
	if err := fresh.carry(); err != nil {
		panic(err) // it was there before
	}
	fresh.limits = e.limits
	for _, t := range fresh.tables {
		t.finish()
	}
	*e = fresh
}

func key(row []value) string {
	b := make([]byte, 0, 4*len(row))
	for _, v := range row {
		b = append(b, byte(v), byte(v>>8), byte(v>>16), byte(v>>24))
	}
	return string(b)
}

// keptSyms is how many values are always kept.
const keptSyms = 4096

// compact numbers values anew when most have no row any more, or their texts come near the limit: a policy that
// follows loads sees new ones for ever.
func (e *Engine) compact() {
	if e.in.size() < 2*e.baseSyms+keptSyms && 2*e.in.bytes < e.baseBytes+e.limits.Text {
		return
	}
	old := e.in
	e.in = newInterner()
	e.compile() // constants first
	moved := map[value]value{}
	for _, t := range e.tables {
		t.indexes = nil
		t.all = newIndex(t.all.cols, t.arity)
		for id := range t.places() {
			if t.marks[id]&live == 0 {
				continue
			}
			row := t.row(id)
			for i, v := range row {
				if v&^payload == kindSmall {
					continue
				}
				w, ok := moved[v]
				if !ok {
					w = e.in.of(old.value(v))
					moved[v] = w
				}
				row[i] = w
			}
			t.all.insert(t, id)
		}
	}
	e.rebase()
	e.generation++
}

// rebase notes how much there is when nothing is there in vain.
func (e *Engine) rebase() { e.baseSyms, e.baseBytes = e.in.size(), e.in.bytes }
