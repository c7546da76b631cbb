package ftc

import (
	"fmt"
	"strings"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/flowtap/ftc/lang"
)

// A report has at most so many diagnostics, and so many bytes of text in all and of each message.
const (
	mostReported = 50
	mostText     = 12 << 10
	mostMessage  = 300
)

// Report gives diagnostics as the API shows them. Of very many, or very long ones, it has the first, and says how many
// more there are.
func Report(ds lang.Diagnostics) []flowtap.Diagnostic {
	var out []flowtap.Diagnostic
	room := mostText
	for i, d := range ds {
		text := d.String()
		if i == mostReported || len(text) > room && i > 0 {
			more := fmt.Sprintf("%d more errors and warnings", len(ds)-i)
			return append(out, flowtap.Diagnostic{Severity: string(lang.Warning), Message: more, Text: "warning: " + more + "\n"})
		}
		room -= len(text)
		line, column := d.Span.Position()
		out = append(out, flowtap.Diagnostic{Severity: string(d.Severity), Line: line, Column: column,
			Message: clip(d.Message, mostMessage), Hint: clip(d.Hint, mostMessage), Text: clip(text, mostText)})
	}
	return out
}

func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}

// Because is an error about a wanted contract: at the rule that it follows from, with the rows by which it does.
func (t *Taps) Because(w Wanted, format string, args ...any) lang.Diagnostic {
	at, why := t.reason(w.Row)
	return lang.Errorf(at, format, args...).WithHint("it follows from %s", why)
}

// Source is a policy of one text, as it is stored.
func Source(policy, text string) []*lang.File { return []*lang.File{lang.NewFile(policy, text)} }
