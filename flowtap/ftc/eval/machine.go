package eval

import (
	"strings"

	"github.com/flowtap/flowtap/flowtap/ftc/program"
)

// machine satisfies the body of one rule in all ways, by a plan.
type machine struct {
	e    *Engine
	rule *rule
	plan *plan
	// from is the literal whose changes the plan starts from: those before it in the body are looked
	// at in the new state, those behind it in the old one. So each way is counted once.
	from int
	regs []value
	row  []value // of the head
	keys []value // room for keys
	// found is called for each way.
	found func()
	err   error
}

func (e *Engine) machine(r *rule, from int) *machine {
	m := &e.scratch
	*m = machine{e: e, rule: r, plan: e.planFor(r, from), from: from,
		regs: sized(m.regs, len(r.Variables)), row: sized(m.row, len(r.Head)), keys: sized(m.keys, 0)}
	return m
}

func sized(s []value, n int) []value {
	if cap(s) < n {
		return make([]value, n)
	}
	return s[:n]
}

// seed puts a first row into registers; false is that it is not like the pattern.
func (m *machine) seed(row []value) bool { return m.take(&m.plan.seed, row) }

func (m *machine) take(p *pattern, row []value) bool {
	for _, c := range p.consts {
		if row[c.col] != c.val {
			return false
		}
	}
	for _, c := range p.binds {
		m.regs[c.reg] = row[c.col]
	}
	for _, c := range p.checks {
		if row[c.col] != m.regs[c.reg] {
			return false
		}
	}
	return true
}

func (m *machine) get(s source) value {
	if s.reg < 0 {
		return s.val
	}
	return m.regs[s.reg]
}

// look counts a row that is looked at; false is that there is an error, perhaps that these are too many.
func (m *machine) look() bool {
	m.e.work++
	if m.err == nil && m.e.work <= m.e.limits.Work && m.e.in.bytes <= m.e.limits.Text {
		return true
	}
	m.exceed()
	return false
}

func (m *machine) exceed() {
	switch {
	case m.err != nil:
	case m.e.work > m.e.limits.Work:
		m.err = &LimitError{m.rule.Rule, "combinations of rows that are tried", m.e.limits.Work}
	default:
		m.err = &LimitError{m.rule.Rule, "bytes of text", m.e.limits.Text}
	}
}

// run satisfies the steps from i on, in all ways.
func (m *machine) run(i int) {
	if !m.look() {
		return
	}
	if i == len(m.plan.steps) {
		m.found()
		return
	}
	s := &m.plan.steps[i]
	if s.builtin != nil {
		if m.builtin(s) {
			m.run(i + 1)
		}
		return
	}
	state := uint8(inNew)
	if s.literal > m.from {
		state = inOld
	}
	t := s.table
	if s.index == nil {
		for id := range t.places() {
			if !m.look() {
				return
			}
			if t.marks[id]&state != 0 && m.take(&s.pattern, t.row(id)) {
				m.run(i + 1)
			}
		}
		return
	}
	start := len(m.keys)
	for _, k := range s.key {
		m.keys = append(m.keys, m.get(k))
	}
	id := s.index.first(t, m.keys[start:])
	m.keys = m.keys[:start]
	if s.exists {
		if (id != none && t.marks[id]&state != 0) != s.negated {
			m.run(i + 1)
		}
		return
	}
	for ; id != none && m.look(); id = s.index.next[id] {
		if t.marks[id]&state != 0 && m.take(&s.pattern, t.row(id)) {
			m.run(i + 1)
		}
	}
}

// builtin decides a builtin, and binds its output.
func (m *machine) builtin(s *step) bool {
	in := m.e.values[:0]
	for _, a := range s.in {
		in = append(in, m.e.in.value(m.get(a)))
	}
	out, ok := s.builtin(in)
	m.e.values = in
	if s.out == nil || !ok {
		return ok != s.negated
	}
	if s.known {
		have, known := m.e.in.find(out)
		return (known && have == m.get(*s.out)) != s.negated
	}
	m.regs[s.out.reg] = m.e.in.of(out)
	return true
}

// head makes the row of the head from the registers. It is valid until the next one.
func (m *machine) head() []value {
	for i, h := range m.rule.head {
		if pieces := m.rule.Head[i].Template; pieces != nil {
			m.row[i] = m.e.in.str(m.text(pieces))
			continue
		}
		m.row[i] = m.get(h)
	}
	return m.row
}

// text puts values into a text.
func (m *machine) text(pieces []program.Piece) string {
	var b strings.Builder
	for _, p := range pieces {
		b.WriteString(p.Text)
		if p.Var >= 0 {
			b.WriteString(m.e.in.value(m.regs[p.Var]).Plain())
		}
		if b.Len() > longest {
			m.err = &LimitError{m.rule.Rule, "bytes in one text", longest}
			return ""
		}
	}
	return b.String()
}
