package lang

import "slices"

// Limits of one policy's text.
const (
	MaxSource     = 4 << 20 // bytes
	MaxStatements = 100_000
	MaxLiterals   = 64 // in a rule
	MaxArgs       = 64 // of an atom
	maxFaults     = 100
)

// Parse reads a file. The policy has all statements that could be read; it is never nil.
func Parse(f *File) (*Policy, Diagnostics) {
	var ds Diagnostics
	pol := &Policy{File: f}
	if len(f.Text) > MaxSource {
		return pol, Diagnostics{Errorf(Span{f, 0, 0}, "the policy has %d bytes; at most %d are read", len(f.Text), MaxSource)}
	}
	p := &parser{lexer: lexer{file: f, text: f.Text, fresh: true, report: &ds}}
	p.advance()
	p.advance()
	for p.tok.kind != tokEOF {
		if len(pol.Statements) == MaxStatements {
			p.fault(p.here(), "a policy has at most %d statements", MaxStatements)
			break
		}
		if s := p.statement(); s != nil {
			pol.Statements = append(pol.Statements, s)
		}
	}
	pol.Comments = p.comments
	return pol, ds.Sort()
}

// ParseAtom reads one atom, such as a query; it may stand in execute[...].
func ParseAtom(f *File) (Literal, Diagnostics) {
	var ds Diagnostics
	p := &parser{lexer: lexer{file: f, text: f.Text, fresh: true, report: &ds}}
	p.advance()
	p.advance()
	l, ok := p.literal()
	if ok && (p.isPunct('.') || p.isPunct(';')) {
		p.advance()
	}
	if ok && p.tok.kind != tokEOF {
		p.fault(p.here(), "one table with its arguments is a query; this is more")
	}
	return l, ds.Sort()
}

// parser is recursive descent with one token of lookahead behind the current one.
type parser struct {
	lexer
	tok, ahead token
	last       int  // where the token before tok ended
	open       bool // the statement before was a rule and had no terminator
	failed     bool // the statement has a fault
	// room for what is collected before its number is known
	argRoom     []Arg
	literalRoom []Literal
}

func (p *parser) advance() {
	p.last = p.tok.end
	p.tok, p.ahead = p.ahead, p.next()
}

func (p *parser) here() Span { return p.span(p.tok.start, p.tok.end) }

func (p *parser) text(t token) string { return p.lexer.text[t.start:t.end] }

func (p *parser) isPunct(c byte) bool { return p.tok.kind == tokPunct && p.tok.punct == c }

func (p *parser) fault(at Span, format string, args ...any) {
	if !p.failed {
		p.say(Errorf(at, format, args...))
	}
	p.failed = true
}

func (p *parser) hint(format string, args ...any) {
	if len(*p.report) > maxFaults {
		return
	}
	d := &(*p.report)[len(*p.report)-1]
	*d = d.WithHint(format, args...)
}

// unexpected says what was wanted instead of the current token.
func (p *parser) unexpected(want string) {
	if p.tok.kind == tokBad { // already said
		p.failed = true
		return
	}
	got := "the end of the file"
	if p.tok.kind != tokEOF {
		got = Quote(p.text(p.tok))
	}
	p.fault(p.here(), "want %s, not %s", want, got)
}

// recover skips to where the next statement seems to begin: behind a terminator, or at a line that
// is not indented.
func (p *parser) recover() {
	for p.tok.kind != tokEOF {
		if p.isPunct(';') || p.isPunct('.') {
			p.advance()
			return
		}
		p.advance()
		if p.tok.column0 && (p.tok.kind == tokIdent || p.tok.kind == tokBang) {
			return
		}
	}
}

func (p *parser) statement() Statement {
	p.failed = false
	after := p.open
	p.open = false
	var s Statement
	if p.isWord("action") {
		s = p.action()
	} else if p.isWord("placement") {
		s = p.placement()
	} else if r := p.rule(after); r != nil {
		p.open = !r.IsFact
		s = r
	}
	if p.failed {
		p.recover()
		p.open = false
		return nil
	}
	if p.isPunct(';') || p.isPunct('.') {
		p.advance()
		p.open = false
	}
	return s
}

