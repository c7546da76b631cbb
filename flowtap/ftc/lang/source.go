package lang

import (
	"sort"
	"strings"
	"unicode/utf8"
)

// A File is one source text and the name by which errors speak of it.
type File struct {
	Name string
	Text string
	// lines are the offsets at which lines begin.
	lines []int
}

// NewFile makes a File.
func NewFile(name, text string) *File {
	f := &File{Name: name, Text: text, lines: []int{0}}
	for i := 0; i < len(text); i++ {
		if text[i] == '\n' {
			f.lines = append(f.lines, i+1)
		}
	}
	return f
}

// A Span is a piece of a file, in bytes: Start is in it, End is not. The zero value is nowhere.
type Span struct {
	File       *File
	Start, End int
}

// Text gives the piece itself.
func (s Span) Text() string {
	if s.File == nil {
		return ""
	}
	return s.File.Text[s.Start:s.End]
}

// Position gives line and column of the beginning, both from 1; columns count characters.
func (s Span) Position() (line, column int) {
	if s.File == nil {
		return 0, 0
	}
	line = s.File.line(s.Start)
	begin := s.File.lines[line-1]
	return line, utf8.RuneCountInString(s.File.Text[begin:s.Start]) + 1
}

// line gives the number, from 1, of the line that has a byte.
func (f *File) line(offset int) int {
	return sort.SearchInts(f.lines, offset+1)
}

// lineText gives a line without its end.
func (f *File) lineText(line int) string {
	begin, end := f.lines[line-1], len(f.Text)
	if line < len(f.lines) {
		end = f.lines[line] - 1
	}
	return strings.TrimSuffix(f.Text[begin:end], "\r")
}
