package pipeline

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/topology"
)

// A form is what copies look like, other than the frame. The zero form is the frame itself.
type form struct {
	cut     int  // bytes at most; 0 for all
	rewrite bool // to the monitor's address
}

// A destination is a monitor and the form in which it gets copies. Each has a label, so that seen-by
// and flooding know a frame's copies apart by their form: its name is the monitor's id alone for
// copies that are the frame itself.
func destination(monitor string, f form) string {
	if f.cut != 0 {
		monitor += "+cut" + strconv.Itoa(f.cut)
	}
	if f.rewrite {
		monitor += "+mac"
	}
	return monitor
}

// stageLimited tells the flood stages of contracts with a rate limit from the others of their
// destination, whose label is below it.
const (
	stageLimited  = 1 << 24
	limitedSuffix = "+limit"
)

// monitorOf gives the monitor of a destination or stage.
func monitorOf(destination string) string {
	monitor, _, _ := strings.Cut(destination, "+")
	return monitor
}

func (t *Tap) form() form { return form{t.Truncate, t.RewriteDstMAC} }

// limited reports whether copies of a contract may be held back: then nobody can rely on one.
func (t *Tap) limited() bool { return t.RateLimit != flowtap.RateLimit{} }

// optioned reports whether the contract's copies are not simply all of its frames.
func (t *Tap) optioned() bool { return t.limited() || t.form() != form{} }

// stageNumber is what RegStage holds in a stage of flooding, zero while there is no label for it.
func (w *World) stageNumber(stage string) uint32 {
	destination, limited := strings.CutSuffix(stage, limitedSuffix)
	n := w.labels[MonitorLabel(destination)]
	if n != 0 && limited {
		n |= stageLimited
	}
	return n
}

// satisfies gives the labels of what makes a copy for a destination needless, in RegSeenBy or
// RegCopied: the frame itself, or another copy of the same form. A copy that may have been held back
// leaves no mark.
func (w *World) satisfies(destination string) []uint32 {
	whole, same := w.labels[MonitorLabel(monitorOf(destination))], w.labels[MonitorLabel(destination)]
	if whole == same {
		return []uint32{whole}
	}
	return []uint32{whole, same}
}

// satisfiesAll gives the labels, in RegSeenBy, of what makes a copy for a destination needless because all members of
// a copy pool, of which its monitor is one, have it.
func (w *World) satisfiesAll(c *Pool, destination string) []uint32 {
	form := strings.TrimPrefix(destination, monitorOf(destination))
	whole, same := w.labels[PoolLabel(c.ID)], w.labels[PoolLabel(c.ID)+form]
	if whole == same || same == 0 {
		return []uint32{whole}
	}
	return []uint32{whole, same}
}

// stagesOf gives the stages of flooding that a contract's monitors are in.
func (w *World) stagesOf(t *Tap) (stages []string) {
	for _, m := range w.monitorsOf(t) {
		stage := destination(m, t.form())
		if t.limited() {
			stage += limitedSuffix
		}
		stages = append(stages, stage)
	}
	return stages
}

// compareStages puts a monitor's whole copies first, then form by form, limited ones last, so
// that what was copied last (RegCopied) is what may satisfy the next.
func (w *World) compareStages(a, b string) int {
	key := func(stage string) [3]uint32 {
		monitor, n := monitorOf(stage), w.stageNumber(stage)
		whole := w.labels[MonitorLabel(monitor)]
		form := n &^ stageLimited
		if form == whole {
			form = 0
		}
		return [3]uint32{whole, form, n & stageLimited}
	}
	ka, kb := key(a), key(b)
	return slices.CompareFunc(ka[:], kb[:], cmp.Compare[uint32])
}

// copyFor gives the actions by which a frame is copied for a contract that leads to a monitor, or for one of
// the monitors of its pool. What they change is undone after them.
func (b *builder) copyFor(t *Tap, monitor string) []openflow.Action {
	if t.limited() {
		return b.withinRate(t, b.w.labels[MonitorLabel(monitor)])
	}
	return b.copyInForm(b.w.networkOf(t), monitor, t.form())
}

// copyInForm copies a frame of a network in a form.
func (b *builder) copyInForm(network, monitor string, f form) []openflow.Action {
	toMonitor := openflow.ApplyGroup{ID: copyGroup(b.w.labels[MonitorLabel(destination(monitor, f))])}
	if f.cut != 0 {
		return apart(b.tagged(network, monitor, false, toMonitor)...)
	}
	return b.tagged(network, monitor, true, toMonitor)
}

// withinRate has table limit copy to whom a label stands for: the monitor, or all members of the copy pool.
func (b *builder) withinRate(t *Tap, label uint32) []openflow.Action {
	actions := []openflow.Action{set(RegLimited, t.Num), openflow.Resubmit{Port: openflow.PortInPort, Table: TableLimit}}
	if t.DstPool != "" {
		actions = slices.Insert(actions, 1, set(RegPool, label))
	}
	return apart(actions...)
}

// copiesTo gives the members of a copy pool to which a contract can copy in its form.
func (b *builder) copiesTo(t *Tap) (monitors []string) {
	for _, m := range b.w.monitorsOf(t) {
		if b.w.numbered(b.w.networkOf(t), m) && b.w.labels[MonitorLabel(destination(m, t.form()))] != 0 {
			monitors = append(monitors, m)
		}
	}
	return monitors
}

