package lang

import (
	"strings"
	"unicode/utf8"
)

type tokenKind uint8

const (
	tokEOF tokenKind = iota
	tokIdent
	tokString
	tokNumber
	tokArrow // :-
	tokBang  // !
	tokPunct // one of ( ) [ ] , : ; . = + -
	tokBad   // already reported
)

// token is a piece of source. Its text is the file's.
type token struct {
	kind       tokenKind
	punct      byte
	start, end int
	// first says that nothing is before it on its line, column0 that nothing at all is.
	first, column0 bool
}

// A Comment is kept for the formatter.
type Comment struct {
	Span
	// Own says that nothing but comments is before it on its line.
	Own bool
}

// lexer reads one token at a time; errors are appended to report.
type lexer struct {
	file     *File
	text     string
	at       int
	fresh    bool // nothing but spaces since the line began
	begin    int  // where the line began
	comments []Comment
	report   *Diagnostics
}

func (l *lexer) span(start, end int) Span { return Span{l.file, start, end} }

// say reports an error. After maxFaults nothing more is read: a message takes a line of the text, and its place the
// time of reading it, so all of a megabyte of rubbish would cost its square.
func (l *lexer) say(d Diagnostic) {
	switch n := len(*l.report); {
	case n < maxFaults:
		*l.report = append(*l.report, d)
	case n == maxFaults:
		*l.report = append(*l.report, Errorf(d.Span, "too many errors: what follows is not read"))
	}
}

func (l *lexer) errorf(start, end int, format string, args ...any) {
	l.say(Errorf(l.span(start, end), format, args...))
}

// next gives the next token; after the last one it gives tokEOF for ever.
func (l *lexer) next() token {
	l.space()
	t := token{start: l.at, first: l.fresh, column0: l.at == l.begin}
	l.fresh = false
	if l.at == len(l.text) || len(*l.report) > maxFaults {
		t.end = l.at
		return t
	}
	c := l.text[l.at]
	switch {
	case identStart(c):
		t.kind = tokIdent
		l.ident()
	case digit(c), c == '.' && l.digitAt(1), c == '-' && (l.digitAt(1) || l.peek(1) == '.' && l.digitAt(2)):
		t.kind = tokNumber
		l.number()
	case c == '"' || c == '\'':
		t.kind = tokString
		if !l.str(c) {
			t.kind = tokBad
		}
	case c == ':' && l.peek(1) == '-':
		t.kind = tokArrow
		l.at += 2
	case c == '!':
		t.kind = tokBang
		l.at++
	case strings.IndexByte("()[],:;.=+-", c) >= 0:
		t.kind, t.punct = tokPunct, c
		l.at++
	default:
		n := l.foreign()
		t.kind = tokBad
		_, first := utf8.DecodeRuneInString(l.text[l.at:])
		l.errorf(l.at, l.at+n, "%s is no part of the language", Quote(l.text[l.at:l.at+first]))
		l.at += n
	}
	t.end = l.at
	return t
}

// foreign gives the length of a run of what no token has, at least one character.
func (l *lexer) foreign() int {
	_, first := utf8.DecodeRuneInString(l.text[l.at:])
	n := strings.IndexFunc(l.text[l.at+first:], func(r rune) bool {
		return r <= ' ' || r < utf8.RuneSelf && (identStart(byte(r)) || digit(byte(r)) || strings.ContainsRune("()[],:;.=+-!\"'#/", r))
	})
	if n < 0 {
		return len(l.text) - l.at
	}
	return first + n
}

func (l *lexer) peek(n int) byte {
	if l.at+n < len(l.text) {
		return l.text[l.at+n]
	}
	return 0
}

func (l *lexer) digitAt(n int) bool { return digit(l.peek(n)) }

// space skips blanks and keeps comments.
func (l *lexer) space() {
	for l.at < len(l.text) {
		switch c := l.text[l.at]; {
		case c == '\n':
			l.at++
			l.fresh, l.begin = true, l.at
		case c == ' ' || c == '\t' || c == '\r':
			l.at++
		case c == '#' || c == '/' && l.peek(1) == '/':
			end := len(l.text)
			if i := strings.IndexByte(l.text[l.at:], '\n'); i >= 0 {
				end = l.at + i
			}
			l.comment(end)
		case c == '/' && l.peek(1) == '*':
			i := strings.Index(l.text[l.at+2:], "*/")
			if i < 0 {
				l.errorf(l.at, l.at+2, "this comment has no end")
				l.at = len(l.text)
				return
			}
			l.comment(l.at + 2 + i + 2)
		default:
			return
		}
	}
}

func (l *lexer) comment(end int) {
	l.comments = append(l.comments, Comment{l.span(l.at, end), l.fresh})
	if i := strings.LastIndexByte(l.text[l.at:end], '\n'); i >= 0 {
		l.begin = l.at + i + 1
	}
	l.at = end
}

func identStart(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_'
}

func digit(c byte) bool { return '0' <= c && c <= '9' }

func identPart(c byte) bool { return identStart(c) || digit(c) }

// ident takes an identifier: dots are part of it only between its other characters, so that one
// behind it ends the statement.
func (l *lexer) ident() {
	for identPart(l.peek(0)) || l.peek(0) == '.' && identPart(l.peek(1)) {
		l.at++
	}
}

// number takes all that could be one; the parser reads it.
func (l *lexer) number() {
	if l.peek(0) == '-' {
		l.at++
	}
	hex := l.peek(0) == '0' && (l.peek(1) == 'x' || l.peek(1) == 'X')
	for {
		switch c := l.peek(0); {
		case digit(c) || identStart(c):
			l.at++
			if !hex && (c == 'e' || c == 'E') && (l.peek(0) == '+' || l.peek(0) == '-') && l.digitAt(1) {
				l.at++
			}
		case c == '.' && !(identStart(l.peek(1)) && !exponent(l.text[l.at+1:])):
			// A dot is part of a number: 1. is a float. Before a name it ends a statement.
			l.at++
		default:
			return
		}
	}
}

// exponent reports whether the text goes on with that of a float.
func exponent(s string) bool {
	if s == "" || s[0] != 'e' && s[0] != 'E' {
		return false
	}
	s = s[1:]
	if s != "" && (s[0] == '+' || s[0] == '-') {
		s = s[1:]
	}
	return s != "" && digit(s[0])
}

// str takes a string constant; false means that it was wrong and is reported.
func (l *lexer) str(quote byte) bool {
	start := l.at
	for l.at++; l.at < len(l.text); l.at++ {
		switch l.text[l.at] {
		case quote:
			l.at++
			return true
		case '\\':
			if l.peek(1) == '\n' || l.peek(1) == 0 {
				break
			}
			l.at++
		case '\n':
			l.errorf(start, l.at, "this string has no end on its line")
			return false
		}
	}
	l.errorf(start, l.at, "this string has no end")
	return false
}
