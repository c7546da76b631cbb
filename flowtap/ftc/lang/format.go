package lang

import (
	"strings"
	"unicode/utf8"
)

// lineWidth is how long a rule on one line may be, in characters.
const lineWidth = 100

// Format lays a policy out in the one canonical way: a rule on one line where it fits and has no
// comment inside, else a literal a line; strings in double quotes, "not", no terminators; statements
// and comments stay in order, with at most one empty line between them. A file that cannot be parsed
// is given back as it is.
func Format(f *File) (string, Diagnostics) {
	pol, ds := Parse(f)
	if ds.Errors() {
		return f.Text, ds
	}
	p := &printer{file: f, comments: pol.Comments}
	for _, s := range pol.Statements {
		p.statement(s)
	}
	p.ownComments(len(f.Text))
	return p.out.String(), ds
}

// printer writes statements with the comments between and inside them.
type printer struct {
	file     *File
	out      strings.Builder
	comments []Comment // not yet written
	end      int       // where in the file what was written last ended
}

func (p *printer) statement(s Statement) {
	at := s.span()
	p.ownComments(at.Start)
	p.blankLine(at.Start)
	p.end = at.End
	switch s := s.(type) {
	case *Rule:
		p.rule(s)
	case *Action:
		head := Atom{Table: s.Name, Args: s.Parameters}
		p.short(at, "action "+head.String()+" = "+s.Tap.String())
	case *Placement:
		text := "placement " + s.Strategy
		if s.From != "" {
			text += " from " + s.From
		}
		p.short(at, text)
	}
	p.trailing(at.End)
	p.out.WriteByte('\n')
}

// ownComments writes the comments in front of an offset, each on a line of its own.
func (p *printer) ownComments(before int) {
	for len(p.comments) > 0 && p.comments[0].Start < before {
		c := p.take()
		p.blankLine(c.Start)
		p.out.WriteString(commentText(c))
		p.out.WriteByte('\n')
		p.end = c.End
	}
}

func (p *printer) take() Comment {
	c := p.comments[0]
	p.comments = p.comments[1:]
	return c
}

func commentText(c Comment) string {
	lines := strings.Split(c.Text(), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " \t\r")
	}
	return strings.Join(lines, "\n")
}

// blankLine keeps an empty line in front of an offset, where the source has one and it is not the first.
func (p *printer) blankLine(at int) {
	if p.out.Len() > 0 && p.file.line(at)-p.file.line(max(0, p.end-1)) > 1 {
		p.out.WriteByte('\n')
	}
}

// trailing writes the comments that begin on the line where something ended, and before the next
// statement does: they stand behind it.
func (p *printer) trailing(end int) {
	line := p.file.line(max(0, end-1))
	for len(p.comments) > 0 {
		c := p.comments[0]
		if p.file.line(c.Start) != line || p.moreOnLine(end, c.Start) {
			return
		}
		p.take()
		p.out.WriteString("  ")
		p.out.WriteString(commentText(c))
		p.end = c.End
		if strings.HasPrefix(c.Text(), "/*") && p.file.line(c.End-1) != line {
			return
		}
	}
}

// moreOnLine reports whether there is another statement between two offsets: all else there are
// terminators, commas, blanks and comments that were written.
func (p *printer) moreOnLine(from, to int) bool {
	from = max(from, p.end)
	return from < to && strings.Trim(p.file.Text[from:to], " \t\r;.,") != ""
}

func (p *printer) rule(r *Rule) {
	head := join(r.Heads) // more than one is wrong, which is not for the layout to say
	headEnd := r.Heads[len(r.Heads)-1].End
	if r.IsFact {
		p.short(r.Span, head)
		return
	}
	p.before(headEnd, "")
	inside := len(p.comments) > 0 && p.comments[0].Start < r.End
	if !inside {
		if line := head + " :- " + join(r.Body); utf8.RuneCountInString(line) <= lineWidth {
			p.out.WriteString(line)
			return
		}
	}
	p.out.WriteString(head + " :-")
	end := headEnd
	for i, l := range r.Body {
		p.inner(end, l.Start)
		p.before(l.End, "    ")
		p.out.WriteString("    " + l.String())
		if i < len(r.Body)-1 {
			p.out.WriteByte(',')
		}
		end = l.End
	}
}

func join(literals []Literal) string {
	parts := make([]string, len(literals))
	for i, l := range literals {
		parts[i] = l.String()
	}
	return strings.Join(parts, ", ")
}

// short writes a statement that has no place for comments: those inside it go in front of it.
func (p *printer) short(at Span, text string) {
	p.before(at.End, "")
	p.out.WriteString(text)
}

// before writes the comments in front of an offset, each on a line of its own.
func (p *printer) before(at int, indent string) {
	for len(p.comments) > 0 && p.comments[0].Start < at {
		p.out.WriteString(indent + commentText(p.take()) + "\n")
	}
}

// inner ends the line of a literal that ended at end, behind the comments that follow it on its line.
func (p *printer) inner(end, next int) {
	line := p.file.line(max(0, end-1))
	for len(p.comments) > 0 && p.comments[0].Start < next && p.file.line(p.comments[0].Start) == line && p.comments[0].Start >= end {
		p.out.WriteString("  " + commentText(p.take()))
	}
	p.out.WriteByte('\n')
}

// String spells a literal.
func (l Literal) String() string {
	s := l.Atom.String()
	if l.Modal != "" {
		s = l.Modal + "[" + s + "]"
	}
	if l.Negated {
		s = "not " + s
	}
	return s
}

// String spells an atom, with parentheses also where it has no arguments.
func (a Atom) String() string {
	var b strings.Builder
	b.WriteString(a.Table)
	b.WriteByte('(')
	for i, arg := range a.Args {
		if i > 0 {
			b.WriteString(", ")
		}
		if arg.Named {
			b.WriteString(arg.Column + "=")
		}
		b.WriteString(arg.Term.String())
	}
	b.WriteByte(')')
	return b.String()
}

// String spells a term.
func (t Term) String() string {
	switch t.Kind {
	case Variable:
		return t.Name
	case Any:
		return "_"
	}
	return t.Value.Text()
}
