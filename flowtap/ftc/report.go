package ftc

import (
	"fmt"
	"strings"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/flowtap/ftc/eval"
	"github.com/flowtap/flowtap/flowtap/ftc/lang"
)

// mostReported bounds how many diagnostics a report has, and mostText the bytes of each one's text.
const (
	mostReported = 50
	mostText     = 4 << 10
)

// Report gives diagnostics as the API shows them. Of very many it has the first, and says how many more there are.
func Report(ds lang.Diagnostics) []flowtap.Diagnostic {
	var out []flowtap.Diagnostic
	for i, d := range ds {
		if i == mostReported {
			more := fmt.Sprintf("%d more errors and warnings", len(ds)-i)
			return append(out, flowtap.Diagnostic{Severity: string(lang.Warning), Message: more, Text: "warning: " + more + "\n"})
		}
		line, column := d.Span.Position()
		text := d.String()
		if len(text) > mostText {
			text = strings.ToValidUTF8(text[:mostText], "") + "...\n"
		}
		out = append(out, flowtap.Diagnostic{Severity: string(d.Severity), Line: line, Column: column, Message: d.Message, Hint: d.Hint, Text: text})
	}
	return out
}

// Because is an error about a wanted contract: at the rule that it follows from, with the rows by which it does.
func (t *Taps) Because(w Wanted, format string, args ...any) lang.Diagnostic {
	at, why := t.reason(w.Row)
	return lang.Errorf(at, format, args...).WithHint("it follows from %s", why)
}

// Source is a policy of one text, as it is stored.
func Source(policy, text string) []*lang.File { return []*lang.File{lang.NewFile(policy, text)} }

// CompileStored is Compile for a policy of a controller, whose engine is to be kept.
func CompileStored(policy string, e *eval.Engine, facts []eval.Change) (*Taps, lang.Diagnostics) {
	if err := e.Apply(facts); err != nil {
		return nil, lang.Diagnostics{EvalFault(err)}
	}
	t := NewTaps(policy, e)
	t.Update()
	return t, nil
}
