package flowtap

// Match is a flow in canonical form, whichever way it was spelled. The zero value is every frame.
// Equal spellings of a flow are equal values, so == compares; a copy costs a string header.
//
// A frame has the flow when it satisfies every field. Fields that IPv4 and IPv6 share (nw_proto,
// tp_src, tp_dst, nw_tos, nw_ecn, nw_ttl, ip_frag) match both unless dl_type or an address says
// which.
type Match struct {
	code string // a normal form, as form.encode writes it
}

// match keeps a normal form.
func (f *form) match() Match { return Match{f.encode()} }

// form takes the match apart, for the caller to change.
func (m Match) form() *form { return decodeForm(m.code) }

// String gives the canonical spelling: `name=value` in the order of the field table, joined by
// "; ". ParseMatch reads it back to the same value, but for a reversed match with an in_port,
// which has no spelling that users may write.
func (m Match) String() string { return m.form().text() }

// IsZero reports whether every frame has the flow.
func (m Match) IsZero() bool { return m == Match{} }

// InPort gives the port that the frames come from; empty is any.
func (m Match) InPort() string {
	for code := m.code; code != ""; {
		var v fieldValue
		if v, code = nextItem(code); v.tag == tagInPort {
			return v.payload[1:]
		}
	}
	return ""
}

// WithInPort gives the match with another name for the port that its frames come from.
func (m Match) WithInPort(port string) Match {
	f := m.form()
	f.inPort = port
	return f.match()
}
