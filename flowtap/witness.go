package flowtap

import (
	"slices"
	"strings"

	"github.com/flowtap/flowtap/topology"
)

// A Witness is a frame that two flows have in common. The zero value is none.
type Witness struct {
	form *form // what the flows say together; some frame satisfies it
}

// To is the id of the port that the frame must go to, or empty where it does not matter: the
// reply to a flow with an in_port goes to that port. It is no field of a frame; see Towards.
func (w Witness) To() string {
	if w.form == nil {
		return ""
	}
	return w.form.toPort
}

// String describes the frame as ovs-ofctl(8) spells it, and is read as ovs-ofctl reads it: "tcp" is
// TCP over IPv4. Every field that matters has one value, so each frame with these values has both
// flows, if it goes to the port To. The in_port is a port's id.
func (w Witness) String() string { return w.Towards(topology.MAC{}) }

// Towards is String for a frame that goes to the port To by that port's address m, which it names
// as the frame's destination. A zero m, and one that the flows contradict, is left out.
func (w Witness) Towards(m topology.MAC) string {
	if w.form == nil {
		return ""
	}
	f := *w.form
	if f.toPort != "" && !m.IsZero() {
		_ = f.and(fieldEthDst, constraint{wordOf(m[:]), fieldEthDst.full()}) // where it may not be, nothing is said
	}
	f.toPort = ""
	f.pin()
	return f.ofctl()
}

// pin narrows the form to one value in every field that it constrains.
func (f *form) pin() {
	f.cons[fieldEthType] = f.etherTypes()[0]
	f.cons[fieldICMPType] = f.icmpTypes()[0]
	for _, x := range portFields {
		if f.has(x) {
			port, _ := f.firstPort(x)
			f.cons[x], f.ports[x-fieldPortSrc] = constraint{}, span{port, port}
		}
	}
	for x := range numFields {
		if !f.cons[x].mask.zero() {
			f.cons[x].mask = x.full()
		}
	}
	if f.has(fieldFrag) {
		f.frags &= -f.frags // the lowest: whole frames before fragments
	}
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
