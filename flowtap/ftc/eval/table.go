package eval

import "slices"

// Marks of a row.
const (
	inOld    = 1 << iota // the row was there before the change that is under way
	inNew                // it is there with it
	isGiven              // it was inserted, which is one of its derivations
	isStated             // the policy states it, which is another
	touched              // the change under way has changed its count
	live                 // the place has a row
	member   = inOld | inNew
)

// table is the rows of one table. While a change is under way it is two states of them, old and new.
type table struct {
	arity   int
	data    []value // arity values a row
	count   []int32 // derivations, by row
	marks   []uint8
	free    []int32
	rows    int // that are in the new state
	all     *index
	indexes []*index

	changed        []int32 // rows whose count the change under way has changed
	added, removed []int32 // what the change under way comes to
}

func newTable(arity int) *table {
	cols := make([]int, arity)
	for i := range cols {
		cols[i] = i
	}
	return &table{arity: arity, all: newIndex(cols, arity)}
}

// width is how many values a row counts for.
func (t *table) width() int { return max(1, t.arity) }

func (t *table) row(id int32) []value {
	i := int(id) * t.arity
	return t.data[i : i+t.arity : i+t.arity]
}

// places is how many rows there are or were.
func (t *table) places() int32 { return int32(len(t.count)) }

// place finds a row, or makes it with no derivations and in neither state.
func (t *table) place(row []value) int32 {
	if id := t.all.first(t, row); id != none {
		return id
	}
	var id int32
	if n := len(t.free); n > 0 {
		id = t.free[n-1]
		t.free = t.free[:n-1]
		copy(t.row(id), row)
		t.count[id], t.marks[id] = 0, live
	} else {
		id = t.places()
		if len(t.count) == cap(t.count) {
			t.reserve(len(t.count) + 16) // twice: append by itself copies large ones more often
		}
		t.data = append(t.data, row...)
		t.count = append(t.count, 0)
		t.marks = append(t.marks, live)
	}
	t.all.insert(t, id)
	for _, x := range t.indexes {
		x.insert(t, id)
	}
	return id
}

// reserve makes room for n rows more.
func (t *table) reserve(n int) {
	t.data = slices.Grow(t.data, n*t.arity)
	t.count = slices.Grow(t.count, n)
	t.marks = slices.Grow(t.marks, n)
	t.changed = slices.Grow(t.changed, n)
}

// add changes the number of a row's derivations.
func (t *table) add(id int32, n int32) {
	t.count[id] += n
	if t.marks[id]&touched == 0 {
		t.marks[id] |= touched
		t.changed = append(t.changed, id)
	}
}

// settle ends the change of this table: rows with derivations are in the new state. added and
// removed say what differs from the old one.
func (t *table) settle() {
	t.added = slices.Grow(t.added, len(t.changed))
	for _, id := range t.changed {
		m := t.marks[id] &^ touched
		was, is := m&inOld != 0, t.count[id] > 0
		switch {
		case is && !was:
			m |= inNew
			t.rows++
			t.added = append(t.added, id)
		case was && !is:
			m &^= inNew
			t.rows--
			t.removed = append(t.removed, id)
		case !is:
			t.marks[id] = m
			t.drop(id)
			continue
		}
		t.marks[id] = m
	}
	t.changed = t.changed[:0]
}

// finish makes the new state the old one.
func (t *table) finish() {
	for _, id := range t.added {
		t.marks[id] |= inOld
	}
	for _, id := range t.removed {
		t.drop(id)
	}
	t.added, t.removed = t.added[:0], t.removed[:0]
}

func (t *table) drop(id int32) {
	t.all.remove(t, id)
	for _, x := range t.indexes {
		x.remove(t, id)
	}
	t.marks[id] = 0
	t.free = append(t.free, id)
}

// index gives the index over some columns, and makes it where there is none.
func (t *table) index(cols []int) *index {
	if len(cols) == t.arity {
		return t.all
	}
	for _, x := range t.indexes {
		if equalInts(x.cols, cols) {
			return x
		}
	}
	x := newIndex(cols, t.arity)
	for id := range t.places() {
		if t.marks[id]&live != 0 {
			x.insert(t, id)
		}
	}
	t.indexes = append(t.indexes, x)
	return x
}

func equalInts(a, b []int) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
