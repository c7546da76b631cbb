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

// copyFor gives the actions by which a frame is copied for a contract that leads to a monitor. What they
// change is undone after them.
func (b *builder) copyFor(t *Tap) []openflow.Action {
	network, toMonitor := b.w.networkOf(t), openflow.ApplyGroup{ID: copyGroup(b.w.labels[MonitorLabel(t.dest)])}
	switch {
	case t.limited():
		return apart(set(RegLimited, t.Num), openflow.Resubmit{Port: openflow.PortInPort, Table: TableLimit})
	case t.Truncate != 0:
		return apart(b.tagged(network, t.Dst, false, toMonitor)...)
	}
	return b.tagged(network, t.Dst, true, toMonitor)
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
	b.flow(openflow.Flow{Table: TableLimit, Priority: prioClassify, Cookie: Cookie(KindLimit, t.Num), Match: match(reg(RegLimited, t.Num)),
		Meter: m.ID, Apply: b.tagged(b.w.networkOf(t), t.Dst, false, openflow.ApplyGroup{ID: copyGroup(b.w.labels[MonitorLabel(t.dest)])})})
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
		if !slices.Contains(fs, at.form) && w.here(at.network, node) {
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
