package program

import (
	"slices"
	"strings"

	"github.com/flowtap/flowtap/flowtap/ftc/lang"
)

// Strategies are those that a policy can choose. The first is that of a policy that chooses none: taps name their
// monitors.
var Strategies = []string{"per_application", "per_node", "hybrid"}

// A Placement says by which monitors taps are watched that name none.
type Placement struct {
	Strategy string
	// From is the table of the monitors, -1 for the provider's.
	From int
	Text *lang.Placement
}

// placement checks what a policy declares of it.
func (c *checker) placement() {
	if len(c.placements) == 0 {
		return
	}
	d := c.placements[0]
	for _, more := range c.placements[1:] {
		c.fault(lang.Errorf(more.Span, "a policy has one placement").WithNote(d.Span, "here it is declared first"))
	}
	p := &Placement{Strategy: d.Strategy, From: -1, Text: d}
	if !slices.Contains(Strategies, d.Strategy) {
		e := lang.Errorf(d.StrategySpan, "there is no strategy %s", d.Strategy)
		if n := c.nearest(d.Strategy, slices.Clone(Strategies)); n != "" {
			e = e.WithHint("did you mean %s?", n)
		} else {
			e = e.WithHint("strategies are %s", strings.Join(Strategies, ", "))
		}
		c.fault(e)
	}
	if d.From == "" {
		if d.Strategy == Strategies[0] {
			c.fault(lang.Errorf(d.Span, "which monitors? %s is by those that the policy names", d.Strategy).
				WithHint("name a table of them: placement %s from watchers", d.Strategy))
			return
		}
	} else {
		var ok bool
		if p.From, ok = c.monitorTable(d); !ok {
			return
		}
	}
	if !c.toPlace {
		w := lang.Errorf(d.Span, "nothing is placed: no tap leaves dst out")
		w.Severity = lang.Warning
		c.fault(w)
	}
	c.prog.Placement = p
}

// monitorTable checks the table of a placement.
func (c *checker) monitorTable(d *lang.Placement) (int, bool) {
	bare := strings.TrimPrefix(d.From, "builtin:")
	if builtins[bare] != nil {
		return 0, c.errorf(d.FromSpan, "%s is a builtin: it has no rows to list", bare)
	}
	if a := c.actions[d.From]; a != nil {
		return 0, c.fault(lang.Errorf(d.FromSpan, "%s is an action: it has no rows", a.Name).WithNote(a.NameSpan, "declared here"))
	}
	cols, ok := c.source(lang.Atom{Table: d.From, TableSpan: d.FromSpan})
	if !ok {
		return 0, false
	}
	if len(cols) > 1 {
		return 0, c.fault(lang.Errorf(d.FromSpan, "%s has %s: want a table of monitors alone", d.From, columnCount(len(cols))).
			WithHint("define one, watchers(m) :- %s(%s=m)", d.From, cols[0].Name))
	}
	return c.table(d.From, 1, d.FromSpan)
}

// monitorKinds checks that monitors can be ids.
func (c *checker) monitorKinds(known [][]Kinds) {
	p := c.prog.Placement
	if p == nil || p.From < 0 || known[p.From] == nil || known[p.From][0]&strings_ != 0 || known[p.From][0] == 0 {
		return
	}
	c.errorf(p.Text.FromSpan, "the id of a monitor is %s; in %s it is %s", strings_, c.prog.Tables[p.From].Name, known[p.From][0])
}
