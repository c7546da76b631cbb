package eval

import (
	"iter"
	"slices"

	"github.com/flowtap/flowtap/flowtap/ftc/lang"
	"github.com/flowtap/flowtap/flowtap/ftc/program"
)

// Program is what the engine computes.
func (e *Engine) Program() *program.Program { return e.prog }

// Generation changes when values are numbered anew: a Sym of another one means nothing.
func (e *Engine) Generation() int { return e.generation }

// Rebuilt changes when a failed Apply had all rows computed again: a RowID from before means nothing.
func (e *Engine) Rebuilt() int { return e.rebuilt }

// Len is how many rows a table has.
func (e *Engine) Len(table int) int { return e.tables[table].rows }

// Delta is what the last Apply changed in a table. It is valid until the next.
func (e *Engine) Delta(table int) Delta {
	t := e.tables[table]
	return Delta{t.added, t.removed}
}

// IDs are a table's rows, in no order.
func (e *Engine) IDs(table int) iter.Seq[RowID] {
	return func(yield func(RowID) bool) {
		t := e.tables[table]
		for id := range t.places() {
			if t.marks[id]&inNew != 0 && !yield(id) {
				return
			}
		}
	}
}

// Syms gives a row as numbers. The caller does not change it.
func (e *Engine) Syms(table int, id RowID) []Sym { return e.tables[table].row(id) }

// Value gives the value of a number.
func (e *Engine) Value(s Sym) lang.Value { return e.in.value(s) }

// Row gives a row as values.
func (e *Engine) Row(table int, id RowID) []lang.Value {
	syms := e.Syms(table, id)
	row := make([]lang.Value, len(syms))
	for i, s := range syms {
		row[i] = e.in.value(s)
	}
	return row
}

// Rows gives all rows of a table, sorted.
func (e *Engine) Rows(table int) [][]lang.Value {
	rows := make([][]lang.Value, 0, e.Len(table))
	for id := range e.IDs(table) {
		rows = append(rows, e.Row(table, id))
	}
	slices.SortFunc(rows, CompareRows)
	return rows
}

// CompareRows orders rows column by column.
func CompareRows(a, b []lang.Value) int { return slices.CompareFunc(a, b, lang.Value.Compare) }

// Derivations is in how many ways a row follows; zero is that the table does not have it.
func (e *Engine) Derivations(table int, row []lang.Value) int {
	if id, ok := e.find(table, row); ok {
		return int(e.tables[table].count[id])
	}
	return 0
}

// find looks a row up without numbering its values.
func (e *Engine) find(table int, row []lang.Value) (RowID, bool) {
	t := e.tables[table]
	if len(row) != t.arity {
		return none, false
	}
	syms := make([]value, len(row))
	for i, v := range row {
		s, ok := e.in.find(v)
		if !ok {
			return none, false
		}
		syms[i] = s
	}
	id := t.all.first(t, syms)
	return id, id != none && t.marks[id]&inNew != 0
}
