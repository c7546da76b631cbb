package flowtap

import (
	"slices"
	"strings"
)

// Witness describes a frame in the spelling of ovs-ofctl: every field that matters has one value.
// ParseMatch reads it, unless it speaks of to_port, the port that the frame goes to.
type Witness string

// Intersect reports whether some frame has both flows, and describes one. It is exact.
func Intersect(a, b Match) (Witness, bool) { return intersect(a.form(), b.form()) }

func intersect(a, b *form) (Witness, bool) {
	f, ok := merge(a, b)
	if !ok {
		return "", false
	}
	return f.witness(), true
}

// Overlap reports whether two contracts cannot stand together: they have the same target and
// priority, and a direction in which some frame has both flows. Whether they are enabled does not
// matter. It gives the first such direction, out before in, and describes a frame.
func Overlap(a, b Tap) (Direction, Witness, bool) {
	if a.Src != b.Src || a.Priority != b.Priority {
		return "", "", false
	}
	for _, d := range []Direction{Out, In} {
		for _, f := range a.forms(d) {
			for _, g := range b.forms(d) {
				if w, ok := intersect(f, g); ok {
					return d, w, true
				}
			}
		}
	}
	return "", "", false
}

// witness describes one frame that satisfies the form.
func (f *form) witness() Witness {
	w := *f
	w.cons[fieldEthType] = f.etherTypes()[0]
	w.cons[fieldICMPType] = f.icmpTypes()[0]
	for x := range numFields {
		if !w.cons[x].mask.zero() {
			w.cons[x].mask = x.full()
		}
		if (x == fieldPortSrc || x == fieldPortDst) && f.has(x) {
			port, _ := f.firstPort(x)
			w.cons[x], w.ports[x-fieldPortSrc] = constraint{}, span{port, port}
		}
	}
	if f.has(fieldFrag) {
		w.frags = f.frags & -f.frags // the lowest: whole frames before fragments
	}
	return Witness(w.ofctl())
}

// ofctl spells the form as ovs-ofctl does, with its shorthand for the protocol in front.
func (f *form) ofctl() string {
	typ, _ := f.exact(fieldEthType)
	proto, _ := f.exact(fieldProto)
	var words []string
	if text := f.text(); text != "" {
		words = strings.Split(text, "; ")
	}
	drop := func(prefix string) {
		words = slices.DeleteFunc(words, func(w string) bool { return strings.HasPrefix(w, prefix) })
	}
	family, name := map[uint64]string{typeIPv4: "ip", typeIPv6: "ipv6", typeARP: "arp", typeRARP: "rarp"}[typ], ""
	if family != "" {
		drop("dl_type=")
		name = family
	}
	if s, ok := ofctlNames[shorthand{uint16(typ), uint8(proto)}]; ok {
		drop("nw_proto=")
		name = s
	}
	if name != "" {
		words = slices.Insert(words, 0, name)
	}
	if len(words) == 0 {
		return "ip" // of all frames, one
	}
	return strings.Join(words, ",")
}

// ofctlNames are ovs-ofctl's names for a protocol over one IP.
var ofctlNames = map[shorthand]string{
	{typeIPv4, protoICMP}: "icmp", {typeIPv6, protoICMPv6}: "icmp6",
	{typeIPv4, protoTCP}: "tcp", {typeIPv6, protoTCP}: "tcp6",
	{typeIPv4, protoUDP}: "udp", {typeIPv6, protoUDP}: "udp6",
	{typeIPv4, protoSCTP}: "sctp", {typeIPv6, protoSCTP}: "sctp6",
}
