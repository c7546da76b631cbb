package eval

import "slices"

// none is no row.
const none = int32(-1)

// gone is a slot whose group is no more; a search goes on behind it.
const gone = int32(-2)

// index finds the rows of a table that have given values in given columns. Rows that have the same
// are a group: a slot of an open hash table has the first, next leads to the others.
type index struct {
	cols       []int
	slots      []int32 // a power of two: a row, none or gone
	used       int     // slots that are not none
	groups     int
	next, prev []int32 // by row; of an index over all columns, whose groups have one row, nil
	unique     bool
}

func newIndex(cols []int, arity int) *index {
	x := &index{cols: cols, unique: len(cols) == arity}
	x.slots = emptySlots(8)
	return x
}

func emptySlots(n int) []int32 {
	s := make([]int32, n)
	for i := range s {
		s[i] = none
	}
	return s
}

func mix(h uint64, v value) uint64 {
	h = (h ^ uint64(v)) * 0x9e3779b97f4a7c15
	return h ^ h>>29
}

func (x *index) hashRow(row []value) uint64 {
	h := uint64(0x243f6a8885a308d3)
	for _, c := range x.cols {
		h = mix(h, row[c])
	}
	return h ^ h>>32
}

func hashKey(key []value) uint64 {
	h := uint64(0x243f6a8885a308d3)
	for _, v := range key {
		h = mix(h, v)
	}
	return h ^ h>>32
}

// first gives the first row whose columns have the key, in the order of x.cols.
func (x *index) first(t *table, key []value) int32 {
	mask := uint64(len(x.slots) - 1)
	for i := hashKey(key) & mask; ; i = (i + 1) & mask {
		r := x.slots[i]
		if r == none {
			return none
		}
		if r >= 0 && x.hasKey(t.row(r), key) {
			return r
		}
	}
}

func (x *index) hasKey(row, key []value) bool {
	for i, c := range x.cols {
		if row[c] != key[i] {
			return false
		}
	}
	return true
}

func (x *index) same(a, b []value) bool {
	for _, c := range x.cols {
		if a[c] != b[c] {
			return false
		}
	}
	return true
}

// slot finds where a row's group is, or the slot to put it.
func (x *index) slot(t *table, row []value) (at int, found bool) {
	mask := uint64(len(x.slots) - 1)
	at = -1
	for i := x.hashRow(row) & mask; ; i = (i + 1) & mask {
		switch r := x.slots[i]; {
		case r == none:
			if at < 0 {
				at = int(i)
			}
			return at, false
		case r == gone:
			if at < 0 {
				at = int(i)
			}
		case x.same(t.row(r), row):
			return int(i), true
		}
	}
}

func (x *index) insert(t *table, id int32) {
	if (x.used+1)*4 > len(x.slots)*3 {
		x.grow(t)
	}
	if !x.unique && int(id) >= len(x.next) {
		n := max(int(id)+1, cap(t.count))
		x.next = append(slices.Grow(x.next, n-len(x.next)), make([]int32, n-len(x.next))...)
		x.prev = append(slices.Grow(x.prev, n-len(x.prev)), make([]int32, n-len(x.prev))...)
	}
	at, found := x.slot(t, t.row(id))
	old := none
	if found {
		old = x.slots[at]
	} else {
		if x.slots[at] == none {
			x.used++
		}
		x.groups++
	}
	x.slots[at] = id
	if !x.unique {
		x.next[id], x.prev[id] = old, none
		if old != none {
			x.prev[old] = id
		}
	}
}

func (x *index) remove(t *table, id int32) {
	next := none
	if !x.unique {
		next = x.next[id]
		if next != none {
			x.prev[next] = x.prev[id]
		}
		if p := x.prev[id]; p != none {
			x.next[p] = next
			return
		}
	}
	at, _ := x.slot(t, t.row(id))
	if next != none {
		x.slots[at] = next
		return
	}
	x.slots[at] = gone
	x.groups--
}

// grow makes room, or clears away what is gone.
func (x *index) grow(t *table) {
	n := len(x.slots)
	if x.groups*2 >= n {
		n *= 2
	}
	old := x.slots
	x.slots = emptySlots(n)
	x.used = x.groups
	mask := uint64(n - 1)
	for _, r := range old {
		if r < 0 {
			continue
		}
		i := x.hashRow(t.row(r)) & mask
		for x.slots[i] != none {
			i = (i + 1) & mask
		}
		x.slots[i] = r
	}
}
