package lang

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Severity says whether a policy with the diagnostic can be used.
type Severity string

// Severities. A policy with an Error means nothing; one with a Warning may mean something else than
// its author thinks.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
)

// A Diagnostic is one thing to say about a policy, and where.
type Diagnostic struct {
	Span     Span
	Severity Severity
	Message  string
	// Hint says what to do, where that is known.
	Hint string
	// Notes are other places that have to do with it.
	Notes []Note
}

// A Note is another place that a diagnostic speaks of.
type Note struct {
	Span    Span
	Message string
}

// maxMessage bounds what is said of one place, in bytes: a name or a string in it may be as long as the policy.
const maxMessage = 1000

func say(format string, args ...any) string {
	s := fmt.Sprintf(format, args...)
	if len(s) <= maxMessage {
		return s
	}
	end := maxMessage
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + " …"
}

// Errorf makes an error.
func Errorf(at Span, format string, args ...any) Diagnostic {
	return Diagnostic{Span: at, Severity: Error, Message: say(format, args...)}
}

// WithHint adds a hint.
func (d Diagnostic) WithHint(format string, args ...any) Diagnostic {
	d.Hint = say(format, args...)
	return d
}

// WithNote adds a place.
func (d Diagnostic) WithNote(at Span, format string, args ...any) Diagnostic {
	d.Notes = append(slices.Clip(d.Notes), Note{at, say(format, args...)})
	return d
}

// String renders the diagnostic as compilers do: file:line:column, the message, the line, a caret.
func (d Diagnostic) String() string {
	var b strings.Builder
	place(&b, d.Span, string(d.Severity), d.Message)
	if d.Hint != "" {
		fmt.Fprintf(&b, "    = %s\n", d.Hint)
	}
	for _, n := range d.Notes {
		place(&b, n.Span, "note", n.Message)
	}
	return b.String()
}

func place(b *strings.Builder, at Span, severity, message string) {
	if at.File == nil {
		fmt.Fprintf(b, "%s: %s\n", severity, message)
		return
	}
	line, column := at.Position()
	fmt.Fprintf(b, "%s:%d:%d: %s: %s\n", at.File.Name, line, column, severity, message)
	text := at.File.lineText(line)
	shown, before := clipLine(text, at.Start-at.File.lines[line-1])
	fmt.Fprintf(b, "    %s\n    %s%s\n", printable(shown), blanks(shown[:before]), carets(shown[before:], at.End-at.Start))
}

// maxShown bounds how much of a line is shown, in bytes.
const maxShown = 240

// clipLine cuts a long line to what is around an offset and gives the offset in what is left.
func clipLine(text string, offset int) (string, int) {
	offset = min(offset, len(text))
	begin, end := 0, len(text)
	if end > maxShown {
		begin = max(0, offset-maxShown/2)
		end = min(end, begin+maxShown)
	}
	for range utf8.UTFMax - 1 { // whole characters; what is none may be cut
		if begin > 0 && !utf8.RuneStart(text[begin]) {
			begin--
		}
		if end < len(text) && !utf8.RuneStart(text[end]) {
			end++
		}
	}
	return text[begin:end], offset - begin
}

// printable replaces what a terminal would act upon.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\t' && control(r) {
			return '?'
		}
		return r
	}, s)
}

// blanks is as wide as s: tabs stay tabs.
func blanks(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' {
			return r
		}
		return ' '
	}, s)
}

func carets(rest string, n int) string {
	return strings.Repeat("^", max(1, utf8.RuneCountInString(rest[:min(max(n, 0), len(rest))])))
}

// Diagnostics are all that there is to say.
type Diagnostics []Diagnostic

// Errors reports whether there is one that is an Error.
func (ds Diagnostics) Errors() bool {
	return slices.ContainsFunc(ds, func(d Diagnostic) bool { return d.Severity == Error })
}

// Sort orders by file name and place, and leaves out what is said twice.
func (ds Diagnostics) Sort() Diagnostics {
	slices.SortStableFunc(ds, func(a, b Diagnostic) int {
		return cmp.Or(cmp.Compare(a.Span.name(), b.Span.name()), cmp.Compare(a.Span.Start, b.Span.Start),
			cmp.Compare(a.Span.End, b.Span.End), cmp.Compare(a.Message, b.Message))
	})
	return slices.CompactFunc(ds, func(a, b Diagnostic) bool { return a.Span == b.Span && a.Message == b.Message })
}

// MaxShown is how many diagnostics First keeps for people to read.
const MaxShown = 100

// First gives the first of many, errors before warnings, and says how many more there are. Each names a line, which takes as long
// as reading the text up to there, so a policy of a megabyte could be answered by a hundred.
func (ds Diagnostics) First() Diagnostics {
	if len(ds) <= MaxShown {
		return ds
	}
	first := slices.Clone(ds)
	slices.SortStableFunc(first, func(a, b Diagnostic) int { return cmp.Compare(a.Severity, b.Severity) })
	last := first[MaxShown-1]
	return append(first[:MaxShown].Sort(), Diagnostic{Span: last.Span, Severity: last.Severity, Message: say("and %d more", len(ds)-MaxShown)})
}

func (s Span) name() string {
	if s.File == nil {
		return ""
	}
	return s.File.Name
}

// String renders all of them.
func (ds Diagnostics) String() string {
	var b strings.Builder
	for _, d := range ds {
		b.WriteString(d.String())
	}
	return b.String()
}

// Error makes Diagnostics an error.
func (ds Diagnostics) Error() string { return strings.TrimSuffix(ds.String(), "\n") }
