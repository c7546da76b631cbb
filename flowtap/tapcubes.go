package flowtap

// forms gives the flows that the tap is after at stage d, In or Out. A table in the match stands
// for a direction. What the stage makes certain is left out of them: at Out frames enter by the
// target's port, at In they go to it; flows that contradict this are left out whole.
func (t Tap) forms(d Direction) []*form {
	m := t.Match.form()
	want := t.Direction
	if m.stage != "" && (want == Both || want == m.stage) {
		want, m.stage = m.stage, ""
	}
	if m.stage != "" || want != Both && want != d {
		return nil
	}
	all := []*form{m}
	if want == Both {
		back := *m
		back.reverse()
		all = append(all, &back)
	}
	var out []*form
	for _, f := range all {
		own, other := &f.inPort, f.toPort
		if d == In {
			own, other = &f.toPort, f.inPort
		}
		if *own != "" && *own != t.Src || other == t.Src {
			continue
		}
		*own = ""
		out = append(out, f)
	}
	return out
}

// Cubes gives the cubes of the frames that the tap is after at stage d, In or Out, each once:
// frames delivered to the target or sent by it. With direction both these are the frames that
// have the match or the reversed match. InPort is empty at Out and ToPort at In, where both are
// the target; Table is empty. Whether the tap is enabled does not matter.
func (t Tap) Cubes(d Direction) []Cube {
	var out []Cube
	seen := map[string]bool{}
	for _, f := range t.forms(d) {
		for _, c := range f.cubes() {
			if key := c.key(); !seen[key] {
				seen[key] = true
				out = append(out, c)
			}
		}
	}
	return out
}

// key is equal for equal cubes.
func (c Cube) key() string {
	return string(c.Fields.AppendKey([]byte(c.InPort + "," + c.ToPort + "," + string(c.Table) + ",")))
}
