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

// decodeForm reads what encode wrote.
func decodeForm(s string) *form {
	f := newForm()
	for len(s) > 0 {
		tag := s[0]
		s = s[1:]
		switch {
		case tag < tagPorts:
			n := field(tag).size()
			f.cons[tag] = constraint{wordOfString(s[:n]), wordOfString(s[n : 2*n])}
			s = s[2*n:]
		case tag < tagFrags:
			f.ports[tag-tagPorts] = span{uint16(s[0])<<8 | uint16(s[1]), uint16(s[2])<<8 | uint16(s[3])}
			s = s[4:]
		case tag == tagFrags:
			f.frags, s = fragSet(s[0]), s[1:]
		default:
			name := s[1 : 1+s[0]]
			s = s[1+len(name):]
			switch tag {
			case tagInPort:
				f.inPort = name
			case tagToPort:
				f.toPort = name
			default:
				f.stage = Direction(name)
			}
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
