package ftc

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"slices"
	"strings"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/flowtap/ftc/eval"
	"github.com/flowtap/flowtap/flowtap/ftc/lang"
	"github.com/flowtap/flowtap/flowtap/ftc/program"
	"github.com/flowtap/flowtap/topology"
)

// Columns of the table of taps, in the order of program.TapColumns.
const (
	colSrc = iota
	colDst
	colMatch
	colAction
	colPool
	colDirection
	colPriority
	colEnabled
	colFailMode
	colTruncate
	colKBPS
	colPPS
	colRewrite
	tapColumns
)

var _ = [1]struct{}{}[tapColumns-13] // as many as program.TapColumns has

// ends are the columns of a contract's ends, which are no part of its form.
var ends = [...]int{colSrc, colDst, colPool}

// formKey is what a contract is apart from its ends.
type formKey [tapColumns]eval.Sym

// form is a contract without ends, checked: many contracts have few forms.
type form struct {
	number int
	tap    flowtap.Tap
	about  string // what of it goes into ids
	err    error
}

// forms remembers forms, flows and ids for as long as the engine's numbers mean the same.
type forms struct {
	generation int
	byKey      map[formKey]*form
	valid      map[eval.Sym]bool // whether a text names an object
	overlaps   map[[2]int]*overlap
}

func (f *forms) renew(e *eval.Engine) {
	if f.byKey == nil || f.generation != e.Generation() || len(f.byKey)+len(f.valid)+len(f.overlaps) > 1<<20 {
		*f = forms{e.Generation(), map[formKey]*form{}, map[eval.Sym]bool{}, map[[2]int]*overlap{}}
	}
}

// contract makes one of a row.
func (t *Taps) contract(id eval.RowID) (Wanted, *fault) {
	row := t.engine.Syms(t.table, id)
	f := t.form(row)
	if f.err != nil {
		return Wanted{}, &fault{row: id, err: f.err}
	}
	tap := f.tap
	for i, end := range [...]*string{&tap.Src, &tap.Dst, &tap.DstPool} {
		v := t.engine.Value(row[ends[i]])
		if *end = v.S; v.Kind != lang.String {
			return Wanted{}, &fault{row: id, err: wrongKind(ends[i], v, lang.String)}
		}
	}
	one := tap.Dst != "" && tap.DstPool == "" && t.isRef(row[colDst]) || tap.Dst == "" && tap.DstPool != "" && t.isRef(row[colPool])
	place := tap.Dst == "" && tap.DstPool == "" && t.placing.Strategy != ""
	if !one && !place || !t.isRef(row[colSrc]) || tap.Src == tap.Dst {
		return Wanted{}, &fault{row: id, err: tap.Validate()}
	}
	if strings.Contains(tap.Src, "/") {
		return Wanted{}, &fault{row: id, err: &topology.FieldError{Field: "src", Detail: "a policy taps ports of its own project"}}
	}
	if place {
		return t.placed(Wanted{ID: tapID(t.policy, tap.Src, f.about), Tap: tap, Row: id}), nil
	}
	return Wanted{ID: tapID(t.policy, tap.Src, f.about), Tap: tap, Row: id}, nil
}

// TapID names a contract of a policy, as Wanted.ID does.
func TapID(policy string, t flowtap.Tap) string { return tapID(policy, t.Src, about(t)) }

// about is what of a contract goes into ids besides its src.
func about(t flowtap.Tap) string {
	return string(t.Direction) + " " + string(binary.BigEndian.AppendUint16(nil, uint16(t.Priority))) + t.Match.String() // #nosec G115 -- priorities end at 1000
}

func (t *Taps) isRef(s eval.Sym) bool {
	ok, known := t.forms.valid[s]
	if !known {
		ok = topology.ValidRef(t.engine.Value(s).S) == nil
		t.forms.valid[s] = ok
	}
	return ok
}

func (t *Taps) form(row []eval.Sym) *form {
	key := formKey(row)
	for _, c := range ends {
		key[c] = 0
	}
	f := t.forms.byKey[key]
	if f == nil {
		f = &form{number: len(t.forms.byKey)}
		f.tap, f.err = t.makeForm(row)
		f.about = about(f.tap)
		t.forms.byKey[key] = f
	}
	return f
}

func (t *Taps) makeForm(row []eval.Sym) (flowtap.Tap, error) {
	text := func(c int) string { return t.engine.Value(row[c]).S }
	number := func(c int) int { return int(t.engine.Value(row[c]).I) }
	match, err := flowtap.ParseMatch(text(colMatch))
	if err != nil {
		return flowtap.Tap{}, err
	}
	enabled, err1 := truth("enabled", text(colEnabled))
	rewrite, err2 := truth("rewrite_dst_mac", text(colRewrite))
	if err := errors.Join(err1, err2); err != nil {
		return flowtap.Tap{}, err
	}
	tap := flowtap.Tap{
		Src: "src", Dst: "dst", Match: match, // ends that can be, for Validate
		Action: flowtap.Action(text(colAction)), Direction: flowtap.Direction(text(colDirection)),
		Priority: number(colPriority), Enabled: enabled, FailMode: text(colFailMode), Truncate: number(colTruncate),
		RateLimit: flowtap.RateLimit{KBPS: number(colKBPS), PPS: number(colPPS)}, RewriteDstMAC: rewrite,
	}
	for c, col := range program.TapColumns {
		if v := t.engine.Value(row[c]); !slices.Contains(ends[:], c) && col.Default != nil && v.Kind != col.Default.Kind {
			return flowtap.Tap{}, wrongKind(c, v, col.Default.Kind)
		}
	}
	err = tap.Validate()
	tap.Src, tap.Dst = "", ""
	return tap, err
}

func wrongKind(column int, v lang.Value, want lang.Kind) error {
	return &topology.FieldError{Field: program.TapColumns[column].Name, Detail: v.Text() + " is " + kindName(v.Kind) + ", not " + kindName(want)}
}

var idCode = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// idPrefix is how much of a policy's id is in those of its taps.
const idPrefix = 30

// tapID names a contract: the policy's id, to be read, and a hash of all that it is about.
func tapID(policy, src, about string) string {
	var room [256]byte
	b := append(room[:0], policy...)
	b = append(append(b, 0), src...)
	b = append(append(b, 0), about...)
	sum := sha256.Sum256(b)
	b = append(append(room[:0], strings.TrimRight(policy[:min(len(policy), idPrefix)], "-")...), '-')
	return string(idCode.AppendEncode(b, sum[:15]))
}
