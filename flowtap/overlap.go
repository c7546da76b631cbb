package flowtap

// Intersect reports whether some frame has both flows, and describes one. It is exact.
func Intersect(a, b Match) (Witness, bool) { return intersect(a.form(), b.form()) }

func intersect(a, b *form) (Witness, bool) {
	f, ok := merge(a, b)
	if !ok {
		return Witness{}, false
	}
	return Witness{f}, true
}

// Overlap reports whether two contracts cannot stand together: they have the same target and
// priority, and a direction in which some frame has both flows. Whether they are enabled does not
// matter. It gives the first such direction, out before in, and describes a frame.
//
// This is the rule; an OverlapIndex is the same for many contracts.
func Overlap(a, b Tap) (Direction, Witness, bool) {
	if a.Src != b.Src || a.Priority != b.Priority {
		return "", Witness{}, false
	}
	for _, d := range stages {
		for _, f := range a.forms(d) {
			for _, g := range b.forms(d) {
				if w, ok := intersect(f, g); ok {
					return d, w, true
				}
			}
		}
	}
	return "", Witness{}, false
}

// stages are the two places at which frames are tapped, in the order in which they come by.
var stages = [...]Direction{Out, In}

// And gives the flow of the frames that have both flows, or false where no frame has.
func And(a, b Match) (Match, bool) {
	f, ok := merge(a.form(), b.form())
	if !ok {
		return Match{}, false
	}
	return f.match(), true
}
