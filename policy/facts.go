package policy

import (
	"cmp"
	"math"
	"strings"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/flowtap/ftc"
	"github.com/flowtap/flowtap/flowtap/ftc/eval"
	"github.com/flowtap/flowtap/flowtap/ftc/lang"
	"github.com/flowtap/flowtap/flowtap/ftc/program"
	"github.com/flowtap/flowtap/store"
	"github.com/flowtap/flowtap/topology"
)

// A view is what a policy may see of the world: its project, and, where a provider wrote it, nodes and where things
// are.
type view struct {
	project  string
	provider bool
}

// rows gives the rows of the data sources that follow from one object, nil being one that is not there. Names are as the
// project's users write them.
func (v view) rows(collection, id string, object any) []eval.Change {
	project, own := topology.SplitID(id)
	ours := project == v.project
	switch o := object.(type) {
	case *store.Node:
		if v.provider {
			return v.node(id, o)
		}
	case *store.Network:
		if ours {
			return []eval.Change{row("flowtap:networks", lang.Str(own))}
		}
	case *store.Port:
		if ours {
			return v.port(own, o)
		}
		if o.Spec.Kind == topology.KindMonitor && o.Spec.SharedWith.With(v.project) {
			return []eval.Change{v.monitor(topology.Relative(v.project, id), o, v.provider)}
		}
	case *store.Tap:
		if ours && o.Spec.Policy == "" {
			return []eval.Change{v.tap(own, o)}
		}
	}
	return nil
}

// names spells the inside ids of a text as the project's users do.
func (v view) names(text string) string {
	if v.project == topology.DefaultProject {
		return text
	}
	return strings.ReplaceAll(text, v.project+":", "")
}

func row(table string, values ...lang.Value) eval.Change {
	return eval.Change{Table: table, Row: values}
}

func (v view) node(id string, n *store.Node) []eval.Change {
	l := topology.NodeLoad{}
	if n.Status.Load != nil {
		l = *n.Status.Load
	}
	return []eval.Change{row("flowtap:nodes", lang.Str(id), lang.Str(cmp.Or(n.Status.State, topology.NodeDisconnected)),
		lang.Real(step(l.CPU)), lang.Real(step(l.Memory)), lang.Real(step(l.Network())))}
}

func (v view) port(id string, p *store.Port) []eval.Change {
	s, st := p.Spec, p.Status
	mac := ""
	if !s.MAC.IsZero() {
		mac = s.MAC.String()
	}
	all := []eval.Change{row("flowtap:ports", lang.Str(id), lang.Str(topology.Relative(v.project, s.Network)), lang.Str(string(s.Kind)),
		lang.Str(s.Interface), lang.Str(mac), lang.Str(cmp.Or(st.State, topology.PortPending)))}
	ips := s.IPs
	if len(ips) == 0 {
		ips = st.LearnedIPs
	}
	for _, ip := range ips {
		all = append(all, row("flowtap:addresses", lang.Str(id), lang.Str(ip.Unmap().String())))
	}
	for k, l := range s.Labels {
		all = append(all, row("flowtap:labels", lang.Str(id), lang.Str(k), lang.Str(l)))
	}
	if v.provider && st.Node != "" {
		all = append(all, row("flowtap:bindings", lang.Str(id), lang.Str(st.Node), lang.Integer(int64(st.OFPort))))
	}
	if s.Kind == topology.KindMonitor {
		all = append(all, v.monitor(id, p, true))
	}
	return all
}

// monitor gives a monitor's row. With whom else one is shared, and how busy they keep it, is its owner's to know.
func (v view) monitor(id string, p *store.Port, loads bool) eval.Change {
	node, load := "", 0.0
	if v.provider {
		node = p.Status.Node
	}
	if p.Status.Monitor != nil && loads {
		load = p.Status.Monitor.CPU
	}
	return row("flowtap:monitors", lang.Str(id), lang.Str(cmp.Or(p.Status.State, topology.PortPending)), lang.Str(node), lang.Real(step(load)))
}

func (v view) tap(id string, t *store.Tap) eval.Change {
	s := t.Spec
	dst := s.Dst
	if dst != "" {
		dst = topology.Relative(v.project, dst)
	}
	return row("flowtap:taps", lang.Str(id), lang.Str(topology.Relative(v.project, s.Src)), lang.Str(dst), lang.Str(s.Match.String()),
		lang.Str(string(s.Direction)), lang.Str(string(s.Action)), lang.Integer(int64(s.Priority)),
		lang.Str(cmp.Or(t.Status.State, flowtap.TapPending)), lang.Str(""))
}

// loadStep is how exactly policies see loads: what wavers less is no change.
const loadStep = 0.05

func step(load float64) float64 { return math.Round(load/loadStep) / (1 / loadStep) }

// difference gives the changes that lead from some rows to others, of tables that a program speaks of.
func difference(p *program.Program, was, is []eval.Change) (changes []eval.Change) {
	if len(was)+len(is) == 0 {
		return nil
	}
	key := func(c eval.Change) string { return string(ftc.AppendJSON([]byte(c.Table), c.Row)) }
	had, has := map[string]bool{}, map[string]bool{}
	for _, c := range was {
		had[key(c)] = true
	}
	for _, c := range is {
		if k := key(c); !has[k] {
			if has[k] = true; !had[k] && p.Table(c.Table) >= 0 {
				changes = append(changes, c)
			}
		}
	}
	for _, c := range was {
		if k := key(c); had[k] && !has[k] && p.Table(c.Table) >= 0 {
			delete(had, k)
			c.Delete = true
			changes = append(changes, c)
		}
	}
	return changes
}

// facts gives all rows that a view has.
func (v view) facts(w *World, p *program.Program) (all []eval.Change) {
	w.each(func(collection, id string, o any) {
		for _, c := range v.rows(collection, id, o) {
			if p.Table(c.Table) >= 0 {
				all = append(all, c)
			}
		}
	})
	return all
}