func (p *parser) rule(after bool) *Rule {
	r := &Rule{AfterRule: after}
	start := p.tok.start
	if !p.literals(&r.Heads) {
		return nil
	}
	if p.tok.kind == tokArrow {
		p.advance()
		if !p.literals(&r.Body) {
			return nil
		}
	} else {
		r.IsFact = true
		if h := r.Heads[0]; h.Negated {
			p.fault(h.Span, "a fact cannot be negated")
			if after {
				p.hint("is a comma missing in front of it?")
			}
		} else if len(r.Heads) > 1 {
			p.fault(r.Heads[1].Span, "facts are not joined by commas: write each as a statement")
		}
	}
	r.Span = p.span(start, p.last)
	return r
}

func (p *parser) literals(into *[]Literal) bool {
	p.literalRoom = p.literalRoom[:0]
	for {
		l, ok := p.literal()
		if !ok {
			return false
		}
		if p.literalRoom = append(p.literalRoom, l); len(p.literalRoom) > MaxLiterals {
			p.fault(l.Span, "a rule has at most %d literals", MaxLiterals)
			return false
		}
		if !p.isPunct(',') {
			*into = slices.Clone(p.literalRoom)
			return true
		}
		p.advance()
	}
}

func (p *parser) isNot() bool {
	return p.tok.kind == tokBang || p.tok.kind == tokIdent && (p.text(p.tok) == "not" || p.text(p.tok) == "NOT")
}

func (p *parser) literal() (Literal, bool) {
	l := Literal{Span: p.here()}
	if p.isNot() {
		l.Negated = true
		p.advance()
		if p.isNot() {
			p.fault(p.here(), "a literal is negated once")
			return l, false
		}
	}
	modal := p.tok.kind == tokIdent && p.ahead.kind == tokPunct && p.ahead.punct == '['
	if modal {
		l.Modal = p.text(p.tok)
		p.advance()
		p.advance()
	}
	if !p.atom(&l.Atom) {
		return l, false
	}
	if modal {
		if p.tok.kind == tokArrow {
			p.fault(p.here(), "%s[rule] is an event: policies have no events", l.Modal)
			return l, false
		}
		if !p.expect(']', "the ] of "+l.Modal+"[") {
			return l, false
		}
	}
	l.Span.End = p.last
	return l, true
}

func (p *parser) expect(c byte, want string) bool {
	if !p.isPunct(c) {
		p.unexpected(want)
		return false
	}
	p.advance()
	return true
}

func (p *parser) atom(a *Atom) bool {
	a.Span = p.here()
	if p.tok.kind != tokIdent {
		p.unexpected("the name of a table")
		return false
	}
	name, ok := p.tableName(&a.TableSpan)
	if !ok {
		return false
	}
	a.Table = name
	switch {
	case name == "_":
		p.fault(a.TableSpan, "_ is not the name of a table")
		return false
	case p.isPunct('+') || p.isPunct('-'):
		p.fault(p.here(), "%s%s is an update, which a policy does not have", name, p.text(p.tok))
		p.hint("rules say what holds; what changes follows from it")
		return false
	case p.isPunct('('):
		if !p.args(&a.Args) {
			return false
		}
	}
	a.Span.End = p.last
	return true
}

// tableName reads the name of a table; a name is the current token.
func (p *parser) tableName(at *Span) (string, bool) {
	start, name := p.tok.start, p.text(p.tok)
	p.advance()
	for p.isPunct(':') {
		p.advance()
		if p.tok.kind != tokIdent {
			p.unexpected("a name behind the colon")
			return "", false
		}
		name += ":" + p.text(p.tok)
		p.advance()
	}
	*at = p.span(start, p.last)
	return name, true
}

