package policy

import (
	"slices"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/flowtap/ftc"
	"github.com/flowtap/flowtap/flowtap/ftc/eval"
	"github.com/flowtap/flowtap/flowtap/ftc/lang"
	"github.com/flowtap/flowtap/flowtap/ftc/program"
	"github.com/flowtap/flowtap/store"
	"github.com/flowtap/flowtap/topology"
)

// MaxTaps is how many taps one policy may want.
const MaxTaps = 100_000

// usualLimits are those of each policy: one goroutine evaluates all of them, and keeps the rows of all.
var usualLimits = eval.Limits{Taps: MaxTaps, Values: 20_000_000, Work: 100_000_000, Text: 256 << 20}

// compiled is one policy's text, and what it wants of the facts that it was told.
type compiled struct {
	id      string // inside
	own     string
	view    view
	program *program.Program // nil: the text is wrong
	text    lang.Diagnostics // what there is to say of the text
	taps    *ftc.Taps        // nil: not evaluated
	engine  *eval.Engine
	beyond  lang.Diagnostics // why the facts as they are cannot be evaluated; nil: nobody tried, or they can
	pending []eval.Change    // facts that the engine was not told
	reads   map[string]bool  // collections that facts come from
	limits  eval.Limits
}

// sources are the collections that the tables of the data sources come from.
var sources = map[string][]string{
	store.CollectionPorts:    {"flowtap:ports", "flowtap:addresses", "flowtap:labels", "flowtap:bindings", "flowtap:monitors"},
	store.CollectionNetworks: {"flowtap:networks"},
	store.CollectionNodes:    {"flowtap:nodes"},
	store.CollectionTaps:     {"flowtap:taps"},
}

func newCompiled(id string, p flowtap.Policy, limits eval.Limits) *compiled {
	c := &compiled{id: id, limits: limits}
	project, own := topology.SplitID(id)
	c.own, c.view = own, view{project, p.Provider}
	c.program, c.text = ftc.Load(ftc.Source(own, p.Source), ftc.Options{})
	c.reads = map[string]bool{}
	for collection, tables := range sources {
		c.reads[collection] = c.program != nil && slices.ContainsFunc(tables, func(t string) bool { return c.program.Table(t) >= 0 })
	}
	return c
}

// changed tells of an object that is another now than it was, and reports whether that is any matter.
func (c *compiled) changed(e store.Event, was any) bool {
	if !c.reads[e.Collection] {
		return false
	}
	more := difference(c.program, c.view.rows(e.Collection, e.ID, was), c.view.rows(e.Collection, e.ID, e.Object))
	if len(more) == 0 {
		return false
	}
	if c.beyond = nil; c.engine != nil { // else all facts will be read
		c.pending = append(c.pending, more...)
	}
	return true
}

// wanted gives the contracts that the policy wants, or why it can have none.
func (c *compiled) wanted(w *World) ([]ftc.Wanted, lang.Diagnostics) {
	if c.program == nil {
		return nil, c.text
	}
	if c.beyond != nil {
		return nil, c.beyond
	}
	fresh := c.engine == nil
	if fresh {
		c.engine = eval.New(c.program, c.limits)
		c.taps = ftc.NewTaps(c.own, c.engine)
		c.pending = c.view.facts(w, c.program)
		if len(c.pending) == 0 {
			c.pending = []eval.Change{} // the first Apply computes what follows from the text alone
		}
	}
	if c.pending != nil {
		if err := c.engine.Apply(c.pending); err != nil {
			c.forget()
			faults := lang.Diagnostics{ftc.EvalFault(err)}
			if fresh { // else it may be the change that was too much
				c.beyond = faults
			}
			return nil, faults
		}
		c.taps.Update()
		c.pending = nil
	}
	if faults := c.taps.Faults(); faults.Errors() {
		return nil, faults
	}
	return c.taps.All(), nil
}

// forget has everything computed anew next time.
func (c *compiled) forget() { c.engine, c.taps, c.pending = nil, nil, nil }
