package ofsim

import (
	"hash/fnv"

	"github.com/flowtap/flowtap/openflow"
)

// A Choice is where Open vSwitch takes one of several links by a hash: a multipath, or a select
// group. ofsim knows what is hashed and not the values of the hash, so which link it takes is its own:
// the same for frames with the same Key, as on a switch, but not necessarily the switch's.
type Choice struct {
	Group   openflow.GroupID // zero for a multipath
	Fields  openflow.HashFields
	Basis   uint16
	Links   int
	Weights []uint16 // of the live buckets of a group, one a link
	// Key is what is hashed: equal for two frames exactly when the switch hashes the same of both.
	// Empty where the frame has none of the fields.
	Key string
	// Link is what was chosen, from 0.
	Link int
}

// byKey chooses by a hash of the key (FNV-1a), by weight where there are any.
func byKey(c Choice) int {
	if c.Key == "" {
		return 0
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte{byte(c.Basis >> 8), byte(c.Basis)})
	_, _ = h.Write([]byte(c.Key))
	n := int(h.Sum32())
	total := 0
	for _, w := range c.Weights {
		total += int(w)
	}
	if total == 0 {
		return n
	}
	n %= total
	for i, w := range c.Weights {
		if n -= int(w); n < 0 {
			return i
		}
	}
	return 0
}

// choice takes a link.
func (x *exec) choice(c Choice) int {
	c.Key = x.cur.hashed(c.Fields)
	c.Link = x.sw.choose(c)
	if c.Link %= c.Links; c.Link < 0 {
		c.Link += c.Links
	}
	x.note(Step{DPID: x.sw.dpid, Event: EventChoice, Depth: x.nesting, Table: x.table, Arg: uint64(c.Link), Choice: &c})
	return c.Link
}

func (x *exec) multipath(a openflow.Multipath) {
	link := x.choice(Choice{Fields: a.Fields, Basis: a.Basis, Links: int(a.Links)})
	p, _ := placeOf(a.Field)
	x.cur.key.put(place{p.word, p.shift + a.Offset, a.Bits}, uint64(link))
}

// hashed gives what is hashed of a frame (flow_hash_fields of Open vSwitch 3.1). The symmetric
// ones add (xor) both directions' fields.
func (s *state) hashed(f openflow.HashFields) string {
	k := &s.key
	var b []byte
	v4, v6 := k.get(atEthType) == etherIPv4, k.get(atEthType) == etherIPv6
	one := func(v4at place, v6at uint8) {
		switch {
		case v4:
			b = be.AppendUint32(b, uint32(k.get(v4at)))
		case v6:
			b = be.AppendUint64(be.AppendUint64(b, k[v6at]), k[v6at+1])
		}
	}
	both := func() {
		switch {
		case v4:
			b = be.AppendUint32(b, uint32(k.get(atIPSrc)^k.get(atIPDst)))
		case v6:
			b = be.AppendUint64(be.AppendUint64(b, k[wSrc6]^k[wDst6]), k[wSrc6+1]^k[wDst6+1])
		}
	}
	transport := func(udp, fragments bool) {
		proto := k.get(atProto)
		b = append(b, byte(proto))
		if k.get(atFrag) != 0 && !fragments {
			return
		}
		if proto == protoTCP || proto == protoSCTP || udp && proto == protoUDP {
			b = be.AppendUint16(b, uint16(k.get(atSport)^k.get(atDport)))
		}
	}
	l2 := func() {
		b = be.AppendUint64(b, k.get(atEthSrc)^k.get(atEthDst))
		b = be.AppendUint16(b, uint16(k.get(atTCI)^uint64(s.tci1))&0xfff)
		b = be.AppendUint16(b, uint16(k.get(atEthType)))
	}
	switch f {
	case openflow.HashEthSrc:
		b = be.AppendUint64(b, k.get(atEthSrc))
	case openflow.HashSymmetricL4:
		l2()
		if v4 || v6 {
			both()
			transport(false, true)
		}
	case openflow.HashSymmetricL3L4, openflow.HashSymmetricL3L4UDP:
		if v4 || v6 {
			both()
			transport(f == openflow.HashSymmetricL3L4UDP, false)
		} else {
			l2()
		}
	case openflow.HashSymmetricL3:
		b = be.AppendUint16(b, uint16(k.get(atEthType)))
		both()
	case openflow.HashNetSrc:
		one(atIPSrc, wSrc6)
	case openflow.HashNetDst:
		one(atIPDst, wDst6)
	}
	return string(b)
}