func (p *parser) args(into *[]Arg) bool {
	p.advance() // (
	if p.isPunct(')') {
		p.advance()
		return true
	}
	p.argRoom = p.argRoom[:0]
	for {
		a, ok := p.arg()
		if !ok {
			return false
		}
		if p.argRoom = append(p.argRoom, a); len(p.argRoom) > MaxArgs {
			p.fault(a.Span, "a table has at most %d columns", MaxArgs)
			return false
		}
		if !p.isPunct(',') {
			*into = slices.Clone(p.argRoom)
			return p.expect(')', "a comma or the closing )")
		}
		p.advance()
	}
}

func (p *parser) arg() (Arg, bool) {
	a := Arg{Span: p.here(), Index: -1}
	if p.ahead.kind == tokPunct && p.ahead.punct == '=' && (p.tok.kind == tokIdent || p.tok.kind == tokNumber) {
		a.Named, a.Column, a.ColumnSpan = true, p.text(p.tok), p.here()
		if p.tok.kind == tokNumber {
			v, fault := readNumber(a.Column)
			if fault != "" || v.Kind != Int || v.I < 0 || v.I > MaxArgs {
				p.fault(p.here(), "%s is not the number of a column", a.Column)
				return a, false
			}
			a.Index = int(v.I)
		}
		p.advance()
		p.advance()
	}
	ok := p.term(&a.Term)
	a.Span.End = p.last
	return a, ok
}

func (p *parser) term(t *Term) bool {
	t.Span = p.here()
	text := p.text(p.tok)
	switch p.tok.kind {
	case tokIdent:
		t.Kind, t.Name = Variable, text
		switch text {
		case "_":
			t.Kind = Any
		case "not", "NOT":
			p.fault(t.Span, "%s is not the name of a variable", text)
			return false
		}
		if p.ahead.kind == tokString && p.ahead.start == p.tok.end {
			p.fault(t.Span, "strings have no prefix")
			return false
		}
	case tokNumber:
		v, fault := readNumber(text)
		if fault != "" {
			p.fault(t.Span, "%s", fault)
			return false
		}
		t.Kind, t.Value = Constant, v
	case tokString:
		s, fault, at := unquote(text)
		if fault != "" {
			p.fault(p.span(p.tok.start+at, p.tok.end), "%s", fault)
			return false
		}
		t.Kind, t.Value = Constant, Str(s)
	default:
		p.unexpected("a variable or a constant")
		return false
	}
	p.advance()
	return true
}

// isWord: "action", "placement" and "from" are words only in front of another name.
func (p *parser) isWord(word string) bool {
	return p.tok.kind == tokIdent && p.text(p.tok) == word && p.ahead.kind == tokIdent
}

func (p *parser) action() Statement {
	a := &Action{}
	start := p.tok.start
	p.advance()
	var name Atom
	if !p.atom(&name) {
		return nil
	}
	a.Name, a.NameSpan, a.Parameters = name.Table, name.TableSpan, name.Args
	if !p.expect('=', "= and what the action does") {
		return nil
	}
	if !p.atom(&a.Tap) {
		return nil
	}
	a.Span = p.span(start, p.last)
	return a
}

func (p *parser) placement() Statement {
	d := &Placement{}
	start := p.tok.start
	p.advance()
	d.Strategy, d.StrategySpan = p.text(p.tok), p.here()
	p.advance()
	switch {
	case p.isWord("from"):
		p.advance()
		var ok bool
		if d.From, ok = p.tableName(&d.FromSpan); !ok {
			return nil
		}
		if p.isPunct('(') {
			p.fault(p.here(), "a placement names the table alone: its only column has the monitors")
			return nil
		}
	case p.tok.kind == tokIdent && p.text(p.tok) == "from" && p.ahead.kind != tokPunct && p.ahead.kind != tokArrow:
		p.advance()
		p.unexpected("the name of a table")
		return nil
	case p.isPunct('('):
		p.fault(p.here(), "a strategy has no arguments")
		p.hint("the monitors are those of a table: placement %s from watchers", d.Strategy)
		return nil
	}
	d.Span = p.span(start, p.last)
	return d
}