// apart has actions executed apart from all others in the datapath: so a meter drops the copy and
// nothing else, and truncation counts the bytes of the frame, not those of a tag that is still to be
// taken off it. Open vSwitch 3.1 does that for a clone in which a truncating output stands, which
// this one to nowhere is there for.
func apart(actions ...openflow.Action) []openflow.Action {
	return []openflow.Action{openflow.Clone{Actions: append([]openflow.Action{openflow.OutputTruncate{Port: openflow.PortTable, MaxLen: 14}}, actions...)}}
}

// limit holds back what is above a contract's rate, on every node on which copies may be made.
func (b *builder) limit(t *Tap) {
	if !t.limited() || !b.w.inForce(t) || !b.w.here(b.w.networkOf(t), b.n.ID) {
		return
	}
	m := openflow.Meter{ID: MeterOf(t.Num), Flags: openflow.MeterStat | openflow.MeterPKTPS,
		Bands: []openflow.MeterBand{{Type: openflow.BandDrop, Rate: uint32(t.RateLimit.PPS)}}}
	if t.RateLimit.KBPS != 0 {
		m.Flags = openflow.MeterStat | openflow.MeterKBPS
		m.Bands[0].Rate = uint32(t.RateLimit.KBPS)
	}
	b.meters = append(b.meters, m)
	add := func(priority uint16, actions []openflow.Action, fields ...openflow.MatchField) {
		b.flow(openflow.Flow{Table: TableLimit, Priority: priority, Cookie: Cookie(KindLimit, t.Num), Match: match(append(fields, reg(RegLimited, t.Num))...),
			Meter: m.ID, Apply: actions})
	}
	network := b.w.networkOf(t)
	if t.DstPool == "" {
		add(prioClassify, b.tagged(network, t.Dst, false, openflow.ApplyGroup{ID: copyGroup(b.w.labels[MonitorLabel(t.dest)])}))
		return
	}
	var all []openflow.Action
	for _, monitor := range b.copiesTo(t) {
		copies := b.copyInForm(network, monitor, t.form())
		all = append(all, copies...)
		add(prioClassify, copies, reg(RegPool, b.w.labels[MonitorLabel(monitor)]))
	}
	if b.w.spreadOf(t) != nil {
		return
	}
	// What is not flooded passes the meter once, for all members that have not had it.
	pool := reg(RegPool, b.w.labels[PoolLabel(t.DstPool)])
	add(prioClassify, all, pool)
	for _, s := range b.seen(t) {
		var rest []openflow.Action
		for _, monitor := range s.rest {
			rest = append(rest, b.copyInForm(network, monitor, t.form())...)
		}
		add(prioClassify+1, rest, pool, seenBy(s.label))
	}
}

// forms makes the ways to a monitor of copies that are not the frame itself: for each form a group,
// as for whole copies. Open vSwitch does not truncate in a bucket, so one that cuts leads to cut.
func (b *builder) forms(p *Port, here openflow.PortNo, label uint32) {
	for _, f := range b.w.formsFrom(b.n.ID, p.ID) {
		dst := b.w.labels[MonitorLabel(destination(p.ID, f))]
		if dst == 0 {
			continue
		}
		to, actions := b.way(p, here, label)
		address, known := addressOf(p)
		if to == 0 || f.rewrite && !known {
			b.group(copyGroup(dst))
			continue
		}
		if f.rewrite {
			m := mac(openflow.FieldEthDst, address)
			actions = append(actions, openflow.SetField{Field: m.Field, Value: m.Value})
		}
		if f.cut == 0 {
			b.group(copyGroup(dst), bucket(append(actions, openflow.Output{Port: to})...))
			continue
		}
		b.group(copyGroup(dst), bucket(append(actions, set(RegDeliver, dst), openflow.Resubmit{Port: openflow.PortInPort, Table: TableCut})...))
		b.flow(openflow.Flow{Table: TableCut, Priority: prioClassify, Cookie: Cookie(KindMonitor, p.Num), Match: match(reg(RegDeliver, dst)),
			Apply: []openflow.Action{openflow.OutputTruncate{Port: to, MaxLen: uint32(f.cut)}}})
	}
}

// formsFrom gives the forms in which frames on a node may have to be copied to a monitor.
func (w *World) formsFrom(node, monitor string) (fs []form) {
	for at := range w.forms[monitor] {
		if at.form != (form{}) && !slices.Contains(fs, at.form) && w.here(at.network, node) {
			fs = append(fs, at.form)
		}
	}
	slices.SortFunc(fs, func(a, b form) int {
		return cmp.Or(cmp.Compare(a.cut, b.cut), strings.Compare(destination("", a), destination("", b)))
	})
	return fs
}

// addressOf gives a monitor's own MAC, declared or else learned from it.
func addressOf(p *Port) (topology.MAC, bool) {
	switch {
	case !p.MAC.IsZero():
		return p.MAC, true
	case len(p.Status.LearnedMACs) > 0:
		return p.Status.LearnedMACs[0], true
	}
	return topology.MAC{}, false
}

// learns reports whether a monitor's address is needed and to be learned from what it sends. What
// comes by an entrance of redirects is others' frames, and says nothing of it.
func (w *World) learns(p *Port) bool {
	if _, known := addressOf(p); known || w.networkAt(p.ID) != "" {
		return false
	}
	for at := range w.forms[p.ID] {
		if at.form.rewrite {
			return true
		}
	}
	return false
}
