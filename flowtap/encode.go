package flowtap

// A normal form is kept as a string of its constraints in the order of the field table, each a tag
// byte and its bytes: some 40 bytes where the form has 1,300, comparable, and read ten times
// faster than text.
const (
	tagPorts  = byte(numFields) // and the next: the ranges of tp_src and tp_dst
	tagFrags  = tagPorts + 2
	tagInPort = tagPorts + 3
	tagToPort = tagPorts + 4
	tagStage  = tagPorts + 5
	tagEnd    = tagPorts + 6
)

func (f *form) encode() string {
	var b []byte
	for x := range numFields {
		c := f.cons[x]
		if c.mask.zero() {
			continue
		}
		v, m, n := c.value.bytes16(), c.mask.bytes16(), x.size()
		b = append(b, byte(x))
		b = append(append(b, v[16-n:]...), m[16-n:]...)
	}
	for i, s := range f.ports {
		if s != allPorts {
			b = append(b, tagPorts+byte(i), byte(s.first>>8), byte(s.first), byte(s.last>>8), byte(s.last))
		}
	}
	if f.frags != fragAny {
		b = append(b, tagFrags, byte(f.frags))
	}
	for i, name := range []string{f.inPort, f.toPort, string(f.stage)} {
		if name != "" {
			b = append(append(b, tagInPort+byte(i), byte(len(name))), name...)
		}
	}
	return string(b)
}

// size is the field's width in bytes.
func (f field) size() int { return (fieldTable[f].bits + 7) / 8 }

// fieldValue is an item of an encoded form.
type fieldValue struct {
	tag     byte
	payload string
}

// nextItem splits off the first item of an encoded form.
func nextItem(code string) (v fieldValue, rest string) {
	v.tag, rest = code[0], code[1:]
	n := 0
	switch {
	case v.tag < tagPorts:
		n = 2 * field(v.tag).size()
	case v.tag < tagFrags:
		n = 4
	case v.tag == tagFrags:
		n = 1
	default:
		n = 1 + int(rest[0])
	}
	v.payload = rest[:n]
	return v, rest[n:]
}

// decodeForm reads what encode wrote.
func decodeForm(code string) *form {
	f := newForm()
	for code != "" {
		var v fieldValue
		v, code = nextItem(code)
		p := v.payload
		switch {
		case v.tag < tagPorts:
			n := len(p) / 2
			f.cons[v.tag] = constraint{wordOfString(p[:n]), wordOfString(p[n:])}
		case v.tag < tagFrags:
			f.ports[v.tag-tagPorts] = span{uint16(p[0])<<8 | uint16(p[1]), uint16(p[2])<<8 | uint16(p[3])}
		case v.tag == tagFrags:
			f.frags = fragSet(p[0])
		case v.tag == tagInPort:
			f.inPort = p[1:]
		case v.tag == tagToPort:
			f.toPort = p[1:]
		default:
			f.stage = Direction(p[1:])
		}
	}
	return f
}

func wordOfString(s string) (w word) {
	for i := range len(s) {
		w = word{w.hi<<8 | w.lo>>56, w.lo<<8 | uint64(s[i])}
	}
	return w
}
