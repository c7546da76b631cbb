package program

import (
	"strings"

	"github.com/flowtap/flowtap/flowtap/ftc/lang"
)

// maxShown is how many steps of a cycle are shown with their places.
const maxShown = 20

// order sorts the tables so that each comes after those that it follows from. A table that follows
// from itself is an error, which shows how, and nothing is known of its kinds.
func (c *checker) order() {
	const (
		unseen = iota
		open
		closed
	)
	state := make([]int, len(c.prog.Tables))
	type step struct {
		table int
		by    lang.Span // the literal that leads to it
	}
	var path []step
	var visit func(t int, by lang.Span)
	visit = func(t int, by lang.Span) {
		switch state[t] {
		case closed:
			return
		case open:
			from := len(path) - 1
			for path[from].table != t {
				from--
			}
			names := []string{}
			for _, s := range path[from:] {
				names = append(names, c.prog.Tables[s.table].Name)
				c.tainted[s.table] = true
			}
			d := lang.Errorf(by, "a table cannot follow from itself: %s", strings.Join(append(names, c.prog.Tables[t].Name), " -> "))
			for _, s := range path[from+1 : min(len(path), from+1+maxShown)] {
				d = d.WithNote(s.by, "%s is needed here", c.prog.Tables[s.table].Name)
			}
			c.fault(d)
			return
		}
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
