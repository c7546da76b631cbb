package flowtap

import (
	"regexp"
	"strings"

	"github.com/flowtap/flowtap/topology"
)

// toPortKey spells the in_port of a reversed match. Users cannot write it.
const toPortKey = "to_port"

// ParseMatch reads a match in the paper's spelling (`nw_proto = TCP; tp_dst = 80`), in that of
// ovs-ofctl (`tcp,tp_dst=80`), or in a mixture: fields are separated by semicolons, commas, spaces
// or newlines and may come in any order, each once. The empty string is every frame.
//
// A field whose mask is zero says nothing, also not which protocol it belongs to:
// nw_src=0.0.0.0/0 matches IPv6 too. Errors are *topology.FieldError with the field as
// "match.tp_dst".
func ParseMatch(s string) (Match, error) {
	f, err := parseText(s)
	if err != nil {
		return Match{}, err
	}
	return f.match(), nil
}

func parseText(s string) (*form, error) {
	p := newParser()
	for _, word := range tokens(s) {
		key, value, assigned := strings.Cut(word, "=")
		if err := p.item(key, value, assigned); err != nil {
			return nil, err
		}
	}
	return p.finish()
}

var spacesAround = regexp.MustCompile(`\s*([=/])\s*`)

// tokens splits a text into its assignments and shorthands.
func tokens(s string) []string {
	s = spacesAround.ReplaceAllString(s, "$1")
	return strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(";, \t\r\n", r) })
}

// parser collects the items of one match.
type parser struct {
	form *form
	seen map[string]string // canonical field name to the value it was given
}

func newParser() *parser { return &parser{newForm(), map[string]string{}} }

// item adds one assignment, or a shorthand where assigned is false.
func (p *parser) item(key, value string, assigned bool) error {
	name := strings.ToLower(key)
	if short, ok := shorthands[name]; ok && !assigned {
		return p.shorthand(name, short)
	}
	if !assigned {
		return &topology.FieldError{Field: "match", Detail: quote(key) + " is neither a field=value nor a protocol"}
	}
	if name == "" {
		return &topology.FieldError{Field: "match", Detail: quote("="+value) + " has no field before the ="}
	}
	if value == "" {
		return fieldErr(clip(name), "has no value")
	}
	if a, ok := aliases[name]; ok {
		if a.proto != 0 && !p.form.andExact(fieldProto, uint64(a.proto)) {
			return p.protoConflict(name)
		}
		name = a.name
	}
	set, ok := special[name]
	if !ok {
		x, known := fieldByName[name]
		if !known {
			return unknownField(name)
		}
		set = func(p *parser, _, value string) error { return p.plain(x, value) }
	}
	if before, twice := p.seen[name]; twice && before != value {
		return fieldErr(name, "is given twice, as %s and as %s", quote(before), quote(value))
	}
	p.seen[name] = value
	if value == "*" { // ovs-ofctl: wildcarded
		return nil
	}
	return set(p, name, value)
}

func (p *parser) shorthand(name string, s shorthand) error {
	if s.etherType != 0 && !p.form.andExact(fieldEthType, uint64(s.etherType)) {
		return fieldErr("dl_type", "%s contradicts %s", name, formatField(fieldEthType, p.form.cons[fieldEthType]))
	}
	if s.proto != 0 && !p.form.andExact(fieldProto, uint64(s.proto)) {
		return p.protoConflict(name)
	}
	return nil
}

func (p *parser) protoConflict(name string) error {
	return fieldErr("nw_proto", "%s contradicts %s", name, formatField(fieldProto, p.form.cons[fieldProto]))
}

// finish checks prerequisites and gives the normal form.
func (p *parser) finish() (*form, error) {
	if err := p.form.normalize(); err != nil {
		return nil, err
	}
	return p.form, nil
}

// unknownField says what the user might have meant.
func unknownField(name string) error {
	switch name {
	case "reg", "reg0", "reg1", "reg2", "reg3", "reg4", "reg5", "reg6", "reg7":
		return fieldErr(name, "is not the user's: reg8 to reg15 are")
	case "tcp_flags":
		return fieldErr(name, "is not supported: a contract's flow is whole connections")
	case toPortKey:
		return fieldErr(name, "is not a field of matches: name the sender's port with in_port")
	}
	if _, ok := shorthands[name]; ok {
		return fieldErr(name, "is a protocol and takes no value")
	}
	return fieldErr(clip(name), "no such field")
}

// quote shows a piece of input in an error, cut to a length that can be read.
func quote(s string) string { return `"` + clip(s) + `"` }

func clip(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0xfffd {
			return '?'
		}
		return r
	}, s)
	if r := []rune(s); len(r) > 60 {
		return string(r[:60]) + "..."
	}
	return s
}
