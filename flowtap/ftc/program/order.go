package program

import (
	"strings"

	"github.com/flowtap/flowtap/flowtap/ftc/lang"
)

// maxShown is how many steps of a cycle are shown.
const maxShown = 20

// step is a table on the way from one table to those that it follows from.
type step struct {
	table int
	by    lang.Span // the literal that leads to it
}

// cycle reports that a table, the first of a path, is needed at its end. All that is done for one is bounded: each
// literal of a policy may close a cycle through all of its tables.
func (c *checker) cycle(path []step, by lang.Span) {
	t := path[0].table
	c.tainted[t] = true // it is used before it is known
	if c.cycles++; c.cycles > lang.MaxShown {
		return
	}
	var names []string
	for _, s := range path[:min(len(path), maxShown)] {
		names = append(names, c.prog.Tables[s.table].Name)
	}
	if len(path) > maxShown {
		names = append(names, "...")
	}
	d := lang.Errorf(by, "a table cannot follow from itself: %s", strings.Join(append(names, c.prog.Tables[t].Name), " -> "))
	for _, s := range path[1:min(len(path), 1+maxShown)] {
		d = d.WithNote(s.by, "%s is needed here", c.prog.Tables[s.table].Name)
	}
	c.fault(d)
}

// order sorts the tables so that each comes after those that it follows from. A table that follows
// from itself is an error, which shows how, and nothing is known of its kinds.
func (c *checker) order() {
	const (
		unseen = iota
		open
		closed
	)
	state := make([]int, len(c.prog.Tables))
	at := make([]int, len(c.prog.Tables)) // place in the path
	var path []step
	var visit func(t int, by lang.Span)
	visit = func(t int, by lang.Span) {
		switch state[t] {
		case closed:
			return
		case open:
			c.cycle(path[at[t]:], by)
			return
		}
		at[t] = len(path)
		state[t] = open
		path = append(path, step{t, by})
		needs := c.needs[t]
		for _, r := range c.prog.Tables[t].Rules {
			needs = append(needs, c.prog.Rules[r].Body...)
		}
		for _, l := range needs {
			if l.Builtin == nil {
				visit(l.Table, l.Span)
			}
		}
		path = path[:len(path)-1]
		state[t] = closed
		c.prog.Order = append(c.prog.Order, t)
	}
	for _, r := range c.prog.Rules { // a cycle is shown from where it is written first
		visit(r.Table, lang.Span{})
	}
	for t := range c.prog.Tables {
		visit(t, lang.Span{})
	}
}
