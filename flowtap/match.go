package flowtap

import "strings"

// Match is a flow in canonical form, whichever way it was spelled. The zero value is every frame.
// Equal spellings of a flow are equal values, so == compares; a copy costs a string header.
//
// A frame has the flow when it satisfies every field. Fields that IPv4 and IPv6 share (nw_proto,
// tp_src, tp_dst, nw_tos, nw_ecn, nw_ttl, ip_frag) match both unless dl_type or an address says
// which.
type Match struct {
	// text is the canonical spelling: `name=value` in the order of the field table, joined by "; ".
	// Only a reversed match has one that ParseMatch refuses.
	text string
}

// String gives the canonical spelling; ParseMatch reads it back to the same value, but for a
// reversed match with an in_port, which has no spelling that users may write.
func (m Match) String() string { return m.text }

// IsZero reports whether every frame has the flow.
func (m Match) IsZero() bool { return m == Match{} }

// form takes the match apart. Matches come only from forms, so their text is always readable.
func (m Match) form() *form {
	p := newParser()
	for rest := m.text; rest != ""; {
		var item string
		item, rest, _ = strings.Cut(rest, "; ")
		key, value, _ := strings.Cut(item, "=")
		if key == toPortKey {
			p.form.toPort = value
			continue
		}
		if err := p.item(key, value, true); err != nil {
			panic("flowtap: match " + m.text + ": " + err.Error())
		}
	}
	f, err := p.finish()
	if err != nil {
		panic("flowtap: match " + m.text + ": " + err.Error())
	}
	return f
}
